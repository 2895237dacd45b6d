"""How rare a surprise is, by what there was before, and alarms at a rate that the owner chooses.

The equations are in online/anomaly.py. Column ``c`` stands at ``at + w c``: ``w`` is 1 in a state
row. There are no branches, so that LLVM can take the streams of a tile at once (tiles.py).
"""

import math

from numba import float64

from ..cache import inlined
from .elementary import exp, log

# Columns: quantiles of the surprise, then the alarm.
(
    HALF,  # the quantiles
    TENTH,
    HUNDREDTH,
    THOUSANDTH,
    THRESHOLD,  # of -log10 p, above that of the rate, as it was at the last alarm
    SINCE,  # rows since then
    HELD,  # rows for which the alarm still stands if nothing happens
) = range(7)
TAIL_SIZE = 7

SINCE_MOST = 2.0**24 - 1.0
LOG2, LOG5, LOG10 = math.log(2.0), math.log(5.0), math.log(10.0)
PER_LOG5, PER_LOG10 = 1.0 / LOG5, 1.0 / LOG10
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


@inlined
def _moved(quantile, surprise, tail, scale, seen):
    """Return the quantile that is exceeded with probability ``tail``, moved."""
    gain = scale * max(GAIN, min(MOST_GAIN, START_GAIN / (1.0 + tail * seen)))
    above = 1.0 if surprise > quantile else 0.0
    return min(max(quantile + gain * (above - tail), -LARGEST), LARGEST)


@inlined
def log_tail_probability(S, at, w, surprise, seen):
    """Return the logarithm of the probability of such a surprise or a larger one; learn from it.

    ``seen`` is the number of surprises before; below 0 nothing is learned.
    """
    first_one, learns = seen <= 0.0, seen >= 0.0
    half = FIRST_HALF if first_one else float64(S[at + HALF * w])
    tenth = FIRST_TENTH if first_one else float64(S[at + TENTH * w])
    hundredth = FIRST_HUNDREDTH if first_one else float64(S[at + HUNDREDTH * w])
    thousandth = FIRST_THOUSANDTH if first_one else float64(S[at + THOUSANDTH * w])
    first = max((tenth - half) * PER_LOG5, LEAST_SCALE)
    second = max((hundredth - tenth) * PER_LOG10, LEAST_SCALE)
    third = max((thousandth - hundredth) * PER_LOG10, LEAST_SCALE)
    # The quantile below the surprise, the scale from there on, and the quantile's log p.
    from_here, scale, log_p = thousandth, third, -3.0 * LOG10
    below = surprise < thousandth
    from_here, log_p = hundredth if below else from_here, -2.0 * LOG10 if below else log_p
    below = surprise < hundredth
    from_here, log_p = tenth if below else from_here, -LOG10 if below else log_p
    scale = second if below else scale
    below = surprise < tenth
    from_here, log_p = half if below else from_here, -LOG2 if below else log_p
    scale = first if below else scale
    distance = (surprise - from_here) / scale
    likely = log(1.0 - 0.5 * exp(min(distance, 0.0)))
    log_p = likely if surprise < half else log_p - distance
    seen = max(seen, 0.0)
    half, tenth = (
        _moved(half, surprise, 0.5, first, seen),
        _moved(tenth, surprise, 0.1, second, seen),
    )
    hundredth = _moved(hundredth, surprise, 0.01, third, seen)
    thousandth = _moved(thousandth, surprise, 0.001, third, seen)
    S[at + HALF * w] = half if learns else S[at + HALF * w]
    S[at + TENTH * w] = tenth if learns else S[at + TENTH * w]
    S[at + HUNDREDTH * w] = hundredth if learns else S[at + HUNDREDTH * w]
    S[at + THOUSANDTH * w] = thousandth if learns else S[at + THOUSANDTH * w]
    return max(log_p, LEAST_LOG_P)


@inlined
def alarmed(S, at, w, log_p, rate, log_rate, learns):
    """Return whether an alarm begins, and whether one stands.

    Parameters
    ----------
    S, at, w : float32[...], int, int
        Column ``c`` of this part stands at ``S[at + w c]``.
    log_p : float
        Logarithm of the probability of the surprise.
    rate, log_rate : float
        Of false alarms a row, at most.
    learns : bool
        Whether anything is counted; if not, there is no alarm.
    """
    since, held = float64(S[at + SINCE * w]), float64(S[at + HELD * w])
    threshold = float64(S[at + THRESHOLD * w])
    rise = max(min(threshold, HIGHEST) - RAISE * SHARE * rate * since, LOWEST)
    stood = held > 0.0
    alarm = (not stood) & (log_p < log_rate - LOG10 * (MARGIN + rise)) & learns
    since = 0.0 if alarm else min(since + 1.0, SINCE_MOST)
    holds = alarm | (stood & (log_p < HELD_BY))
    held_on = HOLD if holds else max(held - 1.0, 0.0)
    S[at + THRESHOLD * w] = rise + RAISE if alarm else threshold
    S[at + SINCE * w] = since if learns else S[at + SINCE * w]
    S[at + HELD * w] = held_on if learns else held
    return alarm, alarm | stood
