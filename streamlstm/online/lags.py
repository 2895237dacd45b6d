"""The linear part beside the network: the last values of what is forecast, weighted.

To the network's output o, before it is scaled back, is added

    sum_k w[o, k] z[t - lag_k]

where z is the scaled input that the output forecasts, clipped to 1e9. It is the autoregressive part
of LSTNet (Lai et al., Modeling Long- and Short-Term Temporal Patterns with Deep Neural Networks,
2018), here with any lags, so that a season is one too. A value from before the stream's first is
taken as the latest, z[t]: then differences are 0.

Kept of a stream: the values of the last ``max(lag)`` steps, at the number of the step modulo that.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.lags import UNROLLED
from ..kernels.online.unit import LARGEST_Z

Array = NDArray[Any]


def ring_length(lags: Sequence[int]) -> int:
    """Return for how many steps values are kept."""
    return max([*lags, 1])


def initial(lags: Sequence[int], inputs: int) -> NDArray[np.float32]:
    """Return the columns of a new stream: NaN for each of ``inputs`` values of each step."""
    return np.full(ring_length(lags) * inputs, np.nan, np.float32)


def constants(weights: Array) -> NDArray[np.float32]:
    """Return the constants that the kernel reads: weights[O, K], each row padded with zeros."""
    padding = -weights.shape[1] % UNROLLED
    return np.pad(weights, ((0, 0), (0, padding))).astype(np.float32).ravel()


def room(lags: Sequence[int]) -> int:
    """Return the floats of working memory that the kernel needs."""
    return -(-len(lags) // UNROLLED) * UNROLLED


def step(z: Array, count: Array, lags: Sequence[int], kept: Array) -> tuple[Array, Array]:
    """Return what the linear part reads in a step, and the values that are kept after it.

    Parameters
    ----------
    z : float[B, C]
        The scaled inputs that outputs forecast.
    count : int[B]
        How many steps each stream has made before.
    lags : sequence of int
        K of them.
    kept : float[B, N]

    Returns
    -------
    values : float[B, C, K]
    kept : float[B, N]
    """
    rows, length = np.arange(len(z)), ring_length(lags)
    ring = kept.reshape(len(z), length, -1).copy()
    z = np.clip(z, -LARGEST_Z, LARGEST_Z)
    past = [ring[rows, (count - lag) % length] if lag else z for lag in lags]
    values = np.stack([np.where(np.isnan(value), z, value) for value in past], axis=2)
    ring[rows, count % length] = z
    return values, ring.reshape(len(z), -1)
