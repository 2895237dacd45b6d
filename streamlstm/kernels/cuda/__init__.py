"""The kernels for CUDA: the same contract as those for the CPU, with state rows on the device.

``scalar`` is the readable kernel, a thread a stream; ``fused`` is the fast one, compared with it;
``rows`` moves state rows. Nothing here is imported unless CUDA is used.
"""
