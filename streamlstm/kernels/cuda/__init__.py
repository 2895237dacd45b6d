"""The kernels for CUDA: the same contract as those for the CPU, with state rows on the device.

``scalar`` is the readable kernel, a thread a stream; ``fused`` is the fast one, compared with it;
``sequences`` runs branches, and layers over the rows of windows; ``rows`` moves state rows. Nothing
here is imported unless CUDA is used.
"""
