"""The kernel of layers that pool or rearrange rows of windows; see whole_window.py."""

import numpy as np
from numba import int64

from . import layout
from .arguments import arrays, span
from .cache import by_address, internal
from .pointers import int64s_at
from .simd import LANES, load, maximum, splat, store, store_first

f32 = np.float32


@by_address
def over_rows(task, layer, group, rows):
    """Pool or rearrange the ``rows`` rows of a group of windows."""
    _weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    mode = program[layer + layout.ROWS_MODE]
    if mode <= layout.MAX:
        made = _pool(program, layer, S, a, o, rows, count)
    elif mode == layout.TRANSPOSE:
        made = _transpose(program, layer, S, a, o, rows, count)
    elif mode <= layout.FLATTEN_BY_FEATURE:
        made = _flatten(program, layer, S, a, o, rows, count)
    else:
        made = _move(program, layer, S, a, o, rows, count)
    int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_ROWS] = made


@internal
def _pool(program, layer, S, a, o, rows, count):
    """Write the mean, maximum or sum of neighbouring rows, in their order; return how many."""
    width, spacing = program[layer + layout.LAYER_INPUTS], program[layer + layout.ROWS_IN]
    out, size = program[layer + layout.ROWS_OUT], program[layer + layout.ROWS_SIZE]
    step, before = program[layer + layout.ROWS_STEP], program[layer + layout.ROWS_BEFORE]
    if size == 0:
        size = step = rows
    made = (rows + before + program[layer + layout.ROWS_AFTER] - size) // step + 1
    for t in range(made):
        begin = max(t * step - before, int64(0))
        end = min(t * step - before + size, rows)
        number = size if program[layer + layout.ROWS_FLAG] else end - begin
        if program[layer + layout.ROWS_FLAG] == layout.NO_MEAN:
            number = int64(1)
        share = splat(f32(number))
        for m in range(count):
            for n in range(0, width, LANES):
                total = load(S, a + (begin * count + m) * spacing + n)
                for row in range(begin + 1, end):
                    value = load(S, a + (row * count + m) * spacing + n)
                    if program[layer + layout.ROWS_MODE] == layout.MAX:
                        total = maximum(total, value)
                    else:
                        total = total + value
                if program[layer + layout.ROWS_MODE] == layout.MEAN:
                    total = total / share
                store(S, o + (t * count + m) * out + n, total)
    return made


@internal
def _flatten(program, layer, S, a, o, rows, count):
    """Write all rows as one, features or rows contiguous; return 1."""
    width, spacing = program[layer + layout.LAYER_INPUTS], program[layer + layout.ROWS_IN]
    out = program[layer + layout.ROWS_OUT]
    for m in range(count):
        for t in range(rows):
            source, target = a + (t * count + m) * spacing, o + m * out
            if program[layer + layout.ROWS_MODE] == layout.FLATTEN:
                for n in range(0, width, LANES):
                    store_first(S, target + t * width + n, load(S, source + n), width - n)
            else:
                for n in range(width):
                    S[target + n * rows + t] = S[source + n]
    return int64(1)


@internal
def _transpose(program, layer, S, a, o, rows, count):
    """Write for each feature a row of it; return how many."""
    width, spacing = program[layer + layout.LAYER_INPUTS], program[layer + layout.ROWS_IN]
    out = program[layer + layout.ROWS_OUT]
    for t in range(rows):
        for m in range(count):
            source = a + (t * count + m) * spacing
            for n in range(width):
                S[o + (n * count + m) * out + t] = S[source + n]
    return width


@internal
def _move(program, layer, S, a, o, rows, count):
    """Write the last row, once or several times, or all rows in reverse; return how many."""
    width, spacing = program[layer + layout.LAYER_INPUTS], program[layer + layout.ROWS_IN]
    out, mode = program[layer + layout.ROWS_OUT], program[layer + layout.ROWS_MODE]
    made = rows if mode == layout.REVERSE else program[layer + layout.ROWS_SIZE]
    for t in range(made):
        row = rows - 1 - t if mode == layout.REVERSE else rows - 1
        for m in range(count):
            source, target = a + (row * count + m) * spacing, o + (t * count + m) * out
            for n in range(0, width, LANES):
                store(S, target + n, load(S, source + n))
    return made


# The kernel of each KIND.
LAYERS = {layout.ROWS: over_rows}
