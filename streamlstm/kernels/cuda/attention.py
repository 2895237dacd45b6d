"""Attention and softmax over the rows of windows on CUDA; see sequences.py."""

from numba import cuda, float32, int64, uint64

from .. import layout
from .streams import shift_of
from .thread import softmax
from .tiles import SPACE

device = cuda.jit(device=True)


@device
def attention(weights, program, layer, Q, a, o, shares, rows, spacing):
    """Attend from the last or each row of the sequence at ``Q[a]`` to all; return how many rows.

    The share of each row goes to ``Q[shares]`` and behind.
    """
    bits, apart = shift_of(spacing), program[layer + layout.ROWS_IN] * spacing
    out, scale = program[layer + layout.ROWS_OUT], weights[program[layer + layout.CONSTANTS]]
    heads, width = program[layer + layout.HEADS], program[layer + layout.KEY_SIZE]
    size, causal = program[layer + layout.VALUE_SIZE], program[layer + layout.CAUSAL]
    last = program[layer + layout.ROWS_MODE] == layout.LAST
    made = int64(1) if last else int64(rows)
    for t in range(made):
        row = rows - 1 if last else t
        query, target = a + row * apart, o + t * out * spacing
        seen = row + 1 if causal != 0 else rows
        for head in range(heads):
            own = query + head * width * spacing
            keys = a + (program[layer + layout.KEYS_AT] + head * width) * spacing
            values = a + (program[layer + layout.VALUES_AT] + head * size) * spacing
            _scores(Q, own, keys, apart, shares, seen, width, scale, spacing)
            cuda.syncthreads()
            for m in range(cuda.threadIdx.x, spacing - SPACE, cuda.blockDim.x):
                softmax(Q, shares, seen, spacing, m, False)
            cuda.syncthreads()
            _mix(Q, values, apart, shares, seen, target + head * size * spacing, size, spacing)
            cuda.syncthreads()
        if program[layer + layout.ROWS_FLAG] != 0:
            for n in range(cuda.threadIdx.x, heads * width << bits, cuda.blockDim.x):
                at = (n >> bits) * spacing + (n & ((1 << bits) - 1))
                Q[uint64(target + heads * size * spacing + at)] = Q[uint64(query + at)]
    return made


@device
def _scores(Q, query, keys, apart, o, rows, width, scale, spacing):
    """Write the product of a query with the key of each row, scaled."""
    bits = shift_of(spacing)
    for n in range(cuda.threadIdx.x, rows << bits, cuda.blockDim.x):
        r, m = n >> bits, n & ((1 << bits) - 1)
        score = float32(0.0)
        for k in range(width):
            x = Q[uint64(query + k * spacing + m)]
            score += x * Q[uint64(keys + r * apart + k * spacing + m)]
        Q[uint64(o + r * spacing + m)] = score * scale


@device
def _mix(Q, values, apart, shares, rows, o, size, spacing):
    """Write the sum of the values of all rows, each times its share."""
    bits = shift_of(spacing)
    for n in range(cuda.threadIdx.x, size << bits, cuda.blockDim.x):
        at, m = (n >> bits) * spacing + (n & ((1 << bits) - 1)), n & ((1 << bits) - 1)
        total = float32(0.0)
        for r in range(rows):
            total += Q[uint64(shares + r * spacing + m)] * Q[uint64(values + r * apart + at)]
        Q[uint64(o + at)] = total


@device
def softmax_over_rows(program, layer, Q, a, o, rows, spacing):
    """Take the softmax of each feature over the rows of the sequence at ``Q[a]``."""
    apart, out = program[layer + layout.ROWS_IN] * spacing, program[layer + layout.ROWS_OUT]
    width, bits = program[layer + layout.LAYER_INPUTS], shift_of(spacing)
    for n in range(cuda.threadIdx.x, width << bits, cuda.blockDim.x):
        at = (n >> bits) * spacing + (n & ((1 << bits) - 1))
        for r in range(rows):
            Q[uint64(o + r * out * spacing + at)] = Q[uint64(a + r * apart + at)]
        softmax(Q, o + at, rows, out * spacing, 0, False)
    return int64(rows)
