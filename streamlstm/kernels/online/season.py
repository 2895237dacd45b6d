"""The error of a calendar model of one value; the equations are in online/anomaly.py."""

import math

from numba import float64

from ..cache import internal

# Columns: weights of the features, then one triangle of the inverse correlation of these, row by
# row, which is the identity at the start.
FEATURES = 9
WEIGHTS, INVERSE = 0, FEATURES
SEASON_SIZE = FEATURES + FEATURES * (FEATURES + 1) // 2

WEEK = 604_800.0
MONDAY = 345_600.0  # from Monday to the Thursday with which 1970 began, in seconds: 4 days
FORGETTING = 0.9995
LARGEST = 20.0  # trace of the inverse: above it nothing is forgotten


@internal
def _features(time):
    """Return 1, and two harmonics of the week and of the day, by powers of one complex number."""
    angle = 2.0 * math.pi * ((time + MONDAY) / WEEK - math.floor((time + MONDAY) / WEEK))
    a, b = math.cos(angle), math.sin(angle)
    a2, b2 = a * a - b * b, 2.0 * a * b
    a3, b3 = a2 * a - b2 * b, a2 * b + b2 * a
    a6, b6 = a3 * a3 - b3 * b3, 2.0 * a3 * b3
    a7, b7 = a6 * a - b6 * b, a6 * b + b6 * a
    a14, b14 = a7 * a7 - b7 * b7, 2.0 * a7 * b7
    return 1.0, a, b, a2, b2, a7, b7, a14, b14


@internal
def _gain(S, P, i, f):
    """Return element ``i`` of the inverse times the features."""
    total = 0.0
    for j in range(FEATURES):
        row, column = max(i, j), min(i, j)
        total += float64(S[P + row * (row + 1) // 2 + column]) * f[j]
    return total


@internal
def season_restart(S, at):
    """Forget everything: weights 0, the inverse the identity."""
    for n in range(SEASON_SIZE):
        S[at + n] = 0.0
    for i in range(FEATURES):
        S[at + INVERSE + i * (i + 3) // 2] = 1.0


@internal
def _learn(S, at, f, error):
    """Update weights and inverse by recursive least squares, symmetric by construction."""
    P = at + INVERSE
    g = (
        _gain(S, P, 0, f), _gain(S, P, 1, f), _gain(S, P, 2, f), _gain(S, P, 3, f),
        _gain(S, P, 4, f), _gain(S, P, 5, f), _gain(S, P, 6, f), _gain(S, P, 7, f),
        _gain(S, P, 8, f),
    )  # fmt: skip
    size = trace = 0.0
    for i in range(FEATURES):
        size += g[i] * f[i]
        trace += S[P + i * (i + 3) // 2]
    forgetting = FORGETTING if trace < LARGEST else 1.0
    if not (size >= 0.0 and trace > 0.0 and trace < 2.0 * LARGEST):  # lost to rounding
        season_restart(S, at)
        return
    inverse = 1.0 / (forgetting + size)
    for i in range(FEATURES):
        S[at + WEIGHTS + i] += g[i] * inverse * error
        for j in range(i + 1):
            place = P + i * (i + 1) // 2 + j
            S[place] = (S[place] - g[i] * g[j] * inverse) / forgetting


@internal
def season_error(S, at, z, time, bound):
    """Return ``z`` minus what the calendar model makes of ``time``, and learn from it.

    Parameters
    ----------
    S, at : float32[...], int
        The state rows, and where the model's columns begin.
    z : float
        The value, scaled.
    time : float
        Seconds since 1970; if NaN, the model is left alone and ``z`` returned.
    bound : float
        The model learns from no error larger than this.
    """
    if math.isnan(time):
        return z
    f = _features(time)
    error = z
    for i in range(FEATURES):
        error -= S[at + WEIGHTS + i] * f[i]
    _learn(S, at, f, min(max(error, -bound), bound))
    return error
