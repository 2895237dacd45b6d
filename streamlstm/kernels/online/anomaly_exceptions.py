"""What few rows need of anomaly.py: novelty, gaps, repetition, and a new start."""

from numba import float32, float64

from ..cache import inlined, internal
from .anomaly_columns import (
    ALIKE,
    COUNT,
    COUNTED,
    FIRST_NOVELTY,
    GAP,
    GAP_ALARM,
    GAP_RATIO,
    HIGH,
    HUGE,
    LAST,
    LEAST_RUN,
    LOG_DECADE,
    LONGEST_GAP,
    LONGEST_RUN,
    LOW,
    MEAN,
    NOVEL_SIZE,
    NOVELTIES,
    NOVELTY,
    NOVELTY_MOST,
    NOVELTY_UNIT,
    REPEATS,
    RUN_GROWTH,
    SEASON,
    START,
    STRANGE,
    STRANGE_ROWS,
)
from .elementary import exp, log
from .season import season_restart
from .tail import LOG10, PER_LOG10


@internal
def novelty(S, at, w, value, spread, distance):
    """Return the surprise, in decades, of a value outside the range so far; learn the range.

    It is as rare as an error of the size that is returned too.
    """
    low, high = float64(S[at + LOW * w]), float64(S[at + HIGH * w])
    count = float64(S[at + COUNT * w])
    span = max(high - low, 0.1 * spread)
    S[at + LOW * w] = max(min(low, value), low - span)
    S[at + HIGH * w] = min(max(high, value), high + span)
    if count < START:
        return 0.0, 0.0
    size = log(1.0 + min(distance / span, HUGE) / NOVELTY_UNIT)
    novelties = float64(S[at + NOVELTIES * w]) + 1.0
    mean = FIRST_NOVELTY + float64(S[at + NOVELTY * w])
    surprise = log((count + 1.0) / novelties) * PER_LOG10 + size / (LOG10 * mean)
    S[at + NOVELTIES * w] = min(novelties, COUNTED)
    S[at + NOVELTY * w] += (size - mean) / (novelties + 1.0)
    surprise = min(max(surprise, 0.0), NOVELTY_MOST)
    return surprise, NOVEL_SIZE * exp(LOG_DECADE * surprise) if surprise > 0.0 else 0.0


@internal
def missing(S, at):
    """Count a missing value; return whether so many in succession are an alarm."""
    S[at + GAP] = min(S[at + GAP] + 1.0, COUNTED)
    longest = max(GAP_ALARM, GAP_RATIO * S[at + LONGEST_GAP])
    return 1.0 if S[at + GAP] >= longest and S[at + GAP] - 1.0 < longest else 0.0


@internal
def _restart(S, at, value):
    """Forget everything but the gaps, and where the threshold of alarms is."""
    for column in range(at, at + STRANGE + 1):
        S[column] = 0.0
    S[at + MEAN] = S[at + LOW] = S[at + HIGH] = S[at + LAST] = value
    S[at + REPEATS] = S[at + LONGEST_RUN] = S[at + ALIKE] = 0.0
    season_restart(S, at + SEASON)


@internal
def _stuck(S, at, value):
    """Count the values that repeat the one before; return what :func:`begin` does."""
    changes = float64(S[at + COUNT]) - 1.0 - float64(S[at + ALIKE])  # all before but repetitions
    longest = max(float64(S[at + LONGEST_RUN]), LEAST_RUN)
    repeats = float64(S[at + REPEATS])
    if float32(value) != S[at + LAST]:
        if repeats > 0.0:
            most = repeats if changes == 0.0 else RUN_GROWTH * longest
            S[at + LONGEST_RUN] = max(float64(S[at + LONGEST_RUN]), min(repeats, most))
            S[at + REPEATS] = 0.0
        return 0.0
    S[at + REPEATS] = min(repeats + 1.0, COUNTED)
    S[at + ALIKE] = min(float64(S[at + ALIKE]) + 1.0, COUNTED)
    if changes < START or repeats < longest:
        return 0.0
    return -log(changes) * ((repeats + 1.0) / longest - 1.0)


@inlined
def begin(S, at, value):
    """Let a gap end with a value that came, and start anew where that is due.

    Returns
    -------
    float64
        The logarithm of how rare it is that the value has not changed for so long, 0 if it is not.
    """
    usual = (S[at + GAP] == 0.0) & (S[at + REPEATS] == 0.0) & (float32(value) != S[at + LAST])
    if usual & (S[at + COUNT] > 0.0) & (S[at + STRANGE] < STRANGE_ROWS):
        return 0.0  # nothing below would change anything
    return _begin(S, at, value)


@internal
def _begin(S, at, value):
    S[at + LONGEST_GAP] = max(S[at + LONGEST_GAP], S[at + GAP])
    S[at + GAP] = 0.0
    if S[at + COUNT] == 0.0 or S[at + STRANGE] >= STRANGE_ROWS:
        _restart(S, at, value)
        return 0.0
    return _stuck(S, at, value)
