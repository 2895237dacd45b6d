"""The commonest layers with a memory for a single stream.

Nothing is gathered: the product reads h straight from the state row, and what is new is copied
there when all units are done. Two panels are multiplied at once and their cells follow, so that
the cells of one pair overlap with the product of the next.
"""

import numpy as np
from numba import int64, njit

from . import layout
from .activations import HARD_SIGMOID
from .cache import by_address
from .cells import any_gru_cell, hard_gru_cell, lstm_cell, usual_gru_cell
from .group import SUMS, arrays, span
from .layout import GATE_CLIP
from .memory import array_at
from .products import (
    THREE,
    WIDE,
    one_gru,
    one_gru_pair,
    one_lstm,
    one_lstm_pair,
    one_three,
    one_three_pair,
)
from .simd import LANES, load, store

_one, _one_float16, _one_bfloat16 = one_lstm
_pair, _pair_float16, _pair_bfloat16 = one_lstm_pair
NEAR = 6 * 1024  # floats that stay in the first level of cache, 32 KiB on most machines


@njit(inline="always")
def _keep_hidden(rows, h, S, o, H):
    for n in range(0, H, LANES):
        store(rows, h + n, load(S, o + n))


@njit(inline="always")
def _lstm(task, layer, group, precision):
    """Advance a stream through a plain LSTM whose weights are stored in ``PRECISIONS[precision]``.

    The branches on ``precision`` are gone when it is compiled: every caller gives a constant.
    """
    weights, program, rows, slots, S = arrays(task, group)
    first, _count, a, o = span(group)
    turn = array_at(group, layout.GROUP_SIZE, np.int64)[layout.GROUP_TURN]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    base = slots[first] * program[layout.ROW_SIZE]
    h, c = base + program[layer + layout.HIDDEN], base + program[layer + layout.CELL]
    w = program[layer + (layout.SHORT_WEIGHTS if precision else layout.WEIGHTS)]
    panel = WIDE + (F + H) * (WIDE // 2 if precision else WIDE)
    panels = (H + LANES - 1) // LANES
    z = int64(SUMS)
    # Two panels at once keep the adders busy, if the first level of cache holds both; where it
    # does not, it feeds no more than one.
    paired = 2 * panel <= NEAR or panel > NEAR
    width = 2 if paired else 1
    runs = (panels + 1) >> 1 if paired else panels
    for n in range(runs):
        # Every other step goes from the last panel to the first, and finds in the first level of
        # cache what the step before it used last.
        run = runs - 1 - n if turn else n
        unit, start = run * width * LANES, w + run * width * panel
        if paired and unit + LANES < H:
            if precision == 0:
                _pair(S, a, rows, h, 0, weights, start, WIDE, WIDE, panel, F, H, S, z, WIDE)
            elif precision == 1:
                _pair_float16(S, a, rows, h, 0, weights, start, WIDE, WIDE, panel, F, H, S, z, WIDE)
            else:
                _pair_bfloat16(
                    S, a, rows, h, 0, weights, start, WIDE, WIDE, panel, F, H, S, z, WIDE
                )
            lstm_cell(S, z + WIDE, rows, c + unit + LANES, S, o + unit + LANES)
        elif precision == 0:
            _one(S, a, rows, h, 0, weights, start, WIDE, WIDE, panel, F, H, S, z, WIDE)
        elif precision == 1:
            _one_float16(S, a, rows, h, 0, weights, start, WIDE, WIDE, panel, F, H, S, z, WIDE)
        else:
            _one_bfloat16(S, a, rows, h, 0, weights, start, WIDE, WIDE, panel, F, H, S, z, WIDE)
        lstm_cell(S, z, rows, c + unit, S, o + unit)
    _keep_hidden(rows, h, S, o, H)


@by_address
def lstm_single(task, layer, group, _):
    """Advance a stream through a plain LSTM."""
    _lstm(task, layer, group, 0)


@by_address
def lstm_single_float16(task, layer, group, _):
    """Do it with weights of float16."""
    _lstm(task, layer, group, 1)


@by_address
def lstm_single_bfloat16(task, layer, group, _):
    """Do it with weights of bfloat16."""
    _lstm(task, layer, group, 2)


@njit(inline="always")
def gate_products(weights, w, F, P, coupled, S, a, rows, h, Z, panels, turn):
    """Put a stream's pre-activations from ``S[Z]`` on, panel by panel."""
    row = THREE if coupled else WIDE
    panel = WIDE + (F + P) * row
    paired = 2 * panel <= NEAR or panel > NEAR
    width = 2 if paired else 1
    runs = (panels + 1) >> 1 if paired else panels
    for n in range(runs):
        first = (runs - 1 - n if turn else n) * width
        start, z = w + first * panel, Z + first * WIDE
        if paired and first + 1 < panels:
            if coupled:
                one_three_pair(
                    S, a, rows, h, 0, weights, start, WIDE, THREE, panel, F, P, S, z, WIDE
                )
            else:
                _pair(S, a, rows, h, 0, weights, start, WIDE, WIDE, panel, F, P, S, z, WIDE)
        elif coupled:
            one_three(S, a, rows, h, 0, weights, start, WIDE, THREE, panel, F, P, S, z, WIDE)
        else:
            _one(S, a, rows, h, 0, weights, start, WIDE, WIDE, panel, F, P, S, z, WIDE)


@by_address
def gru_single(task, layer, group, _):
    """Advance a stream through a GRU whose reset gate acts after the product."""
    weights, program, rows, slots, S = arrays(task, group)
    first, _count, a, o = span(group)
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    h = slots[first] * program[layout.ROW_SIZE] + program[layer + layout.HIDDEN]
    w, z = program[layer + layout.WEIGHTS], int64(SUMS)
    panel = WIDE + (F + H) * THREE
    unit = int64(0)
    while unit < H:
        count = 1
        if unit + LANES < H:
            count = 2
            one_gru_pair(S, a, rows, h, 0, weights, w, WIDE, THREE, panel, F, H, S, z, WIDE)
        else:
            one_gru(S, a, rows, h, 0, weights, w, WIDE, THREE, panel, F, H, S, z, WIDE)
        _gru_units(weights, program, layer, rows, h + unit, S, z, o + unit, count)
        w += count * panel
        unit += count * LANES
    for n in range(H, (H + layout.PAD - 1) // layout.PAD * layout.PAD):
        S[o + n] = 0.0  # an activation of zero need not be zero
    _keep_hidden(rows, h, S, o, H)


@njit(inline="always")
def _gru_units(weights, program, layer, rows, h, S, z, o, count):
    """Apply the gates to ``LANES`` units, or twice as many."""
    constants = program[layer + layout.CONSTANTS]
    bound, a, b = weights[constants + GATE_CLIP], weights[constants], weights[constants + 1]
    usual = program[layer + layout.USUAL]
    hard = program[layer + layout.ACTIVATION] == HARD_SIGMOID
    for n in range(count):
        gates, hidden, place = z + n * WIDE, h + n * LANES, o + n * LANES
        if not usual:
            any_gru_cell(weights, program, layer, S, gates, rows, hidden, S, place)
        elif hard:
            hard_gru_cell(S, gates, rows, hidden, S, place, a, b, bound)
        else:
            usual_gru_cell(S, gates, rows, hidden, S, place, a, b, bound)
