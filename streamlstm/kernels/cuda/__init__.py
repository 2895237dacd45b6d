"""The kernels on numba.cuda: the contract of those for the CPU, with state rows on the device.

``scalar`` is the readable one, a thread a stream; ``fused`` is the fast one and held against it;
``rows`` moves state rows. Nothing here is imported unless somebody asks for CUDA.
"""
