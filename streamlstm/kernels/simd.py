"""SIMD vectors of float32 as a Numba type.

``Vector`` is opaque to Numba; underneath it is an LLVM vector of ``LANES`` floats. Arithmetic uses
the ordinary operators and the functions below; each lane is computed separately, in IEEE arithmetic
that LLVM may not reorder, so that a result does not depend on the width of the machine's vectors.
LLVM compiles the same code to AVX2, AVX-512 or NEON.

Arrays are float32 and C-contiguous; an offset counts elements from the first. Bounds are not
checked.
"""

import operator
import platform
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils, codegen
from numba.extending import intrinsic, models, overload, register_model

from .arm import narrow_products


def target() -> tuple[str, str]:
    """Return name and features of the processor that Numba compiles for, in LLVM's notation.

    That is this machine's, unless NUMBA_CPU_NAME and NUMBA_CPU_FEATURES choose another: vectors
    must fit the code that holds them.
    """
    name = binding.get_host_cpu_name() if config.CPU_NAME is None else config.CPU_NAME
    features = config.CPU_FEATURES
    features = codegen.get_host_cpu_features() if features is None else features
    if platform.machine() in ("aarch64", "arm64"):
        features += "," + narrow_products(name, features, binding.get_process_triple())
    return name, features


def lanes(features: str) -> int:
    """Return how many float32 one vector register of such a processor holds: 16, 8 or 4."""
    has = set(features.split(","))
    if "+avx512f" in has:
        return 16
    return 8 if {"+avx2", "+fma"} <= has else 4


def has_pairs(features: str) -> bool:
    """Tell whether such a processor adds products of pairs of bfloat16, in 16 lanes or ARM's 4."""
    return {16: "+avx512bf16", 4: "+bf16"}.get(lanes(features)) in features.split(",")


def has_bytes(features: str) -> bool:
    """Tell whether such a processor adds products of four 8-bit integers, in as many."""
    return {16: "+avx512vnni", 4: "+dotprod"}.get(lanes(features)) in features.split(",")


def has_halves(features: str) -> bool:
    """Tell whether such a processor converts float16, which LLVM cannot do in another way here."""
    return platform.machine() not in ("x86_64", "AMD64") or "+f16c" in features.split(",")


LANES = lanes(target()[1])
PAIRS = has_pairs(target()[1])
BYTES = has_bytes(target()[1])
HALVES = has_halves(target()[1])
FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
INTEGERS = ir.VectorType(ir.IntType(32), LANES)


class _VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


Vector = _VectorType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Any) -> None:
        super().__init__(manager, vector, VECTOR)


def element_pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """Emit the address of element ``offset`` of a C-contiguous float32 array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def emit_load(builder: Any, pointer: Any) -> Any:
    """Emit a load of one vector, aligned to an element only."""
    return builder.load(builder.bitcast(pointer, VECTOR.as_pointer()), align=4)


def emit_store(builder: Any, value: Any, pointer: Any) -> None:
    """Emit a store of one vector, aligned to an element only."""
    builder.store(value, builder.bitcast(pointer, VECTOR.as_pointer()), align=4)


def emit_splat(builder: Any, scalar: Any) -> Any:
    """Emit a vector with ``scalar`` in every lane."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, zeros)


def emit_fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Emit ``a * b + c``, rounded once."""
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(VECTOR, [VECTOR, VECTOR, VECTOR]),
        f"llvm.fma.v{LANES}f32",
    )
    return builder.call(function, [a, b, c])


@intrinsic
def load(_typing: Any, array: Any, offset: Any) -> Any:
    """``array[offset : offset + LANES]`` as a vector."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit_load(builder, element_pointer(context, builder, signature.args[0], *args))

    return Vector(array, types.intp), emit


@intrinsic
def store(_typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """``array[offset : offset + LANES] = value``."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = element_pointer(context, builder, signature.args[0], args[0], args[1])
        emit_store(builder, args[2], pointer)
        return context.get_dummy_value()

    return types.void(array, types.intp, Vector), emit


@intrinsic
def largest(_typing: Any, a: Any) -> Any:
    """Return the largest lane of a vector without signs."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], INTEGERS)  # of such floats they are in the same order
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.IntType(32), [INTEGERS]),
            f"llvm.vector.reduce.umax.v{LANES}i32",
        )
        return builder.bitcast(builder.call(function, [bits]), FLOAT)

    return types.float32(Vector), emit


@intrinsic
def splat(_typing: Any, scalar: Any) -> Any:
    """Return a vector with the float32 ``scalar`` in every lane."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return emit_splat(builder, args[0])

    return Vector(types.float32), emit


@intrinsic
def spread(_typing: Any, array: Any, offset: Any) -> Any:
    """Return a vector with ``array[offset]`` in every lane; a negative offset is none."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit_splat(
            builder, builder.load(element_pointer(context, builder, signature.args[0], *args))
        )

    return Vector(array, types.intp), emit


@intrinsic
def fma(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return emit_fma(builder, *args)

    return Vector(Vector, Vector, Vector), emit


def _binary(emit_operation: Callable[[Any, Any, Any], Any]) -> Any:
    @intrinsic
    def function(_typing: Any, a: Any, b: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return emit_operation(builder, *args)

        return Vector(Vector, Vector), emit

    return function


def _select(comparison: str) -> Any:
    def emit(builder: Any, a: Any, b: Any) -> Any:
        return builder.select(builder.fcmp_ordered(comparison, a, b), a, b)

    return emit


minimum = _binary(_select("<"))
maximum = _binary(_select(">"))


@intrinsic
def where_greater(_typing: Any, a: Any, b: Any, then: Any, otherwise: Any) -> Any:
    """Lane by lane ``then`` where ``a > b``, else ``otherwise``."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", args[0], args[1]), args[2], args[3])

    return Vector(Vector, Vector, Vector, Vector), emit


@intrinsic
def nearest(_typing: Any, a: Any) -> Any:
    """Round to the nearest integer, ties to even."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(VECTOR, [VECTOR]), f"llvm.rint.v{LANES}f32"
        )
        return builder.call(function, args)

    return Vector(Vector), emit


@intrinsic
def power_of_two(_typing: Any, n: Any) -> Any:
    """Return ``2 ** n`` for integers n from -126 to 127."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integers = ir.VectorType(ir.IntType(32), LANES)
        exponent = builder.add(
            builder.fptosi(args[0], integers), ir.Constant(integers, [127] * LANES)
        )
        return builder.bitcast(builder.shl(exponent, ir.Constant(integers, [23] * LANES)), VECTOR)

    return Vector(Vector), emit


@intrinsic
def times_power_of_two(_typing: Any, a: Any, shifted: Any) -> Any:
    """``a * 2 ** n`` where n is in the low bits of ``shifted``, that is 1.5 * 2 ** 23 + n.

    The sum in ``shifted`` has rounded n to an integer; here n is added to the exponent of a.
    Operand and result must be normal numbers.
    """

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integers = ir.VectorType(ir.IntType(32), LANES)
        bits, n = (builder.bitcast(vector, integers) for vector in args)
        exponent = builder.shl(n, ir.Constant(integers, [23] * LANES))
        return builder.bitcast(builder.add(bits, exponent), VECTOR)

    return Vector(Vector, Vector), emit


def _emit_first(builder: Any, count: Any) -> Any:
    """Emit a mask of the lanes below the int64 ``count``, whose low half is enough."""
    integers = ir.VectorType(ir.IntType(32), LANES)
    undefined = ir.Constant(integers, ir.Undefined)
    low = builder.trunc(count, ir.IntType(32))
    first = builder.insert_element(undefined, low, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    counts = builder.shuffle_vector(first, undefined, zeros)
    return builder.icmp_signed("<", ir.Constant(integers, list(range(LANES))), counts)


_ZERO = ir.Constant(VECTOR, [0.0] * LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)


@intrinsic
def first_lanes(_typing: Any, a: Any, count: Any) -> Any:
    """Keep the first ``count`` lanes, zero in the others."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(_emit_first(builder, args[1]), args[0], _ZERO)

    return Vector(Vector, types.int64), emit


@intrinsic
def load_first(_typing: Any, array: Any, offset: Any, count: Any) -> Any:
    """Load the first ``count`` lanes at ``array[offset]``, zero in the others; no more is read."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = element_pointer(context, builder, signature.args[0], args[0], args[1])
        place = builder.bitcast(pointer, VECTOR.as_pointer())
        kind = ir.FunctionType(VECTOR, [place.type, ir.IntType(32), _MASK, VECTOR])
        name = f"llvm.masked.load.v{LANES}f32.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        align = ir.Constant(ir.IntType(32), 4)
        return builder.call(function, [place, align, _emit_first(builder, args[2]), _ZERO])

    return Vector(array, types.intp, types.int64), emit


def emit_store_first(builder: Any, value: Any, pointer: Any, count: Any) -> None:
    """Emit a store of the first ``count`` lanes, aligned to an element only; no more is written."""
    place = builder.bitcast(pointer, VECTOR.as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [VECTOR, place.type, ir.IntType(32), _MASK])
    name = f"llvm.masked.store.v{LANES}f32.p0"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    align = ir.Constant(ir.IntType(32), 4)
    builder.call(function, [value, place, align, _emit_first(builder, count)])


@intrinsic
def store_first(_typing: Any, array: Any, offset: Any, value: Any, count: Any) -> Any:
    """Store the first ``count`` lanes of a vector at ``array[offset]``; no more is written."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = element_pointer(context, builder, signature.args[0], args[0], args[1])
        emit_store_first(builder, args[2], pointer, args[3])
        return context.get_dummy_value()

    return types.void(array, types.intp, Vector, types.int64), emit


@intrinsic
def add_lanes(_typing: Any, a: Any) -> Any:
    """Sum the lanes of a vector by halves: lane n and lane n + LANES / 2, and so on."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        (total,) = args
        width = LANES
        while width > 1:
            width //= 2
            undefined = ir.Constant(total.type, ir.Undefined)
            low, high = (
                builder.shuffle_vector(
                    total, undefined, ir.Constant(ir.VectorType(ir.IntType(32), width), places)
                )
                for places in (list(range(width)), list(range(width, 2 * width)))
            )
            total = builder.fadd(low, high)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(Vector), emit


@intrinsic
def any_greater(_typing: Any, a: Any, b: Any) -> Any:
    """Tell whether any lane of ``a`` is greater than that of ``b``."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        lanes = ir.IntType(LANES)
        greater = builder.bitcast(builder.fcmp_ordered(">", *args), lanes)
        return builder.icmp_unsigned("!=", greater, ir.Constant(lanes, 0))

    return types.boolean(Vector, Vector), emit


_ADD = _binary(lambda builder, a, b: builder.fadd(a, b))
_SUBTRACT = _binary(lambda builder, a, b: builder.fsub(a, b))
_MULTIPLY = _binary(lambda builder, a, b: builder.fmul(a, b))
_DIVIDE = _binary(lambda builder, a, b: builder.fdiv(a, b))


def _overload_operator(sign: Any, function: Any) -> None:
    @overload(sign)
    def choose(a, b):  # numba compares signatures: no annotations here
        if isinstance(a, _VectorType) and isinstance(b, _VectorType):
            return lambda a, b: function(a, b)
        return None


_overload_operator(operator.add, _ADD)
_overload_operator(operator.sub, _SUBTRACT)
_overload_operator(operator.mul, _MULTIPLY)
_overload_operator(operator.truediv, _DIVIDE)
