"""The readable specification of every layer: plain NumPy, any float dtype.

Every other kernel is compared with these functions, in float64. Arrays hold a block of B streams,
one a row.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sigmoid(x: Array) -> Array:
    """Logistic function, written so that no exponential overflows."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
}


def lstm(
    x: Array, h: Array, c: Array, weight_ih: Array, weight_hh: Array, bias: Array
) -> tuple[Array, Array]:
    """Advance an LSTM layer by one step.

    Parameters
    ----------
    x : float[B, F]
        Observations.
    h, c : float[B, H]
        Hidden and cell state before the step.
    weight_ih, weight_hh, bias : float[4H, F], float[4H, H], float[4H]
        Gates in the order i, f, g, o.

    Returns
    -------
    h, c : float[B, H]
        Hidden and cell state after the step.
    """
    i, f, g, o = np.split(x @ weight_ih.T + h @ weight_hh.T + bias, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, c


def dense(x: Array, weight: Array, bias: Array, activation: str) -> Array:
    """Return ``activation(weight @ x + bias)`` for x[B, K]: float[B, O]."""
    return ACTIVATIONS[activation](x @ weight.T + bias)


def step_lstm(
    x: Array, rows: Array, slots: Array, state: Mapping[str, slice], weights: Mapping[str, Array]
) -> Array:
    """Advance the LSTM whose vectors stand at ``state`` in each row; return the new h[B, H]."""
    h, c = lstm(x, rows[slots, state["h"]], rows[slots, state["c"]], **weights)
    rows[slots, state["h"]] = h
    rows[slots, state["c"]] = c
    return h


def step_dense(
    x: Array, rows: Array, slots: Array, weights: Mapping[str, Array], activation: str
) -> Array:
    """Take a block through a dense layer, which remembers nothing; return y[B, O]."""
    del rows, slots
    return dense(x, **weights, activation=activation)
