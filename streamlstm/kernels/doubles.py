"""Eight float64 as a Numba type, read from and written to float32; simd.py has vectors of float32.

There are eight on every machine, in as many registers as that takes; each is computed separately.
"""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

from .simd import element_pointer

EIGHT = 8
_INT, _WORD = ir.IntType(32), ir.IntType(64)
_DOUBLES, _FLOATS = ir.VectorType(ir.DoubleType(), EIGHT), ir.VectorType(ir.FloatType(), EIGHT)


class _DoublesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float64x{EIGHT}")


Doubles = _DoublesType()


@register_model(_DoublesType)
class _DoublesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, doubles: Any) -> None:
        super().__init__(manager, doubles, _DOUBLES)


def _emit_pack(builder: Any, numbers: list[Any]) -> Any:
    vector = ir.Constant(_DOUBLES, ir.Undefined)
    for n, number in enumerate(numbers):
        vector = builder.insert_element(vector, number, ir.Constant(_INT, n))
    return vector


@intrinsic
def pack(_typing: Any, numbers: Any) -> Any:
    """Return the eight numbers of a tuple of float64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _emit_pack(builder, [builder.extract_value(args[0], n) for n in range(EIGHT)])

    return Doubles(numbers), emit


@intrinsic
def eight_times(_typing: Any, number: Any) -> Any:
    """Return eight numbers that are all this float64."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return _emit_pack(builder, [args[0]] * EIGHT)

    return Doubles(types.float64), emit


@intrinsic
def load_eight(_typing: Any, array: Any, offset: Any) -> Any:
    """``array[offset : offset + 8]``, float32, as float64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = element_pointer(context, builder, signature.args[0], *args)
        floats = builder.load(builder.bitcast(place, _FLOATS.as_pointer()), align=4)
        return builder.fpext(floats, _DOUBLES)

    return Doubles(array, types.intp), emit


@intrinsic
def store_eight(_typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """``array[offset : offset + 8] = value``, rounded to float32."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = element_pointer(context, builder, signature.args[0], args[0], args[1])
        floats = builder.fptrunc(args[2], _FLOATS)
        builder.store(floats, builder.bitcast(place, _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, Doubles), emit


def _place(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), _DOUBLES.as_pointer())


@intrinsic
def load_doubles(_typing: Any, array: Any, offset: Any) -> Any:
    """``array[offset : offset + 8]``, float64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, signature.args[0], *args), align=8)

    return Doubles(array, types.intp), emit


@intrinsic
def store_doubles(_typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """``array[offset : offset + 8] = value``, float64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _place(context, builder, signature.args[0], args[0], args[1])
        builder.store(args[2], place, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, Doubles), emit


@intrinsic
def store_each(_typing: Any, array: Any, offset: Any, stride: Any, value: Any) -> Any:
    """Write the numbers to ``array``, rounded to float32, ``stride`` elements apart."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = element_pointer(context, builder, signature.args[0], args[0], args[1])
        floats = builder.fptrunc(args[3], _FLOATS)
        for n in range(EIGHT):
            number = builder.extract_element(floats, ir.Constant(_INT, n))
            builder.store(number, builder.gep(place, [builder.mul(args[2], _WORD(n))]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, Doubles), emit


@intrinsic
def numbers_of(_typing: Any, value: Any) -> Any:
    """Return the eight numbers as a tuple of float64."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers = [builder.extract_element(args[0], ir.Constant(_INT, n)) for n in range(EIGHT)]
        return context.make_tuple(builder, signature.return_type, numbers)

    return types.UniTuple(types.float64, EIGHT)(Doubles), emit


def _operator(sign: Any, name: str) -> None:
    @intrinsic
    def function(_typing: Any, a: Any, b: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return getattr(builder, name)(*args)

        return Doubles(Doubles, Doubles), emit

    @overload(sign)
    def choose(a, b):  # numba compares signatures: no annotations here
        if isinstance(a, _DoublesType) and isinstance(b, _DoublesType):
            return lambda a, b: function(a, b)
        return None


for _sign, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _operator(_sign, _name)
