"""Kernels of the recurrent layers for a group of streams: gather h, multiply, apply the cell.

For their arguments see arguments.py.
"""

import numpy as np
from numba import int64

from . import layout
from .activations import activate, clip, tanh
from .arguments import SUMS, arrays, span
from .cache import by_address, inlined, internal
from .cells import (
    general_gru_cell,
    general_lstm_cell,
    hard_coupled_cell,
    hard_gru_cell,
    hard_lstm_cell,
    lstm_cell,
    standard_coupled_cell,
    standard_gru_cell,
    standard_lstm_cell,
)
from .feedforward import activate_rows, product
from .layout import GATE_CLIP, GROUP, PAD
from .norms import norm_gates
from .prefetching import prefetch_units
from .products import THREE, TILE, WIDE, gru_panel, three_panel, wide_panel
from .simd import LANES, fma, load, store

f32 = np.float32


@internal
def load_hidden(program, layer, rows, slots, first, count, S, a):
    """Copy each stream's h behind its inputs, so that one product takes both."""
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    F, width = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, width, LANES):
            store(S, a + m * stride + F + n, load(rows, h + n))


@internal
def clear_padding(rows, start, width):
    """Set the padding of a state vector to zero: an activation of zero need not be zero."""
    for n in range(start + width, start + (width + PAD - 1) // PAD * PAD):
        rows[n] = f32(0.0)


@internal
def store_hidden(program, layer, rows, slots, first, count, S, o):
    """Copy each stream's output to its h."""
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    width = program[layer + layout.LAYER_OUTPUTS]
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, width, LANES):
            store(rows, h + n, load(S, o + m * stride + n))
        clear_padding(rows, h, width)


@by_address
def lstm(task, layer, group, _):
    """Advance ``count`` streams through a plain LSTM."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    z = int64(SUMS)
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    H = program[layer + layout.UNITS]
    c = program[layer + layout.CELL]
    K = program[layer + layout.LAYER_INPUTS] + H
    panel = (K + 1) * WIDE
    w = program[layer + layout.WEIGHTS]
    load_hidden(program, layer, rows, slots, first, count, S, a)
    for unit in range(0, H, LANES):
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            prefetch_units(task, group, program, layer, m, tile, unit)
            wide_panel(S, a + m * stride, stride, weights, w, K, S, z, int64(WIDE), tile)
            for r in range(tile):
                cell = slots[first + m + r] * row_size + c + unit
                lstm_cell(S, z + r * WIDE, rows, cell, S, o + (m + r) * stride + unit)
        w += panel
    store_hidden(program, layer, rows, slots, first, count, S, o)


@by_address
def lstm_options(task, layer, group, _):
    """Advance a group of streams through an LSTM with any option but a norm."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    z = int64(SUMS)
    stride = program[layout.STRIDE]
    K = program[layer + layout.LAYER_INPUTS] + program[layer + layout.LAYER_OUTPUTS]
    w = program[layer + layout.WEIGHTS]
    load_hidden(program, layer, rows, slots, first, count, S, a)
    for unit in range(0, program[layer + layout.UNITS], LANES):
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            prefetch_units(task, group, program, layer, m, tile, unit)
            _gate_panel(program, layer, S, a + m * stride, stride, weights, w, K, z, WIDE, tile)
            lstm_cells(
                weights, program, layer, rows, slots, first + m, tile,
                S, z, int64(WIDE), unit, unit + 1, o + m * stride,
            )  # fmt: skip
        w += WIDE + K * (THREE if program[layer + layout.COUPLED] else WIDE)
    project_and_store(weights, program, layer, rows, slots, first, count, S, a, o, z)


@by_address
def lstm_norm(task, layer, group, _):
    """Advance a group of streams through an LSTM whose gates are normalised.

    ``S[work]`` has room for all pre-activations of the group: every unit of a gate is needed
    before the first can be used.
    """
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    z = int64(SUMS)
    H, stride = program[layer + layout.UNITS], program[layout.STRIDE]
    work = max(a, o) + GROUP * stride  # behind both sides' rows
    K = program[layer + layout.LAYER_INPUTS] + program[layer + layout.LAYER_OUTPUTS]
    width = (H + LANES - 1) // LANES * WIDE
    w = program[layer + layout.WEIGHTS]
    load_hidden(program, layer, rows, slots, first, count, S, a)
    for start in range(work, work + width, WIDE):
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            target = start + m * width
            _gate_panel(
                program, layer, S, a + m * stride, stride, weights, w, K, target, width, tile
            )
        w += WIDE + K * (THREE if program[layer + layout.COUPLED] else WIDE)
    norm_gates(weights, program, layer, H, width, S, work, z, count)
    lstm_cells(weights, program, layer, rows, slots, first, count, S, work, width, int64(0), H, o)
    project_and_store(weights, program, layer, rows, slots, first, count, S, a, o, z)


@inlined
def _gate_panel(program, layer, S, a, stride, weights, w, K, z, spacing, rows):
    """Multiply ``rows`` streams with the panel of some units' gates."""
    if program[layer + layout.COUPLED]:
        three_panel(S, a, stride, weights, w, K, S, z, int64(spacing), rows)
    else:
        wide_panel(S, a, stride, weights, w, K, S, z, int64(spacing), rows)


@internal
def project_and_store(weights, program, layer, rows, slots, first, count, S, a, o, z):
    """Project the hidden states at ``S[o]`` if the layer has a projection, and store them."""
    stride, row_size = program[layout.STRIDE], program[layout.ROW_SIZE]
    H, P = program[layer + layout.UNITS], program[layer + layout.LAYER_OUTPUTS]
    for m in range(count):
        clear_padding(rows, slots[first + m] * row_size + program[layer + layout.CELL], H)
    if program[layer + layout.PROJECTION] < 0:
        store_hidden(program, layer, rows, slots, first, count, S, o)
        return
    # Into the rows at a, which are no longer needed, and back.
    product(weights, program[layer + layout.PROJECTION], H, P, S, o, a, stride, z, count)
    bound = weights[program[layer + layout.CONSTANTS] + layout.PROJECTION_CLIP]
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, P, LANES):
            y = clip(load(S, a + m * stride + n), bound)
            store(S, o + m * stride + n, y)
            store(rows, h + n, y)
        clear_padding(rows, h, P)


def _loop_over_units(cell):
    """Make the loop of a standard LSTM cell over ``count`` streams and a range of units."""

    @internal
    def loop(
        weights, rows, slots, first, count, S, z, spacing, begin, end, c, row_size, o, stride,
        peephole, units, a, b, clips,
    ):  # fmt: skip
        for m in range(count):
            gates = z + m * spacing
            place, out = slots[first + m] * row_size + c, o + m * stride
            for unit in range(begin, end, LANES):
                cell(
                    load(S, gates), load(S, gates + LANES),
                    load(S, gates + 2 * LANES), load(S, gates + 3 * LANES),
                    rows, place + unit, S, out + unit,
                    weights, peephole + unit, units, a, b, clips,
                )  # fmt: skip
                gates += WIDE

    return loop


_standard = _loop_over_units(standard_lstm_cell)
_standard_coupled = _loop_over_units(standard_coupled_cell)
_hard = _loop_over_units(hard_lstm_cell)
_hard_coupled = _loop_over_units(hard_coupled_cell)


@internal
def lstm_cells(
    weights, program, layer, rows, slots, first, count, S, z, spacing, begin, end, o
):  # fmt: skip
    """Apply the gates to the units from ``begin`` to ``end`` of ``count`` streams."""
    stride, row_size = program[layout.STRIDE], program[layout.ROW_SIZE]
    c = program[layer + layout.CELL]
    coupled = program[layer + layout.COUPLED]
    constants = program[layer + layout.CONSTANTS]
    clips, a, b = constants + GATE_CLIP, weights[constants], weights[constants + 1]
    peephole = program[layer + layout.PEEPHOLE]
    units = (program[layer + layout.UNITS] + PAD - 1) // PAD * PAD
    hard = program[layer + layout.ACTIVATION] == layout.HARD_SIGMOID
    if not program[layer + layout.STANDARD]:
        for m in range(count):
            gates, place = z + m * spacing, slots[first + m] * row_size + c
            for unit in range(begin, end, LANES):
                general_lstm_cell(
                    load(S, gates), load(S, gates + LANES),
                    load(S, gates + 2 * LANES), load(S, gates + 3 * LANES),
                    weights, program, layer, unit, rows, place + unit, S, o + m * stride + unit,
                )  # fmt: skip
                gates += WIDE
    elif hard and coupled:
        _hard_coupled(
            weights, rows, slots, first, count, S, z, spacing, begin, end, c, row_size, o, stride,
            peephole, units, a, b, clips,
        )  # fmt: skip
    elif hard:
        _hard(
            weights, rows, slots, first, count, S, z, spacing, begin, end, c, row_size, o, stride,
            peephole, units, a, b, clips,
        )  # fmt: skip
    elif coupled:
        _standard_coupled(
            weights, rows, slots, first, count, S, z, spacing, begin, end, c, row_size, o, stride,
            peephole, units, a, b, clips,
        )  # fmt: skip
    else:
        _standard(
            weights, rows, slots, first, count, S, z, spacing, begin, end, c, row_size, o, stride,
            peephole, units, a, b, clips,
        )  # fmt: skip


@internal
def _gru_cells(weights, program, layer, rows, slots, first, count, S, z, unit, o):
    """Apply the gates to ``LANES`` units of ``count`` streams."""
    stride, row_size = program[layout.STRIDE], program[layout.ROW_SIZE]
    h = program[layer + layout.HIDDEN] + unit
    constants = program[layer + layout.CONSTANTS]
    bound, a, b = weights[constants + GATE_CLIP], weights[constants], weights[constants + 1]
    if not program[layer + layout.STANDARD]:
        for m in range(count):
            place, hidden = o + m * stride + unit, slots[first + m] * row_size + h
            general_gru_cell(weights, program, layer, S, z + m * WIDE, rows, hidden, S, place)
    elif program[layer + layout.ACTIVATION] == layout.HARD_SIGMOID:
        for m in range(count):
            place, hidden = o + m * stride + unit, slots[first + m] * row_size + h
            hard_gru_cell(S, z + m * WIDE, rows, hidden, S, place, a, b, bound)
    else:
        for m in range(count):
            place, hidden = o + m * stride + unit, slots[first + m] * row_size + h
            standard_gru_cell(S, z + m * WIDE, rows, hidden, S, place, a, b, bound)


@by_address
def gru(task, layer, group, _):
    """Advance ``count`` streams through a GRU whose reset gate acts after the product."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    z = int64(SUMS)
    stride = program[layout.STRIDE]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    panel = WIDE + (F + H) * THREE
    w = program[layer + layout.WEIGHTS]
    load_hidden(program, layer, rows, slots, first, count, S, a)
    for unit in range(0, H, LANES):
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            prefetch_units(task, group, program, layer, m, tile, unit)
            gru_panel(S, a + m * stride, stride, weights, w, F, H, S, z, tile)
            place = o + m * stride
            _gru_cells(weights, program, layer, rows, slots, first + m, tile, S, z, unit, place)
        w += panel
    store_hidden(program, layer, rows, slots, first, count, S, o)


@by_address
def gru_before(task, layer, group, _):
    """Advance ``count`` streams through a GRU whose reset gate acts before the product.

    Two products: one gives r and z; with ``r * h`` in the place of h the other gives n.
    """
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    z = int64(SUMS)
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    width = (H + PAD - 1) // PAD * PAD
    constants = program[layer + layout.CONSTANTS]
    bound = weights[constants + GATE_CLIP]
    gate, kind = program[layer + layout.ACTIVATION], program[layer + layout.CANDIDATE_ACTIVATION]
    w = program[layer + layout.WEIGHTS]
    load_hidden(program, layer, rows, slots, first, count, S, a)
    product(weights, w, F + H, 2 * width, S, a, o, stride, z, count)
    activate_rows(gate, weights, constants, bound, S, o, 2 * width, stride, count)
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, H, LANES):
            reset = load(S, o + m * stride + n)
            store(S, a + m * stride + F + n, reset * load(rows, h + n))
    # The sums of n replace r; z is behind them and stays.
    w = program[layer + layout.VECTORS]
    product(weights, w, F + H, H, S, a, o, stride, z, count)
    p0, p1 = weights[constants + 2], weights[constants + 3]
    standard = kind == layout.TANH
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, H, LANES):
            place = o + m * stride + n
            x = clip(load(S, place), bound)
            candidate = tanh(x) if standard else activate(kind, p0, p1, x)
            update = load(S, place + width)
            hidden = fma(update, load(rows, h + n) - candidate, candidate)
            store(rows, h + n, hidden)
            store(S, place, hidden)
        clear_padding(rows, h, H)


@by_address
def rnn(task, layer, group, _):
    """Advance ``count`` streams through a plain recurrent layer."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    z = int64(SUMS)
    stride = program[layout.STRIDE]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    constants = program[layer + layout.CONSTANTS]
    load_hidden(program, layer, rows, slots, first, count, S, a)
    product(weights, program[layer + layout.WEIGHTS], F + H, H, S, a, o, stride, z, count)
    bound = weights[constants + GATE_CLIP]
    kind = program[layer + layout.ACTIVATION]
    activate_rows(kind, weights, constants, bound, S, o, H, stride, count)
    store_hidden(program, layer, rows, slots, first, count, S, o)


# The kernel of each KIND.
LAYERS = {
    layout.LSTM: lstm,
    layout.LSTM_OPTIONS: lstm_options,
    layout.LSTM_NORM: lstm_norm,
    layout.GRU: gru,
    layout.GRU_BEFORE: gru_before,
    layout.RNN: rnn,
}
