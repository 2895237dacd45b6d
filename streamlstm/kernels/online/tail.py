"""How rare a surprise is, by what there was before, and alarms at a rate that the owner chooses.

The equations are in online/anomaly.py.
"""

import math

from numba import float64

from ..cache import internal

# Columns: quantiles of the surprise, then the alarm.
(
    SEEN,
    HALF,  # the quantiles
    TENTH,
    HUNDREDTH,
    THOUSANDTH,
    THRESHOLD,  # of -log10 p, above that of the rate, as it was at the last alarm
    SINCE,  # rows since then
    HELD,  # rows for which the alarm still stands if nothing happens
) = range(8)
TAIL_SIZE = 8

SEEN_MOST = 2.0**24 - 1.0
LOG2, LOG5, LOG10 = math.log(2.0), math.log(5.0), math.log(10.0)
LEAST_SCALE = 0.02  # of the exponential law between and beyond the quantiles
LEAST_LOG_P = -12.0 * LOG10
LARGEST = 50.0
GAIN = 0.05  # of a quantile: the part of the scale by which one surprise moves it, after the start
START_GAIN, MOST_GAIN = 0.5, 0.3
FIRST_HALF, FIRST_TENTH, FIRST_HUNDREDTH, FIRST_THOUSANDTH = 0.5, 1.0, 1.4, 1.8
SHARE = 0.6  # of the owner's rate that is aimed at
MARGIN = 0.5  # decades by which the first threshold is higher
RAISE = 0.1  # decades, of the threshold by an alarm
LOWEST, HIGHEST = -2.0, 4.0  # decades
HOLD = 16.0
HELD_BY = -2.0 * LOG10  # log p


@internal
def _move(S, at, column, surprise, tail, scale):
    """Move the quantile that is exceeded with probability ``tail``."""
    gain = scale * max(GAIN, min(MOST_GAIN, START_GAIN / (1.0 + tail * S[at + SEEN])))
    above = 1.0 if surprise > S[at + column] else 0.0
    S[at + column] = min(max(S[at + column] + gain * (above - tail), -LARGEST), LARGEST)


@internal
def log_tail_probability(S, at, surprise):
    """Return the logarithm of the probability of such a surprise or a larger one; learn from it."""
    if S[at + SEEN] == 0.0:
        S[at + HALF], S[at + TENTH] = FIRST_HALF, FIRST_TENTH
        S[at + HUNDREDTH], S[at + THOUSANDTH] = FIRST_HUNDREDTH, FIRST_THOUSANDTH
    half, tenth = float64(S[at + HALF]), float64(S[at + TENTH])
    hundredth, thousandth = float64(S[at + HUNDREDTH]), float64(S[at + THOUSANDTH])
    first = max((tenth - half) / LOG5, LEAST_SCALE)
    second = max((hundredth - tenth) / LOG10, LEAST_SCALE)
    third = max((thousandth - hundredth) / LOG10, LEAST_SCALE)
    if surprise < half:
        log_p = math.log(1.0 - 0.5 * math.exp((surprise - half) / first))
    elif surprise < tenth:
        log_p = -LOG2 - (surprise - half) / first
    elif surprise < hundredth:
        log_p = -LOG10 - (surprise - tenth) / second
    elif surprise < thousandth:
        log_p = -2.0 * LOG10 - (surprise - hundredth) / third
    else:
        log_p = -3.0 * LOG10 - (surprise - thousandth) / third
    _move(S, at, HALF, surprise, 0.5, first)
    _move(S, at, TENTH, surprise, 0.1, second)
    _move(S, at, HUNDREDTH, surprise, 0.01, third)
    _move(S, at, THOUSANDTH, surprise, 0.001, third)
    S[at + SEEN] = min(S[at + SEEN] + 1.0, SEEN_MOST)
    return max(log_p, LEAST_LOG_P)


@internal
def alarmed(S, at, log_p, rate, log_rate):
    """Return whether an alarm begins, and whether one stands.

    Parameters
    ----------
    S, at : float32[...], int
        The state rows, and where the columns of this part begin.
    log_p : float
        Logarithm of the probability of the surprise.
    rate, log_rate : float
        Of false alarms a row, at most.
    """
    rise = min(S[at + THRESHOLD], HIGHEST) - RAISE * SHARE * rate * S[at + SINCE]
    rise = max(rise, LOWEST)
    S[at + SINCE] = min(S[at + SINCE] + 1.0, SEEN_MOST)
    stood = S[at + HELD] > 0.0
    alarm = not stood and log_p < log_rate - LOG10 * (MARGIN + rise)
    if alarm:
        S[at + THRESHOLD], S[at + SINCE] = rise + RAISE, 0.0
    if alarm or (stood and log_p < HELD_BY):
        S[at + HELD] = HOLD
    elif stood:
        S[at + HELD] -= 1.0
    return alarm, alarm or stood
