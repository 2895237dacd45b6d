"""Activation functions of vectors, inlined into the kernels that use them.

A new activation is a branch in :func:`activate`; its code is in layout.py, its equation in
reference.py, its twin for GPUs in cuda/activations.py.

A call into libm costs 16 ns an element, the rational function below 0.4 ns (measured on a 2-core
AVX2 machine), because it stays in registers and all lanes go at once.
"""

import numpy as np

from . import layout
from .cache import inlined, internal
from .simd import (
    fma,
    load,
    maximum,
    minimum,
    nearest,
    power_of_two,
    splat,
    store,
    times_power_of_two,
    where_greater,
)

f32 = np.float32

# Beyond this tanh rounds to +-1 in float32, and the quotient would leave [-1, 1].
TANH_LIMIT = f32(7.90531110763549805)


@inlined
def tanh_parts(x):
    """Hyperbolic tangent as numerator and denominator of an odd rational function, 13 over 6.

    The error is below 5 units in the last place over all of float32 (tests/unit). The
    coefficients are the minimax fit that the linear-algebra library Eigen publishes. A cell that
    multiplies activations joins their fractions and divides once.
    """
    x = minimum(maximum(x, splat(-TANH_LIMIT)), splat(TANH_LIMIT))
    x2 = x * x
    p = fma(x2, splat(f32(-2.76076847742355e-16)), splat(f32(2.00018790482477e-13)))
    p = fma(x2, p, splat(f32(-8.60467152213735e-11)))
    p = fma(x2, p, splat(f32(5.12229709037114e-08)))
    p = fma(x2, p, splat(f32(1.48572235717979e-05)))
    p = fma(x2, p, splat(f32(6.37261928875436e-04)))
    p = fma(x2, p, splat(f32(4.89352455891786e-03)))
    q = fma(x2, splat(f32(1.19825839466702e-06)), splat(f32(1.18534705686654e-04)))
    q = fma(x2, q, splat(f32(2.26843463243900e-03)))
    q = fma(x2, q, splat(f32(4.89352518554385e-03)))
    return x * p, q


@inlined
def tanh(x):
    """Hyperbolic tangent."""
    numerator, denominator = tanh_parts(x)
    return numerator / denominator


@inlined
def _exp_of_negative(x, lowest):
    """``exp(-x)`` for ``x`` from ``lowest`` to 40; beyond, its value there.

    ``2**n 2**r`` with ``|r| <= 1/2``. Adding 1.5 * 2**23 rounds to the integer n. The polynomial
    is the minimax fit of ``2**r`` that is 1 at 0; its error is 9.2e-8 of the value.
    """
    x = minimum(maximum(x, splat(lowest)), splat(f32(40.0)))
    rate, magic = splat(f32(-1.4426950408889634)), splat(f32(12582912.0))
    shifted = fma(x, rate, magic)
    r = fma(x, rate, magic - shifted)
    p = fma(r, splat(f32(0.001326472719370727)), splat(f32(0.009671512639901183)))
    p = fma(r, p, splat(f32(0.055507337432636555)))
    p = fma(r, p, splat(f32(0.24022242085369533)))
    p = fma(r, p, splat(f32(0.6931469775991561)))
    p = fma(r, p, splat(f32(1.0)))
    return times_power_of_two(p, shifted)


@inlined
def sigmoid_divisor(x):
    """``1 + exp(-x)``, whose inverse is the logistic function, for cells that divide once.

    Below -40 it stays at its value there, 2e17, so that the product of two of them and a
    denominator of :func:`tanh_parts` is within float32: a gate is closed at 4e-18.
    """
    return splat(f32(1.0)) + _exp_of_negative(x, f32(-40.0))


@inlined
def sigmoid(x):
    """Logistic function ``1 / (1 + exp(-x))``."""
    one = splat(f32(1.0))
    return one / (one + _exp_of_negative(x, f32(-87.0)))


@inlined
def relu(x):
    """``max(x, 0)``."""
    return maximum(x, splat(f32(0.0)))


@inlined
def exp(x):
    """Exponential: ``2**n exp(r)`` with ``|r| <= log(2) / 2`` and a Taylor polynomial for exp(r).

    The power is applied in two halves, so that results below the normal numbers are right and
    those beyond the largest become infinite.
    """
    x = minimum(maximum(x, splat(f32(-110.0))), splat(f32(90.0)))
    n = nearest(x * splat(f32(1.44269504088896341)))
    r = fma(n, splat(f32(-0.693145751953125)), x)  # log(2) in two parts, the first of few bits
    r = fma(n, splat(f32(-1.42860682030941723e-06)), r)
    p = splat(f32(1 / 5040))
    p = fma(p, r, splat(f32(1 / 720)))
    p = fma(p, r, splat(f32(1 / 120)))
    p = fma(p, r, splat(f32(1 / 24)))
    p = fma(p, r, splat(f32(1 / 6)))
    p = fma(p, r, splat(f32(0.5)))
    p = fma(p, r, splat(f32(1.0)))
    p = fma(p, r, splat(f32(1.0)))
    half = nearest(n * splat(f32(0.5)))
    return p * power_of_two(half) * power_of_two(n - half)


@inlined
def elu(x, a):
    """``x`` above zero, ``a (exp(x) - 1)`` below."""
    zero = splat(f32(0.0))
    below = exp(minimum(x, zero)) - splat(f32(1.0))
    return fma(a, below, maximum(x, zero))


@inlined
def absolute(x):
    """``|x|``."""
    return maximum(x, splat(f32(0.0)) - x)


@inlined
def softplus(x):
    """``log(1 + exp(x))`` as ``max(x, 0) + log(1 + e)`` with ``e = exp(-|x|)``.

    ``log(1 + e)`` is ``2 artanh(s)`` for ``s = e / (2 + e)``, of which seven terms are enough: s
    is at most 1/3.
    """
    zero = splat(f32(0.0))
    e = exp(zero - absolute(x))
    s = e / (splat(f32(2.0)) + e)
    s2 = s * s
    p = splat(f32(2 / 13))
    p = fma(p, s2, splat(f32(2 / 11)))
    p = fma(p, s2, splat(f32(2 / 9)))
    p = fma(p, s2, splat(f32(2 / 7)))
    p = fma(p, s2, splat(f32(2 / 5)))
    p = fma(p, s2, splat(f32(2 / 3)))
    p = fma(p, s2, splat(f32(2.0)))
    return fma(p, s, maximum(x, zero))


@inlined
def gelu(x):
    """``x`` times the distribution function of the normal distribution.

    Its error function is formula 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical
    Functions", 1964; its error is below 1.5e-7.
    """
    one = splat(f32(1.0))
    z = absolute(x) * splat(f32(0.70710678118654752))
    t = one / fma(splat(f32(0.3275911)), z, one)
    p = splat(f32(1.061405429))
    p = fma(p, t, splat(f32(-1.453152027)))
    p = fma(p, t, splat(f32(1.421413741)))
    p = fma(p, t, splat(f32(-0.284496736)))
    p = fma(p, t, splat(f32(0.254829592)))
    tail = splat(f32(0.5)) * p * t * exp(splat(f32(0.0)) - z * z)
    return x * where_greater(x, splat(f32(0.0)), one - tail, tail)


@inlined
def gelu_tanh(x):
    """:func:`gelu` with ``tanh(sqrt(2 / pi) (x + 0.044715 x**3))`` for the error function."""
    inner = fma(splat(f32(0.044715)) * x * x, x, x) * splat(f32(0.79788456080286536))
    half = splat(f32(0.5)) * x
    return fma(half, tanh(inner), half)


@inlined
def mish(x):
    """``x tanh(log(1 + exp(x)))``, with ``e = exp(x)`` equal to ``x n / (n + 2)``, n = e (e + 2).

    From 20 on the quotient is 1 in float32, and below that n does not overflow.
    """
    two = splat(f32(2.0))
    e = exp(minimum(x, splat(f32(20.0))))
    n = e * (e + two)
    return x * (n / (n + two))


@internal
def activate(kind, first, second, x):
    """Apply the activation of code ``kind`` with its two parameters.

    A call, not inline: there are many kinds, and the common ones have paths of their own. It takes
    no array, because Numba would count references around every call, which is atomic and slow.
    """
    if kind == layout.TANH:
        return tanh(x)
    if kind == layout.SIGMOID:
        return sigmoid(x)
    if kind == layout.RELU:
        return relu(x)
    first, second = splat(first), splat(second)
    zero, one = splat(f32(0.0)), splat(f32(1.0))
    if kind == layout.HARD_SIGMOID:
        return minimum(maximum(fma(first, x, second), zero), one)
    if kind == layout.HARD_TANH:
        return minimum(maximum(x, first), second)
    if kind == layout.AFFINE:
        return fma(first, x, second)
    if kind == layout.SCALED_TANH:
        return first * tanh(second * x)
    if kind == layout.LEAKY_RELU:
        return fma(first, minimum(x, zero), maximum(x, zero))
    if kind == layout.THRESHOLDED_RELU:
        return where_greater(x, first, x, zero)
    if kind == layout.ELU:
        return elu(x, first)
    if kind == layout.SELU:
        return splat(f32(1.0507009873554805)) * elu(x, splat(f32(1.6732632423543772)))
    if kind == layout.SOFTSIGN:
        return x / (one + absolute(x))
    if kind == layout.SOFTPLUS:
        return softplus(x)
    if kind == layout.SILU:
        return x * sigmoid(x)
    if kind == layout.GELU:
        return gelu(x)
    if kind == layout.GELU_TANH:
        return gelu_tanh(x)
    if kind == layout.EXPONENTIAL:
        return exp(x)
    if kind == layout.MISH:
        return mish(x)
    if kind == layout.HARD_SILU:
        return x * minimum(maximum(fma(x, splat(f32(1 / 6)), splat(f32(0.5))), zero), one)
    return x


@inlined
def clip(x, bound):
    """Bound ``x`` to ``[-bound, bound]``; an infinite bound bounds nothing."""
    return minimum(maximum(x, splat(-bound)), splat(bound))


@internal
def exp_in_place(values, start, end, lanes):
    """Replace ``values[start : end]`` and what pads it to whole vectors by its exponential."""
    for n in range(start, end, lanes):
        store(values, n, exp(load(values, n)))
