"""Floor, logarithm and exponential without branches, so that LLVM can take many streams at once.

The latter two are right to 1e-9, more than the float32 that they end in, and the same bits on every
machine. Sums are taken in pairs, so that a single stream does not wait for one term after another.
"""

import math
from typing import Any

from llvmlite import ir
from numba import float32, float64, int64, types, uint64
from numba.core import cgutils
from numba.extending import intrinsic

from ..cache import inlined
from ..pointers import bits_of, float_of
from ..simd import LANES, splat, store_first

MANTISSA, ONE = 0xFFFFFFFFFFFFF, 0x3FF0000000000000
HALF_STEP = 0x95F619980C433  # the mantissa of the square root of 2
LN2 = 0.6931471805599453
LN2_HIGH, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
L3, L5, L7, L9, L11 = 2 / 3, 2 / 5, 2 / 7, 2 / 9, 2 / 11
E2, E3, E4, E5, E6 = 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720
E7, E8, E9 = 1 / 5040, 1 / 40_320, 1 / 362_880
ROUND = 6755399441055744.0  # 1.5 * 2**52: what is added to it becomes an integer
LEAST, MOST = -700.0, 700.0


@intrinsic
def _barrier(_typing: Any) -> Any:
    def emit(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        nothing = ir.FunctionType(ir.VoidType(), [])
        builder.asm(nothing, "", "", [], side_effect=True)
        return context.get_dummy_value()

    return types.void(), emit


@inlined
def one_by_one():
    """Keep LLVM from making vectors of the loop in which this stands.

    Of a loop of a few rounds the checks whether arrays overlap took longer than the rounds.
    """
    _barrier()


@intrinsic
def _floor(_typing: Any, x: Any) -> Any:
    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        double = ir.DoubleType()
        kind = ir.FunctionType(double, [double])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.floor.f64")
        return builder.call(function, args)

    return types.float64(types.float64), emit


@inlined
def floor(x):
    """Return the largest whole number that is not above x, as float64: Numba's is an integer."""
    return _floor(float64(x))


@inlined
def write_unknown(Y, y, count):
    """Write ``count`` times that a number is not known: NaN."""
    for n in range(0, count, LANES):
        store_first(Y, y + n, splat(float32(math.nan)), count - n)


@inlined
def log(x):
    """Return the natural logarithm of a normal positive number.

    By the series of the area tangent: log(m) = 2 artanh((m - 1) / (m + 1)), m within a factor of
    the square root of 2.
    """
    bits = int64(bits_of(float64(x)))
    exponent = (bits - HALF_STEP - ONE) >> 52  # of x over the square root of 2, rounded down
    m = float_of(uint64(bits - ((exponent + 1) << 52)))
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    q2 = q * q
    series = (2.0 + q * L3) + q2 * ((L5 + q * L7) + q2 * (L9 + q * L11))
    return float64(exponent + 1) * LN2 + s * series


@inlined
def exp(x):
    """Return e to the power of a number, which is taken as one from -700 to 700."""
    x = min(max(float64(x), LEAST), MOST)
    shifted = x * (1.0 / LN2) + ROUND
    n = shifted - ROUND
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    low = (1.0 + r) + r2 * (E2 + r * E3)
    high = (E4 + r * E5) + r2 * (E6 + r * E7)
    series = low + r4 * (high + r4 * (E8 + r * E9))
    return series * float_of(uint64((int64(bits_of(shifted)) + 1023) << 52))
