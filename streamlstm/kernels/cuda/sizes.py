"""Sizes of blocks of threads, tiles and memory, on hardware and in numba's simulator."""

from numba import config

# NUMBA_ENABLE_CUDASIM=1 before numba is imported: every thread is then one of Python's, which
# costs some 50 us to start. So there are few, and vectors are short.
SIMULATED = bool(config.ENABLE_CUDASIM)

LANES = 2 if SIMULATED else 32  # units of a panel of weights (packing.py): a warp's on hardware
SCALAR_BLOCK = 4 if SIMULATED else 128  # threads of a block, a stream each
SCALAR_BLOCKS = 4 if SIMULATED else 512  # at once; each thread takes one stream after the other
MOVING_BLOCK = 4 if SIMULATED else 256  # threads that move rows
MOVING_BLOCKS = 4 if SIMULATED else 4096

# A thread of the fast kernel holds the sums of so many streams and four gates of one unit in
# registers; a panel's threads share the weights, their streams are a tile.
TILE = 4 if SIMULATED else 16  # a multiple of 4, which go through memory together
MAX_STREAMS = 4 * TILE  # of a block of threads
STARTS = 2 * MAX_STREAMS  # floats at the start of a block's shared memory, for streams.find_rows
WARPS = 2 if SIMULATED else 4  # of a block, LANES threads each
# So that three blocks fit on a multiprocessor, one of which computes while others wait for memory.
# The kernels that keep weights with the values, or values far away, need more, and fit twice.
REGISTERS = 168
MAX_SHARED = 48 * 1024  # bytes of a block that any device has
FEW = min(8, LANES)  # outputs of a layer that are computed without a tile
# At most so many blocks of threads where each has a copy of the weights, or values in global
# memory: four for each multiprocessor of an H100. A block takes one group of streams after another.
BLOCKS = 2 if SIMULATED else 528
FULL = 2 if SIMULATED else 396  # blocks that keep all multiprocessors of an H100 busy
