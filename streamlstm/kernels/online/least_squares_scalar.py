"""What least_squares.py does, without vectors: for processors that have none, as a GPU's threads.

Sums are taken in another order, so the last bits differ.
"""

import numpy as np

from ..cache import internal

f32 = np.float32


@internal
def read(S, a, W, b, n, bound):
    """Copy ``S[a:a+n]``, clipped to [-bound, bound], to ``W[b]``."""
    for j in range(n):
        W[b + j] = max(min(S[a + j], f32(bound)), f32(-bound))


@internal
def write(W, b, S, a, n):
    """Copy ``W[b:b+n]`` to ``S[a]``."""
    for j in range(n):
        S[a + j] = W[b + j]


@internal
def dot(S, a, W, b, n, z):
    """Return ``S[a:a+n] . W[b:b+n]``."""
    total = f32(0.0)
    for j in range(n):
        total += S[a + j] * W[b + j]
    return total


@internal
def add_multiple(S, a, factor, W, b, n):
    """Add ``factor`` times ``W[b:b+n]`` to ``S[a:a+n]``."""
    for j in range(n):
        S[a + j] += f32(factor) * W[b + j]


@internal
def gain(S, P, W, phi, k, D, z):
    """Write ``P phi`` to ``W[k]``; return ``phi . P phi``."""
    row = P
    for i in range(D):
        x, total = W[phi + i], f32(0.0)
        for j in range(i):
            total += S[row + j] * W[phi + j]
            W[k + j] += S[row + j] * x
        W[k + i] = total + S[row + i] * x
        row += i + 1
    return dot(W, k, W, phi, D, z)


@internal
def downdate(S, P, W, k, D, z, share, factor, bound):
    """Replace P by ``factor (P - share k k^T)``; return False if its diagonal is within a bound."""
    row, most = P, f32(0.0)
    for i in range(D):
        x = f32(share) * W[k + i]
        for j in range(i + 1):
            S[row + j] = (S[row + j] - x * W[k + j]) * f32(factor)
        most = max(most, S[row + i])
        row += i + 1
    return most > f32(bound)
