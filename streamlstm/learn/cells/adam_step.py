"""The kernel of an update by Adam (learn/adam.py): one pass over the parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tanh import compiled

Array = NDArray[Any]

B1, B2, EPSILON = 0.9, 0.999, 1e-8


@compiled
def step(
    theta: Array,
    gradient: Array,
    m: Array,
    v: Array,
    average: Array,
    decayed: Array,
    scale: Any,
    rate: Any,
    shrink: Any,
    m_factor: Any,
    v_factor: Any,
    averaged: Any,
) -> None:
    """Update parameters, moments and average; a line of NumPy each would pass a dozen times.

    Parameters
    ----------
    theta, gradient, m, v, average, decayed : float[P]
        All but the gradient and ``decayed`` are updated.
    scale : float
        Of the gradient.
    rate, shrink : float
        The learning rate, and it times the decay of weights.
    m_factor, v_factor : float
        ``1 / (1 - b^k)`` of both moments.
    averaged : float
        1 less the decay of the average.
    """
    one, epsilon = theta.dtype.type(1), theta.dtype.type(EPSILON)
    new_m, new_v = theta.dtype.type(1 - B1), theta.dtype.type(1 - B2)
    for k in range(len(theta)):
        g = gradient[k] * scale
        m[k] += new_m * (g - m[k])
        v[k] += new_v * (g * g - v[k])
        change = rate * (m[k] * m_factor) / (np.sqrt(v[k] * v_factor) + epsilon)
        theta[k] = theta[k] * (one - shrink * decayed[k]) - change
        average[k] += averaged * (theta[k] - average[k])


def run_once() -> None:
    """Compile the kernel, or load it from the cache."""
    numbers = np.ones(6, np.float32)
    step(*(np.ones(1, np.float32) for _ in range(6)), *numbers)
