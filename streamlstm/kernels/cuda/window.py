"""The window of a state row on CUDA: a ring of the last T inputs of a stream.

The same columns as on the CPU (../window.py). Positions in the values of a block's streams are
those of streams.py.
"""

import math

from numba import cuda, float32, int64, uint64

from .. import layout
from ..layout import WINDOW_COUNTERS
from .activations import lower, upper
from .streams import threads_of_a_row
from .tiles import SPACE

device = cuda.jit(device=True)


@device
def counter(rows, place, most):
    """Return a counter of a state row; a row from elsewhere may hold any number."""
    return lower(upper(int64(rows[uint64(place)]), int64(0)), int64(most))


@device
def length(program, layer, rows, row):
    """Return how many rows the window of the state row at ``row`` has."""
    T = program[layer + layout.WINDOW_ROWS]
    return counter(rows, row + program[layer + layout.WINDOW_PLACE], T)


@device
def put(program, layer, rows, starts, count, S, x, spacing):
    """Put the inputs from ``S[x]`` on into the windows of ``count`` streams."""
    T, F = program[layer + layout.WINDOW_ROWS], program[layer + layout.LAYER_INPUTS]
    first = program[layer + layout.WINDOW_START] == layout.START_FIRST
    bits = threads_of_a_row(F)
    for m in range(cuda.threadIdx.x >> bits, count, cuda.blockDim.x >> bits):
        place = starts[uint64(m)] + program[layer + layout.WINDOW_PLACE]
        latest, copies = counter(rows, place + 1, T - 1), int64(1)
        if first and counter(rows, place, T) == 0:
            copies = T
        for copy in range(copies):
            ring = place + WINDOW_COUNTERS + (latest + copy) % T * F
            for k in range(cuda.threadIdx.x & ((1 << bits) - 1), F, 1 << bits):
                rows[uint64(ring + k)] = S[uint64(x + k * spacing + m)]
    cuda.syncthreads()
    for m in range(cuda.threadIdx.x, count, cuda.blockDim.x):
        place = starts[uint64(m)] + program[layer + layout.WINDOW_PLACE]
        rows_before, latest = counter(rows, place, T), counter(rows, place + 1, T - 1)
        if first and rows_before == 0:
            rows_before = T
        else:
            latest = (latest + 1) % T
        rows[uint64(place)] = float32(lower(rows_before + 1, T))
        rows[uint64(place + 1)] = float32(latest)
    cuda.syncthreads()


@device
def take(program, layer, rows, starts, t, S, x, spacing):
    """Copy row ``t`` of T, the oldest first, of each window to the values from ``S[x]`` on."""
    T, F = program[layer + layout.WINDOW_ROWS], program[layer + layout.LAYER_INPUTS]
    bits = threads_of_a_row(F)
    for m in range(cuda.threadIdx.x >> bits, spacing - SPACE, cuda.blockDim.x >> bits):
        place = starts[uint64(m)] + program[layer + layout.WINDOW_PLACE]
        row = (counter(rows, place + 1, T - 1) + t) % T
        ring = place + WINDOW_COUNTERS + row * F
        for k in range(cuda.threadIdx.x & ((1 << bits) - 1), F, 1 << bits):
            S[uint64(x + k * spacing + m)] = rows[uint64(ring + k)]


@device
def restart(weights, program, layer, rows, starts, count, rows_left):
    """Set the states of all layers to the initial ones, where a window has ``rows_left`` rows.

    Of all streams if that is 0.
    """
    initial, size = program[layer + layout.WINDOW_INITIAL], program[layer + layout.WINDOW_STATE]
    bits = threads_of_a_row(size)
    for m in range(cuda.threadIdx.x >> bits, count, cuda.blockDim.x >> bits):
        row = starts[uint64(m)]
        if rows_left == 0 or rows_left == length(program, layer, rows, row):
            for k in range(cuda.threadIdx.x & ((1 << bits) - 1), size, 1 << bits):
                rows[uint64(row + k)] = weights[uint64(initial + k)]


@device
def longest(program, layer, rows, starts, count):
    """Return how many rows the longest of ``count`` windows has."""
    found = int64(0)
    for m in range(count):
        found = upper(found, length(program, layer, rows, starts[uint64(m)]))
    return found


@device
def hide(program, layer, rows, starts, count, least, S, y, spacing):
    """Make the outputs from ``S[y]`` on NaN where a window has fewer than ``least`` rows."""
    O, bits = program[layer + layout.LAYER_OUTPUTS], threads_of_a_row(layout.PAD)
    for m in range(cuda.threadIdx.x >> bits, count, cuda.blockDim.x >> bits):
        if length(program, layer, rows, starts[uint64(m)]) < least:
            for k in range(cuda.threadIdx.x & ((1 << bits) - 1), O, 1 << bits):
                S[uint64(y + k * spacing + m)] = float32(math.nan)
    cuda.syncthreads()
