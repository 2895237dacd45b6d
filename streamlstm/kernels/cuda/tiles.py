"""A tile in registers: sums of products for one column of each vector of a panel and some streams.

A thread has one column of each vector of a panel (packing.py) and a tile of streams, whose values
stand side by side in ``S``: value ``k`` of stream ``m`` at ``S[a + k * spacing + m]``. Its sums are
``sums[COLUMNS * m + c]``, a local array whose every index is known when it is compiled, so that it
lies in registers. Positions are unsigned, or numba would look at every one whether it counts from
the end.
"""

from typing import Any

from numba import cuda, float32, uint64

from ..layout import COLUMNS
from .activations import lower
from .hardware import load_four, store_four
from .sizes import LANES, TILE

part = cuda.jit(device=True)

SUMS = COLUMNS * TILE
SPACE = 4  # floats between the rows of values: keeps them on 16 bytes and off each other's banks


@part
def begin(weights, w, columns, sums):
    """Set the sums to the biases of a panel; where it has fewer vectors, some mean nothing."""
    for c in range(COLUMNS):
        bias = weights[uint64(w + lower(c, columns - 1) * LANES)]
        for m in range(TILE):
            sums[COLUMNS * m + c] = bias


@part
def _column(w, x0, x1, x2, x3, m, c, sums):
    """Add a weight times the values of four streams to one of their sums."""
    sums[COLUMNS * m + c] += w * x0
    sums[COLUMNS * (m + 1) + c] += w * x1
    sums[COLUMNS * (m + 2) + c] += w * x2
    sums[COLUMNS * (m + 3) + c] += w * x3


def _adding(*places: int) -> Any:
    """Make what adds rows of as many vectors as there are ``places`` to the sums there.

    It takes ``count`` rows from ``weights[w]`` on times as many values of the tile from ``S[a]``.
    """
    vectors = len(places)
    first, second, third, fourth = (*places, 0, 0, 0)[:4]
    step = vectors * LANES

    @part
    def row(weights, w, S, a, sums):
        w0, w1, w2, w3 = weights[uint64(w)], float32(0.0), float32(0.0), float32(0.0)
        if vectors > 1:
            w1 = weights[uint64(w + LANES)]
        if vectors > 2:
            w2 = weights[uint64(w + 2 * LANES)]
        if vectors > 3:
            w3 = weights[uint64(w + 3 * LANES)]
        for m in range(0, TILE, 4):
            x0, x1, x2, x3 = load_four(S, uint64(a + m))
            _column(w0, x0, x1, x2, x3, m, first, sums)
            if vectors > 1:
                _column(w1, x0, x1, x2, x3, m, second, sums)
            if vectors > 2:
                _column(w2, x0, x1, x2, x3, m, third, sums)
            if vectors > 3:
                _column(w3, x0, x1, x2, x3, m, fourth, sums)

    @part
    def add(weights, w, S, a, spacing, count, sums):
        for _ in range(count // 4):
            row(weights, w, S, a, sums)
            row(weights, w + step, S, a + spacing, sums)
            row(weights, w + 2 * step, S, a + 2 * spacing, sums)
            row(weights, w + 3 * step, S, a + 3 * spacing, sums)
            w += 4 * step
            a += 4 * spacing
        for _ in range(count % 4):
            row(weights, w, S, a, sums)
            w += step
            a += spacing

    return add


add_four, add_two, add_one = _adding(0, 1, 2, 3), _adding(0, 1), _adding(0)
add_coupled = _adding(0, 2, 3)  # of an LSTM whose forget gate is what the input gate leaves
add_inputs, add_hidden = _adding(0, 1, 2), _adding(0, 1, 3)  # of a GRU


@part
def keep(S, place, sums, c):
    """Put one sum of each stream of the tile side by side from ``place`` on."""
    for m in range(0, TILE, 4):
        at = COLUMNS * m + c
        store_four(
            S, uint64(place + m),
            sums[at], sums[at + COLUMNS], sums[at + 2 * COLUMNS], sums[at + 3 * COLUMNS],
        )  # fmt: skip
