"""How many threads work together, on hardware and in numba's simulator."""

from numba import config

# NUMBA_ENABLE_CUDASIM=1 before numba is imported: every thread is then one of Python's, which
# costs some 50 us to start. So there are few, and vectors are short.
SIMULATED = bool(config.ENABLE_CUDASIM)

LANES = 4 if SIMULATED else 32  # units of a panel of weights (packing.py): a warp's on hardware
SCALAR_BLOCK = 4 if SIMULATED else 128  # threads of a block, a stream each
SCALAR_BLOCKS = 4 if SIMULATED else 512  # at once; each thread takes one stream after the other
MOVING_BLOCK = 4 if SIMULATED else 256  # threads that move rows
MOVING_BLOCKS = 4 if SIMULATED else 4096
