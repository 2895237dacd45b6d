"""Layers with a memory, for a group of streams: gather h, multiply, apply the cell.

How a layer is called stands in arguments.py.
"""

import math

import numpy as np
from numba import int64

from . import layout
from .activations import HARD_SIGMOID, TANH, activate, clip, tanh
from .arguments import SUMS, arrays, span
from .cache import by_address, inlined, part
from .cells import (
    any_gru_cell,
    any_lstm_cell,
    hard_coupled_cell,
    hard_gru_cell,
    hard_lstm_cell,
    lstm_cell,
    usual_coupled_cell,
    usual_gru_cell,
    usual_lstm_cell,
)
from .feedforward import activate_rows, add_cache_line, product
from .layout import COLUMNS, GATE_CLIP, GROUP, PAD
from .products import THREE, TILE, WIDE, gru_panel, three_panel, wide_panel
from .simd import LANES, first_lanes, fma, load, splat, store

f32 = np.float32


@part
def _gather(program, layer, rows, slots, first, count, S, a):
    """Copy each stream's h behind its inputs, so that one product takes both."""
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    F, width = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, width, LANES):
            store(S, a + m * stride + F + n, load(rows, h + n))


@part
def _clear_padding(rows, start, width):
    """Set what pads a vector of a state row to zero: an activation of zero need not be zero."""
    for n in range(start + width, start + (width + PAD - 1) // PAD * PAD):
        rows[n] = f32(0.0)


@part
def _keep(program, layer, rows, slots, first, count, S, o):
    """Copy each stream's output to its h."""
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    width = program[layer + layout.LAYER_OUTPUTS]
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, width, LANES):
            store(rows, h + n, load(S, o + m * stride + n))
        _clear_padding(rows, h, width)


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
    _gather(program, layer, rows, slots, first, count, S, a)
    for unit in range(0, H, LANES):
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            wide_panel(S, a + m * stride, stride, weights, w, K, S, z, int64(WIDE), tile)
            for r in range(tile):
                cell = slots[first + m + r] * row_size + c + unit
                lstm_cell(S, z + r * WIDE, rows, cell, S, o + (m + r) * stride + unit)
        w += panel
    _keep(program, layer, rows, slots, first, count, S, o)


@by_address
def lstm_options(task, layer, group, _):
    """Advance a group of streams through an LSTM with options but a norm."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    z = int64(SUMS)
    stride = program[layout.STRIDE]
    K = program[layer + layout.LAYER_INPUTS] + program[layer + layout.LAYER_OUTPUTS]
    w = program[layer + layout.WEIGHTS]
    _gather(program, layer, rows, slots, first, count, S, a)
    for unit in range(0, program[layer + layout.UNITS], LANES):
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            _gate_panel(program, layer, S, a + m * stride, stride, weights, w, K, z, WIDE, tile)
            lstm_cells(
                weights, program, layer, rows, slots, first + m, tile,
                S, z, int64(WIDE), unit, unit + 1, o + m * stride,
            )  # fmt: skip
        w += WIDE + K * (THREE if program[layer + layout.COUPLED] else WIDE)
    finish_lstm(weights, program, layer, rows, slots, first, count, S, a, o, z)


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
    _gather(program, layer, rows, slots, first, count, S, a)
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
    finish_lstm(weights, program, layer, rows, slots, first, count, S, a, o, z)


@inlined
def _gate_panel(program, layer, S, a, stride, weights, w, K, z, spacing, rows):
    """Multiply ``rows`` streams with the panel of some units' gates."""
    if program[layer + layout.COUPLED]:
        three_panel(S, a, stride, weights, w, K, S, z, int64(spacing), rows)
    else:
        wide_panel(S, a, stride, weights, w, K, S, z, int64(spacing), rows)


@part
def finish_lstm(weights, program, layer, rows, slots, first, count, S, a, o, z):
    """Project hidden states at ``S[o]`` where the layer does so, and keep them."""
    stride, row_size = program[layout.STRIDE], program[layout.ROW_SIZE]
    H, P = program[layer + layout.UNITS], program[layer + layout.LAYER_OUTPUTS]
    for m in range(count):
        _clear_padding(rows, slots[first + m] * row_size + program[layer + layout.CELL], H)
    if program[layer + layout.PROJECTION] < 0:
        _keep(program, layer, rows, slots, first, count, S, o)
        return
    # Through the rows at a, which are no longer needed, and back.
    product(weights, program[layer + layout.PROJECTION], H, P, S, o, a, stride, z, count)
    bound = weights[program[layer + layout.CONSTANTS] + layout.PROJECTION_CLIP]
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, P, LANES):
            y = clip(load(S, a + m * stride + n), bound)
            store(S, o + m * stride + n, y)
            store(rows, h + n, y)
        _clear_padding(rows, h, P)


def _over_units(cell):
    """Make the loop of a usual LSTM cell over ``count`` streams and some of their units."""

    @part
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


_usual = _over_units(usual_lstm_cell)
_usual_coupled = _over_units(usual_coupled_cell)
_hard = _over_units(hard_lstm_cell)
_hard_coupled = _over_units(hard_coupled_cell)


@part
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
    hard = program[layer + layout.ACTIVATION] == HARD_SIGMOID
    if not program[layer + layout.USUAL]:
        for m in range(count):
            gates, place = z + m * spacing, slots[first + m] * row_size + c
            for unit in range(begin, end, LANES):
                any_lstm_cell(
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
        _usual_coupled(
            weights, rows, slots, first, count, S, z, spacing, begin, end, c, row_size, o, stride,
            peephole, units, a, b, clips,
        )  # fmt: skip
    else:
        _usual(
            weights, rows, slots, first, count, S, z, spacing, begin, end, c, row_size, o, stride,
            peephole, units, a, b, clips,
        )  # fmt: skip


@part
def _gru_cells(weights, program, layer, rows, slots, first, count, S, z, unit, o):
    """Apply the gates to ``LANES`` units of ``count`` streams."""
    stride, row_size = program[layout.STRIDE], program[layout.ROW_SIZE]
    h = program[layer + layout.HIDDEN] + unit
    constants = program[layer + layout.CONSTANTS]
    bound, a, b = weights[constants + GATE_CLIP], weights[constants], weights[constants + 1]
    if not program[layer + layout.USUAL]:
        for m in range(count):
            place, hidden = o + m * stride + unit, slots[first + m] * row_size + h
            any_gru_cell(weights, program, layer, S, z + m * WIDE, rows, hidden, S, place)
    elif program[layer + layout.ACTIVATION] == HARD_SIGMOID:
        for m in range(count):
            place, hidden = o + m * stride + unit, slots[first + m] * row_size + h
            hard_gru_cell(S, z + m * WIDE, rows, hidden, S, place, a, b, bound)
    else:
        for m in range(count):
            place, hidden = o + m * stride + unit, slots[first + m] * row_size + h
            usual_gru_cell(S, z + m * WIDE, rows, hidden, S, place, a, b, bound)


@inlined
def norm_gates(weights, program, layer, H, width, S, work, z, count):
    """Normalise every gate of every stream, then apply gain and bias, packed like the gates."""
    norm = program[layer + layout.NORM]
    epsilon = weights[program[layer + layout.CONSTANTS] + layout.EPSILON]
    units = f32(H)
    for m in range(count):
        start = work + m * width
        i, f, g, y = _sum_gates(S, start, H, z, f32(0.0), f32(0.0), f32(0.0), f32(0.0), False)
        means = (i / units, f / units, g / units, y / units)
        i, f, g, y = _sum_gates(S, start, H, z, means[0], means[1], means[2], means[3], True)
        for gate, mean, square in (
            (0, means[0], i),
            (1, means[1], f),
            (2, means[2], g),
            (3, means[3], y),
        ):
            scale = f32(1.0) / f32(math.sqrt(square / units + epsilon))
            shift = splat(-mean * scale)
            for n in range(gate * LANES, width, WIDE):
                x = fma(load(S, start + n), splat(scale), shift)
                x = fma(x, load(weights, norm + n), load(weights, norm + width + n))
                store(S, start + n, x)


@inlined
def _sum_gates(S, start, H, z, mean_i, mean_f, mean_g, mean_y, squared):
    """Sum ``x - mean`` or its square over the units of each gate, in the order of moments()."""
    means = (splat(mean_i), splat(mean_f), splat(mean_g), splat(mean_y))
    for begin in range(0, PAD, LANES):
        i, f, g, y = splat(f32(0.0)), splat(f32(0.0)), splat(f32(0.0)), splat(f32(0.0))
        for n in range(begin, H, PAD):
            place, left = start + n * COLUMNS, H - n
            xi, xf = load(S, place) - means[0], load(S, place + LANES) - means[1]
            xg, xy = load(S, place + 2 * LANES) - means[2], load(S, place + 3 * LANES) - means[3]
            if left < LANES:
                xi, xf = first_lanes(xi, left), first_lanes(xf, left)
                xg, xy = first_lanes(xg, left), first_lanes(xy, left)
            if squared:
                i, f, g, y = fma(xi, xi, i), fma(xf, xf, f), fma(xg, xg, g), fma(xy, xy, y)
            else:
                i, f, g, y = i + xi, f + xf, g + xg, y + xy
        store(S, z + begin, i)
        store(S, z + PAD + begin, f)
        store(S, z + 2 * PAD + begin, g)
        store(S, z + 3 * PAD + begin, y)
    return (
        add_cache_line(S, z),
        add_cache_line(S, z + PAD),
        add_cache_line(S, z + 2 * PAD),
        add_cache_line(S, z + 3 * PAD),
    )


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
    _gather(program, layer, rows, slots, first, count, S, a)
    for unit in range(0, H, LANES):
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            gru_panel(S, a + m * stride, stride, weights, w, F, H, S, z, tile)
            place = o + m * stride
            _gru_cells(weights, program, layer, rows, slots, first + m, tile, S, z, unit, place)
        w += panel
    _keep(program, layer, rows, slots, first, count, S, o)


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
    usual = kind == TANH
    for m in range(count):
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        for n in range(0, H, LANES):
            place = o + m * stride + n
            x = clip(load(S, place), bound)
            candidate = tanh(x) if usual else activate(kind, p0, p1, x)
            update = load(S, place + width)
            hidden = fma(update, load(rows, h + n) - candidate, candidate)
            store(rows, h + n, hidden)
            store(S, place, hidden)
        _clear_padding(rows, h, H)


@by_address
def rnn(task, layer, group, _):
    """Advance ``count`` streams through a plain recurrent layer."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    z = int64(SUMS)
    stride = program[layout.STRIDE]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    constants = program[layer + layout.CONSTANTS]
    _gather(program, layer, rows, slots, first, count, S, a)
    product(weights, program[layer + layout.WEIGHTS], F + H, H, S, a, o, stride, z, count)
    bound = weights[constants + GATE_CLIP]
    kind = program[layer + layout.ACTIVATION]
    activate_rows(kind, weights, constants, bound, S, o, H, stride, count)
    _keep(program, layer, rows, slots, first, count, S, o)
