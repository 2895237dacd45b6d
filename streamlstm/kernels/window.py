"""The kernel of a window: it runs the layers over the last T inputs, from their initial state.

It stands in the program as the only layer, and the rows of the layers follow its own. A state row
keeps the last T inputs of a stream in a ring; the states of the layers, which stand before it, are
those after the window's last row. See arguments.py for the arguments.
"""

import numpy as np
from numba import int64

from . import layout
from .arguments import arrays, span
from .cache import by_address, inlined, internal
from .layout import WINDOW_COUNTERS
from .pointers import call_at, int64s_at
from .simd import LANES, load, load_first, store

f32 = np.float32


@inlined
def counter(rows, place, most):
    """Return a counter of a state row; a row from elsewhere may hold any number."""
    return min(max(int64(rows[place]), int64(0)), most)


@internal
def put(program, layer, rows, start, S, x):
    """Put the input at ``S[x]`` into the window of the state row at ``start``."""
    T, F = program[layer + layout.WINDOW_ROWS], program[layer + layout.LAYER_INPUTS]
    place = start + program[layer + layout.WINDOW_PLACE]
    ring = place + WINDOW_COUNTERS
    length, latest = counter(rows, place, T), counter(rows, place + 1, T - 1)
    copies = int64(1)
    if length == 0 and program[layer + layout.WINDOW_START] == layout.START_FIRST:
        copies = T
    for copy in range(copies):
        target = ring + (latest + copy) % T * F
        for n in range(F):
            rows[target + n] = S[x + n]
    rows[place] = f32(min(length + copies, T))
    rows[place + 1] = f32((latest + copies) % T)


@inlined
def length(program, layer, rows, start):
    """Return how many rows the window of a state row has."""
    T = program[layer + layout.WINDOW_ROWS]
    return counter(rows, start + program[layer + layout.WINDOW_PLACE], T)


@internal
def take(program, layer, rows, start, first, last, S, x, spacing):
    """Copy the rows ``first`` to ``last`` of T, the oldest first, of a window to ``S[x]``."""
    T, F = program[layer + layout.WINDOW_ROWS], program[layer + layout.LAYER_INPUTS]
    place = start + program[layer + layout.WINDOW_PLACE]
    row = counter(rows, place + 1, T - 1) + first
    for _t in range(first, last):
        if row >= T:  # cheaper than a division
            row -= T
        source = place + WINDOW_COUNTERS + row * F
        for n in range(0, F, LANES):
            store(S, x + n, load_first(rows, source + n, F - n))
        row, x = row + 1, x + spacing


@internal
def restart(weights, program, layer, rows, start):
    """Set the states of all layers of the state row at ``start`` to the initial ones."""
    initial = program[layer + layout.WINDOW_INITIAL]
    for n in range(0, program[layer + layout.WINDOW_STATE], LANES):
        store(rows, start + n, load(weights, initial + n))


@by_address
def window(task, layer, group, _):
    """Put the inputs of a group into their windows, and run all layers over these.

    Streams whose windows have fewer rows than others start anew until theirs begin.
    """
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    streams = int64s_at(group, layout.GROUP_SIZE)
    functions = task + 8 * (layout.TASK_SINGLES if count == 1 else layout.TASK_LAYERS)
    kernels = int64s_at(functions, layout.TASK_SINGLES - layout.TASK_LAYERS)
    T, stride = program[layer + layout.WINDOW_ROWS], program[layout.STRIDE]
    row_size = program[layout.ROW_SIZE]
    longest = int64(0)
    for m in range(count):
        start = slots[first + m] * row_size
        put(program, layer, rows, start, S, a + m * stride)
        longest = max(longest, length(program, layer, rows, start))
    layers = program[layer + layout.WINDOW_LAYERS]
    inputs = a if layers % 2 == 1 else o  # so that the last layer writes to o
    for t in range(T - longest, T):
        for m in range(count):
            start = slots[first + m] * row_size
            take(program, layer, rows, start, t, t + 1, S, inputs + m * stride, stride)
            if t <= T - length(program, layer, rows, start):
                restart(weights, program, layer, rows, start)
        streams[layout.GROUP_PARITY] = t & 1
        source, row = inputs, layer
        # Of the layers behind the last recurrent one, only the last outputs are needed.
        for _n in range(layers if t == T - 1 else program[layer + layout.WINDOW_RECURRENT]):
            row += layout.ROW
            streams[layout.GROUP_INPUTS] = source
            source = a + o - source
            streams[layout.GROUP_OUTPUTS] = source
            call_at(kernels[program[row + layout.KIND]], task, row, group, int64(0))
    if program[layer + layout.WINDOW_START] == layout.START_WAIT:
        for m in range(count):
            if length(program, layer, rows, slots[first + m] * row_size) < T:
                for n in range(program[layer + layout.LAYER_OUTPUTS]):
                    S[o + m * stride + n] = f32(np.nan)


# The kernel of each KIND.
LAYERS = {layout.WINDOW: window}
