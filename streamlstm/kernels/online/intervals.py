"""Prediction intervals of one output of one stream; the equations are in online/intervals.py.

Constants of the owner, in ``K`` from ``k`` on: LEVELS, PACE, LOWER, UPPER, MOST, FADE, then of
each level MISS, SIDE, TIED, WIDER and NARROWER; levels of one side one after another and rising.
"""

import math

from numba import float64, int64

from ..cache import inlined, internal
from .elementary import exp

# Columns of the state; after them the ratio of each level, then for each of the last ``horizon``
# forecasts LEAN, SCALE and the half width of each level. The largest error of late stands apart.
FAST, SLOW, WEIGHT, COUNT, RATIOS = range(5)
LEAN, SCALE, HALVES = range(3)

LEVELS, PACE, LOWER, UPPER, MOST, FADE = range(6)
LEVEL = 6  # of the first level
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
FADED = 0.0005  # of the largest error of late, in a row, times PACE; or this part of a share of
FADED_OF_MISS = 0.05  # misses, which must come to pass before the error is forgotten
BEYOND = 0.05  # half a width is at most that error and this part of it, times the root of PACE


@inlined
def learn_scale(S, at, w, pace, size, lean, scale, learns):
    """Move the two means towards ``size``, and the weight towards the one that foretold it.

    ``lean`` and ``scale`` are those of the forecast that is due. Here and below column ``c`` stands
    at ``at + w c``; there are no branches that matter, so that LLVM can take the streams of a tile
    at once (tiles.py).
    """
    fast, slow = float64(S[at + FAST * w]), float64(S[at + SLOW * w])
    weight, count = float64(S[at + WEIGHT * w]), float64(S[at + COUNT * w]) + 1.0
    begins, foretold = slow == 0.0, scale > 0.0
    first_size = min(max(size, SMALLEST), LARGEST) if size > 0.0 else 0.0
    surprise = min(size / (scale if foretold else 1.0), SURPRISE) - 1.0
    turned = min(max(weight + pace * WEIGHT_RATE * lean * surprise, WEIGHT_LEAST), WEIGHT_MOST)
    bounded = min(size, APART * max(fast, slow))
    first = 1.0 / count if pace * SLOW_RATE * count < 1.0 else 0.0
    fast_after = fast + max(pace * FAST_RATE, first) * (bounded - fast)
    slow_after = slow + max(pace * SLOW_RATE, first) * (bounded - slow)
    slow_after = min(max(min(slow_after, APART * fast_after), SMALLEST), LARGEST)
    slow_after = slow_after if bounded > 0.0 else slow
    fast_after = min(max(fast_after, slow_after * (1.0 / APART)), LARGEST)
    fast_after = first_size if begins else fast_after
    slow_after = first_size if begins else slow_after
    S[at + FAST * w] = fast_after if learns else fast
    S[at + SLOW * w] = slow_after if learns else slow
    S[at + WEIGHT * w] = turned if learns & foretold & (slow != 0.0) else weight
    S[at + COUNT * w] = min(count, COUNTED) if learns else S[at + COUNT * w]


@inlined
def learn_largest(largest, fade, size, half, learns):
    """Return the largest error of late after one of this ``size``; 0 before the first.

    ``half`` is half the width of the last level, as it was shown with the forecast that is due: a
    row of the former version knows no error, but how wide it was.
    """
    begun = max(size, abs(half)) if half == half else size
    after = min(max(size, largest * (1.0 - fade)) if largest > 0.0 else begun, LARGEST)
    return after if learns else largest


@inlined
def limited(half, most, largest):
    """Return half a width, no larger than ``most`` times the largest error of late, if any."""
    limit = most * largest
    return limit if (half > limit) & (largest > 0.0) else half


@inlined
def level_constants(K, level):
    """Return the constants of a level, which begin at ``K[level]``."""
    return (
        float64(K[level + MISS]), float64(K[level + SIDE]), float64(K[level + TIED]),
        float64(K[level + WIDER]), float64(K[level + NARROWER]),
    )  # fmt: skip


@inlined
def new_ratio(constants, pace, count, before, residual, half, most):
    """Return the ratio of a level, wider if it missed, narrower if not.

    Parameters
    ----------
    constants : tuple of float64
        As :func:`level_constants` returns them.
    pace, count : float64
        The owner's, and the rows so far.
    before : float64
        The ratio.
    residual, half : float64
        Of the forecast that is due, and half the width that was shown with it.
    most : float64
        The ratio of the level above, which must not be exceeded.
    """
    miss, side, tied, wider, narrower = constants
    count += 1.0
    started = count >= STARTED
    missed = (abs(residual) if side == BOTH else side * residual) > half
    moves = (half == half) & ((residual != 0.0) | missed | (before > tied))
    rate = pace * (RATE if started else START_RATE / max(count, START_ROWS))
    move = rate * ((1.0 if missed else 0.0) - miss)
    if side == BOTH:
        factor = wider if missed else narrower
        if not started:
            factor = exp(move)
        ratio = max(before * factor, RATIO_SMALLEST)
    else:
        ratio = max(before + ONE_SIDED * move, -RATIO_LARGEST)
    return min(ratio if moves else before, most)


@inlined
def show(S, at, w):
    """Return how the two means lean, and the scale of the forecast of this step."""
    fast, slow = float64(S[at + FAST * w]), float64(S[at + SLOW * w])
    known = slow > 0.0
    lean = (fast - slow) / (fast + slow if known else 1.0)
    lean = lean if known else 0.0
    turn = float64(S[at + WEIGHT * w]) * lean
    scale = slow * (1.0 + turn) / (1.0 - turn)
    return lean, scale if S[at + COUNT * w] > 0.0 else math.nan


@inlined
def bounds_of(side, lower, upper, paced, half, y):
    """Return the bounds of a level around the forecast ``y``.

    Parameters
    ----------
    side, lower, upper : float64
        Of the level, and what the target is never beyond.
    paced : float64
        The owner's pace times the rows so far.
    half : float64
        Half the width, as it is after the start.
    """
    wider = abs(half) * START_WIDTH / max(paced, 1.0)
    half = half + wider if paced < START_END else half
    low, high = y - half, y + half
    known = low == low
    low = lower if side == ABOVE else min(max(low, lower), upper)
    high = upper if side == BELOW else min(max(high, lower), upper)
    return low if known else math.nan, high if known else math.nan


@internal
def interval_update(S, at, K, k, position, residual, largest):
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
    largest : int64
        Of the largest error of late of this output and stream, in S.
    """
    levels, pace = int64(K[k + LEVELS]), float64(K[k + PACE])
    shown = at + RATIOS + levels + position * (HALVES + levels)
    size = abs(residual)
    if size < math.inf:
        most, side_before = RATIO_LARGEST, math.nan
        for n in range(levels - 1, -1, -1):
            constants = level_constants(K, k + LEVEL + n * LEVEL_SIZE)
            most = most if constants[1] == side_before else RATIO_LARGEST
            before, half = float64(S[at + RATIOS + n]), float64(S[shown + HALVES + n])
            count = float64(S[at + COUNT])
            most = new_ratio(constants, pace, count, before, residual, half, most)
            S[at + RATIOS + n], side_before = most, constants[1]
        lean, scale = float64(S[shown + LEAN]), float64(S[shown + SCALE])
        learn_scale(S, at, 1, pace, size, lean, scale, True)
        half = float64(S[shown + HALVES + levels - 1])
        S[largest] = learn_largest(float64(S[largest]), float64(K[k + FADE]), size, half, True)
    lean, scale = show(S, at, 1)
    S[shown + LEAN], S[shown + SCALE] = lean, scale
    for n in range(levels):
        half = float64(S[at + RATIOS + n]) * scale
        S[shown + HALVES + n] = limited(half, float64(K[k + MOST]), float64(S[largest]))


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
    levels = int64(K[k + LEVELS])
    half = float64(S[at + RATIOS + levels + position * (HALVES + levels) + HALVES + n])
    side = float64(K[k + LEVEL + n * LEVEL_SIZE + SIDE])
    paced = float64(K[k + PACE]) * float64(S[at + COUNT])
    return bounds_of(side, float64(K[k + LOWER]), float64(K[k + UPPER]), paced, half, y)
