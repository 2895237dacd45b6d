"""The products of recursive least squares, in vectors of float32.

``P`` is symmetric; its lower triangle is packed row by row, ``P[i, j]`` at ``i (i + 1) / 2 + j``.
Vectors in the working memory ``W`` are padded with zeros to whole cache lines, those in the state
row ``S`` are not. A sum of products is taken over every 16th element and then by halves, so that no
result depends on the width of the machine's vectors. least_squares_scalar.py does the same without
vectors.
"""

import numpy as np

from ..cache import inlined, internal
from ..layout import PAD
from ..norms import add_cache_line
from ..simd import LANES, fma, load, load_first, maximum, minimum, splat, store, store_first

f32 = np.float32

SUMS = 4  # that gain() adds to in turn, or each row would wait for the sum of the row before


@inlined
def _load(S, a, left):
    return load(S, a) if left >= LANES else load_first(S, a, left)


@inlined
def _store(S, a, value, left):
    if left >= LANES:
        store(S, a, value)
    else:
        store_first(S, a, value, left)


@internal
def read(S, a, W, b, n, bound):
    """Copy ``S[a:a+n]``, clipped to [-bound, bound], to ``W[b]``, and pad it with zeros."""
    high, low = splat(f32(bound)), splat(f32(-bound))
    for begin in range(0, n, PAD):
        for j in range(begin, begin + PAD, LANES):
            store(W, b + j, maximum(minimum(load_first(S, a + j, n - j), high), low))


@internal
def write(W, b, S, a, n):
    """Copy ``W[b:b+n]`` to ``S[a]``."""
    for j in range(0, n, LANES):
        _store(S, a + j, load(W, b + j), n - j)


@internal
def dot(S, a, W, b, n, z):
    """Return ``S[a:a+n] . W[b:b+n]``; ``W[z]`` has room for a cache line."""
    for begin in range(0, PAD, LANES):
        total = splat(f32(0.0))
        for j in range(begin, n, PAD):
            total = fma(_load(S, a + j, n - j), load(W, b + j), total)
        store(W, z + begin, total)
    return add_cache_line(W, z)


@internal
def add_multiple(S, a, factor, W, b, n):
    """Add ``factor`` times ``W[b:b+n]`` to ``S[a:a+n]``."""
    multiple = splat(f32(factor))
    for j in range(0, n, LANES):
        _store(S, a + j, fma(multiple, load(W, b + j), _load(S, a + j, n - j)), n - j)


@internal
def gain(S, P, W, phi, k, D, z):
    """Write ``P phi`` to ``W[k]``; return ``phi . P phi``.

    A row of the triangle is read once, for its own sum and for those of the columns that it stands
    for. From ``W[z]`` on there is room for a cache line and 1 + SUMS + D rows of padded D floats;
    the last D rows are P's, for downdate().
    """
    wide = (D + PAD - 1) // PAD * PAD
    below, sums = z + PAD, z + PAD + wide
    copy = sums + SUMS * wide
    for j in range(0, (1 + SUMS) * wide, LANES):
        store(W, below + j, splat(f32(0.0)))
    row = P
    for i in range(D):
        x = splat(W[phi + i])
        mine = sums + i % SUMS * wide
        for begin in range(0, PAD, LANES):
            total = splat(f32(0.0))
            for j in range(begin, i, PAD):
                p = _load(S, row + j, i - j)
                store(W, copy + j, p)
                total = fma(p, load(W, phi + j), total)
                store(W, mine + j, fma(p, x, load(W, mine + j)))
            store(W, z + begin, total)
        diagonal = S[row + i]
        W[copy + i] = diagonal
        W[below + i] = add_cache_line(W, z) + diagonal * W[phi + i]
        row += i + 1
        copy += wide
    for j in range(0, wide, LANES):
        total = load(W, below + j)
        for n in range(SUMS):
            total = total + load(W, sums + n * wide + j)
        store(W, k + j, total)
    return dot(W, k, W, phi, D, z)


@internal
def downdate(S, P, W, k, D, z, share, factor):
    """Replace P by ``factor (P - share k k^T)``; ``W[z]`` is as gain() left it.

    A row's last vector reaches into the next row, which is written after it.
    """
    wide = (D + PAD - 1) // PAD * PAD
    copy = z + PAD + (1 + SUMS) * wide
    grown = splat(f32(factor))
    row = P
    for i in range(D):
        x = splat(f32(-share) * W[k + i])
        for j in range(0, i + 1, LANES):
            value = fma(x, load(W, k + j), load(W, copy + j)) * grown
            _store(S, row + j, value, P + D * (D + 1) // 2 - row - j)
        row += i + 1
        copy += wide
