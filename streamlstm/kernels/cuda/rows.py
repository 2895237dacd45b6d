"""Kernels that fill, gather and scatter state rows, whole or a range of columns.

A thread moves single floats; neighbouring threads move neighbouring floats of a row.
"""

from numba import cuda

from .jit import kernel


@kernel()
def fill(rows, initial, size, count):
    """Write ``initial[size]`` into each of ``count`` rows."""
    for n in range(cuda.grid(1), count * size, cuda.gridsize(1)):
        rows[n] = initial[n % size]


@kernel()
def gather(rows, size, slots, start, width, count, out):
    """Copy ``width`` floats from ``start`` on of the rows at slots[count] to out[count * width]."""
    for n in range(cuda.grid(1), count * width, cuda.gridsize(1)):
        m = n // width
        out[n] = rows[slots[m] * size + start + n - m * width]


@kernel()
def scatter(rows, size, slots, start, width, count, given):
    """Copy given[count * width] to the columns that :func:`gather` reads."""
    for n in range(cuda.grid(1), count * width, cuda.gridsize(1)):
        m = n // width
        rows[slots[m] * size + start + n - m * width] = given[n]
