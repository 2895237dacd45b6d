"""The kernels of convolutions: over the rows of windows (whole_window.py), and step by step.

The rows that an output sees are copied side by side, so that an output is a row of one product; the
products of up to a group of outputs are one.
"""

import numpy as np
from numba import int64

from . import layout
from .arguments import ROWS_AT, SUMS, arrays, span
from .cache import by_address, internal
from .feedforward import activate_rows, product
from .layout import GROUP
from .pointers import int64s_at
from .simd import LANES, load, load_first, splat, store, store_first
from .window import counter

f32 = np.float32


@by_address
def convolution(task, layer, group, rows):
    """Convolve the ``rows`` rows of a group of windows."""
    weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    F, O = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    size, step = program[layer + layout.ROWS_SIZE], program[layer + layout.ROWS_STEP]
    reach = (size - 1) * program[layer + layout.ROWS_DILATION] + 1
    padding = program[layer + layout.ROWS_BEFORE] + program[layer + layout.ROWS_AFTER]
    made = (rows + padding - reach) // step + 1
    stride, out = program[layout.STRIDE], program[layer + layout.ROWS_OUT]
    w, constants = program[layer + layout.WEIGHTS], program[layer + layout.CONSTANTS]
    kind = program[layer + layout.ACTIVATION]
    inputs, outputs = int64(ROWS_AT), ROWS_AT + GROUP * stride
    for begin in range(0, made * count, GROUP):
        number = min(int64(GROUP), made * count - begin)
        for m in range(number):
            _gather(program, layer, S, a, inputs + m * stride, rows, count, begin + m)
        product(weights, w, size * F, O, S, inputs, outputs, stride, int64(SUMS), number)
        activate_rows(kind, weights, constants, f32(np.inf), S, outputs, O, stride, number)
        for m in range(number):
            for n in range(0, O, LANES):
                store(S, o + (begin + m) * out + n, load(S, outputs + m * stride + n))
    int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_ROWS] = made


@internal
def _gather(program, layer, S, a, target, rows, count, place):
    """Copy the rows that output ``place`` of the sequence sees; rows that are not are zeros."""
    F, spacing = program[layer + layout.LAYER_INPUTS], program[layer + layout.ROWS_IN]
    t, m = place // count, place % count
    row = t * program[layer + layout.ROWS_STEP] - program[layer + layout.ROWS_BEFORE]
    for _j in range(program[layer + layout.ROWS_SIZE]):
        source = a + (row * count + m) * spacing
        for n in range(0, F, LANES):
            value = splat(f32(0.0))
            if 0 <= row < rows:
                value = load(S, source + n)
            store_first(S, target + n, value, F - n)
        row += program[layer + layout.ROWS_DILATION]
        target += F


@by_address
def convolution_step(task, layer, group, _):
    """Convolve the rows at ``S[a]`` with the last inputs of their streams."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    F, O = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    size, stride = program[layer + layout.ROWS_SIZE], program[layout.STRIDE]
    length = (size - 1) * program[layer + layout.ROWS_DILATION]
    for m in range(count):
        if length > 0:
            start = slots[first + m] * program[layout.ROW_SIZE]
            _recall(program, layer, rows, start, S, a + m * stride, length)
    w, constants = program[layer + layout.WEIGHTS], program[layer + layout.CONSTANTS]
    product(weights, w, size * F, O, S, a, o, stride, int64(SUMS), count)
    kind = program[layer + layout.ACTIVATION]
    activate_rows(kind, weights, constants, f32(np.inf), S, o, O, stride, count)


@internal
def _recall(program, layer, rows, start, S, a, length):
    """Put what a stream's output sees before the input at ``S[a]``, which replaces the oldest."""
    F, size = program[layer + layout.LAYER_INPUTS], program[layer + layout.ROWS_SIZE]
    ring, place = start + program[layer + layout.HIDDEN], start + program[layer + layout.CELL]
    oldest = counter(rows, place, length - 1)
    target = a + (size - 1) * F
    for n in range(0, F, LANES):
        store_first(S, target + n, load(S, a + n), F - n)
    row = oldest
    for j in range(size - 1):
        for n in range(0, F, LANES):
            store_first(S, a + j * F + n, load_first(rows, ring + row * F + n, F - n), F - n)
        row += program[layer + layout.ROWS_DILATION]
        if row >= length:
            row -= length
    for n in range(0, F, LANES):
        store_first(rows, ring + oldest * F + n, load_first(S, target + n, F - n), F - n)
    rows[place] = f32(0.0) if oldest + 1 == length else f32(oldest + 1)


# The kernel of each KIND.
LAYERS = {layout.CONV: convolution, layout.CONV_STEP: convolution_step}
