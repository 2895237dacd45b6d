"""Transposition in registers: columns of some rows of memory side by side, and back.

A block is LANES rows of LANES floats. Rows are given by their addresses, which need not be in any
order.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import LANES, VECTOR, element_pointer, emit_load, emit_store, emit_store_first

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


@intrinsic
def scatter_first_columns(
    _typing: Any, rows: Any, column: Any, S: Any, place: Any, stride: Any, count: Any
) -> Any:
    """Copy the first ``count`` of such vectors back; the others are read, and written nowhere."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = element_pointer(context, builder, signature.args[2], args[2], args[3])
        loaded = [emit_load(builder, p) for p in _inside(builder, start, args[4])]
        addresses = _outside(context, builder, signature.args[0], args[0], args[1])
        for vector, address in zip(_transposed(builder, loaded), addresses, strict=True):
            emit_store_first(builder, vector, address, args[5])
        return context.get_dummy_value()

    return types.void(rows, types.int64, S, types.int64, types.int64, types.int64), emit
