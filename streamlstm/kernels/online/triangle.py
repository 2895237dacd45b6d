"""Rows of a symmetric matrix whose lower triangle is packed, in registers: products and updates.

Row ``i`` begins at ``P + i (i + 1) / 2``. Rows are taken in groups of 16, 4 or 1, a cache line of
columns at a time; a group begins at a multiple of its size and so does not reach into two lines on
the diagonal. Each sum is taken in an order that the width of the machine's vectors does not change:
LLVM makes vectors of 16 lanes of what the machine has.

Of the lines on the diagonal only what belongs to a row is read and written. All those of a group
are read before the first is written, as the last of a row reaches into the next row: a processor
would wait there for each store.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..layout import PAD
from ..simd import FLOAT, element_pointer

LINE = ir.VectorType(FLOAT, PAD)
_WORD, _INT = ir.IntType(64), ir.IntType(32)
_LANES = ir.VectorType(_INT, PAD)
_ZEROS = ir.Constant(LINE, [0.0] * PAD)
_CHAINS = 4  # partial sums, so that no product waits for the one before


def _number(n: int) -> ir.Constant:
    return ir.Constant(_WORD, n)


def _splat(builder: Any, scalar: Any, kind: Any = LINE) -> Any:
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_LANES, [0] * PAD))


def _below(builder: Any, count: Any) -> Any:
    """Emit a mask of the lanes below ``count``."""
    counts = _splat(builder, builder.trunc(count, _INT), _LANES)
    return builder.icmp_signed("<", ir.Constant(_LANES, list(range(PAD))), counts)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(LINE, [LINE] * 3)
    name = f"llvm.fma.v{PAD}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


def _sum(builder: Any, vectors: list[Any]) -> Any:
    """Emit the sum of some vectors, in pairs."""
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [builder.fadd(a, b) for a, b in pairs]
    return vectors[0]


def _sums(builder: Any, vectors: list[Any]) -> Any:
    """Emit the sums of R vectors, by halves: number n modulo R in lane n.

    Of two vectors what is left of one becomes one half, what is left of the other the other half.
    """
    R, width = len(vectors), PAD  # width: of what is left of each
    while width > 1:
        half, width = len(vectors) // 2, width // 2
        other = PAD if half else 0
        low = [
            which + start + n
            for start in range(0, PAD, 2 * width)
            for which in (0, other)
            for n in range(width)
        ]
        first, second = (ir.Constant(_LANES, [n + more for n in low]) for more in (0, width))
        vectors = [
            builder.fadd(
                builder.shuffle_vector(vectors[n], vectors[n + half], first),
                builder.shuffle_vector(vectors[n], vectors[n + half], second),
            )
            for n in range(max(half, 1))
        ]
    places = ir.Constant(_LANES, [n % R * (PAD // R) for n in range(PAD)])
    return builder.shuffle_vector(vectors[0], vectors[0], places)


class _Rows:
    """Rows ``i`` to ``i + R - 1``: where they begin, and what lies on the diagonal."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any, R: int) -> None:
        self.R, self._context, self._builder = R, context, builder
        (self._S, self._W), (kind_S, kind_W) = (args[0], args[2]), signature.args[::2][:2]
        self._kinds = {id(self._S): kind_S, id(self._W): kind_W}
        i = args[-1]
        self.lines = builder.lshr(i, _number(PAD.bit_length() - 1))  # left of the diagonal
        self.first = builder.and_(i, _number(PAD - 1))  # row in the line on it
        triangle = builder.lshr(builder.mul(i, builder.add(i, _number(1))), _number(1))
        self._starts = [builder.add(args[1], triangle)]
        for r in range(1, R):
            size = builder.add(i, _number(r))
            self._starts.append(builder.add(self._starts[-1], size))

    def _pointer(self, array: Any, offset: Any, kind: Any) -> Any:
        array_kind = self._kinds[id(array)]
        pointer = element_pointer(self._context, self._builder, array_kind, array, offset)
        return self._builder.bitcast(pointer, kind.as_pointer())

    def working(self, start: Any, line: Any) -> Any:
        """Emit the address of a line of the working memory."""
        offset = self._builder.add(start, self._builder.mul(line, _number(PAD)))
        return self._pointer(self._W, offset, LINE)

    def spread(self, start: Any, r: int) -> Any:
        """Emit a vector with the number of row ``r`` of those at ``start`` in every lane."""
        offset = self._builder.add(start, _number(r))
        return _splat(self._builder, self._builder.load(self._pointer(self._W, offset, FLOAT)))

    def at(self, r: int, line: Any) -> Any:
        """Emit the address of a line of row ``r``."""
        offset = self._builder.add(self._starts[r], self._builder.mul(line, _number(PAD)))
        return self._pointer(self._S, offset, LINE)

    def own(self, r: int, diagonal: bool = True) -> Any:
        """Emit a mask of the part of the line on the diagonal that is below it, or on it."""
        return _below(self._builder, self._builder.add(self.first, _number(r + diagonal)))

    def load_last(self, r: int) -> Any:
        """Emit a load of the line on the diagonal."""
        place, mask = self.at(r, self.lines), self.own(r)
        kind = ir.FunctionType(LINE, [place.type, _INT, mask.type, LINE])
        name = f"llvm.masked.load.v{PAD}f32.p0"
        function = cgutils.get_or_insert_function(self._builder.module, kind, name)
        return self._builder.call(function, [place, ir.Constant(_INT, 4), mask, _ZEROS])

    def store_last(self, r: int, value: Any) -> None:
        """Emit a store of it."""
        place, mask = self.at(r, self.lines), self.own(r)
        kind = ir.FunctionType(ir.VoidType(), [LINE, place.type, _INT, mask.type])
        name = f"llvm.masked.store.v{PAD}f32.p0"
        function = cgutils.get_or_insert_function(self._builder.module, kind, name)
        self._builder.call(function, [value, place, ir.Constant(_INT, 4), mask])


def _load(builder: Any, place: Any) -> Any:
    return builder.load(place, align=4)


def _add_to(builder: Any, place: Any, value: Any) -> None:
    builder.store(builder.fadd(_load(builder, place), value), place, align=4)


def _products(R: int) -> Any:
    """Return what adds the products of R rows with ``W[phi]`` to ``W[k]``; rows above were before.

    Of groups of fewer than 16 rows the line on the diagonal has to be zeros before the first.
    """

    @intrinsic
    def add_products(_typing: Any, S: Any, P: Any, W: Any, phi: Any, k: Any, i: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            phi, k, i = args[3:]
            rows, own = _Rows(context, builder, signature, args, R), builder.add(phi, i)
            sums = [cgutils.alloca_once_value(builder, _ZEROS) for _ in range(R)]
            with cgutils.for_range(builder, rows.lines) as loop:
                features = _load(builder, rows.working(phi, loop.index))
                columns = [_ZEROS] * _CHAINS
                for r in range(R):
                    p = _load(builder, rows.at(r, loop.index))
                    builder.store(_fma(builder, p, features, builder.load(sums[r])), sums[r])
                    n = r % _CHAINS
                    columns[n] = _fma(builder, p, rows.spread(own, r), columns[n])
                _add_to(builder, rows.working(k, loop.index), _sum(builder, columns))
            features, columns, ends = _load(builder, rows.working(phi, rows.lines)), [], []
            columns = [_ZEROS] * _CHAINS
            for r in range(R):
                p = rows.load_last(r)
                ends.append(_fma(builder, p, features, builder.load(sums[r])))
                below, n = builder.select(rows.own(r, False), p, _ZEROS), r % _CHAINS
                columns[n] = _fma(builder, below, rows.spread(own, r), columns[n])
            of_rows = _sums(builder, ends)
            if R < PAD:
                after = _below(builder, builder.add(rows.first, _number(R)))
                of_rows = builder.select(after, of_rows, _ZEROS)
                of_rows = builder.select(_below(builder, rows.first), _ZEROS, of_rows)
            total, place = (
                builder.fadd(_sum(builder, columns), of_rows),
                rows.working(k, rows.lines),
            )
            if R < PAD:
                total = builder.fadd(_load(builder, place), total)
            builder.store(total, place, align=4)  # whole groups are the first to write to the line
            return context.get_dummy_value()

        return types.void(S, types.int64, W, types.int64, types.int64, types.int64), emit

    return add_products


def _updates(R: int) -> Any:
    """Return what replaces R rows of P by ``factor (P + u k^T)``.

    The line at ``W[most]`` then has no number that is less than that above it in these rows' lines
    on the diagonal.
    """

    @intrinsic
    def update(
        _typing: Any, S: Any, P: Any, W: Any, u: Any, k: Any, most: Any, factor: Any, i: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            u, k, most, factor, i = args[3:]
            rows, own = _Rows(context, builder, signature, args, R), builder.add(u, i)
            grown = _splat(builder, factor)

            def reduced(p: Any, r: int, gains: Any) -> Any:
                return builder.fmul(_fma(builder, rows.spread(own, r), gains, p), grown)

            last = [rows.load_last(r) for r in range(R)]
            with cgutils.for_range(builder, rows.lines) as loop:
                gains = _load(builder, rows.working(k, loop.index))
                for r in range(R):
                    place = rows.at(r, loop.index)
                    builder.store(reduced(_load(builder, place), r, gains), place, align=4)
            gains = _load(builder, rows.working(k, rows.lines))
            last = [reduced(p, r, gains) for r, p in enumerate(last)]
            place = rows.working(most, _number(0))
            largest = [_load(builder, place), *[_ZEROS] * (_CHAINS - 1)]
            for r, p in enumerate(last):
                rows.store_last(r, p)
                n = r % _CHAINS
                more = builder.fcmp_ordered(">", p, largest[n])
                largest[n] = builder.select(more, p, largest[n])
            while len(largest) > 1:
                more = builder.fcmp_ordered(">", largest[0], largest[-1])
                largest = [builder.select(more, largest[0], largest[-1]), *largest[1:-1]]
            builder.store(largest[0], place, align=4)
            return context.get_dummy_value()

        kinds = (types.int64,) * 4
        return types.void(S, types.int64, W, *kinds[:3], types.float32, types.int64), emit

    return update


add_16_products, add_4_products, add_product = (_products(R) for R in (16, 4, 1))
update_16, update_4, update_1 = (_updates(R) for R in (16, 4, 1))
