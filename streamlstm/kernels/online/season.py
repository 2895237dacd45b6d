"""The error of a calendar model of one value; the equations are in online/anomaly.py."""

import math

from ..cache import inlined, internal
from .calendar import sine_cosine
from .elementary import floor
from .nine import add_multiple, dot, nine_of, product, read, shrink, times, trace

# Columns: weights of the features, then the inverse correlation of these, row by row, which is the
# identity at the start.
FEATURES = 9
WEIGHTS, INVERSE = 0, FEATURES
SEASON_SIZE = FEATURES + FEATURES * FEATURES

WEEK = 604_800.0
MONDAY = 345_600.0  # from Monday to the Thursday with which 1970 began, in seconds: 4 days
FORGETTING = 0.9995
LARGEST = 20.0  # trace of the inverse: above it nothing is forgotten


@inlined
def features(time):
    """Return 1, and two harmonics of the week and of the day, by powers of one complex number."""
    weeks = (time + MONDAY) / WEEK
    b, a = sine_cosine(weeks - floor(weeks))
    a2, b2 = a * a - b * b, 2.0 * a * b
    a3, b3 = a2 * a - b2 * b, a2 * b + b2 * a
    a6, b6 = a3 * a3 - b3 * b3, 2.0 * a3 * b3
    a7, b7 = a6 * a - b6 * b, a6 * b + b6 * a
    a14, b14 = a7 * a7 - b7 * b7, 2.0 * a7 * b7
    return 1.0, a, b, a2, b2, a7, b7, a14, b14


@internal
def season_restart(S, at):
    """Forget everything: weights 0, the inverse the identity."""
    for n in range(SEASON_SIZE):
        S[at + n] = 0.0
    for i in range(FEATURES):
        S[at + INVERSE + i * (FEATURES + 1)] = 1.0


@inlined
def _learn(S, at, f, error):
    """Update weights and inverse by recursive least squares, symmetric to the last bit."""
    g, sum_of_diagonal = product(S, at + INVERSE, f), trace(S, at + INVERSE)
    size = dot(g, f)
    if not (size >= 0.0 and sum_of_diagonal > 0.0 and sum_of_diagonal < 2.0 * LARGEST):
        season_restart(S, at)  # lost to rounding
        return
    forgetting = FORGETTING if sum_of_diagonal < LARGEST else 1.0
    inverse = 1.0 / (forgetting + size)
    add_multiple(S, at + WEIGHTS, inverse * error, g)
    shrink(S, at + INVERSE, times(g, math.sqrt(inverse)), 1.0 / forgetting)


@inlined
def season_error(S, at, z, f, bound, learns):
    """Return ``z`` minus what the calendar model makes of a time, and learn from it.

    Parameters
    ----------
    S, at : float32[...], int
        The state rows, and where the model's columns begin.
    z : float
        The value, scaled.
    f : tuple of nine float
        The features of the time.
    bound : float
        The model learns from no error larger than this.
    learns : bool
        Whether it learns at all from this value.
    """
    nine = nine_of(f)
    error = z - dot(read(S, at + WEIGHTS), nine)
    if learns:
        _learn(S, at, nine, min(max(error, -bound), bound))
    return error
