"""Kernels of the most common recurrent layers for a single stream.

Nothing is gathered: the product reads h from the state row, and the new h is copied there when all
units are done. Two panels are multiplied at once and their cells follow, so that the cells of one
pair overlap with the product of the next.
"""

import numpy as np
from numba import int64, njit

from . import layout
from .arguments import SUMS, arrays, span
from .cache import by_address, inlined
from .cells import (
    general_gru_cell,
    hard_gru_cell,
    lstm_cell,
    standard_coupled_cell,
    standard_gru_cell,
    standard_lstm_cell,
)
from .few_units import lstm_at_once
from .layout import GATE_CLIP
from .norms import norm_gates
from .pointers import int64s_at
from .products import (
    THREE,
    WIDE,
    are_few,
    is_paired,
    one_gru,
    one_gru_pair,
    one_lstm,
    one_lstm_pair,
    one_three,
    one_three_pair,
)
from .recurrent import clear_padding, lstm_cells, project_and_store
from .simd import HALVES, LANES, load, store

_one, _one_float16, _one_bfloat16 = one_lstm
_pair, _pair_float16, _pair_bfloat16 = one_lstm_pair


@njit(inline="always")
def _store_hidden(rows, h, S, o, H):
    for n in range(0, H, LANES):
        store(rows, h + n, load(S, o + n))


@njit(inline="always")
def _lstm(task, layer, group, precision):
    """Advance a stream through a plain LSTM whose weights are stored in ``STORED[precision]``.

    Every caller passes a constant ``precision``, so that compiling removes the branches on it.
    """
    weights, program, rows, slots, S = arrays(task, group)
    first, _count, a, o = span(group)
    parity = int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_PARITY]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    base = slots[first] * program[layout.ROW_SIZE]
    h, c = base + program[layer + layout.HIDDEN], base + program[layer + layout.CELL]
    w = program[layer + (layout.WEIGHTS_16_BITS if precision else layout.WEIGHTS)]
    panel = WIDE + (F + H) * (WIDE // 2 if precision else WIDE)
    panels = (H + LANES - 1) // LANES
    z = int64(SUMS)
    paired = is_paired(panel)
    width = 2 if paired else 1
    runs = (panels + 1) >> 1 if paired else panels
    if precision == 0 and are_few(panels, panel):
        lstm_at_once(weights, w, panel, rows, h, c, S, a, o, F, H)
        return
    for n in range(runs):
        # Every other step goes from the last panel to the first, and finds in the first level of
        # cache what the step before it used last.
        run = runs - 1 - n if parity else n
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
    _store_hidden(rows, h, S, o, H)
    clear_padding(rows, h, H)  # an infinite input times a weight of 0 is no number


@by_address
def lstm_single(task, layer, group, _):
    """Advance a stream through a plain LSTM."""
    _lstm(task, layer, group, 0)


@by_address
def lstm_float16_single(task, layer, group, _):
    """Advance a stream through a plain LSTM with weights of float16."""
    _lstm(task, layer, group, 1)


@by_address
def lstm_bfloat16_single(task, layer, group, _):
    """Advance a stream through a plain LSTM with weights of bfloat16."""
    _lstm(task, layer, group, 2)


@by_address
def lstm_options_single(task, layer, group, _):
    """Advance a stream through an LSTM with any option but a norm.

    Standard cells follow each panel; others wait for all pre-activations.
    """
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    work = max(a, o) + layout.GROUP * program[layout.STRIDE]  # behind both sides' rows
    H = program[layer + layout.UNITS]
    standard = (
        program[layer + layout.STANDARD]
        and program[layer + layout.ACTIVATION] != layout.HARD_SIGMOID
    )
    _gates(weights, program, layer, group, rows, slots[first], S, a, o, work, standard)
    if not standard:
        width = (H + LANES - 1) // LANES * WIDE
        lstm_cells(
            weights, program, layer, rows, slots, first, count, S, work, width, int64(0), H, o
        )
    project_and_store(weights, program, layer, rows, slots, first, count, S, a, o, int64(SUMS))


@by_address
def lstm_norm_single(task, layer, group, _):
    """Advance a stream through an LSTM with normalised gates; the cells wait for all of them."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    work = max(a, o) + layout.GROUP * program[layout.STRIDE]
    H = program[layer + layout.UNITS]
    width = (H + LANES - 1) // LANES * WIDE
    z = int64(SUMS)
    _gates(weights, program, layer, group, rows, slots[first], S, a, o, work, False)
    norm_gates(weights, program, layer, H, width, S, work, z, count)
    lstm_cells(weights, program, layer, rows, slots, first, count, S, work, width, int64(0), H, o)
    project_and_store(weights, program, layer, rows, slots, first, count, S, a, o, z)


@inlined
def _gates(weights, program, layer, group, rows, slot, S, a, o, Z, standard):
    """Write pre-activations to ``S[Z]``; if ``standard``, apply the cells after each panel."""
    parity = int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_PARITY]
    F, P = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    H, coupled = program[layer + layout.UNITS], program[layer + layout.COUPLED]
    base = slot * program[layout.ROW_SIZE]
    h, c = base + program[layer + layout.HIDDEN], base + program[layer + layout.CELL]
    peephole = program[layer + layout.PEEPHOLE]
    units = (H + layout.PAD - 1) // layout.PAD * layout.PAD
    clips = program[layer + layout.CONSTANTS] + GATE_CLIP
    panel = WIDE + (F + P) * (THREE if coupled else WIDE)
    panels = (H + LANES - 1) // LANES
    paired = is_paired(panel)
    width = 2 if paired else 1
    runs = (panels + 1) >> 1 if paired else panels
    for n in range(runs):
        begin = (runs - 1 - n if parity else n) * width
        end = min(begin + width, panels)
        w, z = program[layer + layout.WEIGHTS] + begin * panel, Z + begin * WIDE
        if end - begin == 2:
            if coupled:
                one_three_pair(S, a, rows, h, 0, weights, w, WIDE, THREE, panel, F, P, S, z, WIDE)
            else:
                _pair(S, a, rows, h, 0, weights, w, WIDE, WIDE, panel, F, P, S, z, WIDE)
        elif coupled:
            one_three(S, a, rows, h, 0, weights, w, WIDE, THREE, panel, F, P, S, z, WIDE)
        else:
            _one(S, a, rows, h, 0, weights, w, WIDE, WIDE, panel, F, P, S, z, WIDE)
        if standard:
            _standard_cells(
                weights, rows, S, z, c, o, begin * LANES, end * LANES, coupled,
                peephole, units, clips,
            )  # fmt: skip


@inlined
def _standard_cells(weights, rows, S, z, c, o, begin, end, coupled, peephole, units, clips):
    """Apply the gates to units of a stream whose activations are sigmoid and tanh."""
    for unit in range(begin, end, LANES):
        i, f = load(S, z), load(S, z + LANES)
        g, y = load(S, z + 2 * LANES), load(S, z + 3 * LANES)
        z += WIDE
        none = np.float32(0.0)  # parameters of a hard sigmoid
        if coupled:
            standard_coupled_cell(
                i, f, g, y, rows, c + unit, S, o + unit,
                weights, peephole + unit, units, none, none, clips,
            )  # fmt: skip
        else:
            standard_lstm_cell(
                i, f, g, y, rows, c + unit, S, o + unit,
                weights, peephole + unit, units, none, none, clips,
            )  # fmt: skip


@by_address
def gru_single(task, layer, group, _):
    """Advance a stream through a GRU whose reset gate acts after the product."""
    weights, program, rows, slots, S = arrays(task, group)
    first, _count, a, o = span(group)
    parity = int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_PARITY]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    h = slots[first] * program[layout.ROW_SIZE] + program[layer + layout.HIDDEN]
    z = int64(SUMS)
    panel = WIDE + (F + H) * THREE
    runs = (H + 2 * LANES - 1) // (2 * LANES)
    for n in range(runs):
        run = runs - 1 - n if parity else n  # as in _lstm
        unit, w = run * 2 * LANES, program[layer + layout.WEIGHTS] + run * 2 * panel
        count = 1
        if unit + LANES < H:
            count = 2
            one_gru_pair(S, a, rows, h, 0, weights, w, WIDE, THREE, panel, F, H, S, z, WIDE)
        else:
            one_gru(S, a, rows, h, 0, weights, w, WIDE, THREE, panel, F, H, S, z, WIDE)
        gru_units(weights, program, layer, rows, h + unit, S, z, o + unit, count)
    for n in range(H, (H + layout.PAD - 1) // layout.PAD * layout.PAD):
        S[o + n] = 0.0  # an activation of zero need not be zero
    _store_hidden(rows, h, S, o, H)


@inlined
def gru_units(weights, program, layer, rows, h, S, z, o, count):
    """Apply the gates to ``LANES`` units, or twice as many."""
    constants = program[layer + layout.CONSTANTS]
    bound, a, b = weights[constants + GATE_CLIP], weights[constants], weights[constants + 1]
    standard = program[layer + layout.STANDARD]
    hard = program[layer + layout.ACTIVATION] == layout.HARD_SIGMOID
    for n in range(count):
        gates, hidden, place = z + n * WIDE, h + n * LANES, o + n * LANES
        if not standard:
            general_gru_cell(weights, program, layer, S, gates, rows, hidden, S, place)
        elif hard:
            hard_gru_cell(S, gates, rows, hidden, S, place, a, b, bound)
        else:
            standard_gru_cell(S, gates, rows, hidden, S, place, a, b, bound)


# The kernel of each KIND that has one, and of the plain LSTM by the precision of its weights.
LAYERS = {
    layout.LSTM: lstm_single,
    layout.LSTM_OPTIONS: lstm_options_single,
    layout.LSTM_NORM: lstm_norm_single,
    layout.GRU: gru_single,
}
LSTM_16_BITS = {"bfloat16": lstm_bfloat16_single}
if HALVES:
    LSTM_16_BITS["float16"] = lstm_float16_single
