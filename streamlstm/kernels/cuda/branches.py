"""Branches on CUDA: the rows that they begin with, and how what they return is merged."""

from numba import cuda, int64, uint64

from .. import layout
from . import schedule
from .streams import shift_of

device = cuda.jit(device=True)


@device
def _copy_rows(Q, a, apart, o, out, width, rows, spacing):
    """Copy ``rows`` rows of ``width`` values, ``apart`` floats from each other, ``out`` after."""
    bits = shift_of(spacing)
    for i in range(cuda.threadIdx.x, rows * width << bits, cuda.blockDim.x):
        t, k, m = (i >> bits) // width, (i >> bits) % width, i & ((1 << bits) - 1)
        Q[uint64(o + (t * out + k) * spacing + m)] = Q[uint64(a + (t * apart + k) * spacing + m)]


@device
def begin_branch(program, at, Q, a, o, rows, spacing):
    """Copy the rows that a branch begins with, where it wants them elsewhere."""
    if a != o:
        apart, out = program[at + schedule.IN], program[at + schedule.OUT]
        _copy_rows(Q, a, apart, o, out, program[at + schedule.WIDTH], rows, spacing)


@device
def merge_branch(program, at, row, Q, a, o, rows, made, spacing):
    """Write the rows of a branch to those of the fork, or merge them with what they hold.

    Of the ``made`` rows that the branches before have made and the ``rows`` of this one either may
    be one, which goes to every row of the others.
    """
    width, own = program[row + layout.LAYER_OUTPUTS], program[at + schedule.WIDTH]
    apart, out = program[at + schedule.IN], program[at + schedule.OUT]
    mode, bits = program[row + layout.ROWS_MODE], shift_of(spacing)
    if made > 0 and rows > made:
        _copy_rows(Q, o, int64(0), o + out * spacing, out, width, rows - 1, spacing)
        cuda.syncthreads()
    most = rows if rows > made else made
    written = own if mode == layout.CONCATENATE else width
    for i in range(cuda.threadIdx.x, most * written << bits, cuda.blockDim.x):
        t, k, m = (i >> bits) // written, (i >> bits) % written, i & ((1 << bits) - 1)
        source, column = t if rows > 1 else int64(0), k if own == written else int64(0)
        value = Q[uint64(a + (source * apart + column) * spacing + m)]
        target = uint64(o + (t * out + program[at + schedule.COLUMN] + k) * spacing + m)
        if mode == layout.CONCATENATE or program[at + schedule.FIRST] != 0:
            Q[target] = value
        elif mode == layout.MULTIPLY:
            Q[target] *= value
        else:
            Q[target] += value
