"""Transposition in registers: columns of some rows of memory side by side, and back.

A block is LANES rows of LANES floats. Rows are given by their addresses, which need not be in any
order.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .layout import PAD
from .simd import FLOAT, LANES, VECTOR, element_pointer, emit_load, emit_store

_WORD, _INT = ir.IntType(64), ir.IntType(32)


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Emit the transposition of LANES vectors: blocks of 1, 2, 4 ... are exchanged in turn."""
    distance = 1
    while distance < LANES:
        low = [n if not n & distance else LANES + n - distance for n in range(LANES)]
        high = [n + distance if not n & distance else LANES + n for n in range(LANES)]
        places = [ir.Constant(ir.VectorType(_INT, LANES), p) for p in (low, high)]
        exchanged = list(rows)
        for n in range(LANES):
            if not n & distance:
                pair = rows[n], rows[n + distance]
                exchanged[n] = builder.shuffle_vector(*pair, places[0])
                exchanged[n + distance] = builder.shuffle_vector(*pair, places[1])
        rows, distance = exchanged, 2 * distance
    return rows


def _outside(context: Any, builder: Any, kind: Any, array: Any, column: Any) -> list[Any]:
    """Emit the addresses of ``column`` in LANES rows, whose addresses are in an int64 array."""
    data = context.make_array(kind)(context, builder, array).data
    byte = builder.mul(column, ir.Constant(_WORD, 4))
    found = []
    for n in range(LANES):
        row = builder.load(builder.gep(data, [ir.Constant(_WORD, n)]))
        found.append(builder.inttoptr(builder.add(row, byte), VECTOR.as_pointer()))
    return found


def _inside(builder: Any, start: Any, stride: Any) -> list[Any]:
    """Emit the addresses of LANES vectors, ``stride`` floats apart."""
    places = [builder.mul(stride, ir.Constant(_WORD, n)) for n in range(LANES)]
    return [builder.gep(start, [place]) for place in places]


@intrinsic
def gather_columns(_typing: Any, rows: Any, column: Any, S: Any, place: Any, stride: Any) -> Any:
    """Copy LANES columns of LANES rows, from ``column`` on, to vectors of S, one a column.

    ``rows`` are the rows' addresses, int64[LANES]; the vectors are ``S[place + n * stride]``.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        addresses = _outside(context, builder, signature.args[0], args[0], args[1])
        loaded = [builder.load(address, align=4) for address in addresses]
        start = element_pointer(context, builder, signature.args[2], args[2], args[3])
        for vector, pointer in zip(
            _transposed(builder, loaded), _inside(builder, start, args[4]), strict=True
        ):
            emit_store(builder, vector, pointer)
        return context.get_dummy_value()

    return types.void(rows, types.int64, S, types.int64, types.int64), emit


@intrinsic
def scatter_columns(_typing: Any, rows: Any, column: Any, S: Any, place: Any, stride: Any) -> Any:
    """Copy such vectors back to the columns of their rows."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = element_pointer(context, builder, signature.args[2], args[2], args[3])
        loaded = [emit_load(builder, p) for p in _inside(builder, start, args[4])]
        addresses = _outside(context, builder, signature.args[0], args[0], args[1])
        for vector, address in zip(_transposed(builder, loaded), addresses, strict=True):
            builder.store(vector, address, align=4)
        return context.get_dummy_value()

    return types.void(rows, types.int64, S, types.int64, types.int64), emit


def _sums(builder: Any, vectors: list[Any]) -> Any:
    """Emit the sum of each vector of ``len(vectors)`` numbers, by halves; all in one vector.

    Of two vectors what is left of one becomes one half, what is left of the other the other half.
    """
    width = PAD  # of what is left of each
    while len(vectors) > 1:
        half, width = len(vectors) // 2, width // 2
        low = [
            which + start + n
            for start in range(0, PAD, 2 * width)
            for which in (0, PAD)
            for n in range(width)
        ]
        kind = ir.VectorType(_INT, PAD)
        first, second = (ir.Constant(kind, [n + more for n in low]) for more in (0, width))
        vectors = [
            builder.fadd(
                builder.shuffle_vector(vectors[n], vectors[n + half], first),
                builder.shuffle_vector(vectors[n], vectors[n + half], second),
            )
            for n in range(half)
        ]
    return vectors[0]


@intrinsic
def add_lines(_typing: Any, S: Any, lines: Any, place: Any) -> Any:
    """Add the sums of the PAD cache lines from ``S[lines]`` on to the line at ``S[place]``.

    Each is summed by halves: number n and number n + PAD / 2, and so on.
    """
    line = ir.VectorType(FLOAT, PAD).as_pointer()

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def at(offset: Any) -> Any:
            pointer = element_pointer(context, builder, signature.args[0], args[0], offset)
            return builder.bitcast(pointer, line)

        places = [builder.add(args[1], ir.Constant(_WORD, n * PAD)) for n in range(PAD)]
        total = _sums(builder, [builder.load(at(n), align=4) for n in places])
        target = at(args[2])
        builder.store(builder.fadd(total, builder.load(target, align=4)), target, align=4)
        return context.get_dummy_value()

    return types.void(S, types.int64, types.int64), emit
