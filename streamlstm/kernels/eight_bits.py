"""The plain LSTM with weights and inputs of 8 bits, whose products are added four at a time.

Weights have a scale for each output and matrix. Of each stream and step the inputs have one scale
and the hidden state has another, that of their largest magnitude; both are rounded to 255 levels.
Sums are integers, and exact: they are the same however a stream is stepped, bit for bit. Only for
processors that have the instruction (``simd.BYTES``).

Where the first factor of a product is unsigned, inputs are shifted by 128, and sums start with -128
times the sum of their weights (``narrow.SHIFT``).
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import int64, types
from numba.core import cgutils
from numba.extending import intrinsic

from . import layout, narrow, simd
from .activations import absolute
from .arguments import SUMS, arrays, span
from .cache import by_address, inlined, internal
from .cells import lstm_cell
from .layout import COLUMNS
from .narrow import store_bytes
from .pointers import int64s_at
from .prefetching import prefetch_units
from .products import TILE, WIDE, is_paired
from .recurrent import store_hidden
from .simd import LANES, largest, load, load_first, maximum, nearest, splat

f32 = np.float32

# A panel: biases, then for the inputs and for the hidden state where sums start, and scales; then
# rows of weights of four inputs each.
BIAS, START, SCALE, ROWS = 0, 1, 2, 5  # in rows of sums; those of the hidden state are two behind
LEVELS = f32(127.0)


def _tile(rows: int, panels: int = 1) -> Any:
    """Make the intrinsic that multiplies a tile of streams with one panel or two.

    ``tile(A, a, stride, W, w, panel_stride, K0, K1, Z, z)``: the K0 words of a row's inputs start
    at ``A[a + row * stride]``, the K1 of its hidden state follow; its last two floats are their
    scales. Row r of panel p goes to ``Z[z + (p * rows + r) * WIDE]``.
    """

    @intrinsic
    def tile(
        _typing: Any,
        A: Any,
        a: Any,
        stride: Any,
        W: Any,
        w: Any,
        panel_stride: Any,
        K0: Any,
        K1: Any,
        Z: Any,
        z: Any,
    ) -> Any:
        integer = types.intp
        signature = types.void(
            A, integer, integer, W, integer, integer, integer, integer, Z, integer
        )

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _emit(context, builder, signature.args, args, rows, panels)
            return context.get_dummy_value()

        return signature, emit

    return tile


def _emit(context: Any, builder: Any, kinds: Any, args: Any, rows: int, panels: int) -> None:
    """Emit the code of a tile: the inputs' sums, then those of the hidden state on top of them."""
    A, a, stride, W, w, panel_stride, K0, K1, Z, z = args

    def number(value: int) -> Any:
        return ir.Constant(a.type, value)

    def moved(pointer: Any, *parts: Any) -> Any:
        for part in parts:
            pointer = builder.gep(pointer, [number(part) if isinstance(part, int) else part])
        return pointer

    start = simd.element_pointer(context, builder, kinds[0], A, a)
    inputs = [moved(start, builder.mul(stride, number(r))) for r in range(rows)]
    scales = [moved(row, stride, -2) for row in inputs]
    start = simd.element_pointer(context, builder, kinds[3], W, w)
    weights = [moved(start, builder.mul(panel_stride, number(p))) for p in range(panels)]
    target = simd.element_pointer(context, builder, kinds[8], Z, z)
    places = [
        (p, r, column) for p in range(panels) for r in range(rows) for column in range(COLUMNS)
    ]
    sums = {place: cgutils.alloca_once(builder, simd.INTEGERS) for place in places}

    def part_of(p: int, row: int, column: int) -> Any:
        return simd.emit_load(builder, moved(weights[p], row * WIDE + column * LANES))

    first = [moved(panel, ROWS * WIDE) for panel in weights]
    for phase, length in enumerate((K0, K1)):
        for p, r, column in places:
            begin = part_of(p, START + 2 * phase, column)
            builder.store(builder.bitcast(begin, simd.INTEGERS), sums[p, r, column])
        with cgutils.for_range(builder, length) as loop:
            row = builder.mul(loop.index, number(WIDE))
            vectors = {
                (p, column): simd.emit_load(builder, moved(first[p], row, column * LANES))
                for p in range(panels)
                for column in range(COLUMNS)
            }
            for r in range(rows):
                four = simd.emit_splat(builder, builder.load(moved(inputs[r], loop.index)))
                for p in range(panels):
                    for column in range(COLUMNS):
                        place = sums[p, r, column]
                        total = builder.load(place)
                        total = narrow.emit_bytes(builder, four, vectors[p, column], total)
                        builder.store(total, place)
        inputs = [moved(row, length) for row in inputs]
        first = [moved(panel, builder.mul(length, number(WIDE))) for panel in first]
        for p in range(panels):
            for column in range(COLUMNS):
                scale, bias = part_of(p, SCALE + 2 * phase, column), part_of(p, BIAS, column)
                for r in range(rows):
                    out = moved(target, (p * rows + r) * WIDE + column * LANES)
                    total = builder.sitofp(builder.load(sums[p, r, column]), simd.VECTOR)
                    own = simd.emit_splat(builder, builder.load(moved(scales[r], phase)))
                    base = simd.emit_load(builder, out) if phase else bias
                    value = simd.emit_fma(builder, total, builder.fmul(own, scale), base)
                    simd.emit_store(builder, value, out)


_six, _four, _two, _one = (_tile(rows) for rows in (6, 4, 2, 1))
_one_of_two = _tile(1, panels=2)


@inlined
def _round(source, start, count, S, target, scale):
    """Round ``count`` floats to bytes at ``S[target]``, and write their scale to ``S[scale]``."""
    whole, tops = count // LANES * LANES, splat(f32(0.0))
    rest = load_first(source, start + whole, count - whole)
    for n in range(0, whole, LANES):
        tops = maximum(tops, absolute(load(source, start + n)))
    top = largest(maximum(tops, absolute(rest)))
    S[scale] = top / LEVELS
    factor = splat(LEVELS / top if top > f32(0.0) else f32(0.0))
    for n in range(0, whole, LANES):
        store_bytes(S, target + n // 4, nearest(load(source, start + n) * factor))
    store_bytes(S, target + whole // 4, nearest(rest * factor))


@inlined
def _round_rows(program, layer, rows, slots, first, count, S, a):
    """Round inputs and hidden states of a group; return how many words each of them takes."""
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    K0 = (F + 3) // 4
    for m in range(count):
        row = a + m * stride
        h = slots[first + m] * row_size + program[layer + layout.HIDDEN]
        end = row + stride
        _round(S, row, F, S, row, end - 2)
        _round(rows, h, H, S, row + K0, end - 1)
    return K0, (H + 3) // 4


@internal
def _panel(A, a, stride, weights, w, K0, K1, Z, z, rows):
    """Multiply up to six streams with one panel: ``Z[z + row * WIDE]`` gets the sums."""
    if rows == TILE:
        _six(A, a, stride, weights, w, 0, K0, K1, Z, z)
        return
    if rows >= 4:
        _four(A, a, stride, weights, w, 0, K0, K1, Z, z)
        rows, a, z = rows - 4, a + 4 * stride, z + 4 * WIDE
    if rows >= 2:
        _two(A, a, stride, weights, w, 0, K0, K1, Z, z)
        rows, a, z = rows - 2, a + 2 * stride, z + 2 * WIDE
    if rows == 1:
        _one(A, a, stride, weights, w, 0, K0, K1, Z, z)


@by_address
def lstm_bytes(task, layer, group, _):
    """Advance ``count`` streams through a plain LSTM with weights of 8 bits."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    z = int64(SUMS)
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    H, c = program[layer + layout.UNITS], program[layer + layout.CELL]
    w = program[layer + layout.WEIGHTS]
    K0, K1 = _round_rows(program, layer, rows, slots, first, count, S, a)
    for unit in range(0, H, LANES):
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            prefetch_units(task, group, program, layer, m, tile, unit)
            _panel(S, a + m * stride, stride, weights, w, K0, K1, S, z, tile)
            for r in range(tile):
                cell = slots[first + m + r] * row_size + c + unit
                lstm_cell(S, z + r * WIDE, rows, cell, S, o + (m + r) * stride + unit)
        w += (ROWS + K0 + K1) * WIDE
    store_hidden(program, layer, rows, slots, first, count, S, o)


@by_address
def lstm_bytes_single(task, layer, group, _):
    """Advance a stream through a plain LSTM with weights of 8 bits."""
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    parity = int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_PARITY]
    H, stride = program[layer + layout.UNITS], program[layout.STRIDE]
    c = slots[first] * program[layout.ROW_SIZE] + program[layer + layout.CELL]
    K0, K1 = _round_rows(program, layer, rows, slots, first, count, S, a)
    panel = (ROWS + K0 + K1) * WIDE
    panels = (H + LANES - 1) // LANES
    z = int64(SUMS)
    width = 2 if is_paired(panel) else 1
    runs = (panels + width - 1) // width
    for n in range(runs):
        run = runs - 1 - n if parity else n  # there and back, as lstm_single
        unit = run * width * LANES
        w = program[layer + layout.WEIGHTS] + run * width * panel
        if width == 2 and unit + LANES < H:
            _one_of_two(S, a, stride, weights, w, panel, K0, K1, S, z)
            lstm_cell(S, z + WIDE, rows, c + unit + LANES, S, o + unit + LANES)
        else:
            _one(S, a, stride, weights, w, 0, K0, K1, S, z)
        lstm_cell(S, z, rows, c + unit, S, o + unit)
    store_hidden(program, layer, rows, slots, first, count, S, o)
