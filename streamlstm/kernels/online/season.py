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
def error_of(S, at, z, nine):
    """Return ``z`` minus what the model makes of a time, whose features are ``nine`` (nine.py)."""
    return z - dot(read(S, at + WEIGHTS), nine)


@inlined
def gain_of(S, at, nine):
    """Return P f, f . P f and the trace of P."""
    g = product(S, at + INVERSE, nine)
    return g, dot(g, nine), trace(S, at + INVERSE)


@inlined
def factors_of(size, sum_of_diagonal, error):
    """Return how the model learns, from what :func:`gain_of` returned; without branches.

    Returns
    -------
    (bool, float64, float64, float64)
        Whether the inverse is sound, or rounding has made it indefinite; what the gain is
        multiplied with to change the weights, and the inverse; and by what that grows.
    """
    sound = (size >= 0.0) & (sum_of_diagonal > 0.0) & (sum_of_diagonal < 2.0 * LARGEST)
    forgetting = FORGETTING if sum_of_diagonal < LARGEST else 1.0
    inverse = 1.0 / (forgetting + (size if sound else 0.0))
    return sound, inverse * error, math.sqrt(inverse), 1.0 / forgetting


@inlined
def learn(S, at, g, sound, factors):
    """Update weights and inverse by recursive least squares, symmetric to the last bit."""
    if not sound:
        season_restart(S, at)
        return
    of_weights, root, grow = factors
    add_multiple(S, at + WEIGHTS, of_weights, g)
    shrink(S, at + INVERSE, times(g, root), grow)


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
    error = error_of(S, at, z, nine)
    if learns:
        g, size, sum_of_diagonal = gain_of(S, at, nine)
        sound, of_weights, root, grow = factors_of(
            size, sum_of_diagonal, min(max(error, -bound), bound)
        )
        learn(S, at, g, sound, (of_weights, root, grow))
    return error
