"""Recognises activations and layer normalisation that an exporter decomposed.

Older opsets have no Gelu, SiLU, Softsign or LayerNormalization; exporters write them as a dozen
elementary nodes, each in its own way. Instead of matching a pattern for each way, the function that
the nodes compute together is evaluated and compared with the functions that are known here.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ...kernels import reference
from ...network.activations import WITHOUT_PARAMETERS, name_activation
from ..common.weights import Float64Array
from .feature_ops import Activation, Affine, Op, evaluate_ops

_CANDIDATES = (
    *WITHOUT_PARAMETERS,
    "elu",
    "softmax",
    "log_softmax",
    name_activation("hard_sigmoid", 1 / 6, 0.5),
    name_activation("hard_sigmoid", 0.2, 0.5),
    name_activation("hard_tanh", -1, 1),
    name_activation("hard_tanh", 0, 6),
)
_MINUS = Affine(-1, 0, "")
_LOG_SIGMOID = (_MINUS, Activation("softplus", ""), _MINUS)
# Constants in a file have the precision of float32 or less.
_TOLERANCE = 1e-6

Vector = Callable[[Float64Array], Float64Array]


class LayerNormalisation(NamedTuple):
    """A layer normalisation: epsilon, and a weight and a bias for each feature."""

    epsilon: float
    weight: Float64Array
    bias: Float64Array


def recognise(function: Vector, width: int) -> Sequence[Op] | LayerNormalisation | None:
    """Return the operations equal to a function, or a layer normalisation.

    Parameters
    ----------
    function : callable
        From x[B, N] to an array of the same shape.
    width : int
        N.
    """
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(0, spread, (24, width)) for spread in (0.3, 1.0, 4.0)])
    with np.errstate(all="ignore"):
        y = function(x)
        if np.shape(y) != x.shape or not np.isfinite(y).all():
            return None
        named = [[Activation(name, "")] for name in _CANDIDATES]
        for ops in (*named, _LOG_SIGMOID, _softplus(function, width)):
            if _close(y, evaluate_ops(ops, x)):
                return ops
        return _layer_norm(function, x)


def _softplus(function: Vector, width: int) -> Sequence[Op]:
    """Return softplus with PyTorch's beta, estimated from the value at zero."""
    beta = np.log(2) / function(np.zeros((1, width))).flat[0]
    return Affine(beta, 0, ""), Activation("softplus", ""), Affine(1 / beta, 0, "")


def _layer_norm(function: Vector, x: Float64Array) -> LayerNormalisation | None:
    """Solve ``y = weight (x - mean) / sqrt(variance + epsilon) + bias``, and verify it."""
    N = x.shape[1]
    if N < 2:
        return None
    bias = function(np.zeros((1, N)))[0]
    large = x[:24] * 1e6  # where epsilon weighs nothing
    weight = np.median((function(large) - bias) / reference.normalise(large, 0.0), axis=0)
    if _close(weight, np.ones(N)) and _close(bias, np.zeros(N)):
        weight, bias = np.ones(N), np.zeros(N)
    small = x[:24] * 1e-3  # where it weighs as much as the variance
    centred = small - small.mean(-1, keepdims=True)
    ratio = np.median(np.abs(centred * weight / (function(small) - bias)), axis=-1)
    epsilon = float(np.median(ratio**2 - (centred**2).mean(-1)))
    epsilon = max(float(f"{epsilon:.6g}"), 1e-12) if np.isfinite(epsilon) else 1.0
    agree = all(
        _close(function(values), reference.normalise(values, epsilon) * weight + bias)
        for values in (x, small)
    )
    # With a large one it is a difference from the mean, and no division.
    return LayerNormalisation(epsilon, weight, bias) if agree and epsilon < 1 else None


def _close(a: Float64Array, b: Float64Array) -> bool:
    return bool((np.abs(a - b) <= _TOLERANCE * (1 + np.abs(b))).all())
