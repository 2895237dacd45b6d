"""The backend on an NVIDIA GPU: weights, state rows and block buffers on one device."""
