"""Layers that pool or rearrange the rows of windows on CUDA; see sequences.py.

A thread takes one value of one stream after another, neighbouring threads those of neighbouring
streams.
"""

from numba import cuda, float32, int64, uint64

from .. import layout
from .activations import lower, upper
from .streams import shift_of

device = cuda.jit(device=True)


@device
def over_rows(program, layer, Q, a, o, rows, spacing):
    """Take the sequence of ``rows`` rows at ``Q[a]`` to that at ``Q[o]``; return how many rows."""
    mode = program[layer + layout.ROWS_MODE]
    if mode <= layout.MAX:
        return _pool(program, layer, Q, a, o, rows, spacing)
    if mode <= layout.FLATTEN_BY_FEATURE:
        return _flatten(program, layer, Q, a, o, rows, spacing)
    if mode == layout.TRANSPOSE:
        return _transpose(program, layer, Q, a, o, rows, spacing)
    return _move(program, layer, Q, a, o, rows, spacing)


@device
def _pool(program, layer, Q, a, o, rows, spacing):
    """Write the mean, maximum or sum of neighbouring rows, in their order."""
    width, bits = program[layer + layout.LAYER_INPUTS], shift_of(spacing)
    apart = program[layer + layout.ROWS_IN] * spacing
    size, step = program[layer + layout.ROWS_SIZE], program[layer + layout.ROWS_STEP]
    before, largest = program[layer + layout.ROWS_BEFORE], program[layer + layout.ROWS_MODE]
    if size == 0:
        size, step = rows, rows
    made = (rows + before + program[layer + layout.ROWS_AFTER] - size) // step + 1
    for n in range(cuda.threadIdx.x, made * width << bits, cuda.blockDim.x):
        t, k, m = (n >> bits) // width, (n >> bits) % width, n & ((1 << bits) - 1)
        begin, end = upper(t * step - before, int64(0)), lower(t * step - before + size, rows)
        total = Q[uint64(a + begin * apart + k * spacing + m)]
        for row in range(begin + 1, end):
            value = Q[uint64(a + row * apart + k * spacing + m)]
            total = upper(total, value) if largest == layout.MAX else total + value
        flag = program[layer + layout.ROWS_FLAG]
        if largest == layout.MEAN and flag != layout.NO_MEAN:
            total /= float32(size if flag != 0 else end - begin)
        Q[uint64(o + (t * program[layer + layout.ROWS_OUT] + k) * spacing + m)] = total
    return made


@device
def _flatten(program, layer, Q, a, o, rows, spacing):
    """Write all rows as one, features or rows contiguous."""
    width, bits = program[layer + layout.LAYER_INPUTS], shift_of(spacing)
    apart = program[layer + layout.ROWS_IN] * spacing
    by_feature = program[layer + layout.ROWS_MODE] == layout.FLATTEN_BY_FEATURE
    for n in range(cuda.threadIdx.x, rows * width << bits, cuda.blockDim.x):
        t, k, m = (n >> bits) // width, (n >> bits) % width, n & ((1 << bits) - 1)
        target = k * rows + t if by_feature else t * width + k
        Q[uint64(o + target * spacing + m)] = Q[uint64(a + t * apart + k * spacing + m)]
    return int64(1)


@device
def _transpose(program, layer, Q, a, o, rows, spacing):
    """Write for each feature a row of it."""
    width, bits = program[layer + layout.LAYER_INPUTS], shift_of(spacing)
    apart, out = program[layer + layout.ROWS_IN], program[layer + layout.ROWS_OUT]
    for n in range(cuda.threadIdx.x, rows * width << bits, cuda.blockDim.x):
        t, k, m = (n >> bits) // width, (n >> bits) % width, n & ((1 << bits) - 1)
        value = Q[uint64(a + (t * apart + k) * spacing + m)]
        Q[uint64(o + (k * out + t) * spacing + m)] = value
    return width


@device
def _move(program, layer, Q, a, o, rows, spacing):
    """Write the last row, once or several times, or all rows in reverse."""
    width, bits = program[layer + layout.LAYER_INPUTS], shift_of(spacing)
    apart = program[layer + layout.ROWS_IN] * spacing
    reverse = program[layer + layout.ROWS_MODE] == layout.REVERSE
    made = rows if reverse else program[layer + layout.ROWS_SIZE]
    for n in range(cuda.threadIdx.x, made * width << bits, cuda.blockDim.x):
        t, k, m = (n >> bits) // width, (n >> bits) % width, n & ((1 << bits) - 1)
        row = rows - 1 - t if reverse else rows - 1
        value = Q[uint64(a + row * apart + k * spacing + m)]
        Q[uint64(o + (t * program[layer + layout.ROWS_OUT] + k) * spacing + m)] = value
    return made
