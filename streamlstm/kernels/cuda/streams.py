"""Move state rows, observations and predictions of a block's streams to and from its values.

``S`` holds the values of a block's streams: value ``k`` of stream ``m`` at
``S[a + k * spacing + m]`` for ``spacing - SPACE`` streams, a power of two; where there are fewer,
the last one is repeated. ``starts[m]`` is the offset of the state row of stream ``m``.
"""

from numba import cuda, int64, uint64

from .. import layout
from .activations import lower
from .intrinsics import load_four, store_four
from .sizes import LANES
from .tiles import SPACE

device = cuda.jit(device=True)


@device
def shift_of(spacing):
    """Return the number of bits by which to shift the index of a value to get that of its row."""
    return int64(cuda.ffs(spacing - SPACE)) - 1


@device
def threads_of_a_row(size):
    """Return log2 of the number of threads that share ``size`` values: no more than needed."""
    bits = int64(0)
    while (1 << bits) < size and (1 << bits) < LANES:
        bits += 1
    return bits


@device
def find_rows(program, slots, first, count, starts, spacing):
    """Find the offsets of the state rows, and synchronise the block."""
    R = program[layout.ROW_SIZE]
    for m in range(cuda.threadIdx.x, spacing - SPACE, cuda.blockDim.x):
        slot = int64(slots[uint64(1 + first + lower(m, count - 1))])
        starts[uint64(m)] = (slot if slot >= 0 else ~slot) * R
    cuda.syncthreads()


@device
def gather(rows, starts, start, size, S, a, spacing):
    """Load ``size`` floats of each state row, from column ``start`` on, to ``S[a]`` and behind."""
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    for m in range(4 * warp, spacing - SPACE, cuda.blockDim.x // LANES * 4):
        r0, r1 = starts[uint64(m)] + start, starts[uint64(m + 1)] + start
        r2, r3 = starts[uint64(m + 2)] + start, starts[uint64(m + 3)] + start
        for k in range(lane, size, LANES):
            store_four(
                S, uint64(a + k * spacing + m),
                rows[uint64(r0 + k)], rows[uint64(r1 + k)],
                rows[uint64(r2 + k)], rows[uint64(r3 + k)],
            )  # fmt: skip


@device
def scatter(rows, starts, count, start, size, S, o, spacing):
    """Store the values from ``S[o]`` on to the columns that :func:`gather` reads."""
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    for m in range(4 * warp, count, cuda.blockDim.x // LANES * 4):
        r0, r1 = starts[uint64(m)] + start, starts[uint64(m + 1)] + start
        r2, r3 = starts[uint64(m + 2)] + start, starts[uint64(m + 3)] + start
        for k in range(lane, size, LANES):
            x0, x1, x2, x3 = load_four(S, uint64(o + k * spacing + m))
            rows[uint64(r0 + k)] = x0
            if m + 1 < count:
                rows[uint64(r1 + k)] = x1
            if m + 2 < count:
                rows[uint64(r2 + k)] = x2
            if m + 3 < count:
                rows[uint64(r3 + k)] = x3


@device
def load_inputs(weights, program, X, first, count, S, a, spacing):
    """Load the scaled observations to the values from ``S[a]`` on."""
    F, mean = program[layout.INPUTS], program[layout.INPUT_SCALING]
    bits = threads_of_a_row(F)
    for m in range(cuda.threadIdx.x >> bits, spacing - SPACE, cuda.blockDim.x >> bits):
        place = (first + lower(m, count - 1)) * F
        for k in range(cuda.threadIdx.x & ((1 << bits) - 1), F, 1 << bits):
            x = X[uint64(place + k)] - weights[uint64(mean + k)]
            S[uint64(a + k * spacing + m)] = x * weights[uint64(mean + F + k)]
    cuda.syncthreads()


@device
def store_outputs(weights, program, rows, slots, starts, X, Y, first, count, S, a, spacing):
    """Scale predictions back to the unit of the series; store those of numbered observations."""
    F, O, scale = program[layout.INPUTS], program[layout.OUTPUTS], program[layout.OUTPUT_SCALING]
    skip, factors = program[layout.SKIP], program[layout.SKIP_SCALE]
    bits = threads_of_a_row(O)
    for m in range(cuda.threadIdx.x >> bits, count, cuda.blockDim.x >> bits):
        numbered = slots[uint64(1 + first + m)] >= 0
        stored = starts[uint64(m)] + program[layout.PREDICTION]
        for k in range(cuda.threadIdx.x & ((1 << bits) - 1), O, 1 << bits):
            y = S[uint64(a + k * spacing + m)] * weights[uint64(scale + k)]
            y += weights[uint64(scale + O + k)]
            if skip >= 0 and program[skip + k] >= 0:
                y += X[(first + m) * F + program[skip + k]] * weights[factors + k]
            Y[uint64((first + m) * O + k)] = y
            if numbered:
                rows[uint64(stored + k)] = y
    cuda.syncthreads()
