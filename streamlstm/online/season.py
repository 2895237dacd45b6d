"""A calendar model of one value: the specification.

The value, scaled, is a constant plus two harmonics of the week and two of the day, in UTC, with
weights w learnt by recursive least squares with forgetting (Ljung and Söderström 1983):

    f = (1, cos a, sin a, cos 2a, sin 2a, cos 7a, sin 7a, cos 14a, sin 14a),  2 pi a week
    error = z - w f
    g = P f,   s = 0.9995 + f g,   w <- w + g error / s,   P <- (P - g g^T / s) / 0.9995

computed as ``u = g / sqrt(s); P <- (P - u u^T) / 0.9995``, which is symmetric to the last bit: any
asymmetry would grow by 1/0.9995 a step. Where the features hardly change for long (a million rows
of one minute), P grows in the directions that are not seen: nothing is forgotten while its trace is
20 or more.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online import season as kernel

Array = NDArray[Any]
State = dict[str, Array]


def columns() -> dict[str, int]:
    """Return how many floats are kept of a value, by name, in their order."""
    return {"season_weights": kernel.FEATURES, "season_inverse": kernel.FEATURES**2}


def identity() -> Array:
    """Return P[81] before the first value; the weights are 0."""
    return np.eye(kernel.FEATURES).ravel()


def features(time: Array) -> Array:
    """Return the features float64[B, 9] of times in seconds since 1970."""
    part = np.mod((time + kernel.MONDAY) / kernel.WEEK, 1.0)
    angles = 2 * np.pi * part[:, None] * np.array([1, 2, 7, 14])
    waves = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(len(time), -1)
    return np.concatenate([np.ones((len(time), 1)), waves], axis=1)


def step(z: Array, time: Array, bound: Array, learns: Array, state: State) -> tuple[Array, State]:
    """Return ``z`` minus what the model makes of ``time``, and what it has learnt.

    Parameters
    ----------
    z, time : float[B]
        Scaled values and their times; where the time is NaN, the error is ``z``.
    bound : float[B]
        The model learns from no error larger than this.
    learns : bool[B]
        Whether it learns at all from this value.
    state : dict
        ``season_weights[B, 9]`` and ``season_inverse[B, 81]``.
    """
    D, known = kernel.FEATURES, ~np.isnan(time)
    f = features(np.where(known, time, 0.0))
    w, P = state["season_weights"], state["season_inverse"].reshape(-1, D, D)
    error = z - np.sum(w * f, axis=1)
    g = np.einsum("bij,bj->bi", P, f)
    size, trace = np.sum(g * f, axis=1), np.trace(P, axis1=1, axis2=2)
    sound = (size >= 0) & (trace > 0) & (trace < 2 * kernel.LARGEST)
    forgetting = np.where(trace < kernel.LARGEST, kernel.FORGETTING, 1.0)[:, None]
    s = forgetting + np.where(sound, size, 0.0)[:, None]
    u = g / np.sqrt(s)
    shrunk = (P - u[:, :, None] * u[:, None, :]) / forgetting[:, :, None]
    inverse = np.where(sound[:, None], shrunk.reshape(len(z), -1), identity())
    weights = np.where(sound[:, None], w + g / s * np.clip(error, -bound, bound)[:, None], 0.0)
    learned = (known & learns)[:, None]
    return np.where(known, error, z), {
        "season_weights": np.where(learned, weights, w),
        "season_inverse": np.where(learned, inverse, state["season_inverse"]),
    }
