"""How abnormal the value of one target of one stream is; the equations are in online/anomaly.py.

Constants of the owner, in ``K`` from ``k`` on: ALARM_RATE and its natural logarithm.
"""

import math

from numba import float64

from ..cache import internal
from .season import SEASON_SIZE, season_error, season_restart
from .tail import HELD_BY, LOG10, SEEN, TAIL_SIZE, alarmed, log_tail_probability

# Columns of the state; after them those of tail.py and season.py.
(
    COUNT,  # values since the start, or since everything was learnt anew
    MEAN,
    SPREAD,  # standard deviation
    LOW,  # the range so far
    HIGH,
    ERROR,  # mean size of the errors, in spreads, of forecasts
    SEASON_ERROR,  # and of the season
    SHORT,  # mean of the last errors in units of these: of forecasts
    LONG,  # and of the season
    ACTIVITY,  # mean size of the last errors of forecasts,
    USUAL,  # and of its logarithm over a long time
    SHORT_RECORD,  # what SHORT, LONG and calm have reached, slowly forgotten
    LONG_RECORD,
    CALM_RECORD,
    SHORT_SIZE,  # the mean size of SHORT, LONG and the change of activity
    LONG_SIZE,
    CHANGE_SIZE,
    NOVELTIES,  # values outside the range so far,
    NOVELTY,  # and the mean of how far, as a logarithm, above FIRST_NOVELTY
    PEAK,  # of the score, soon forgotten
    LAST,  # value
    STRANGE,  # rows in succession that are of another size than all before
    GAP,  # missing values in succession,
    LONGEST_GAP,  # and the most so far
    KIND,  # of the alarm that stands
) = range(25)
TAIL = 25
SEASON = TAIL + TAIL_SIZE
SIZE = SEASON + SEASON_SIZE

ALARM_RATE, LOG_ALARM_RATE = range(2)
NONE, SPIKE, LEVEL, VARIANCE, CALM, NOVEL, MISSING = range(7)

START = 100.0  # values before anything is said
MEMORY = 0.001  # weight of a value in means over a long time; before, 1 / (count + 1)
FRESH = 2.0  # those of sizes weigh 2 / (count + 2), so that they soon forget the start
COUNTED = 2.0**24 - 2.0  # even, see SETTLED
SETTLED = 1000.0  # values; later the calendar model learns from every other one: half of its cost
HUGE, TINY = 1e37, 1e-37
SHORT_ROWS, LONG_ROWS, ACTIVITY_ROWS = 5.0, 24.0, 6.0
BOUND = 8.0  # of a value, in spreads
ERROR_BOUND = 4.0  # of an error that enters a mean, in units of the usual one
LEARNED_BOUND = 5.0  # and of one that the usual one learns from
LEAST_ERROR = 1e-3
LEAST_ACTIVITY = 0.02
FORGET = 3e-4  # of a record, a row
RECORD_GROWTH = 5.0
RATIO = 40.0  # of twice a size to its record
NOVELTY_UNIT = 0.1  # of the range: novelties are told apart by log(1 + distance / this)
FIRST_NOVELTY = 0.5  # such a logarithm, before any is known
NOVELTY_WEIGHT = 0.5
NOVELTY_MOST = 6.0
NOVEL_SIZE, DECADE = 1.8, 1.5  # novelty is as rare as a size of 1.8 1.5^decades times the usual
LOG_DECADE = math.log(DECADE)
LEAST_SIZE = 1e-3
LASTING = 2.0  # variance is told of rows with an error this many times its usual size
UNREST, CALMNESS = 1.2, 0.9  # give changes of normal noise the tail that its errors have
QUIET, QUIET_LEAST = 0.1, 20.0  # a peak is forgotten in this share of the rows so far
STRANGE_ROWS = 32.0
STILL = 1e-6  # of a spread: changes below it, but not 0, are of another size
ACTIVITY_BOUND = 8.0
SINGLE_BOUND = 50.0  # of a single error, in units of the usual one
GAP_ALARM, GAP_RATIO = 8.0, 2.0


@internal
def _bounded(x, bound):
    return min(max(x, -bound), bound)


@internal
def _spread(S, at):
    """Return the unit in which values are told: the standard deviation, or if that is 0 a guess."""
    mean, spread = abs(float64(S[at + MEAN])), float64(S[at + SPREAD])
    return spread if spread > 1e-9 * mean and spread > TINY else 0.01 * mean + TINY


@internal
def _ratio(S, at, size):
    """Return 2 size / record, at least 1, and let the record grow and fade."""
    record, known = float64(S[at]), S[at] > 0.0
    ratio = min(max(2.0 * size / record, 1.0), RATIO) if known else 1.0
    record *= 1.0 - FORGET
    if size > record:
        record = min(size, RECORD_GROWTH * record) if known else size
    S[at] = record if record > TINY else 0.0
    return ratio


@internal
def _novelty(S, at, value, spread):
    """Return the surprise, in decades, of a value outside the range so far; learn the range."""
    low, high = float64(S[at + LOW]), float64(S[at + HIGH])
    span = max(high - low, 0.1 * spread)
    distance = max(value - high, low - value)
    if distance <= 0.0:
        return 0.0
    S[at + LOW], S[at + HIGH] = max(min(low, value), low - span), min(max(high, value), high + span)
    if S[at + COUNT] < START:
        return 0.0
    size = math.log1p(min(distance / span, HUGE) / NOVELTY_UNIT)
    count, mean = S[at + NOVELTIES] + 1.0, FIRST_NOVELTY + S[at + NOVELTY]
    surprise = math.log10((S[at + COUNT] + 1.0) / count) + size / (LOG10 * mean)
    S[at + NOVELTIES] = min(count, COUNTED)
    S[at + NOVELTY] += (size - mean) / (count + 1.0)
    return min(max(surprise, 0.0), NOVELTY_MOST)


@internal
def _scale(S, at, value, weight):
    """Learn mean and standard deviation, from a value that is not too far from what was known."""
    spread = _spread(S, at)
    step = _bounded(value - S[at + MEAN], 4.0 * BOUND * spread)
    S[at + MEAN] += weight * step
    old = float64(S[at + SPREAD])
    S[at + SPREAD] = math.sqrt((1.0 - weight) * (old * old + weight * step * step))


@internal
def _restart(S, at, value):
    """Forget everything but the gaps, and where the threshold of alarms is."""
    for column in range(at, at + STRANGE + 1):
        S[column] = 0.0
    S[at + TAIL + SEEN] = 0.0
    S[at + MEAN] = S[at + LOW] = S[at + HIGH] = S[at + LAST] = value
    season_restart(S, at + SEASON)


@internal
def _is_of_another_size(S, at, value, spread, u, z):
    """Return whether a value is beyond all bounds, or its change is far too small but not 0."""
    last = float64(S[at + LAST])
    S[at + LAST] = value
    change = abs(S[at + LAST] - last)
    return abs(u) >= BOUND or abs(z) >= BOUND or 0.0 < change < STILL * spread


@internal
def _missing(S, at):
    """Count a missing value; return whether so many in succession are an alarm."""
    S[at + GAP] = min(S[at + GAP] + 1.0, COUNTED)
    longest = max(GAP_ALARM, GAP_RATIO * S[at + LONGEST_GAP])
    return S[at + GAP] >= longest and S[at + GAP] - 1.0 < longest


@internal
def _error(S, at, column, error, weight):
    """Return an error in units of the usual one, and learn that."""
    usual, size = float64(S[at + column]), abs(error)
    unit = error / usual if usual > 0.0 else 0.0
    learned = min(size, LEARNED_BOUND * usual) if usual > 0.0 else size
    S[at + column] = max(usual + weight * (learned - usual), LEAST_ERROR)
    return _bounded(unit, SINGLE_BOUND)


@internal
def _times_usual(S, at, size, weight):
    """Return a size in units of its mean, and learn that."""
    usual = max(float64(S[at]), LEAST_SIZE)
    S[at] = usual + weight * (min(size, LEARNED_BOUND * usual) - usual)
    return size / usual


@internal
def _kind(spike, level, unrest, calm, most):
    """Return the kind that is as unusual as the most unusual one."""
    if spike >= most:
        return SPIKE
    if level >= most:
        return LEVEL
    if unrest >= most:
        return VARIANCE
    return CALM if calm >= most else NOVEL


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
        alarm = 1.0 if _missing(S, at) else 0.0
        return 0.0, 1.0, alarm, float64(MISSING)
    value = _bounded(value, HUGE)
    S[at + LONGEST_GAP] = max(S[at + LONGEST_GAP], S[at + GAP])
    S[at + GAP] = 0.0
    if S[at + COUNT] == 0.0 or S[at + STRANGE] >= STRANGE_ROWS:
        _restart(S, at, value)
    count = float64(S[at + COUNT])
    weight, spread = max(MEMORY, 1.0 / (count + 1.0)), _spread(S, at)
    fresh = max(MEMORY, FRESH / (count + FRESH))
    z = _bounded((value - S[at + MEAN]) / spread, BOUND)

    # Errors of the forecast and of the season, and their means over a few rows.
    u = 0.0
    if not math.isnan(residual):
        u = _error(S, at, ERROR, _bounded(residual / spread, 2.0 * BOUND), weight)
        bounded = _bounded(u, ERROR_BOUND)
        S[at + SHORT] += (bounded - S[at + SHORT]) / SHORT_ROWS
        S[at + ACTIVITY] += (min(abs(u), ACTIVITY_BOUND) - S[at + ACTIVITY]) / ACTIVITY_ROWS
    bound = 4.0 * S[at + SEASON_ERROR] if count > 30.0 else HUGE
    learns = count < SETTLED or count % 2.0 == 0.0
    error = season_error(S, at + SEASON, z, time, bound, learns)
    v = _error(S, at, SEASON_ERROR, error, weight)
    S[at + LONG] += (_bounded(v, ERROR_BOUND) - S[at + LONG]) / LONG_ROWS
    active = math.log(S[at + ACTIVITY] + LEAST_ACTIVITY)
    S[at + USUAL] += fresh * (active - S[at + USUAL])
    change = active - S[at + USUAL]

    # What is news: more than ever, or not for long.
    short, long = abs(float64(S[at + SHORT])), abs(float64(S[at + LONG]))
    novelty = _novelty(S, at, value, spread)
    surprise = NOVELTY_WEIGHT * novelty + math.log(
        _ratio(S, at + SHORT_RECORD, short)
        * _ratio(S, at + LONG_RECORD, long)
        * _ratio(S, at + CALM_RECORD, max(-change, 0.0))
    )
    # What is rare: many times its usual size.
    spike, calm = abs(u), 0.0
    level = max(
        _times_usual(S, at + SHORT_SIZE, short, fresh),
        _times_usual(S, at + LONG_SIZE, long, fresh),
    )
    unrest = _times_usual(S, at + CHANGE_SIZE, abs(change), fresh)
    if change < 0.0:
        calm, unrest = CALMNESS * unrest, 0.0
    unrest *= UNREST
    most = max(max(max(spike, level), max(calm, unrest)), LEAST_SIZE)
    if novelty > 0.0:
        most = max(most, NOVEL_SIZE * math.exp(LOG_DECADE * novelty))
    strange = _is_of_another_size(S, at, value, spread, u, z)
    S[at + STRANGE] = S[at + STRANGE] + 1.0 if strange else 0.0
    _scale(S, at, value, weight)
    S[at + COUNT] = min(count + 1.0, COUNTED)
    if count < START:
        S[at + KIND] = NONE
        return 0.0, 1.0, 0.0, float64(NONE)

    score = surprise if surprise > S[at + PEAK] else 0.0
    fade = 1.0 - 1.0 / max(QUIET * count, QUIET_LEAST)
    S[at + PEAK] = max(surprise, S[at + PEAK] * fade)
    log_p = log_tail_probability(S, at + TAIL, math.log(most))
    alarm, stands = alarmed(S, at + TAIL, log_p, K[k + ALARM_RATE], K[k + LOG_ALARM_RATE])
    kind = _kind(spike, level, unrest, calm, most)
    lasts = kind != SPIKE and (kind != VARIANCE or spike > LASTING)
    if alarm or (stands and log_p < HELD_BY and lasts):
        S[at + KIND] = kind
    elif not stands:
        S[at + KIND] = NONE
    return score, math.exp(log_p), 1.0 if alarm else 0.0, float64(S[at + KIND])
