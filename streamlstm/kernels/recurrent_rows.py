"""Kernels of recurrent layers over the rows of a window: all steps of a group in one call.

A single stream takes the products of its inputs with the weights together, some rows at a time, so
that these weights are read once and not at every step; the sum of a unit goes on from there with h,
in the order in which a step adds. A group of streams writes h where the next step reads it. See
arguments.py for the arguments; the last one is the number of rows.
"""

from numba import int64

from . import layout
from .arguments import ROWS_AT, SUMS, arrays, span
from .cache import by_address, inlined
from .cells import lstm_cell
from .layout import GROUP, PAD
from .matmul import product_tile
from .pointers import int64s_at
from .products import THREE, TILE, WIDE, gru_panel, is_paired, wide_panel
from .recurrent import clear_padding
from .recurrent_single import gru_units
from .simd import LANES, load, load_first, store, store_first

ROWS = 4 * TILE  # whose inputs are multiplied together; there is room for GROUP of them

# One stream, one or two panels; the sums start with what the product of the inputs has left.
_LSTM = [[(n, n) for n in range(layout.COLUMNS)]]
_lstm_one, _lstm_pair = (product_tile(1, _LSTM, panels, outer=True) for panels in (1, 2))
_GRU = [[(0, 0), (1, 1), (2, 3)]]
_gru_one, _gru_pair = (product_tile(1, _GRU, panels, outer=True) for panels in (1, 2))


@inlined
def _lstm_panel(S, a, stride, weights, w, F, H, z, rows):
    wide_panel(S, a, stride, weights, w, F + H, S, z, int64(WIDE), rows)


@inlined
def _lstm_cell(weights, program, layer, S, z, state, base, before, after, unit):
    lstm_cell(S, z, state, base + program[layer + layout.CELL] + unit, S, after + unit)


@inlined
def _gru_panel(S, a, stride, weights, w, F, H, z, rows):
    gru_panel(S, a, stride, weights, w, F, H, S, z, rows)


@inlined
def _gru_cell(weights, program, layer, S, z, state, base, before, after, unit):
    gru_units(weights, program, layer, S, before + unit, S, z, after + unit, 1)


def _one_stream(row, multiply, one_panel, two_panels, cell):
    """Make the loop over the rows of one stream.

    Parameters
    ----------
    row : int
        Floats that a panel has for each input.
    multiply : callable
        The product of some rows with a panel.
    one_panel, two_panels : intrinsic
        Add the products of h to its sums.
    cell : callable
    """

    @inlined
    def run(weights, program, layer, state, slot, S, source, target, rows):
        F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
        spacing, out = program[layer + layout.ROWS_IN], program[layer + layout.ROWS_OUT]
        last, zero = program[layer + layout.ROWS_FLAG], program[layer + layout.ROWS_ZERO]
        base = slot * program[layout.ROW_SIZE]
        hidden = base + program[layer + layout.HIDDEN]
        panel = WIDE + (F + H) * row
        panels = (H + LANES - 1) // LANES
        sums = ROWS_AT + 2 * GROUP * program[layout.STRIDE]
        next_panel = int64(ROWS * WIDE)
        width = int64(2) if row != WIDE or is_paired(panel) else int64(1)
        runs = (panels + width - 1) // width
        before = int64(ROWS_AT)
        for n in range(0, H, LANES):
            store(S, before + n, load(state, hidden + n))
        for t in range(rows):
            place = t % ROWS
            if place == 0:
                w, z, some = program[layer + layout.WEIGHTS], sums, min(int64(ROWS), rows - t)
                for _panel in range(panels):
                    multiply(S, source + t * spacing, spacing, weights, w, F, int64(0), z, some)
                    w, z = w + panel, z + next_panel
            # Only the last row is returned, or each of them is where the next step reads it.
            after = ROWS_AT + panels * LANES * (1 + (t & 1)) if last else target + t * out
            for n in range(runs):
                # There and back, as in a step: the weights that were used last are in the cache.
                begin = (runs - 1 - n if t & 1 else n) * width
                z = sums + begin * next_panel + place * WIDE
                w = program[layer + layout.WEIGHTS] + begin * panel + WIDE + F * row
                pair = width == 2 and (begin + 1) * LANES < H
                if t > 0 or not zero:
                    if pair:
                        two_panels(
                            S, before, S, before, 1, weights, w, 0, row, panel, H, 0,
                            S, z, next_panel,
                        )  # fmt: skip
                    else:
                        one_panel(
                            S, before, S, before, 1, weights, w, 0, row, panel, H, 0,
                            S, z, next_panel,
                        )  # fmt: skip
                cell(weights, program, layer, S, z, state, base, before, after, begin * LANES)
                if pair:
                    z, unit = z + next_panel, (begin + 1) * LANES
                    cell(weights, program, layer, S, z, state, base, before, after, unit)
            before = after
        for n in range(0, H, LANES):
            store(state, hidden + n, load(S, before + n))
            if last:
                store(S, target + n, load(S, before + n))
        clear_padding(state, hidden, H)

    return run


def _streams(row, multiply, cell):
    """Make the loop over the rows of a group of streams; see :func:`_one_stream`."""

    @inlined
    def run(weights, program, layer, state, slots, first, count, S, source, target, rows):
        F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
        spacing, out = program[layer + layout.ROWS_IN], program[layer + layout.ROWS_OUT]
        stride, row_size = program[layout.STRIDE], program[layout.ROW_SIZE]
        last, hidden = program[layer + layout.ROWS_FLAG], program[layer + layout.HIDDEN]
        panel = WIDE + (F + H) * row
        # Inputs and behind them h, which begins on a cache line.
        before = ROWS_AT + (F + PAD - 1) // PAD * PAD - F
        after = before + GROUP * stride
        for m in range(count):
            h = slots[first + m] * row_size + hidden
            for n in range(0, H, LANES):
                store(S, before + m * stride + F + n, load(state, h + n))
        units = int64(0) if program[layer + layout.ROWS_ZERO] else H
        for t in range(rows):
            for m in range(count):
                place = source + (t * count + m) * spacing
                for n in range(0, F, LANES):
                    store_first(S, before + m * stride + n, load_first(S, place + n, F - n), F - n)
            w = program[layer + layout.WEIGHTS]
            for unit in range(0, H, LANES):
                for m in range(0, count, TILE):
                    tile = min(int64(TILE), count - m)
                    a = before + m * stride
                    multiply(S, a, stride, weights, w, F, units, int64(SUMS), tile)
                    for r in range(tile):
                        base, h = slots[first + m + r] * row_size, (m + r) * stride + F
                        z = SUMS + r * WIDE
                        cell(
                            weights, program, layer, S, z, state, base,
                            before + h, after + h, int64(unit),
                        )  # fmt: skip
                w += panel
            units = H
            before, after = after, before
            if not last:
                for m in range(count):
                    y = target + (t * count + m) * out
                    for n in range(0, H, LANES):
                        store(S, y + n, load(S, before + m * stride + F + n))
        for m in range(count):
            h = slots[first + m] * row_size + hidden
            for n in range(0, H, LANES):
                value = load(S, before + m * stride + F + n)
                store(state, h + n, value)
                if last:
                    store(S, target + m * out + n, value)
            clear_padding(state, h, H)

    return run


_lstm_one_stream = _one_stream(WIDE, _lstm_panel, _lstm_one, _lstm_pair, _lstm_cell)
_lstm_streams = _streams(WIDE, _lstm_panel, _lstm_cell)
_gru_one_stream = _one_stream(THREE, _gru_panel, _gru_one, _gru_pair, _gru_cell)
_gru_streams = _streams(THREE, _gru_panel, _gru_cell)


@by_address
def lstm_rows(task, layer, group, rows):
    """Advance a group of streams through a plain LSTM by all rows of a sequence.

    Where the initial state is zero, the first step adds no products with h: they would be zeros.
    """
    weights, program, state, slots, S = arrays(task, group)
    first, count, source, target = span(group)
    streams = int64s_at(group, layout.GROUP_SIZE)
    if count == 1:
        _lstm_one_stream(weights, program, layer, state, slots[first], S, source, target, rows)
    else:
        _lstm_streams(weights, program, layer, state, slots, first, count, S, source, target, rows)
    streams[layout.GROUP_ROWS] = int64(1) if program[layer + layout.ROWS_FLAG] else rows


@by_address
def gru_rows(task, layer, group, rows):
    """Advance a group of streams through a GRU whose reset gate acts after the product."""
    weights, program, state, slots, S = arrays(task, group)
    first, count, source, target = span(group)
    streams = int64s_at(group, layout.GROUP_SIZE)
    if count == 1:
        _gru_one_stream(weights, program, layer, state, slots[first], S, source, target, rows)
    else:
        _gru_streams(weights, program, layer, state, slots, first, count, S, source, target, rows)
    streams[layout.GROUP_ROWS] = int64(1) if program[layer + layout.ROWS_FLAG] else rows


# The kernel of each KIND.
LAYERS = {layout.LSTM_ROWS: lstm_rows, layout.GRU_ROWS: gru_rows}
