"""Register tiles: sums of products for one column of each vector of a panel and some streams.

A thread has one column of each vector of a panel (packing.py) and a tile of streams, whose values
are contiguous in ``S``: value ``k`` of stream ``m`` at ``S[a + k * spacing + m]``. Its sums are
``sums[COLUMNS * m + c]``, a local array whose indices are all known when it is compiled, so that
LLVM keeps it in registers. Positions are unsigned, or numba would check each for being negative.
"""

from typing import Any

from numba import cuda, float32, uint64

from ..layout import COLUMNS
from .activations import lower
from .intrinsics import load_four, store_four
from .sizes import LANES, TILE

device = cuda.jit(device=True)

SUMS = COLUMNS * TILE
SPACE = 4  # floats between the rows of values: keeps them on 16 bytes and off each other's banks


@device
def set_biases(weights, w, columns, sums):
    """Set the sums to the biases of a panel; of a panel of fewer vectors, some are undefined."""
    for c in range(COLUMNS):
        bias = weights[uint64(w + lower(c, columns - 1) * LANES)]
        for m in range(TILE):
            sums[COLUMNS * m + c] = bias


@device
def _column(w, x0, x1, x2, x3, m, c, sums):
    """Add a weight times the values of four streams to one of their sums."""
    sums[COLUMNS * m + c] += w * x0
    sums[COLUMNS * (m + 1) + c] += w * x1
    sums[COLUMNS * (m + 2) + c] += w * x2
    sums[COLUMNS * (m + 3) + c] += w * x3


def _adding(*places: int) -> Any:
    """Make a function that adds products with rows of ``len(places)`` vectors to these sums.

    It multiplies ``count`` rows from ``weights[w]`` on with as many values of the tile from
    ``S[a]`` on.
    """
    vectors = len(places)
    first, second, third, fourth = (*places, 0, 0, 0)[:4]
    step = vectors * LANES

    @device
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

    @device
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
add_coupled = _adding(0, 2, 3)  # of an LSTM whose forget gate is coupled to the input gate
add_inputs, add_hidden = _adding(0, 1, 2), _adding(0, 1, 3)  # of a GRU


@device
def store_sums(S, place, sums, c):
    """Store one sum of each stream of the tile, contiguous from ``place`` on."""
    for m in range(0, TILE, 4):
        at = COLUMNS * m + c
        store_four(
            S, uint64(place + m),
            sums[at], sums[at + COLUMNS], sums[at + 2 * COLUMNS], sums[at + 3 * COLUMNS],
        )  # fmt: skip
