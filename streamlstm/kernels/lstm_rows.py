"""The kernel of a plain LSTM over the rows of a window: all steps of a group in one call.

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
from .products import TILE, WIDE, wide_panel
from .recurrent import clear_padding
from .recurrent_single import is_paired
from .simd import LANES, load, load_first, store, store_first

ROWS = 4 * TILE  # whose inputs are multiplied together; there is room for GROUP of them

# One stream, one or two panels; the sums start with what the product of the inputs has left.
_ALL = [[(n, n) for n in range(layout.COLUMNS)]]
_one = product_tile(1, _ALL, outer=True)
_pair = product_tile(1, _ALL, 2, outer=True)


@by_address
def lstm_rows(task, layer, group, rows):
    """Advance a group of streams through a plain LSTM by all rows of a sequence.

    Where the initial state is zero, the first step adds no products with h: they would be zeros.
    """
    weights, program, state, slots, S = arrays(task, group)
    first, count, source, target = span(group)
    streams = int64s_at(group, layout.GROUP_SIZE)
    if count == 1:
        _one_stream(weights, program, layer, state, slots[first], S, source, target, rows)
    else:
        _streams(weights, program, layer, state, slots, first, count, S, source, target, rows)
    streams[layout.GROUP_ROWS] = int64(1) if program[layer + layout.ROWS_FLAG] else rows


@inlined
def _one_stream(weights, program, layer, state, slot, S, source, target, rows):
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    spacing, out = program[layer + layout.ROWS_IN], program[layer + layout.ROWS_OUT]
    one, zero = program[layer + layout.ROWS_FLAG], program[layer + layout.ROWS_ZERO]
    base = slot * program[layout.ROW_SIZE]
    h, c = base + program[layer + layout.HIDDEN], base + program[layer + layout.CELL]
    panel = WIDE + (F + H) * WIDE
    panels = (H + LANES - 1) // LANES
    sums = ROWS_AT + 2 * GROUP * program[layout.STRIDE]
    size = panels * WIDE
    width = int64(2) if is_paired(panel) else int64(1)
    runs = (panels + width - 1) // width
    padded = panels * LANES
    current = int64(ROWS_AT)
    for n in range(0, H, LANES):
        store(S, current + n, load(state, h + n))
    for t in range(rows):
        place = t % ROWS
        if place == 0:
            w, z = program[layer + layout.WEIGHTS], sums
            taken = min(int64(ROWS), rows - t)
            for _panel in range(panels):
                wide_panel(S, source + t * spacing, spacing, weights, w, F, S, z, size, taken)
                w, z = w + panel, z + WIDE
        # Only the last row is returned, or each of them is where the next step reads it.
        after = ROWS_AT + padded * (1 + (t & 1)) if one else target + t * out
        for n in range(runs):
            # There and back, as in a step: the weights that were used last are in the cache.
            begin = (runs - 1 - n if t & 1 else n) * width
            z = sums + place * size + begin * WIDE
            w = program[layer + layout.WEIGHTS] + begin * panel + (1 + F) * WIDE
            unit = begin * LANES
            if width == 2 and unit + LANES < H:
                if t > 0 or not zero:
                    _pair(S, current, S, current, 1, weights, w, 0, WIDE, panel, H, 0, S, z, WIDE)
                lstm_cell(S, z + WIDE, state, c + unit + LANES, S, after + unit + LANES)
            elif t > 0 or not zero:
                _one(S, current, S, current, 1, weights, w, 0, WIDE, panel, H, 0, S, z, WIDE)
            lstm_cell(S, z, state, c + unit, S, after + unit)
        current = after
    for n in range(0, H, LANES):
        hidden = load(S, current + n)
        store(state, h + n, hidden)
        if one:
            store(S, target + n, hidden)
    clear_padding(state, h, H)


@inlined
def _streams(weights, program, layer, state, slots, first, count, S, source, target, rows):
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    spacing, out = program[layer + layout.ROWS_IN], program[layer + layout.ROWS_OUT]
    stride, row_size = program[layout.STRIDE], program[layout.ROW_SIZE]
    one = program[layer + layout.ROWS_FLAG]
    hidden, cell = program[layer + layout.HIDDEN], program[layer + layout.CELL]
    panel = WIDE + (F + H) * WIDE
    # Inputs and behind them h, which begins on a cache line.
    current = ROWS_AT + (F + PAD - 1) // PAD * PAD - F
    after = current + GROUP * stride
    for m in range(count):
        h = slots[first + m] * row_size + hidden
        for n in range(0, H, LANES):
            store(S, current + m * stride + F + n, load(state, h + n))
    K = F if program[layer + layout.ROWS_ZERO] else F + H
    for t in range(rows):
        for m in range(count):
            place = source + (t * count + m) * spacing
            for n in range(0, F, LANES):
                store_first(S, current + m * stride + n, load_first(S, place + n, F - n), F - n)
        w = program[layer + layout.WEIGHTS]
        for unit in range(0, H, LANES):
            for m in range(0, count, TILE):
                tile = min(int64(TILE), count - m)
                a = current + m * stride
                wide_panel(S, a, stride, weights, w, K, S, int64(SUMS), int64(WIDE), tile)
                for r in range(tile):
                    c = slots[first + m + r] * row_size + cell + unit
                    y = after + (m + r) * stride + F + unit
                    lstm_cell(S, SUMS + r * WIDE, state, c, S, y)
            w += panel
        K = F + H
        current, after = after, current
        if not one:
            for m in range(count):
                y = target + (t * count + m) * out
                for n in range(0, H, LANES):
                    store(S, y + n, load(S, current + m * stride + F + n))
    for m in range(count):
        h = slots[first + m] * row_size + hidden
        for n in range(0, H, LANES):
            value = load(S, current + m * stride + F + n)
            store(state, h + n, value)
            if one:
                store(S, target + m * out + n, value)
        clear_padding(state, h, H)


# The kernel of each KIND.
LAYERS = {layout.LSTM_ROWS: lstm_rows}
