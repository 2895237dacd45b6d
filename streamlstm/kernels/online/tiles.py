"""A tile of streams at once: what intervals, the test for drift and anomalies do for one stream.

The columns of TILE streams are laid side by side in working memory, in vectors of TILE numbers.
There LLVM takes several streams at a time through the very functions that a single stream takes
(intervals.py, drift.py, anomaly.py), which have no branches for this reason; the bits are the same.
What few of the streams need in a row is done for these one by one.
"""

import math

from numba import float64, int64

from ..cache import inlined, internal
from ..layout import PAD
from ..simd import LANES
from ..transpose import gather_columns, scatter_columns
from . import anomaly, anomaly_exceptions, drift, intervals, season
from .anomaly_columns import COUNT, SEASON, SEASON_ERROR
from .intervals import HALVES, LEAN, LEVEL, LEVEL_SIZE, RATIO_LARGEST, RATIOS, SCALE

TILE = 16  # streams of a tile, whatever the width of vectors
SMALL = 0xFFFF  # a mask that tells LLVM that an offset is not negative, else nothing is vectorised
COLUMNS = 32  # of a stream that are laid side by side at most
assert SEASON == COLUMNS
# Vectors of TILE float64, the working memory D.
VALUE, RESIDUAL, TIME = 0, TILE, 2 * TILE
SPREAD, Z, U, OUTSIDE, MISS, NOVEL, NOVEL_SIZE = range(3 * TILE, 10 * TILE, TILE)
SCORE, P_VALUE, ALARM, KIND = range(10 * TILE, 14 * TILE, TILE)
# Of intervals, HIGHEST being the most that a ratio may be; and of the test for drift.
LOW, HIGH, HIGHEST, LEANS, SCALES, FOUND = range(3 * TILE, 9 * TILE, TILE)
STUCK = 14 * TILE
WAVES = 15 * TILE  # eight: the features of the time, without the constant
VECTORS = 23 * TILE


@inlined
def gather(addresses, first, count, T):
    """Lay ``count`` columns of each stream, from ``first`` on, side by side; a multiple of PAD."""
    for column in range(0, count, LANES):
        for m in range(0, TILE, LANES):
            gather_columns(addresses[m:], first + column, T, column * TILE + m, int64(TILE))


@inlined
def scatter(addresses, first, count, T):
    """Copy such columns back."""
    for column in range(0, count, LANES):
        for m in range(0, TILE, LANES):
            scatter_columns(addresses[m:], first + column, T, column * TILE + m, int64(TILE))


@internal
def _learn_level(T, D, ratio, half, constants, pace):
    """Learn the ratio of one level; ``D[HIGHEST]`` holds the most that it may be."""
    ratio, half = ratio & SMALL, half & SMALL
    for m in range(TILE):
        before, residual = float64(T[ratio + m]), D[RESIDUAL + m]
        count = float64(T[intervals.COUNT * TILE + m])
        shown, most = float64(T[half + m]), D[HIGHEST + m]
        after = intervals.new_ratio(constants, pace, count, before, residual, shown, most)
        known = abs(residual) < math.inf
        T[ratio + m] = after if known else before
        D[HIGHEST + m] = after


@internal
def _learn_ratios(T, shown, D, levels, K, k, pace):
    side_before = math.nan
    for n in range(levels - 1, -1, -1):
        constants = intervals.level_constants(K, k + LEVEL + n * LEVEL_SIZE)
        if constants[1] != side_before:
            for m in range(TILE):
                D[HIGHEST + m] = RATIO_LARGEST
        side_before = constants[1]
        ratio, half = (RATIOS + n) * TILE, shown + (HALVES + n) * TILE
        _learn_level(T, D, ratio, half, constants, pace)


@internal
def _learn_scales(T, D, pace):
    """Learn the scales from ``D[LEANS]`` and ``D[SCALES]``; show those of the new forecasts."""
    for m in range(TILE):
        size = abs(D[RESIDUAL + m])
        known = size < math.inf
        intervals.learn_scale(T, m, TILE, pace, size, D[LEANS + m], D[SCALES + m], known)
        D[LEANS + m], D[SCALES + m] = intervals.show(T, m, TILE)


@internal
def _bounds(T, D, ratio, half, side, lower, upper, pace):
    """Write the bounds of one level to ``D[LOW]`` and ``D[HIGH]``."""
    ratio, half = ratio & SMALL, half & SMALL
    for m in range(TILE):
        T[half + m] = float64(T[ratio + m]) * D[SCALES + m]
        paced = pace * float64(T[intervals.COUNT * TILE + m])
        D[LOW + m], D[HIGH + m] = intervals.bounds_of(
            side, lower, upper, paced, float64(T[half + m]), D[VALUE + m]
        )


@inlined
def _copy_shown(S, rows, positions, at, width, T, shown, back):
    """Copy what was shown with the forecast of each stream that is due, to T or back."""
    for m in range(TILE):
        place = rows[m] + at + positions[m] * width
        for c in range(width):
            if back:
                S[place + c] = T[shown + c * TILE + m]
            else:
                T[shown + c * TILE + m] = S[place + c]


@internal
def intervals_tile(S, rows, addresses, positions, ring, at, T, D, K, k, Y, low, high, W, O):
    """Learn from ``D[RESIDUAL]`` and write the bounds of the forecasts ``D[VALUE]``.

    Parameters
    ----------
    rows, addresses : int64[TILE]
        Where the row of each stream begins in S, and in memory.
    positions, ring : int64[TILE], int64
        Which of the last ``ring`` forecasts of each stream is due.
    at : int64
        Of the columns of this output, in a row.
    T : float32[COLUMNS * TILE]
        Working memory for columns.
    D : float64[VECTORS]
        Working memory; ``D[LOW]`` and ``D[HIGH]`` then hold the bounds of the last level.
    K, k : float32[...], int64
        Constants.
    Y, low, high, W, O : float32[...], int64, int64, int64, int64
        The low bound of level ``n`` of stream ``m`` goes to ``Y[low + m * W + n * O]``, the high
        one to ``Y[high + m * W + n * O]``.
    """
    levels, pace = int64(K[k + intervals.LEVELS]), float64(K[k + intervals.PACE])
    kept, width = RATIOS + levels, HALVES + levels
    # What is read and written beyond an output's own columns is in the same row, and unchanged.
    columns = (kept + PAD - 1) // PAD * PAD
    shown = columns * TILE
    if ring == 1:  # what was shown is next to the others
        columns, shown = (kept + width + PAD - 1) // PAD * PAD, kept * TILE
    gather(addresses, at, columns, T)
    if ring > 1:
        _copy_shown(S, rows, positions, at + kept, width, T, shown, False)
    _learn_ratios(T, shown, D, levels, K, k, pace)
    for m in range(TILE):
        D[LEANS + m] = float64(T[shown + LEAN * TILE + m])
        D[SCALES + m] = float64(T[shown + SCALE * TILE + m])
    _learn_scales(T, D, pace)
    for m in range(TILE):
        T[shown + LEAN * TILE + m] = D[LEANS + m]
        T[shown + SCALE * TILE + m] = D[SCALES + m]
    lower, upper = float64(K[k + intervals.LOWER]), float64(K[k + intervals.UPPER])
    for n in range(levels):
        side = float64(K[k + LEVEL + n * LEVEL_SIZE + intervals.SIDE])
        ratio, half = (RATIOS + n) * TILE, shown + (HALVES + n) * TILE
        _bounds(T, D, ratio, half, side, lower, upper, pace)
        for m in range(TILE):
            Y[low + m * W + n * O] = D[LOW + m]
            Y[high + m * W + n * O] = D[HIGH + m]
    scatter(addresses, at, columns, T)
    if ring > 1:
        _copy_shown(S, rows, positions, at + kept, width, T, shown, True)


@internal
def _drift(T, D, pace):
    for m in range(TILE):
        found = drift.drift_step(T, m, TILE, pace, D[RESIDUAL + m])
        D[FOUND + m] = 1.0 if found else 0.0


@internal
def drift_tile(addresses, at, T, D, pace):
    """Learn from ``D[RESIDUAL]``; ``D[FOUND]`` is 1 where drift was found, else 0."""
    gather(addresses, at, PAD, T)
    _drift(T, D, pace)
    scatter(addresses, at, PAD, T)


@internal
def _compare(T, D):
    for m in range(TILE):
        spread, z, u, outside = anomaly.compare(T, m, TILE, D[VALUE + m], D[RESIDUAL + m])
        D[SPREAD + m], D[Z + m], D[MISS + m], D[U + m] = spread, z, z, u
        D[OUTSIDE + m], D[NOVEL + m], D[NOVEL_SIZE + m] = outside, 0.0, 0.0


@internal
def _conclude(T, D, rate, log_rate):
    for m in range(TILE):
        score, p_value, alarm, kind = anomaly.conclude(
            T, m, TILE, D[VALUE + m], D[SPREAD + m], D[Z + m], D[U + m], D[MISS + m],
            D[NOVEL + m], D[NOVEL_SIZE + m], D[STUCK + m], rate, log_rate,
        )  # fmt: skip
        D[SCORE + m], D[P_VALUE + m], D[ALARM + m], D[KIND + m] = score, p_value, alarm, kind


@internal
def _novelties(T, D):
    """Learn from values outside the range so far: there are few."""
    for m in range(TILE):
        if D[OUTSIDE + m] > 0.0:
            D[NOVEL + m], D[NOVEL_SIZE + m] = anomaly_exceptions.novelty(
                T, m, TILE, D[VALUE + m], D[SPREAD + m], D[OUTSIDE + m]
            )


@internal
def _features(D):
    for m in range(TILE):
        time = D[TIME + m]
        f = season.features(time if time == time else 0.0)
        w = WAVES + m
        D[w], D[w + TILE], D[w + 2 * TILE], D[w + 3 * TILE] = f[1], f[2], f[3], f[4]
        w += 4 * TILE
        D[w], D[w + TILE], D[w + 2 * TILE], D[w + 3 * TILE] = f[5], f[6], f[7], f[8]


@inlined
def _features_of(D, m):
    w = WAVES + m
    return (
        1.0, D[w], D[w + TILE], D[w + 2 * TILE], D[w + 3 * TILE], D[w + 4 * TILE],
        D[w + 5 * TILE], D[w + 6 * TILE], D[w + 7 * TILE],
    )  # fmt: skip


@internal
def _seasons(S, rows, at, T, D):
    """Write the errors of the season where the time is known.

    One stream after another: rows of the inverse fill vectors, and there are too many columns to
    lay them side by side.
    """
    _features(D)
    for m in range(TILE):
        if D[TIME + m] == D[TIME + m]:
            D[MISS + m] = anomaly.season(
                S, rows[m] + at, float64(T[COUNT * TILE + m]),
                float64(T[SEASON_ERROR * TILE + m]), D[Z + m], _features_of(D, m),
            )  # fmt: skip


@internal
def anomaly_tile(S, rows, addresses, at, T, D, timed, rate, log_rate):
    """Judge ``D[VALUE]``, and write score, p-value, alarm and kind to vectors of D.

    Parameters
    ----------
    rows : int64[TILE]
        Where the row of each stream begins in S.
    addresses : int64[TILE]
        Of the columns in these rows; for a stream whose value is missing, of room for columns that
        nobody reads.
    at : int64
        Of the columns, in a row.
    timed : bool
        Whether ``D[TIME]`` holds any time; it is NaN where none is known or no value came.
    """
    gather(addresses, 0, COLUMNS, T)
    _compare(T, D)
    _novelties(T, D)
    if timed:
        _seasons(S, rows, at + SEASON, T, D)
    _conclude(T, D, rate, log_rate)
    scatter(addresses, 0, COLUMNS, T)
