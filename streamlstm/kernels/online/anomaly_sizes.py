"""Sizes in units of what is usual, for anomaly.py."""

from numba import float64

from ..cache import inlined
from .anomaly_columns import (
    FORGET,
    LEARNED_BOUND,
    LEAST_ERROR,
    LEAST_SIZE,
    RATIO,
    RECORD_GROWTH,
    SINGLE_BOUND,
    TINY,
)


@inlined
def bounded(x, bound):
    """Return a number within a bound of 0."""
    return min(max(x, -bound), bound)


@inlined
def spread_of(mean, spread):
    """Return the unit in which values are told: the standard deviation, or if that is 0 a guess."""
    mean = abs(mean)
    known = (spread > 1e-9 * mean) & (spread > TINY)
    guess = 0.01 * mean + TINY
    return spread if known else guess


@inlined
def in_usual(usual, error, weight):
    """Return an error in units of the usual one, and what is usual from now on."""
    known, size = usual > 0.0, abs(error)
    unit = error / (usual if known else 1.0)
    learned = min(size, LEARNED_BOUND * usual) if known else size
    unit = bounded(unit, SINGLE_BOUND) if known else 0.0
    return unit, max(usual + weight * (learned - usual), LEAST_ERROR)


@inlined
def to_record(S, at, size):
    """Return 2 size / record, at least 1, and let the record grow and fade."""
    record = float64(S[at])
    known = record > 0.0
    ratio = min(max(2.0 * size / (record if known else 1.0), 1.0), RATIO)
    record *= 1.0 - FORGET
    grown = min(size, RECORD_GROWTH * record) if known else size
    record = grown if size > record else record
    S[at] = record if record > TINY else 0.0
    return ratio if known else 1.0


@inlined
def times_usual(S, at, size, weight):
    """Return a size in units of its mean, and learn that."""
    usual = max(float64(S[at]), LEAST_SIZE)
    S[at] = usual + weight * (min(size, LEARNED_BOUND * usual) - usual)
    return size / usual
