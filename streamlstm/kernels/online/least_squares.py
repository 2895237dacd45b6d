"""The products of recursive least squares, in vectors of float32.

``P`` is symmetric; its lower triangle is packed row by row, ``P[i, j]`` at ``i (i + 1) / 2 + j``.
Vectors in the working memory ``W`` are padded with zeros to whole cache lines, those in the state
row ``S`` are not. A sum of products is taken over every 16th element and then by halves, so that no
result depends on the width of the machine's vectors. Rows of P are worked on in triangle.py;
least_squares_scalar.py does the same without vectors.
"""

import numpy as np
from numba import int64

from ..cache import inlined
from ..layout import PAD
from ..norms import add_cache_line
from ..simd import (
    LANES,
    any_greater,
    fma,
    load,
    load_first,
    maximum,
    minimum,
    splat,
    store,
    store_first,
)
from .triangle import (
    add_4_products,
    add_16_products,
    add_product,
    update_1,
    update_4,
    update_16,
)

f32 = np.float32


@inlined
def _load(S, a, left):
    return load(S, a) if left >= LANES else load_first(S, a, left)


@inlined
def _store(S, a, value, left):
    if left >= LANES:
        store(S, a, value)
    else:
        store_first(S, a, value, left)


@inlined
def read(S, a, W, b, n, bound):
    """Copy ``S[a:a+n]``, clipped to [-bound, bound], to ``W[b]``, and pad it with zeros."""
    high, low = splat(f32(bound)), splat(f32(-bound))
    for begin in range(0, n, PAD):
        for j in range(begin, begin + PAD, LANES):
            store(W, b + j, maximum(minimum(load_first(S, a + j, n - j), high), low))


@inlined
def write(W, b, S, a, n):
    """Copy ``W[b:b+n]`` to ``S[a]``."""
    for j in range(0, n, LANES):
        _store(S, a + j, load(W, b + j), n - j)


@inlined
def dot(S, a, W, b, n, z):
    """Return ``S[a:a+n] . W[b:b+n]``; ``W[z]`` has room for a cache line."""
    for begin in range(0, PAD, LANES):
        total = splat(f32(0.0))
        for j in range(begin, n, PAD):
            total = fma(_load(S, a + j, n - j), load(W, b + j), total)
        store(W, z + begin, total)
    return add_cache_line(W, z)


@inlined
def add_multiple(S, a, factor, W, b, n):
    """Add ``factor`` times ``W[b:b+n]`` to ``S[a:a+n]``."""
    multiple = splat(f32(factor))
    for j in range(0, n, LANES):
        _store(S, a + j, fma(multiple, load(W, b + j), _load(S, a + j, n - j)), n - j)


@inlined
def gain(S, P, W, phi, k, D, z):
    """Write ``P phi`` to ``W[k]``; return ``phi . P phi``. ``W[z]`` has room for a cache line."""
    whole, fours = D // 16 * 16, D // 4 * 4
    # Where the first rows lie is known when this is compiled, which halves their time.
    if whole > 0:
        add_16_products(S, P, W, phi, k, int64(0))
    if whole > 16:
        add_16_products(S, P, W, phi, k, int64(16))
    for i in range(32, whole, 16):
        add_16_products(S, P, W, phi, k, i)
    if whole < D:
        for j in range(0, PAD, LANES):
            store(W, k + whole + j, splat(f32(0.0)))
    for i in range(whole, fours, 4):
        add_4_products(S, P, W, phi, k, i)
    for i in range(fours, D):
        add_product(S, P, W, phi, k, i)
    return dot(W, k, W, phi, D, z)


@inlined
def downdate(S, P, W, k, D, z, share, factor, bound):
    """Replace P by ``factor (P - share k k^T)``; return False if its diagonal is within a bound.

    ``W[z]`` has room for a cache line, and then for padded D.
    """
    whole, fours, u, grown = D // 16 * 16, D // 4 * 4, z + PAD, f32(factor)
    for j in range(0, D, LANES):
        store(W, u + j, splat(f32(-share)) * load(W, k + j))
    for j in range(0, PAD, LANES):
        store(W, z + j, splat(f32(0.0)))
    if whole > 0:
        update_16(S, P, W, u, k, z, grown, int64(0))
    if whole > 16:
        update_16(S, P, W, u, k, z, grown, int64(16))
    for i in range(32, whole, 16):
        update_16(S, P, W, u, k, z, grown, i)
    for i in range(whole, fours, 4):
        update_4(S, P, W, u, k, z, grown, i)
    for i in range(fours, D):
        update_1(S, P, W, u, k, z, grown, i)
    beyond = False
    for n in range(z, z + PAD, LANES):
        beyond |= any_greater(load(W, n), splat(f32(bound)))
    return beyond
