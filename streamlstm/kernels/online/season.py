"""The error of a calendar model of one value; the equations are in online/anomaly.py."""

import math

from ..cache import internal
from .calendar import sine_cosine

# Columns: weights of the features, then the inverse correlation of these, row by row, which is the
# identity at the start.
FEATURES = 9
WEIGHTS, INVERSE = 0, FEATURES
SEASON_SIZE = FEATURES + FEATURES * FEATURES

WEEK = 604_800.0
MONDAY = 345_600.0  # from Monday to the Thursday with which 1970 began, in seconds: 4 days
FORGETTING = 0.9995
LARGEST = 20.0  # trace of the inverse: above it nothing is forgotten


@internal
def _features(time):
    """Return 1, and two harmonics of the week and of the day, by powers of one complex number."""
    weeks = (time + MONDAY) / WEEK
    b, a = sine_cosine(weeks - math.floor(weeks))
    a2, b2 = a * a - b * b, 2.0 * a * b
    a3, b3 = a2 * a - b2 * b, a2 * b + b2 * a
    a6, b6 = a3 * a3 - b3 * b3, 2.0 * a3 * b3
    a7, b7 = a6 * a - b6 * b, a6 * b + b6 * a
    a14, b14 = a7 * a7 - b7 * b7, 2.0 * a7 * b7
    return 1.0, a, b, a2, b2, a7, b7, a14, b14


@internal
def _dot(S, row, f):
    """Return the product of nine columns with the features; a loop would be three times as slow."""
    return (
        S[row] * f[0] + S[row + 1] * f[1] + S[row + 2] * f[2]
        + S[row + 3] * f[3] + S[row + 4] * f[4] + S[row + 5] * f[5]
        + S[row + 6] * f[6] + S[row + 7] * f[7] + S[row + 8] * f[8]
    )  # fmt: skip


@internal
def _add_row(g, S, row, a):
    """Add ``a`` times nine columns to nine numbers: the inverse times the features, row by row."""
    return (
        g[0] + S[row] * a, g[1] + S[row + 1] * a, g[2] + S[row + 2] * a,
        g[3] + S[row + 3] * a, g[4] + S[row + 4] * a, g[5] + S[row + 5] * a,
        g[6] + S[row + 6] * a, g[7] + S[row + 7] * a, g[8] + S[row + 8] * a,
    )  # fmt: skip


@internal
def _shrink(S, row, a, u, grow):
    """Take ``a u`` from a row of the inverse, and let it grow by what is forgotten."""
    S[row] = (S[row] - a * u[0]) * grow
    S[row + 1] = (S[row + 1] - a * u[1]) * grow
    S[row + 2] = (S[row + 2] - a * u[2]) * grow
    S[row + 3] = (S[row + 3] - a * u[3]) * grow
    S[row + 4] = (S[row + 4] - a * u[4]) * grow
    S[row + 5] = (S[row + 5] - a * u[5]) * grow
    S[row + 6] = (S[row + 6] - a * u[6]) * grow
    S[row + 7] = (S[row + 7] - a * u[7]) * grow
    S[row + 8] = (S[row + 8] - a * u[8]) * grow


@internal
def _times(x, a):
    """Return nine numbers times a factor."""
    return (
        x[0] * a, x[1] * a, x[2] * a, x[3] * a, x[4] * a, x[5] * a, x[6] * a, x[7] * a, x[8] * a
    )  # fmt: skip


@internal
def season_restart(S, at):
    """Forget everything: weights 0, the inverse the identity."""
    for n in range(SEASON_SIZE):
        S[at + n] = 0.0
    for i in range(FEATURES):
        S[at + INVERSE + i * (FEATURES + 1)] = 1.0


@internal
def _learn(S, at, f, error):
    """Update weights and inverse by recursive least squares, symmetric to the last bit."""
    P = at + INVERSE
    g = _add_row((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), S, P, f[0])
    g = _add_row(g, S, P + 9, f[1])
    g = _add_row(g, S, P + 18, f[2])
    g = _add_row(g, S, P + 27, f[3])
    g = _add_row(g, S, P + 36, f[4])
    g = _add_row(g, S, P + 45, f[5])
    g = _add_row(g, S, P + 54, f[6])
    g = _add_row(g, S, P + 63, f[7])
    g = _add_row(g, S, P + 72, f[8])
    size = (
        g[0] * f[0] + g[1] * f[1] + g[2] * f[2] + g[3] * f[3] + g[4] * f[4]
        + g[5] * f[5] + g[6] * f[6] + g[7] * f[7] + g[8] * f[8]
    )  # fmt: skip
    trace = 0.0
    for i in range(FEATURES):
        trace += S[P + i * (FEATURES + 1)]
    if not (size >= 0.0 and trace > 0.0 and trace < 2.0 * LARGEST):  # lost to rounding
        season_restart(S, at)
        return
    forgetting = FORGETTING if trace < LARGEST else 1.0
    inverse, grow = 1.0 / (forgetting + size), 1.0 / forgetting
    _shrink(S, at + WEIGHTS, -inverse * error, g, 1.0)
    u = _times(g, math.sqrt(inverse))
    _shrink(S, P, u[0], u, grow)
    _shrink(S, P + 9, u[1], u, grow)
    _shrink(S, P + 18, u[2], u, grow)
    _shrink(S, P + 27, u[3], u, grow)
    _shrink(S, P + 36, u[4], u, grow)
    _shrink(S, P + 45, u[5], u, grow)
    _shrink(S, P + 54, u[6], u, grow)
    _shrink(S, P + 63, u[7], u, grow)
    _shrink(S, P + 72, u[8], u, grow)


@internal
def season_error(S, at, z, time, bound, learns):
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
    learns : bool
        Whether it learns at all from this value.
    """
    if math.isnan(time):
        return z
    f = _features(time)
    error = z - _dot(S, at + WEIGHTS, f)
    if learns:
        _learn(S, at, f, min(max(error, -bound), bound))
    return error
