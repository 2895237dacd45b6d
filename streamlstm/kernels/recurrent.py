"""Layers with a memory, for a group of streams: gather h, multiply, apply the cell.

Inputs stand in rows of the scratch at ``S[a]``; outputs go to rows at ``S[o]``; the state rows
are found by slot and advanced in place.

Each layer is called from one place only and inlined there: LLVM goes over a function once more at
every level of calls above it, and a cold compile takes a third longer without.
"""

import numpy as np
from numba import int64, njit

from . import layout
from .activations import HARD_SIGMOID, activate, clip
from .cells import gru_cell, gru_options_cell, lstm_cell, lstm_options_cell, lstm_usual_cell
from .feedforward import activate_rows, normalise, product
from .layout import COLUMNS, GATE_CLIP, PAD
from .products import THREE, TILE, WIDE, gru_pair, gru_panel, three_panel, wide_pair, wide_panel
from .simd import LANES, fma, load, store

f32 = np.float32


@njit
def _gather(program, layer, rows, slots, first, count, S, a):
    """Copy each stream's h behind its inputs, so that one product takes both."""
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    F, width = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, width, LANES):
            store(S, a + m * stride + F + n, load(rows, h + n))


@njit
def _clear_padding(rows, start, width):
    """Set what pads a vector of a state row to zero: an activation of zero need not be zero."""
    for n in range(start + width, start + (width + PAD - 1) // PAD * PAD):
        rows[n] = f32(0.0)


@njit
def _keep(program, layer, rows, slots, first, count, S, o):
    """Copy each stream's output to its h."""
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        width = program[layer + layout.LAYER_OUTPUTS]
        for n in range(0, width, LANES):
            store(rows, h + n, load(S, o + m * stride + n))
        _clear_padding(rows, h, width)


@njit(inline="always")
def lstm(weights, program, layer, rows, slots, first, count, S, a, o, z):
    """Advance ``count`` streams through a plain LSTM."""
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    H = program[layer + layout.UNITS]
    h, c = program[layer + layout.HIDDEN], program[layer + layout.CELL]
    K = program[layer + layout.LAYER_INPUTS] + H
    panel = (K + 1) * WIDE
    w = program[layer + layout.WEIGHTS]
    _gather(program, layer, rows, slots, first, count, S, a)
    unit = int64(0)
    if count == 1:
        base = slots[first] * row_size
        while unit + LANES < H:
            wide_pair(S, a, weights, w, K, S, z)
            lstm_cell(S, z, rows, base + h + unit, base + c + unit, S, o + unit)
            unit += LANES
            lstm_cell(S, z + WIDE, rows, base + h + unit, base + c + unit, S, o + unit)
            unit += LANES
            w += 2 * panel
    while unit < H:
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            wide_panel(S, a + m * stride, stride, weights, w, K, S, z, int64(WIDE), tile)
            for r in range(tile):
                base = slots[first + m + r] * row_size + unit
                out = o + (m + r) * stride + unit
                lstm_cell(S, z + r * WIDE, rows, base + h, base + c, S, out)
        unit += LANES
        w += panel


@njit(inline="always")
def lstm_options(weights, program, layer, rows, slots, first, count, S, a, o, z, work):
    """Advance ``count`` streams through an LSTM with options.

    With a norm ``S[work]`` has room for all pre-activations of the group: every unit of a gate is
    needed before the first can be used.
    """
    H, P = program[layer + layout.UNITS], program[layer + layout.LAYER_OUTPUTS]
    K = program[layer + layout.LAYER_INPUTS] + P
    stride = program[layout.STRIDE]
    normed = program[layer + layout.NORM] >= 0
    coupled = program[layer + layout.COUPLED]
    width = (H + LANES - 1) // LANES * WIDE
    w = program[layer + layout.WEIGHTS]
    _gather(program, layer, rows, slots, first, count, S, a)
    for unit in range(0, H, LANES):
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            target, spacing = (
                (work + m * width + unit * COLUMNS, width) if normed else (z, int64(WIDE))
            )
            if coupled:
                three_panel(S, a + m * stride, stride, weights, w, K, S, target, spacing, tile)
            else:
                wide_panel(S, a + m * stride, stride, weights, w, K, S, target, spacing, tile)
            if not normed:
                _cells(
                    weights,
                    program,
                    layer,
                    rows,
                    slots,
                    first + m,
                    tile,
                    S,
                    z,
                    int64(WIDE),
                    unit,
                    o + m * stride,
                )
        w += WIDE + K * (THREE if coupled else WIDE)
    if normed:
        _norm_gates(weights, program, layer, H, width, S, work, z, count)
        for unit in range(0, H, LANES):
            start = work + unit * COLUMNS
            _cells(weights, program, layer, rows, slots, first, count, S, start, width, unit, o)
    for m in range(count):
        c = slots[first + m] * program[layout.ROW_SIZE] + program[layer + layout.CELL]
        _clear_padding(rows, c, H)
    if program[layer + layout.PROJECTION] >= 0:
        # Through the rows at a, which are no longer needed, and back.
        product(weights, program[layer + layout.PROJECTION], H, P, S, o, a, stride, z, count)
        bound = weights[program[layer + layout.CONSTANTS] + layout.PROJECTION_CLIP]
        for m in range(0, count * stride, stride):
            for n in range(0, P, LANES):
                store(S, o + m + n, clip(load(S, a + m + n), bound))
    _keep(program, layer, rows, slots, first, count, S, o)


@njit
def _cells(weights, program, layer, rows, slots, first, count, S, z, spacing, unit, o):
    """Apply the gates to ``LANES`` units of ``count`` streams."""
    stride, row_size = program[layout.STRIDE], program[layout.ROW_SIZE]
    c = program[layer + layout.CELL] + unit
    if program[layer + layout.USUAL]:
        constants = program[layer + layout.CONSTANTS]
        clips, a, b = constants + GATE_CLIP, weights[constants], weights[constants + 1]
        peephole = program[layer + layout.PEEPHOLE] + unit
        units = (program[layer + layout.UNITS] + PAD - 1) // PAD * PAD
        coupled = f32(program[layer + layout.COUPLED])
        # The same loop twice: with a constant LLVM leaves out the activation that is not used.
        if program[layer + layout.ACTIVATION] == HARD_SIGMOID:
            for m in range(count):
                place, cell = o + m * stride + unit, slots[first + m] * row_size + c
                lstm_usual_cell(
                    S, z + m * spacing, rows, cell, S, place,
                    weights, peephole, units, coupled, f32(1.0), a, b, clips,
                )  # fmt: skip
        else:
            for m in range(count):
                place, cell = o + m * stride + unit, slots[first + m] * row_size + c
                lstm_usual_cell(
                    S, z + m * spacing, rows, cell, S, place,
                    weights, peephole, units, coupled, f32(0.0), a, b, clips,
                )  # fmt: skip
        return
    for m in range(count):
        place, cell = o + m * stride + unit, slots[first + m] * row_size + c
        lstm_options_cell(weights, program, layer, S, z + m * spacing, unit, rows, cell, S, place)


@njit
def _gru_cells(weights, program, layer, rows, slots, first, count, S, z, unit, o):
    """Apply the gates to ``LANES`` units of ``count`` streams."""
    stride, row_size = program[layout.STRIDE], program[layout.ROW_SIZE]
    h = program[layer + layout.HIDDEN] + unit
    if program[layer + layout.USUAL]:
        constants = program[layer + layout.CONSTANTS]
        bound, a, b = weights[constants + GATE_CLIP], weights[constants], weights[constants + 1]
        hard = f32(program[layer + layout.ACTIVATION] == HARD_SIGMOID)
        for m in range(count):
            place, hidden = o + m * stride + unit, slots[first + m] * row_size + h
            gru_cell(S, z + m * WIDE, rows, hidden, S, place, hard, a, b, bound)
        return
    for m in range(count):
        place, hidden = o + m * stride + unit, slots[first + m] * row_size + h
        gru_options_cell(weights, program, layer, S, z + m * WIDE, rows, hidden, S, place)


@njit(inline="always")
def _norm_gates(weights, program, layer, H, width, S, work, z, count):
    """Normalise every gate of every stream, then apply gain and bias, packed like the gates."""
    norm = program[layer + layout.NORM]
    epsilon = weights[program[layer + layout.CONSTANTS] + layout.EPSILON]
    for m in range(count):
        start = work + m * width
        for gate in range(0, WIDE, LANES):
            normalise(S, start + gate, H, int64(WIDE), epsilon, z)
        for n in range(0, width, LANES):
            y = fma(load(S, start + n), load(weights, norm + n), load(weights, norm + width + n))
            store(S, start + n, y)


@njit(inline="always")
def gru(weights, program, layer, rows, slots, first, count, S, a, o, z):
    """Advance ``count`` streams through a GRU whose reset gate acts after the product."""
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    h = program[layer + layout.HIDDEN]
    panel = WIDE + (F + H) * THREE
    w = program[layer + layout.WEIGHTS]
    _gather(program, layer, rows, slots, first, count, S, a)
    unit = int64(0)
    if count == 1:
        while unit + LANES < H:
            gru_pair(S, a, weights, w, F, H, S, z)
            for r in range(2):
                _gru_cells(
                    weights, program, layer, rows, slots, first, count, S, z + r * WIDE, unit, o
                )
                unit += LANES
            w += 2 * panel
    while unit < H:
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            gru_panel(S, a + m * stride, stride, weights, w, F, H, S, z, tile)
            place = o + m * stride
            _gru_cells(weights, program, layer, rows, slots, first + m, tile, S, z, unit, place)
        unit += LANES
        w += panel
    for m in range(count):
        _clear_padding(rows, slots[first + m] * row_size + h, H)


@njit(inline="always")
def gru_before(weights, program, layer, rows, slots, first, count, S, a, o, z):
    """Advance ``count`` streams through a GRU whose reset gate acts before the product.

    Two products: one gives r and z; with ``r * h`` in the place of h the other gives n.
    """
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    width = (H + PAD - 1) // PAD * PAD
    constants = program[layer + layout.CONSTANTS]
    bound = weights[constants + GATE_CLIP]
    gate, kind = program[layer + layout.ACTIVATION], program[layer + layout.CANDIDATE_ACTIVATION]
    w = program[layer + layout.WEIGHTS]
    _gather(program, layer, rows, slots, first, count, S, a)
    product(weights, w, F + H, 2 * width, S, a, o, stride, z, count)
    activate_rows(gate, weights, constants, bound, S, o, 2 * width, stride, count)
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, H, LANES):
            reset = load(S, o + m * stride + n)
            store(S, a + m * stride + F + n, reset * load(rows, h + n))
    # The sums of n go where r stood; z stands behind and stays.
    w = program[layer + layout.VECTORS]
    product(weights, w, F + H, H, S, a, o, stride, z, count)
    p0, p1 = weights[constants + 2], weights[constants + 3]
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, H, LANES):
            place = o + m * stride + n
            candidate = activate(kind, p0, p1, clip(load(S, place), bound))
            update = load(S, place + width)
            hidden = fma(update, load(rows, h + n) - candidate, candidate)
            store(rows, h + n, hidden)
            store(S, place, hidden)
        _clear_padding(rows, h, H)


@njit(inline="always")
def rnn(weights, program, layer, rows, slots, first, count, S, a, o, z):
    """Advance ``count`` streams through a plain recurrent layer."""
    stride = program[layout.STRIDE]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    constants = program[layer + layout.CONSTANTS]
    _gather(program, layer, rows, slots, first, count, S, a)
    product(weights, program[layer + layout.WEIGHTS], F + H, H, S, a, o, stride, z, count)
    bound = weights[constants + GATE_CLIP]
    kind = program[layer + layout.ACTIVATION]
    activate_rows(kind, weights, constants, bound, S, o, H, stride, count)
    _keep(program, layer, rows, slots, first, count, S, o)
