"""Convolutions on CUDA: what an output sees is copied to its inputs, of one product.

Positions in the values of a block's streams are those of streams.py.
"""

from numba import cuda, float32, int64, uint64

from .. import layout
from .streams import shift_of, threads_of_a_row
from .tiles import SPACE
from .window import counter

device = cuda.jit(device=True)


@device
def recall(program, layer, rows, starts, count, S, a, spacing):
    """Put the last inputs before those at ``a``, which replace the oldest; synchronise the block.

    The ring and the place of its oldest row are in the state row, as on the CPU.
    """
    F, size = program[layer + layout.LAYER_INPUTS], program[layer + layout.ROWS_SIZE]
    apart = program[layer + layout.ROWS_DILATION]
    length = (size - 1) * apart
    if length == 0:
        return
    ring, place = program[layer + layout.HIDDEN], program[layer + layout.CELL]
    bits = threads_of_a_row(F)
    for m in range(cuda.threadIdx.x >> bits, spacing - SPACE, cuda.blockDim.x >> bits):
        start, oldest = starts[uint64(m)] + ring, int64(0)
        if m < count:
            oldest = counter(rows, starts[uint64(m)] + place, length - 1)
        for k in range(cuda.threadIdx.x & ((1 << bits) - 1), F, 1 << bits):
            at = a + k * spacing + m
            x = S[uint64(at)]
            for j in range(size - 1):
                value, row = float32(0.0), (oldest + j * apart) % length
                if m < count:  # the others have no stream
                    value = rows[uint64(start + row * F + k)]
                S[uint64(at + j * F * spacing)] = value
            S[uint64(at + (size - 1) * F * spacing)] = x
            if m < count:
                rows[uint64(start + oldest * F + k)] = x
    cuda.syncthreads()
    for m in range(cuda.threadIdx.x, count, cuda.blockDim.x):
        at = starts[uint64(m)] + place
        rows[uint64(at)] = float32((counter(rows, at, length - 1) + 1) % length)


@device
def rows_made(program, layer, rows):
    """Return how many rows a convolution makes of so many."""
    padding = program[layer + layout.ROWS_BEFORE] + program[layer + layout.ROWS_AFTER]
    reach = (program[layer + layout.ROWS_SIZE] - 1) * program[layer + layout.ROWS_DILATION] + 1
    return (rows + padding - reach) // program[layer + layout.ROWS_STEP] + 1


@device
def see(program, layer, Q, source, a, t, rows, spacing):
    """Copy what output ``t`` sees of the sequence at ``source`` to ``a``; no rows are zeros."""
    F, size = program[layer + layout.LAYER_INPUTS], program[layer + layout.ROWS_SIZE]
    bits = shift_of(spacing)
    begin = t * program[layer + layout.ROWS_STEP] - program[layer + layout.ROWS_BEFORE]
    apart = program[layer + layout.ROWS_IN] * spacing
    for n in range(cuda.threadIdx.x, size * F << bits, cuda.blockDim.x):
        k, m = n >> bits, n & ((1 << bits) - 1)
        row = begin + k // F * program[layer + layout.ROWS_DILATION]
        value = float32(0.0)
        if row >= 0 and row < rows:
            value = Q[uint64(source + row * apart + k % F * spacing + m)]
        Q[uint64(a + k * spacing + m)] = value
