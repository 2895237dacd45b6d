"""Dot-product attention over the rows of windows on CUDA; see whole_window.py."""

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
    width, bits = program[layer + layout.LAYER_INPUTS], shift_of(spacing)
    apart, out = program[layer + layout.ROWS_IN] * spacing, program[layer + layout.ROWS_OUT]
    scale = weights[program[layer + layout.CONSTANTS]]
    last = program[layer + layout.ROWS_MODE] == layout.LAST
    made = int64(1) if last else int64(rows)
    for t in range(made):
        query = a + (rows - 1 if last else t) * apart
        for n in range(cuda.threadIdx.x, rows << bits, cuda.blockDim.x):
            r, m = n >> bits, n & ((1 << bits) - 1)
            score = float32(0.0)
            for k in range(width):
                x = Q[uint64(query + k * spacing + m)]
                score += x * Q[uint64(a + r * apart + k * spacing + m)]
            Q[uint64(shares + r * spacing + m)] = score * scale
        cuda.syncthreads()
        for m in range(cuda.threadIdx.x, spacing - SPACE, cuda.blockDim.x):
            softmax(Q, shares, rows, spacing, m, False)
        cuda.syncthreads()
        for n in range(cuda.threadIdx.x, width << bits, cuda.blockDim.x):
            k, m = n >> bits, n & ((1 << bits) - 1)
            total = float32(0.0)
            for r in range(rows):
                share = Q[uint64(shares + r * spacing + m)]
                total += share * Q[uint64(a + r * apart + k * spacing + m)]
            target = o + (t * out + k) * spacing + m
            Q[uint64(target)] = total
            if program[layer + layout.ROWS_FLAG] != 0:
                Q[uint64(target + width * spacing)] = Q[uint64(query + k * spacing + m)]
        cuda.syncthreads()
    return made
