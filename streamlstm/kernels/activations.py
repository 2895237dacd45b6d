"""Activation functions on vectors, inline.

A call into libm costs 16 ns an element, the rational function below 0.4 ns (measured on a 2-core
AVX2 machine), because it stays in registers and all lanes go at once.
"""

import numpy as np
from numba import njit

from .simd import fma, maximum, minimum, splat

f32 = np.float32

# Beyond this tanh rounds to +-1 in float32, and the quotient would leave [-1, 1].
TANH_LIMIT = f32(7.90531110763549805)


@njit(forceinline=True)
def tanh(x):
    """Hyperbolic tangent by an odd rational function of degree 13 over 6.

    The error is below 5 units in the last place over all of float32 (tests/unit). The
    coefficients are the minimax fit that Eigen publishes (MPL-2.0 file generic_fast_tanh).
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
    return (x * p) / q


@njit(forceinline=True)
def sigmoid(x):
    """Logistic function by ``sigmoid(x) = 1/2 + 1/2 tanh(x/2)``."""
    half = splat(f32(0.5))
    return fma(half, tanh(half * x), half)


@njit(forceinline=True)
def relu(x):
    """``max(x, 0)``."""
    return maximum(x, splat(f32(0.0)))
