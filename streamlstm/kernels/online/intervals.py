"""Prediction intervals of one output of one stream; the equations are in online/intervals.py.

Constants of the owner, in ``K`` from ``k`` on: LEVELS, LOWER, UPPER, then MISS and SIDE of each
level, levels of one side one after another and rising.
"""

import math

from ..cache import internal

# Columns of the state; after them the ratio of each level, then for each of the last HORIZON
# forecasts its scale and the half widths that were shown with it.
FAST, SLOW, WEIGHT, COUNT, RATIOS = range(5)

LEVELS, LOWER, UPPER = range(3)
LEVEL = 3  # of the first level
MISS, SIDE = range(2)
LEVEL_SIZE = 2
BOTH, ABOVE, BELOW = range(3)

FAST_RATE, SLOW_RATE = 0.3, 0.01  # of the two means of |residual|
WEIGHT_START, WEIGHT_RATE = 0.7, 0.03
SURPRISE = 4.0  # |residual| / scale counts as at most this for the weight
RATE = 0.12  # of log ratio
START_RATE, START_ROWS = 0.3, 3.0  # the rate of the first rows: at most this, this / count
START_WIDTH = 3.0  # the first half widths are 1 + this / count times as wide
APART = 20.0  # the two means differ by this factor at most; |residual| counts as at most this many
SMALLEST, LARGEST = 1e-30, 1e30  # of a scale
RATIO_SMALLEST, RATIO_LARGEST = 0.02, 1000.0
COUNTED = 1000.0  # where the count stops


@internal
def _scale(S, at):
    """Return the geometric mean of the two scales, by the weight."""
    slow = float(S[at + SLOW])
    if slow == 0.0:
        return 0.0
    return slow * math.exp(S[at + WEIGHT] * math.log(S[at + FAST] / slow))


@internal
def _learn_scale(S, at, size, shown):
    """Move the two means towards ``size``, and the weight towards the one that foretold it."""
    fast, slow, count = float(S[at + FAST]), float(S[at + SLOW]), S[at + COUNT] + 1.0
    if slow == 0.0:
        fast = slow = min(max(size, SMALLEST), LARGEST) if size > 0.0 else 0.0
    else:
        if shown > 0.0:
            surprise = min(size / shown, SURPRISE) - 1.0
            weight = S[at + WEIGHT] + WEIGHT_RATE * math.log(fast / slow) * surprise
            S[at + WEIGHT] = min(max(weight, 0.0), 1.0)
        size = min(size, APART * max(fast, slow))
        fast += max(FAST_RATE, 1.0 / count) * (size - fast)
        if size > 0.0:
            slow += max(SLOW_RATE, 1.0 / count) * (size - slow)
            slow = min(max(min(slow, APART * fast), SMALLEST), LARGEST)
        fast = min(max(fast, slow / APART), LARGEST)
    S[at + FAST], S[at + SLOW], S[at + COUNT] = fast, slow, min(count, COUNTED)


@internal
def _learn_ratios(S, at, K, k, residual, shown):
    """Widen each level that missed, narrow each that did not; keep them in their order."""
    rate = max(RATE, min(START_RATE, START_ROWS / (S[at + COUNT] + 1.0)))
    least, side_before = RATIO_SMALLEST, -1.0
    for n in range(int(K[k + LEVELS])):
        level = k + LEVEL + n * LEVEL_SIZE
        ratio, side, half = float(S[at + RATIOS + n]), K[level + SIDE], S[shown + 1 + n]
        if half == half:
            above = residual > half and side != BELOW
            below = -residual > half and side != ABOVE
            missed = 1.0 if above or below else 0.0
            ratio *= math.exp(rate * (missed - K[level + MISS]))
        if side != side_before:
            least, side_before = RATIO_SMALLEST, side
        least = min(max(ratio, least), RATIO_LARGEST)
        S[at + RATIOS + n] = least


@internal
def interval_update(S, at, K, k, position, residual):
    """Learn from the residual of the forecast made HORIZON steps ago, and size the next interval.

    Called once a step, before the bounds of the new forecast are asked for.

    Parameters
    ----------
    S : float32[N]
        State rows.
    at : int64
        Of the first column of this output and stream.
    K : float32[M]
        Constants.
    k : int64
        Of the first constant of this output.
    position : int64
        In the ring of forecasts, of the one that is due, whose place the new one takes: from 0 to
        HORIZON - 1, and from there to 0 again.
    residual : float64
        Label less forecast; NaN (or infinite): not known, nothing is learned.
    """
    levels = int(K[k + LEVELS])
    shown = at + RATIOS + levels + position * (levels + 1)
    size = abs(residual)
    if size < math.inf:
        _learn_ratios(S, at, K, k, residual, shown)
        _learn_scale(S, at, size, float(S[shown]))
    scale = _scale(S, at)
    count = S[at + COUNT]
    wide = 1.0 + START_WIDTH / count if count > 0.0 else math.nan
    S[shown] = scale
    for n in range(levels):
        S[shown + 1 + n] = S[at + RATIOS + n] * scale * wide


@internal
def interval_bounds(S, at, K, k, position, y, n):
    """Return the bounds of level ``n`` around the forecast ``y`` made in this step.

    Parameters
    ----------
    S, at, K, k, position
        As in :func:`interval_update`, which was called in this step before.
    y : float64
    n : int64

    Returns
    -------
    tuple of float64
        low, high; NaN before the first residual or where ``y`` is NaN; infinite on a side that the
        level leaves open, or the bound of the target there.
    """
    levels = int(K[k + LEVELS])
    half = float(S[at + RATIOS + levels + position * (levels + 1) + 1 + n])
    side = K[k + LEVEL + n * LEVEL_SIZE + SIDE]
    lower, upper = float(K[k + LOWER]), float(K[k + UPPER])
    low, high = y - half, y + half
    if low != low:
        return math.nan, math.nan
    low = lower if side == ABOVE else min(max(low, lower), upper)
    high = upper if side == BELOW else min(max(high, lower), upper)
    return low, high
