"""Nine numbers at once, for season.py: eight in vectors and one beside them.

Sums are taken one term after another, so that no result depends on the width of the machine's
vectors. nine_scalar.py does the same without vectors.
"""

from numba import float64

from ..cache import inlined
from ..doubles import (
    eight_times,
    load_doubles,
    load_eight,
    numbers_of,
    pack,
    store_doubles,
    store_each,
    store_eight,
)


@inlined
def nine_of(f):
    """Return a tuple of nine float64 in the form that the functions here take."""
    return pack(f), f[8]


@inlined
def put_nine(D, d, g):
    """Write nine numbers to ``D[d]``, float64."""
    store_doubles(D, d, g[0])
    D[d + 8] = g[1]


@inlined
def take_nine(D, d):
    """Return what :func:`put_nine` wrote."""
    return load_doubles(D, d), D[d + 8]


@inlined
def _total(terms, last):
    t = numbers_of(terms)
    return t[0] + t[1] + t[2] + t[3] + t[4] + t[5] + t[6] + t[7] + last


@inlined
def dot(a, b):
    """Return the product of nine numbers with nine others."""
    return _total(a[0] * b[0], a[1] * b[1])


@inlined
def read(S, at):
    """Return nine columns."""
    return load_eight(S, at), float64(S[at + 8])


@inlined
def add_multiple(S, at, a, g):
    """Add ``a`` times nine numbers to nine columns."""
    store_eight(S, at, load_eight(S, at) + eight_times(a) * g[0])
    S[at + 8] = float64(S[at + 8]) + a * g[1]


@inlined
def _add_row(sums, S, row, a):
    return sums + load_eight(S, row) * eight_times(a)


@inlined
def product(S, P, f):
    """Return the product of a symmetric matrix, row by row from ``S[P]`` on, with nine numbers."""
    t = numbers_of(f[0])
    g = _add_row(eight_times(0.0), S, P, t[0])
    g = _add_row(g, S, P + 9, t[1])
    g = _add_row(g, S, P + 18, t[2])
    g = _add_row(g, S, P + 27, t[3])
    g = _add_row(g, S, P + 36, t[4])
    g = _add_row(g, S, P + 45, t[5])
    g = _add_row(g, S, P + 54, t[6])
    g = _add_row(g, S, P + 63, t[7])
    g = _add_row(g, S, P + 72, f[1])
    # The last column is the last row.
    return g, 0.0 + _total(load_eight(S, P + 72) * f[0], float64(S[P + 80]) * f[1])


@inlined
def trace(S, P):
    """Return the sum of the diagonal."""
    return (
        0.0 + S[P] + S[P + 10] + S[P + 20] + S[P + 30] + S[P + 40] + S[P + 50] + S[P + 60]
        + S[P + 70] + S[P + 80]
    )  # fmt: skip


@inlined
def times(g, a):
    """Return nine numbers times a factor."""
    return g[0] * eight_times(a), g[1] * a


@inlined
def _shrink_row(S, row, a, u, grow):
    store_eight(S, row, (load_eight(S, row) - eight_times(a) * u) * grow)


@inlined
def shrink(S, P, u, factor):
    """Replace the matrix by ``factor (P - u u^T)``."""
    t, grow = numbers_of(u[0]), eight_times(factor)
    _shrink_row(S, P, t[0], u[0], grow)
    _shrink_row(S, P + 9, t[1], u[0], grow)
    _shrink_row(S, P + 18, t[2], u[0], grow)
    _shrink_row(S, P + 27, t[3], u[0], grow)
    _shrink_row(S, P + 36, t[4], u[0], grow)
    _shrink_row(S, P + 45, t[5], u[0], grow)
    _shrink_row(S, P + 54, t[6], u[0], grow)
    _shrink_row(S, P + 63, t[7], u[0], grow)
    last = (load_eight(S, P + 72) - eight_times(u[1]) * u[0]) * grow
    store_eight(S, P + 72, last)
    store_each(S, P + 8, 9, last)  # the last column
    S[P + 80] = (float64(S[P + 80]) - u[1] * u[1]) * factor
