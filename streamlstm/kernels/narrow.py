"""Vectors of float32 from and to narrower numbers: float16, bfloat16 and 8 bits.

What is narrower lies in arrays of float32, several numbers in each. Products of such numbers add to
float32, or for 8 bits to integers, which only some processors do: :data:`.simd.PAIRS`, ``BYTES``.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import INTEGERS, LANES, VECTOR, Vector, element_pointer


def emit_load_float16(builder: Any, pointer: Any) -> Any:
    """Emit a load of LANES numbers of float16, widened to float32."""
    halves = ir.VectorType(ir.HalfType(), LANES).as_pointer()
    return builder.fpext(builder.load(builder.bitcast(pointer, halves), align=2), VECTOR)


def emit_load_bfloat16(builder: Any, pointer: Any, upper: bool) -> Any:
    """Emit a load of LANES numbers of bfloat16 out of 2 * LANES, widened to float32.

    The numbers of two vectors are interleaved lane by lane, in the upper and the lower half of 32
    bits: then one operation widens each of them. Widening 16 bits to 32 and shifting takes two, as
    the conversion from float16 does where a vector has 16 lanes (measured on Zen 4).
    """
    integers = ir.VectorType(ir.IntType(32), LANES)
    both = builder.load(builder.bitcast(pointer, integers.as_pointer()), align=2)
    if upper:
        bits = builder.and_(both, ir.Constant(integers, [0xFFFF0000] * LANES))
    else:
        bits = builder.shl(both, ir.Constant(integers, [16] * LANES))
    return builder.bitcast(bits, VECTOR)


class _BFloat16(ir.Type):
    """LLVM's type, which llvmlite does not have."""

    def _to_string(self) -> str:
        return "bfloat"


# Names of LLVM's functions, and the types of the factors that they take.
if LANES == 16:  # Intel's and AMD's VDPBF16PS and VPDPBUSD
    _PAIRS = "llvm.x86.avx512bf16.dpbf16ps.512", INTEGERS
    _BYTES = "llvm.x86.avx512.vpdpbusd.512", INTEGERS
else:  # ARM's BFDOT and SDOT
    _PAIRS = "llvm.aarch64.neon.bfdot.v4f32.v8bf16", ir.VectorType(_BFloat16(), 2 * LANES)
    _BYTES = "llvm.aarch64.neon.sdot.v4i32.v16i8", ir.VectorType(ir.IntType(8), 4 * LANES)
SHIFT = 128 if LANES == 16 else 0  # of 8-bit inputs: VPDPBUSD takes them without a sign


def _emit_dot(builder: Any, name: str, factors: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(c.type, [c.type, factors, factors])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [c, *(builder.bitcast(factor, factors) for factor in (a, b))])


def emit_pairs(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Emit ``c + a[0] * b[0] + a[1] * b[1]`` where a lane of a and b holds two bfloat16.

    Only where :data:`.simd.PAIRS` says that there is an instruction.
    """
    return _emit_dot(builder, *_PAIRS, a, b, c)


def emit_bytes(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Emit ``c`` plus four products of a lane: of bytes of a, shifted by SHIFT, and of b, signed.

    Only where :data:`.simd.BYTES` says that there is an instruction.
    """
    return _emit_dot(builder, *_BYTES, a, b, c)


@intrinsic
def store_bfloat16(_typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """Store a vector rounded to bfloat16, ties to even, in half as many floats."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def all_of(number: int) -> Any:
            return ir.Constant(INTEGERS, [number] * LANES)

        bits = builder.bitcast(args[2], INTEGERS)
        upper = builder.lshr(bits, all_of(16))
        odd = builder.and_(upper, all_of(1))
        rounded = builder.lshr(builder.add(builder.add(bits, all_of(0x7FFF)), odd), all_of(16))
        short = ir.VectorType(ir.IntType(16), LANES)
        pointer = element_pointer(context, builder, signature.args[0], args[0], args[1])
        place = builder.bitcast(pointer, short.as_pointer())
        builder.store(builder.trunc(rounded, short), place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, Vector), emit


@intrinsic
def store_bytes(_typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """Store a vector of whole numbers from -127 to 127, plus SHIFT, in a quarter of its floats.

    A number beyond them, and NaN, gives some byte.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = builder.fptosi(args[2], INTEGERS)
        shifted = builder.add(whole, ir.Constant(INTEGERS, [SHIFT] * LANES))
        short = ir.VectorType(ir.IntType(8), LANES)
        pointer = element_pointer(context, builder, signature.args[0], args[0], args[1])
        place = builder.bitcast(pointer, short.as_pointer())
        builder.store(builder.trunc(shifted, short), place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, Vector), emit
