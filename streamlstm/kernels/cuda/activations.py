"""Activation functions of one float32, as device functions.

Only ``math`` is used, so that the same lines run in numba's simulator. Arguments of exponentials
are bounded where Python, which the simulator runs, would raise and hardware would give infinity.
"""

import math

from numba import cuda, float32

from ..layout import ACTIVATIONS

SOFTMAX = ACTIVATIONS.index("softmax")  # and log_softmax behind it
(
    RELU,
    TANH,
    SIGMOID,
    HARD_SIGMOID,
    HARD_TANH,
    AFFINE,
    SCALED_TANH,
    LEAKY_RELU,
    THRESHOLDED_RELU,
    ELU,
    SELU,
    SOFTSIGN,
    SOFTPLUS,
    SILU,
    GELU,
    GELU_TANH,
    EXPONENTIAL,
    MISH,
    HARD_SILU,
) = range(1, SOFTMAX)
assert ACTIVATIONS[RELU] == "relu" and ACTIVATIONS[HARD_SILU] == "hard_silu"  # noqa: PT018

part = cuda.jit(device=True)


# Not min and max: numba's own target for CUDA does not compile those of numba 0.68.
@part
def upper(x, y):
    """Return the larger of two numbers."""
    return x if x > y else y


@part
def lower(x, y):
    """Return the smaller of two numbers."""
    return x if x < y else y


@part
def sigmoid(x):
    """Logistic function."""
    return float32(1.0) / (float32(1.0) + float32(math.exp(-upper(x, float32(-87.0)))))


@part
def tanh(x):
    """Hyperbolic tangent."""
    return float32(math.tanh(x))


@part
def exp(x):
    """Exponential; beyond the largest float32 it is infinite."""
    if x > float32(88.7228):
        return float32(math.inf)
    return float32(math.exp(x))


@part
def elu(x, a):
    """``x`` above zero, ``a (exp(x) - 1)`` below."""
    if x > float32(0.0):
        return x
    return a * float32(math.expm1(x))


@part
def softplus(x):
    """``log(1 + exp(x))``, written so that no exponential overflows."""
    return upper(x, float32(0.0)) + float32(math.log1p(math.exp(-abs(x))))


@part
def clip(x, bound):
    """Bound ``x`` to ``[-bound, bound]``; an infinite bound bounds nothing."""
    return lower(upper(x, -bound), bound)


@part
def _smooth(kind, x):
    """Apply one of the activations without parameters that are made of several steps."""
    one, half = float32(1.0), float32(0.5)
    if kind == SELU:
        return float32(1.0507009873554805) * elu(x, float32(1.6732632423543772))
    if kind == SOFTSIGN:
        return x / (one + abs(x))
    if kind == SOFTPLUS:
        return softplus(x)
    if kind == SILU:
        return x * sigmoid(x)
    if kind == GELU:
        return x * half * (one + float32(math.erf(x * float32(0.7071067811865476))))
    if kind == GELU_TANH:
        inner = float32(0.7978845608028654) * (x + float32(0.044715) * x * x * x)
        return x * half * (one + tanh(inner))
    if kind == EXPONENTIAL:
        return exp(x)
    if kind == MISH:
        return x * tanh(softplus(x))
    return x * lower(upper(x * float32(1 / 6) + half, float32(0.0)), one)  # HARD_SILU


@part
def activate(kind, a, b, x):
    """Apply the activation of code ``kind`` (layout.ACTIVATIONS) with its two parameters."""
    if kind == TANH:
        return tanh(x)
    if kind == SIGMOID:
        return sigmoid(x)
    if kind == RELU:
        return upper(x, float32(0.0))
    if kind == HARD_SIGMOID:
        return lower(upper(a * x + b, float32(0.0)), float32(1.0))
    if kind == HARD_TANH:
        return lower(upper(x, a), b)
    if kind == AFFINE:
        return a * x + b
    if kind == SCALED_TANH:
        return a * tanh(b * x)
    if kind == LEAKY_RELU:
        return x if x >= float32(0.0) else a * x
    if kind == THRESHOLDED_RELU:
        return x if x > a else float32(0.0)
    if kind == ELU:
        return elu(x, a)
    if kind >= SELU and kind <= HARD_SILU:
        return _smooth(kind, x)
    return x
