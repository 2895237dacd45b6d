"""The products of recursive least squares, in vectors of float32.

``P`` is symmetric; its lower triangle is packed row by row, ``P[i, j]`` at ``i (i + 1) / 2 + j``.
Vectors in the working memory ``W`` are padded with zeros to whole cache lines, those in the state
row ``S`` are not. A sum of products is taken over every 16th element and then by halves, so that no
result depends on the width of the machine's vectors. least_squares_scalar.py does the same without
vectors.

P is worked on a strip of columns at a time: a vector of each row, from the diagonal on down. So the
sums of columns stay in registers; and what is stored of a row does not overlap what is loaded of
the next one, for which a processor would wait. Only vectors of the first 16 rows overlap: those are
copied.
"""

import numpy as np

from ..cache import inlined, internal
from ..layout import PAD
from ..norms import add_cache_line
from ..simd import (
    LANES,
    first_lanes,
    fma,
    largest,
    load,
    load_first,
    maximum,
    minimum,
    splat,
    spread,
    store,
    store_first,
)
from ..transpose import add_lines

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
def _row(i):
    """Return where in P a row begins."""
    return i * (i + 1) >> 1


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
def _add_row(S, P, W, phi, features, i, j, D, lines, whole, total):
    """Add the vector of row ``i`` from column ``j`` on to the row's sums and those of its columns.

    The diagonal belongs to the row. ``whole`` tells that the diagonal is not in this vector; if not
    0, nothing is added from row D on.
    """
    row, line = P + _row(i) + j, lines + PAD * i + j % PAD
    own = i + 1 - j if D == 0 else (i + 1 - j) * (i < D)
    p = load(S, row) if whole else load_first(S, row, own)
    below = p if whole else first_lanes(p, i - j)
    store(W, line, fma(p, features, load(W, line)))
    return fma(below, spread(W, phi + i), total)


@inlined
def _add_rows(S, P, W, phi, features, i, j, D, lines, whole, sums):
    """Do so for four rows; each has sums of its own, or one would wait for the other."""
    return (
        _add_row(S, P, W, phi, features, i, j, D, lines, whole, sums[0]),
        _add_row(S, P, W, phi, features, i + 1, j, D, lines, whole, sums[1]),
        _add_row(S, P, W, phi, features, i + 2, j, D, lines, whole, sums[2]),
        _add_row(S, P, W, phi, features, i + 3, j, D, lines, whole, sums[3]),
    )


@internal
def gain(S, P, W, phi, k, D, z):
    """Write ``P phi`` to ``W[k]``; return ``phi . P phi``.

    From ``W[z]`` on there is room for a cache line, and for one for each of padded D rows.
    """
    wide, lines, fours = (D + PAD - 1) // PAD * PAD, z + PAD, D // 4 * 4
    for n in range(lines, lines + PAD * wide, LANES):
        store(W, n, splat(f32(0.0)))
    for j in range(0, wide, LANES):
        features, below = load(W, phi + j), j + LANES
        sums = splat(f32(0.0)), splat(f32(0.0)), splat(f32(0.0)), splat(f32(0.0))
        for i in range(j, min(below, fours), 4):
            sums = _add_rows(S, P, W, phi, features, i, j, 0, lines, False, sums)
        for i in range(below, fours, 4):
            sums = _add_rows(S, P, W, phi, features, i, j, 0, lines, True, sums)
        for i in range(max(j, fours), D, 4):
            sums = _add_rows(S, P, W, phi, features, i, j, D, lines, False, sums)
        store(W, k + j, (sums[0] + sums[1]) + (sums[2] + sums[3]))
    for n in range(0, wide, PAD):
        add_lines(W, lines + PAD * n, k + n)
    return dot(W, k, W, phi, D, z)


@inlined
def _reduced(p, W, u, i, k, grown):
    """Return a vector of row ``i`` of P as it becomes, ``k`` being the gains of its columns."""
    return fma(spread(W, u + i), k, p) * grown


@internal
def downdate(S, P, W, k, D, z, share, factor):
    """Replace P by ``factor (P - share k k^T)``; return a number that none on its diagonal exceeds.

    ``W[z]`` has room for 16 cache lines, and then for padded D.
    """
    grown, most, first, u = splat(f32(factor)), splat(f32(0.0)), min(D, PAD), z + PAD * PAD
    for j in range(0, D, LANES):
        store(W, u + j, splat(f32(-share)) * load(W, k + j))
    for i in range(first):
        for j in range(0, PAD, LANES):
            store(W, z + PAD * i + j, load_first(S, P + _row(i) + j, i + 1 - j))
    for i in range(first):  # a row's last vector reaches into the next, which is written after it
        for j in range(0, i + 1, LANES):
            p = _reduced(load(W, z + PAD * i + j), W, u, i, load(W, k + j), grown)
            most = maximum(p, most)
            _store(S, P + _row(i) + j, p, _row(D) - _row(i) - j)
    for j in range(0, D, LANES):
        gains = load(W, k + j)
        for i in range(max(j, PAD), min(j + LANES, D)):
            row = P + _row(i) + j
            p = _reduced(load_first(S, row, i + 1 - j), W, u, i, gains, grown)
            most = maximum(p, most)
            store_first(S, row, p, i + 1 - j)
        for i in range(max(j + LANES, PAD), D):
            row = P + _row(i) + j
            store(S, row, _reduced(load(S, row), W, u, i, gains, grown))
    return largest(most)
