"""The plain LSTM with weights and inputs of bfloat16, whose products are added two at a time.

A row of inputs and hidden state is rounded in its place: two numbers stand where one stood. Both
kernels add the products of a stream in the same order, so that their results are the same, bit for
bit. Only for processors that have the instruction (``simd.PAIRS``).
"""

from numba import int64

from . import layout
from .arguments import SUMS, arrays, span
from .cache import by_address, inlined, internal
from .cells import lstm_cell
from .matmul import product_tile
from .narrow import store_bfloat16
from .pointers import int64s_at
from .prefetching import prefetch_units
from .products import TILE, WIDE, is_paired
from .recurrent import load_hidden, store_hidden
from .simd import LANES, load, load_first

_ALL = [[(n, n) for n in range(layout.COLUMNS)]]
_six, _four, _two, _one = (product_tile(rows, _ALL, storage="pairs") for rows in (6, 4, 2, 1))
_one_of_two = product_tile(1, _ALL, panels=2, storage="pairs")


@inlined
def _round_rows(S, a, stride, K, count):
    """Round K floats of each row to bfloat16; behind an odd one stands a zero."""
    for m in range(count):
        row = a + m * stride
        for n in range(0, K, LANES):
            value = load(S, row + n) if n + LANES <= K else load_first(S, row + n, K - n)
            store_bfloat16(S, row + n // 2, value)


@internal
def _panel(A, a, stride, weights, w, K, Z, z, rows):
    """Multiply up to six streams with one panel: ``Z[z + row * WIDE]`` gets the sums."""
    if rows == TILE:
        _six(A, a, A, a, stride, weights, w, WIDE, WIDE, 0, K, 0, Z, z, WIDE)
        return
    if rows >= 4:
        _four(A, a, A, a, stride, weights, w, WIDE, WIDE, 0, K, 0, Z, z, WIDE)
        rows, a, z = rows - 4, a + 4 * stride, z + 4 * WIDE
    if rows >= 2:
        _two(A, a, A, a, stride, weights, w, WIDE, WIDE, 0, K, 0, Z, z, WIDE)
        rows, a, z = rows - 2, a + 2 * stride, z + 2 * WIDE
    if rows == 1:
        _one(A, a, A, a, stride, weights, w, WIDE, WIDE, 0, K, 0, Z, z, WIDE)


@by_address
def lstm_pairs(task, layer, group, _):
    """Advance ``count`` streams through a plain LSTM with weights of bfloat16, in pairs."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    z = int64(SUMS)
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    H = program[layer + layout.UNITS]
    c = program[layer + layout.CELL]
    K = program[layer + layout.LAYER_INPUTS] + H
    pairs = (K + 1) // 2
    w = program[layer + layout.WEIGHTS]
    load_hidden(program, layer, rows, slots, first, count, S, a)
    _round_rows(S, a, stride, K, count)
    for unit in range(0, H, LANES):
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            prefetch_units(task, group, program, layer, m, tile, unit)
            _panel(S, a + m * stride, stride, weights, w, pairs, S, z, tile)
            for r in range(tile):
                cell = slots[first + m + r] * row_size + c + unit
                lstm_cell(S, z + r * WIDE, rows, cell, S, o + (m + r) * stride + unit)
        w += (pairs + 1) * WIDE
    store_hidden(program, layer, rows, slots, first, count, S, o)


@by_address
def lstm_pairs_single(task, layer, group, _):
    """Advance a stream through a plain LSTM with weights of bfloat16, in pairs."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    parity = int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_PARITY]
    H = program[layer + layout.UNITS]
    c = slots[first] * program[layout.ROW_SIZE] + program[layer + layout.CELL]
    K = program[layer + layout.LAYER_INPUTS] + H
    pairs = (K + 1) // 2
    panel = (pairs + 1) * WIDE
    panels = (H + LANES - 1) // LANES
    z = int64(SUMS)
    load_hidden(program, layer, rows, slots, first, count, S, a)
    _round_rows(S, a, program[layout.STRIDE], K, count)
    width = 2 if is_paired(panel) else 1
    runs = (panels + width - 1) // width
    for n in range(runs):
        run = runs - 1 - n if parity else n  # there and back, as lstm_single
        unit = run * width * LANES
        w = program[layer + layout.WEIGHTS] + run * width * panel
        if width == 2 and unit + LANES < H:
            _one_of_two(S, a, S, a, 0, weights, w, WIDE, WIDE, panel, pairs, 0, S, z, WIDE)
            lstm_cell(S, z + WIDE, rows, c + unit + LANES, S, o + unit + LANES)
        else:
            _one(S, a, S, a, 0, weights, w, WIDE, WIDE, 0, pairs, 0, S, z, WIDE)
        lstm_cell(S, z, rows, c + unit, S, o + unit)
    store_hidden(program, layer, rows, slots, first, count, S, o)
