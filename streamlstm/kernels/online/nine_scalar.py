"""What nine.py does, without vectors: for processors that have none, as a GPU's threads."""

from numba import float64

from ..cache import internal


@internal
def nine_of(f):
    """Return the numbers."""
    return f


@internal
def dot(a, b):
    """Return the product of nine numbers with nine others; a loop would be slower."""
    return (
        a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3] + a[4] * b[4]
        + a[5] * b[5] + a[6] * b[6] + a[7] * b[7] + a[8] * b[8]
    )  # fmt: skip


@internal
def read(S, at):
    """Return nine columns."""
    return (
        float64(S[at]), float64(S[at + 1]), float64(S[at + 2]), float64(S[at + 3]),
        float64(S[at + 4]), float64(S[at + 5]), float64(S[at + 6]), float64(S[at + 7]),
        float64(S[at + 8]),
    )  # fmt: skip


@internal
def add_multiple(S, at, a, g):
    """Add ``a`` times nine numbers to nine columns."""
    S[at] += a * g[0]
    S[at + 1] += a * g[1]
    S[at + 2] += a * g[2]
    S[at + 3] += a * g[3]
    S[at + 4] += a * g[4]
    S[at + 5] += a * g[5]
    S[at + 6] += a * g[6]
    S[at + 7] += a * g[7]
    S[at + 8] += a * g[8]


@internal
def product(S, P, f):
    """Return the product of a symmetric matrix, row by row from ``S[P]`` on, with nine numbers."""
    return (
        dot(read(S, P), f), dot(read(S, P + 9), f), dot(read(S, P + 18), f),
        dot(read(S, P + 27), f), dot(read(S, P + 36), f), dot(read(S, P + 45), f),
        dot(read(S, P + 54), f), dot(read(S, P + 63), f), dot(read(S, P + 72), f),
    )  # fmt: skip


@internal
def trace(S, P):
    """Return the sum of the diagonal."""
    total = 0.0
    for n in range(P, P + 81, 10):
        total += S[n]
    return total


@internal
def times(g, a):
    """Return nine numbers times a factor."""
    return (
        g[0] * a, g[1] * a, g[2] * a, g[3] * a, g[4] * a, g[5] * a, g[6] * a, g[7] * a, g[8] * a
    )  # fmt: skip


@internal
def _shrink_row(S, row, a, u, factor):
    S[row] = (S[row] - a * u[0]) * factor
    S[row + 1] = (S[row + 1] - a * u[1]) * factor
    S[row + 2] = (S[row + 2] - a * u[2]) * factor
    S[row + 3] = (S[row + 3] - a * u[3]) * factor
    S[row + 4] = (S[row + 4] - a * u[4]) * factor
    S[row + 5] = (S[row + 5] - a * u[5]) * factor
    S[row + 6] = (S[row + 6] - a * u[6]) * factor
    S[row + 7] = (S[row + 7] - a * u[7]) * factor
    S[row + 8] = (S[row + 8] - a * u[8]) * factor


@internal
def shrink(S, P, u, factor):
    """Replace the matrix by ``factor (P - u u^T)``."""
    _shrink_row(S, P, u[0], u, factor)
    _shrink_row(S, P + 9, u[1], u, factor)
    _shrink_row(S, P + 18, u[2], u, factor)
    _shrink_row(S, P + 27, u[3], u, factor)
    _shrink_row(S, P + 36, u[4], u, factor)
    _shrink_row(S, P + 45, u[5], u, factor)
    _shrink_row(S, P + 54, u[6], u, factor)
    _shrink_row(S, P + 63, u[7], u, factor)
    _shrink_row(S, P + 72, u[8], u, factor)
