"""Prediction intervals of one output of one stream; the equations are in online/intervals.py.

Constants of the owner, in ``K`` from ``k`` on: LEVELS, PACE, LOWER, UPPER, then of each
level MISS, SIDE, TIED, WIDER and NARROWER; levels of one side one after another and rising.
"""

import math

from ..cache import internal

# Columns of the state; after them the ratio of each level, then for each of the last ``horizon``
# forecasts LEAN, SCALE and the half width of each level.
FAST, SLOW, WEIGHT, COUNT, RATIOS = range(5)
LEAN, SCALE, HALVES = range(3)

LEVELS, PACE, LOWER, UPPER = range(4)
LEVEL = 4  # of the first level
MISS, SIDE, TIED, WIDER, NARROWER = range(5)
LEVEL_SIZE = 5
BOTH, ABOVE, BELOW = 0, 1, -1  # values of SIDE

# Rates of one step ahead, each times PACE.
FAST_RATE, SLOW_RATE = 0.4, 0.01  # of the two means of |residual|
WEIGHT_RATE, RATE = 0.03, 0.15  # of the weight, and of the logarithm of a ratio
WEIGHT_START, WEIGHT_LEAST, WEIGHT_MOST = 0.5, -1.0, 1.0
SURPRISE = 8.0  # |residual| / scale counts as at most this for the weight
ONE_SIDED = 4.0  # times the rate, for the ratio itself, of a level of one side
START_RATE, START_ROWS = 3.0, 10.0  # of the first rows: RATE is this / count, or / START_ROWS,
STARTED = 20.0  # until the count is this
START_WIDTH = 3.0  # bounds are 1 + this / (PACE count) times as wide, or 1 + this, at the start,
START_END = 300.0  # until PACE count is this
APART = 20.0  # the two means differ by this factor at most; |residual| counts as at most this many
SMALLEST, LARGEST = 1e-30, 1e30  # of a scale
RATIO_SMALLEST, RATIO_LARGEST = 0.001, 1000.0
TIED_SHARE = 0.09  # of its first ratio: TIED, below which residuals of 0 do not narrow a level
COUNTED = 10_000.0  # where the count stops


@internal
def _learn_scale(S, at, pace, size, shown):
    """Move the two means towards ``size``, and the weight towards the one that foretold it."""
    fast, slow, count = float(S[at + FAST]), float(S[at + SLOW]), S[at + COUNT] + 1.0
    S[at + COUNT] = min(count, COUNTED)
    if slow == 0.0:
        S[at + FAST] = S[at + SLOW] = min(max(size, SMALLEST), LARGEST) if size > 0.0 else 0.0
        return
    if S[shown + SCALE] > 0.0:
        surprise = min(size / S[shown + SCALE], SURPRISE) - 1.0
        weight = S[at + WEIGHT] + pace * WEIGHT_RATE * S[shown + LEAN] * surprise
        S[at + WEIGHT] = min(max(weight, WEIGHT_LEAST), WEIGHT_MOST)
    size, first = min(size, APART * max(fast, slow)), 0.0
    if pace * SLOW_RATE * count < 1.0:
        first = 1.0 / count
    fast += max(pace * FAST_RATE, first) * (size - fast)
    if size > 0.0:
        slow += max(pace * SLOW_RATE, first) * (size - slow)
        slow = min(max(min(slow, APART * fast), SMALLEST), LARGEST)
    S[at + FAST], S[at + SLOW] = min(max(fast, slow / APART), LARGEST), slow


@internal
def _learn_ratios(S, at, K, k, residual, shown):
    """Widen each level that missed, narrow each that did not; keep them in their order."""
    count = S[at + COUNT] + 1.0
    rate = K[k + PACE] * (RATE if count >= STARTED else START_RATE / max(count, START_ROWS))
    most, side_before = RATIO_LARGEST, -1.0
    for n in range(int(K[k + LEVELS]) - 1, -1, -1):
        level = k + LEVEL + n * LEVEL_SIZE
        ratio, side, half = float(S[at + RATIOS + n]), K[level + SIDE], S[shown + HALVES + n]
        missed = (abs(residual) if side == BOTH else side * residual) > half
        if half == half and (residual != 0.0 or missed or ratio > K[level + TIED]):
            if side == BOTH and count >= STARTED:
                ratio = max(ratio * K[level + (WIDER if missed else NARROWER)], RATIO_SMALLEST)
            else:
                move = rate * ((1.0 if missed else 0.0) - K[level + MISS])
                if side == BOTH:
                    ratio = max(ratio * math.exp(move), RATIO_SMALLEST)
                else:
                    ratio = max(ratio + ONE_SIDED * move, -RATIO_LARGEST)
        if side != side_before:
            most, side_before = RATIO_LARGEST, side
        most = min(ratio, most)
        S[at + RATIOS + n] = most


@internal
def _show(S, at, K, k, shown):
    """Size the intervals of the forecast of this step."""
    slow = float(S[at + SLOW])
    lean = (S[at + FAST] - slow) / (S[at + FAST] + slow) if slow > 0.0 else 0.0
    turn = S[at + WEIGHT] * lean
    scale = slow * (1.0 + turn) / (1.0 - turn) if S[at + COUNT] > 0.0 else math.nan
    S[shown + LEAN], S[shown + SCALE] = lean, scale
    for n in range(int(K[k + LEVELS])):
        S[shown + HALVES + n] = S[at + RATIOS + n] * scale


@internal
def interval_update(S, at, K, k, position, residual):
    """Learn from the residual of the forecast that is due, and size the intervals of the new one.

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
        horizon - 1, and from there to 0 again.
    residual : float64
        Label less forecast; NaN (or infinite): not known, nothing is learned.
    """
    levels = int(K[k + LEVELS])
    shown = at + RATIOS + levels + position * (HALVES + levels)
    size = abs(residual)
    if size < math.inf:
        _learn_ratios(S, at, K, k, residual, shown)
        _learn_scale(S, at, K[k + PACE], size, shown)
    _show(S, at, K, k, shown)


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
    half = float(S[at + RATIOS + levels + position * (HALVES + levels) + HALVES + n])
    side = K[k + LEVEL + n * LEVEL_SIZE + SIDE]
    lower, upper = float(K[k + LOWER]), float(K[k + UPPER])
    count = K[k + PACE] * float(S[at + COUNT])
    if count < START_END:
        half += abs(half) * START_WIDTH / max(count, 1.0)
    low, high = y - half, y + half
    if low != low:
        return math.nan, math.nan
    low = lower if side == ABOVE else min(max(low, lower), upper)
    high = upper if side == BELOW else min(max(high, lower), upper)
    return low, high
