"""Activation functions of one float32, as device functions.

Only ``math`` is used, so that the same lines run in numba's simulator. Arguments of exponentials
are bounded where Python, which the simulator runs, would raise and hardware would return infinity.
"""

import math

from numba import cuda, float32

from .. import layout

device = cuda.jit(device=True)


# Not min and max: numba's own target for CUDA does not compile those of numba 0.68.
@device
def upper(x, y):
    """Return the larger of two numbers."""
    return x if x > y else y


@device
def lower(x, y):
    """Return the smaller of two numbers."""
    return x if x < y else y


@device
def sigmoid(x):
    """Logistic function."""
    return float32(1.0) / (float32(1.0) + float32(math.exp(-upper(x, float32(-87.0)))))


@device
def tanh(x):
    """Hyperbolic tangent."""
    return float32(math.tanh(x))


@device
def exp(x):
    """Exponential; beyond the largest float32 it is infinite."""
    if x > float32(88.7228):
        return float32(math.inf)
    return float32(math.exp(x))


@device
def elu(x, a):
    """``x`` above zero, ``a (exp(x) - 1)`` below."""
    if x > float32(0.0):
        return x
    return a * float32(math.expm1(x))


@device
def softplus(x):
    """``log(1 + exp(x))``, written so that no exponential overflows."""
    return upper(x, float32(0.0)) + float32(math.log1p(math.exp(-abs(x))))


@device
def clip(x, bound):
    """Bound ``x`` to ``[-bound, bound]``; an infinite bound bounds nothing."""
    return lower(upper(x, -bound), bound)


@device
def _smooth(kind, x):
    """Apply an activation without parameters that takes several steps."""
    one, half = float32(1.0), float32(0.5)
    if kind == layout.SELU:
        return float32(1.0507009873554805) * elu(x, float32(1.6732632423543772))
    if kind == layout.SOFTSIGN:
        return x / (one + abs(x))
    if kind == layout.SOFTPLUS:
        return softplus(x)
    if kind == layout.SILU:
        return x * sigmoid(x)
    if kind == layout.GELU:
        return x * half * (one + float32(math.erf(x * float32(0.7071067811865476))))
    if kind == layout.GELU_TANH:
        inner = float32(0.7978845608028654) * (x + float32(0.044715) * x * x * x)
        return x * half * (one + tanh(inner))
    if kind == layout.EXPONENTIAL:
        return exp(x)
    if kind == layout.MISH:
        return x * tanh(softplus(x))
    return x * lower(upper(x * float32(1 / 6) + half, float32(0.0)), one)  # HARD_SILU


@device
def activate(kind, a, b, x):
    """Apply the activation of code ``kind`` (layout.py) with its two parameters."""
    if kind == layout.TANH:
        return tanh(x)
    if kind == layout.SIGMOID:
        return sigmoid(x)
    if kind == layout.RELU:
        return upper(x, float32(0.0))
    if kind == layout.HARD_SIGMOID:
        return lower(upper(a * x + b, float32(0.0)), float32(1.0))
    if kind == layout.HARD_TANH:
        return lower(upper(x, a), b)
    if kind == layout.AFFINE:
        return a * x + b
    if kind == layout.SCALED_TANH:
        return a * tanh(b * x)
    if kind == layout.LEAKY_RELU:
        return x if x >= float32(0.0) else a * x
    if kind == layout.THRESHOLDED_RELU:
        return x if x > a else float32(0.0)
    if kind == layout.ELU:
        return elu(x, a)
    if kind >= layout.SELU and kind < layout.SOFTMAX:
        return _smooth(kind, x)
    return x
