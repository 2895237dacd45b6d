"""How abnormal the value of one target of one stream is; the equations are in online/anomaly.py.

Constants of the owner, in ``K`` from ``k`` on: ALARM_RATE and its natural logarithm.

A row is judged in three parts: how far it is from what was expected, without branches; what few
rows need, novelty, the season and a new start; and the verdict, without branches again. In a state
row column ``c`` stands at ``at + c``; in a tile of streams (tiles.py) at ``at + w c``, with ``w``
streams side by side, which LLVM then takes at once. Both compute the same bits.
"""

import math

from numba import float32, float64

from ..cache import inlined, internal
from .elementary import exp, log
from .season import SEASON_SIZE, season_error, season_restart
from .tail import HELD_BY, LEAST_LOG_P, LOG10, PER_LOG10, TAIL_SIZE, alarmed, log_tail_probability

# Columns of the state; after them those of tail.py, of season.py, and those that few rows need.
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
    SLOW,  # mean of many errors of the season,
    SLOW_SIZE,  # and the mean size of that
    NOVELTIES,  # values outside the range so far,
    NOVELTY,  # and the mean of how far, as a logarithm, above FIRST_NOVELTY
    PEAK,  # of the score, soon forgotten
    LAST,  # value
    STRANGE,  # rows in succession that are of another size than all before
    KIND,  # of the alarm that stands
) = range(25)
TAIL = 25
SEASON = TAIL + TAIL_SIZE
RARE = SEASON + SEASON_SIZE
(
    GAP,  # missing values in succession,
    LONGEST_GAP,  # and the most so far
    REPEATS,  # values in succession that repeat the one before,
    LONGEST_RUN,  # the most so far,
    ALIKE,  # and all of them
) = range(RARE, RARE + 5)
SIZE = RARE + 5

ALARM_RATE, LOG_ALARM_RATE = range(2)
NONE, SPIKE, LEVEL, VARIANCE, CALM, NOVEL, MISSING = range(7)

START = 100.0  # values before anything is said
MEMORY = 0.001  # weight of a value in means over a long time; before, 1 / (count + 1)
FRESH = 2.0  # those of sizes weigh 2 / (count + 2), so that they soon forget the start
COUNTED = 2.0**24 - 2.0  # even, see SETTLED
SETTLED = 1000.0  # values; later the calendar model learns from every other one: half of its cost
HUGE, TINY = 1e37, 1e-37
SHORT_ROWS, LONG_ROWS, ACTIVITY_ROWS = 5.0, 24.0, 6.0
PER_SHORT, PER_LONG, PER_ACTIVITY = 1.0 / SHORT_ROWS, 1.0 / LONG_ROWS, 1.0 / ACTIVITY_ROWS
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
LEAST_RUN, RUN_GROWTH = 4.0, 4.0  # the longest run counts as this at least, and grows so much
PER_SLOW, SLOW_MEMORY = 0.01, 2e-4
SLOW_START = 1000.0  # values before a slow change is told
SLOW_LEARNED, SLOW_TOLD = 3.0, 5.5  # times its usual size: what that learns from, what is told
SLOW_TAIL = 0.32  # a normal mean beyond r times its mean size is as rare as exp(-SLOW_TAIL r r)


@inlined
def _bounded(x, bound):
    return min(max(x, -bound), bound)


@inlined
def _spread(mean, spread):
    """Return the unit in which values are told: the standard deviation, or if that is 0 a guess."""
    mean = abs(mean)
    known = (spread > 1e-9 * mean) & (spread > TINY)
    guess = 0.01 * mean + TINY
    return spread if known else guess


@inlined
def _unit(usual, error, weight):
    """Return an error in units of the usual one, and what is usual from now on."""
    known, size = usual > 0.0, abs(error)
    unit = error / (usual if known else 1.0)
    learned = min(size, LEARNED_BOUND * usual) if known else size
    unit = _bounded(unit, SINGLE_BOUND) if known else 0.0
    return unit, max(usual + weight * (learned - usual), LEAST_ERROR)


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
    spread = _spread(mean, float64(S[at + SPREAD * w]))
    weight = max(MEMORY, 1.0 / (count + 1.0))
    z = _bounded((value - mean) / spread, BOUND)
    made = residual == residual
    error = _bounded((residual if made else 0.0) / spread, 2.0 * BOUND)
    unit, usual = _unit(float64(S[at + ERROR * w]), error, weight)
    u = unit if made else 0.0
    short, active = float64(S[at + SHORT * w]), float64(S[at + ACTIVITY * w])
    moved = short + (_bounded(u, ERROR_BOUND) - short) * PER_SHORT
    stirred = active + (min(abs(u), ACTIVITY_BOUND) - active) * PER_ACTIVITY
    S[at + ERROR * w] = usual if made else S[at + ERROR * w]
    S[at + SHORT * w] = moved if made else S[at + SHORT * w]
    S[at + ACTIVITY * w] = stirred if made else S[at + ACTIVITY * w]
    outside = max(value - float64(S[at + HIGH * w]), float64(S[at + LOW * w]) - value)
    return spread, z, u, outside


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
def season(S, columns, count, usual, z, time):
    """Return the error of the calendar model, whose columns begin at ``S[columns]``."""
    bound = 4.0 * usual if count > 30.0 else HUGE
    learns = count < SETTLED or count % 2.0 == 0.0
    return season_error(S, columns, z, time, bound, learns)


@inlined
def _slow(S, at, w, v, count):
    """Return the logarithm of how rare the mean of many errors of the season is, 0 if it is not."""
    mean, usual = float64(S[at + SLOW * w]), max(float64(S[at + SLOW_SIZE * w]), LEAST_SIZE)
    mean += (_bounded(v, ERROR_BOUND) - mean) * PER_SLOW
    size, weight = abs(mean), max(SLOW_MEMORY, FRESH / (count + FRESH))
    S[at + SLOW * w] = mean
    S[at + SLOW_SIZE * w] = usual + weight * (min(size, SLOW_LEARNED * usual) - usual)
    ratio = size / usual
    return -SLOW_TAIL * ratio * ratio if (ratio > SLOW_TOLD) & (count >= SLOW_START) else 0.0


@inlined
def _ratio(S, at, size):
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
def _times_usual(S, at, size, weight):
    """Return a size in units of its mean, and learn that."""
    usual = max(float64(S[at]), LEAST_SIZE)
    S[at] = usual + weight * (min(size, LEARNED_BOUND * usual) - usual)
    return size / usual


@inlined
def _scale(S, at, w, value, spread, weight):
    """Learn mean and standard deviation, from a value that is not too far from what was known."""
    mean, old = float64(S[at + MEAN * w]), float64(S[at + SPREAD * w])
    step = _bounded(value - mean, 4.0 * BOUND * spread)
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
    v, usual = _unit(float64(S[at + SEASON_ERROR * w]), miss, weight)
    S[at + SEASON_ERROR * w] = usual
    long = float64(S[at + LONG * w])
    S[at + LONG * w] = long + (_bounded(v, ERROR_BOUND) - long) * PER_LONG
    active = log(float64(S[at + ACTIVITY * w]) + LEAST_ACTIVITY)
    usual = float64(S[at + USUAL * w])
    S[at + USUAL * w] = usual + fresh * (active - usual)
    change = active - float64(S[at + USUAL * w])

    # What is news: more than ever, or not for long.
    short, long = abs(float64(S[at + SHORT * w])), abs(float64(S[at + LONG * w]))
    surprise = NOVELTY_WEIGHT * novel + log(
        _ratio(S, at + SHORT_RECORD * w, short)
        * _ratio(S, at + LONG_RECORD * w, long)
        * _ratio(S, at + CALM_RECORD * w, max(-change, 0.0))
    )
    # What is rare: many times its usual size.
    spike = abs(u)
    level = max(
        _times_usual(S, at + SHORT_SIZE * w, short, fresh),
        _times_usual(S, at + LONG_SIZE * w, long, fresh),
    )
    changed = _times_usual(S, at + CHANGE_SIZE * w, abs(change), fresh)
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
    value = _bounded(value, HUGE)
    stuck = begin(S, at, value)
    spread, z, u, outside = compare(S, at, 1, value, residual)
    novel, novel_size, miss = 0.0, 0.0, z
    if outside > 0.0:
        novel, novel_size = novelty(S, at, 1, value, spread, outside)
    if time == time:
        count, usual = float64(S[at + COUNT]), float64(S[at + SEASON_ERROR])
        miss = season(S, at + SEASON, count, usual, z, time)
    rate, log_rate = float64(K[k + ALARM_RATE]), float64(K[k + LOG_ALARM_RATE])
    return conclude(S, at, 1, value, spread, z, u, miss, novel, novel_size, stuck, rate, log_rate)
