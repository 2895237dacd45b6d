"""One stream through a plain LSTM of so few units that one product has all of them.

A small step is a chain of operations that wait for each other, and its end is the start of the next
one. So no loop over panels stands around it, and h goes straight to the state row, which no further
product reads (docs/decisions/memory-bound-steps.md). Results are those of the loop, bit for bit.
"""

from .arguments import SUMS
from .cache import inlined
from .cells import lstm_gates
from .products import WIDE, one_lstm, one_lstm_pair, one_lstm_triple
from .simd import LANES, first_lanes, load, store

_one, _pair = one_lstm[0], one_lstm_pair[0]


@inlined
def lstm_at_once(weights, w, panel, rows, h, c, S, a, o, F, H):
    """Advance a stream whose panels, up to three, are multiplied at once.

    All sums are read before anything is written: then they stay in registers.
    """
    z = SUMS
    if H > 2 * LANES:
        one_lstm_triple(S, a, rows, h, 0, weights, w, WIDE, WIDE, panel, F, H, S, z, WIDE)
        last, shown = _units(S, z + 2 * WIDE, rows, c + 2 * LANES)
        middle, between = _units(S, z + WIDE, rows, c + LANES)
        cell, hidden = _units(S, z, rows, c)
        _store(rows, h, c, S, o, cell, hidden)
        _store(rows, h + LANES, c + LANES, S, o + LANES, middle, between)
        n = 2 * LANES
    elif H > LANES:
        _pair(S, a, rows, h, 0, weights, w, WIDE, WIDE, panel, F, H, S, z, WIDE)
        last, shown = _units(S, z + WIDE, rows, c + LANES)
        cell, hidden = _units(S, z, rows, c)
        _store(rows, h, c, S, o, cell, hidden)
        n = LANES
    else:
        _one(S, a, rows, h, 0, weights, w, WIDE, WIDE, panel, F, H, S, z, WIDE)
        last, shown = _units(S, z, rows, c)
        n = 0
    shown = first_lanes(shown, H - n)  # an infinite input times a weight of 0 is no number
    _store(rows, h + n, c + n, S, o + n, last, shown)


@inlined
def _units(S, z, rows, c):
    """Return the new cell and hidden states of ``LANES`` units."""
    i, f = load(S, z), load(S, z + LANES)
    g, y = load(S, z + 2 * LANES), load(S, z + 3 * LANES)
    return lstm_gates(i, f, g, y, load(rows, c))


@inlined
def _store(rows, h, c, S, o, cell, hidden):
    store(rows, h, hidden)
    store(rows, c, cell)
    store(S, o, hidden)
