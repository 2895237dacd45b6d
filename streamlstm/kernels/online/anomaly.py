"""How abnormal the value of one target of one stream is; the equations are in online/anomaly.py.

Constants of the owner, in ``K`` from ``k`` on: ALARM_RATE and its natural logarithm.

A row is judged in three parts: how far it is from what was expected, without branches; what few
rows need, novelty, the season and a new start; and the verdict, without branches again. In a state
row column ``c`` stands at ``at + c``; in a tile of streams (tiles.py) at ``at + w c``, with ``w``
streams side by side, which LLVM then takes at once. Both compute the same bits.
"""

import math

from numba import float64, int64

from ..cache import inlined, internal
from .anomaly_columns import (
    ACTIVITY,
    ACTIVITY_BOUND,
    ALARM_RATE,
    BOUND,
    CALM,
    CALM_RECORD,
    CALMNESS,
    CHANGE_SIZE,
    COUNT,
    COUNTED,
    ERROR,
    ERROR_BOUND,
    FRESH,
    HIGH,
    HUGE,
    KIND,
    LAST,
    LASTING,
    LEAST_ACTIVITY,
    LEAST_SIZE,
    LEVEL,
    LOG_ALARM_RATE,
    LONG,
    LONG_RECORD,
    LONG_SIZE,
    LOW,
    MEAN,
    MEMORY,
    MISSING,
    NONE,
    NOVEL,
    NOVELTY_WEIGHT,
    PEAK,
    PER_ACTIVITY,
    PER_LONG,
    PER_SHORT,
    PER_SLOW,
    QUIET,
    QUIET_LEAST,
    SEASON,
    SEASON_ERROR,
    SETTLED,
    SHORT,
    SHORT_RECORD,
    SHORT_SIZE,
    SLOW,
    SLOW_LEARNED,
    SLOW_MEMORY,
    SLOW_SIZE,
    SLOW_START,
    SLOW_TAIL,
    SLOW_TOLD,
    SPIKE,
    SPREAD,
    START,
    STILL,
    STRANGE,
    TAIL,
    UNREST,
    USUAL,
    VARIANCE,
)
from .anomaly_exceptions import begin, missing, novelty
from .anomaly_sizes import bounded, in_usual, spread_of, times_usual, to_record
from .elementary import exp, log
from .season import features, season_error
from .tail import HELD_BY, LEAST_LOG_P, alarmed, log_tail_probability


@inlined
def compare(S, at, w, value, residual):
    """Compare a value with the mean and with its forecast, and learn how far forecasts are off.

    Returns
    -------
    tuple of float64
        The spread; the value in spreads from the mean; the residual in units of the usual one, 0
        if there is none; and how far the value is outside the range so far, if above 0.
    """
    count, mean = float64(S[at + COUNT * w]), float64(S[at + MEAN * w])
    spread = spread_of(mean, float64(S[at + SPREAD * w]))
    weight = max(MEMORY, 1.0 / (count + 1.0))
    z = bounded((value - mean) / spread, BOUND)
    made = residual == residual
    error = bounded((residual if made else 0.0) / spread, 2.0 * BOUND)
    unit, usual = in_usual(float64(S[at + ERROR * w]), error, weight)
    u = unit if made else 0.0
    short, active = float64(S[at + SHORT * w]), float64(S[at + ACTIVITY * w])
    moved = short + (bounded(u, ERROR_BOUND) - short) * PER_SHORT
    stirred = active + (min(abs(u), ACTIVITY_BOUND) - active) * PER_ACTIVITY
    S[at + ERROR * w] = usual if made else S[at + ERROR * w]
    S[at + SHORT * w] = moved if made else S[at + SHORT * w]
    S[at + ACTIVITY * w] = stirred if made else S[at + ACTIVITY * w]
    outside = max(value - float64(S[at + HIGH * w]), float64(S[at + LOW * w]) - value)
    return spread, z, u, outside


@inlined
def season_learning(count, usual):
    """Return the largest error that the calendar model learns from, and whether it learns now."""
    learns = (count < SETTLED) | (int64(count) & 1 == 0)
    return 4.0 * usual if count > 30.0 else HUGE, learns


@inlined
def _slow(S, at, w, v, count):
    """Return the logarithm of how rare the mean of many errors of the season is, 0 if it is not."""
    mean, usual = float64(S[at + SLOW * w]), max(float64(S[at + SLOW_SIZE * w]), LEAST_SIZE)
    mean += (bounded(v, ERROR_BOUND) - mean) * PER_SLOW
    size, weight = abs(mean), max(SLOW_MEMORY, FRESH / (count + FRESH))
    S[at + SLOW * w] = mean
    S[at + SLOW_SIZE * w] = usual + weight * (min(size, SLOW_LEARNED * usual) - usual)
    ratio = size / usual
    return -SLOW_TAIL * ratio * ratio if (ratio > SLOW_TOLD) & (count >= SLOW_START) else 0.0


@inlined
def _scale(S, at, w, value, spread, weight):
    """Learn mean and standard deviation, from a value that is not too far from what was known."""
    mean, old = float64(S[at + MEAN * w]), float64(S[at + SPREAD * w])
    step = bounded(value - mean, 4.0 * BOUND * spread)
    S[at + MEAN * w] = mean + weight * step
    S[at + SPREAD * w] = math.sqrt((1.0 - weight) * (old * old + weight * step * step))


@inlined
def _count_strange(S, at, w, value, spread, u, z):
    """Count values beyond all bounds, and changes that are far too small but not 0."""
    last = float64(S[at + LAST * w])
    S[at + LAST * w] = value
    change = abs(float64(S[at + LAST * w]) - last)
    still = (change > 0.0) & (change < STILL * spread)
    strange = (abs(u) >= BOUND) | (abs(z) >= BOUND) | still
    rows = float64(S[at + STRANGE * w]) + 1.0
    S[at + STRANGE * w] = rows if strange else 0.0


@inlined
def conclude(S, at, w, value, spread, z, u, miss, novel, novel_size, stuck, rate, log_rate):
    """Learn from a value, and return score, p-value, alarm (0 or 1) and kind.

    Parameters
    ----------
    S, at, w, value
        As for :func:`compare`.
    spread, z, u : float64
        What that returned.
    miss : float64
        The error of the season.
    novel, novel_size : float64
        What :func:`novelty` returned; 0 for a value within the range.
    stuck : float64
        What :func:`begin` returned.
    rate, log_rate : float64
        Of alarms, by the owner.
    """
    count = float64(S[at + COUNT * w])
    weight = max(MEMORY, 1.0 / (count + 1.0))
    fresh = max(MEMORY, FRESH / (count + FRESH))
    v, usual = in_usual(float64(S[at + SEASON_ERROR * w]), miss, weight)
    S[at + SEASON_ERROR * w] = usual
    long = float64(S[at + LONG * w])
    S[at + LONG * w] = long + (bounded(v, ERROR_BOUND) - long) * PER_LONG
    active = log(float64(S[at + ACTIVITY * w]) + LEAST_ACTIVITY)
    usual = float64(S[at + USUAL * w])
    S[at + USUAL * w] = usual + fresh * (active - usual)
    change = active - float64(S[at + USUAL * w])

    # What is news: more than ever, or not for long.
    short, long = abs(float64(S[at + SHORT * w])), abs(float64(S[at + LONG * w]))
    surprise = NOVELTY_WEIGHT * novel + log(
        to_record(S, at + SHORT_RECORD * w, short)
        * to_record(S, at + LONG_RECORD * w, long)
        * to_record(S, at + CALM_RECORD * w, max(-change, 0.0))
    )
    # What is rare: many times its usual size.
    spike = abs(u)
    level = max(
        times_usual(S, at + SHORT_SIZE * w, short, fresh),
        times_usual(S, at + LONG_SIZE * w, long, fresh),
    )
    changed = times_usual(S, at + CHANGE_SIZE * w, abs(change), fresh)
    calm, unrest = CALMNESS * changed, UNREST * changed
    calm, unrest = calm if change < 0.0 else 0.0, 0.0 if change < 0.0 else unrest
    most = max(max(max(spike, level), max(calm, unrest)), max(LEAST_SIZE, novel_size))
    _count_strange(S, at, w, value, spread, u, z)
    _scale(S, at, w, value, spread, weight)
    S[at + COUNT * w] = min(count + 1.0, COUNTED)

    told = count >= START
    peak = float64(S[at + PEAK * w])
    score = surprise if told & (surprise > peak) else 0.0
    faded = peak * (1.0 - 1.0 / max(QUIET * count, QUIET_LEAST))
    S[at + PEAK * w] = max(surprise, faded) if told else peak
    log_p = log_tail_probability(S, at + TAIL * w, w, log(most), count - START)
    slow = _slow(S, at, w, v, count)
    least = max(min(log_p, min(slow, stuck)), LEAST_LOG_P)
    alarm, stands = alarmed(S, at + TAIL * w, w, least, rate, log_rate, told)
    kind = float64(CALM) if calm >= most else float64(NOVEL)
    kind = float64(VARIANCE) if unrest >= most else kind
    kind = float64(LEVEL) if level >= most else kind
    kind = float64(SPIKE) if spike >= most else kind
    kind = float64(LEVEL) if slow < log_p else kind
    kind = float64(CALM) if stuck < min(log_p, slow) else kind
    log_p = least
    lasts = (kind != SPIKE) & ((kind != VARIANCE) | (spike > LASTING))
    newer = alarm | (stands & (log_p < HELD_BY) & lasts)
    kind = kind if newer else float64(S[at + KIND * w]) if stands else float64(NONE)
    kind = kind if told else float64(NONE)
    S[at + KIND * w] = kind
    return score, exp(log_p) if told else 1.0, 1.0 if alarm else 0.0, kind


@internal
def anomaly_step(S, at, value, residual, time, K, k):
    """Judge a value, learn from it, and return score, p-value, alarm (0 or 1) and kind.

    Parameters
    ----------
    S, at : float32[...], int
        The state rows, and where the columns of this stream and target begin.
    value : float
        In the unit of the series; NaN if it is missing.
    residual : float
        The value minus its forecast, NaN if there was none.
    time : float
        Seconds since 1970, NaN if unknown.
    K, k : float32[...], int
        Constants of the owner, and where those of this part begin.
    """
    if math.isnan(value):
        return 0.0, 1.0, missing(S, at), float64(MISSING)
    value = bounded(value, HUGE)
    stuck = begin(S, at, value)
    spread, z, u, outside = compare(S, at, 1, value, residual)
    novel, novel_size, miss = 0.0, 0.0, z
    if outside > 0.0:
        novel, novel_size = novelty(S, at, 1, value, spread, outside)
    if time == time:
        count, usual = float64(S[at + COUNT]), float64(S[at + SEASON_ERROR])
        bound, learns = season_learning(count, usual)
        miss = season_error(S, at + SEASON, z, features(time), bound, learns)
    rate, log_rate = float64(K[k + ALARM_RATE]), float64(K[k + LOG_ALARM_RATE])
    return conclude(S, at, 1, value, spread, z, u, miss, novel, novel_size, stuck, rate, log_rate)
