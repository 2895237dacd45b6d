"""A tile of streams at once: what intervals and the test for drift do for one stream.

The columns of TILE streams are laid side by side in working memory, in vectors of TILE numbers.
There LLVM takes several streams at a time through the very functions that a single stream takes
(intervals.py, drift.py; anomaly.py in anomaly_block.py), which have no branches for this reason;
bits are the same. Functions of tiles are inlined: only where LLVM sees that vectors do not overlap
does it not compare their addresses before each loop.
"""

import math

from numba import float32, float64, int64

from ..cache import inlined
from ..doubles import EIGHT, eight_times, load_doubles, load_eight, store_doubles, store_eight
from ..layout import PAD
from ..simd import LANES, splat, store
from ..transpose import gather_columns, scatter_columns
from . import drift, intervals
from .intervals import HALVES, LEAN, LEVEL, LEVEL_SIZE, RATIO_LARGEST, RATIOS, SCALE

TILE = 16  # streams of a tile, whatever the width of vectors
# Vectors of TILE float64, the working memory D.
VALUE, RESIDUAL, TIME = 0, TILE, 2 * TILE
SPREAD, Z, U, OUTSIDE, MISS, NOVEL, NOVEL_SIZE = range(3 * TILE, 10 * TILE, TILE)
SCORE, P_VALUE, ALARM, KIND = range(10 * TILE, 14 * TILE, TILE)
# Of intervals, HIGHEST being the most that a ratio may be; and of the test for drift.
LOW, HIGH, HIGHEST, LEANS, SCALES, FOUND, LARGEST, RATIO, HALF = range(3 * TILE, 12 * TILE, TILE)
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


@inlined
def put(D, d, R, r):
    """Copy a vector of D to one of float32.

    Not as a loop: of those that are short LLVM makes no vectors, but one stream after another.
    """
    for m in range(0, TILE, EIGHT):
        store_eight(R, r + m, load_doubles(D, d + m))


@inlined
def take(R, r, D, d):
    """Copy a vector of float32 to one of D."""
    for m in range(0, TILE, EIGHT):
        store_doubles(D, d + m, load_eight(R, r + m))


@inlined
def fill_all(D, d, value):
    """Write the same number to all places of a vector of D."""
    for m in range(0, TILE, EIGHT):
        store_doubles(D, d + m, eight_times(value))


@inlined
def fill_floats(R, r, count, value):
    """Write the same number to ``count`` places, a multiple of TILE, of float32."""
    for n in range(r, r + count, LANES):
        store(R, n, splat(float32(value)))


@inlined
def _learn_level(T, D, ratio, half, constants, pace):
    """Learn the ratio of one level; ``D[HIGHEST]`` holds the most that it may be."""
    take(T, ratio, D, RATIO)
    take(T, half, D, HALF)
    for m in range(TILE):
        before, residual = D[RATIO + m], D[RESIDUAL + m]
        count = float64(T[intervals.COUNT * TILE + m])
        shown, most = D[HALF + m], D[HIGHEST + m]
        after = intervals.new_ratio(constants, pace, count, before, residual, shown, most)
        known = abs(residual) < math.inf
        D[RATIO + m] = after if known else before
        D[HIGHEST + m] = after
    put(D, RATIO, T, ratio)


@inlined
def _learn_ratios(T, shown, D, levels, K, k, pace):
    side_before = math.nan
    for n in range(levels - 1, -1, -1):
        constants = intervals.level_constants(K, k + LEVEL + n * LEVEL_SIZE)
        if constants[1] != side_before:
            fill_all(D, HIGHEST, RATIO_LARGEST)
        side_before = constants[1]
        ratio, half = (RATIOS + n) * TILE, shown + (HALVES + n) * TILE
        _learn_level(T, D, ratio, half, constants, pace)


@inlined
def _learn_scales(T, D, half, pace, fade):
    """Learn the scales from ``D[LEANS]`` and ``D[SCALES]``; show those of the new forecasts.

    ``half`` is half the width of the last level, as it was shown.
    """
    take(T, half, D, HALF)
    for m in range(TILE):
        size = abs(D[RESIDUAL + m])
        known = size < math.inf
        D[LARGEST + m] = intervals.learn_largest(D[LARGEST + m], fade, size, D[HALF + m], known)
        intervals.learn_scale(T, m, TILE, pace, size, D[LEANS + m], D[SCALES + m], known)
        D[LEANS + m], D[SCALES + m] = intervals.show(T, m, TILE)


@inlined
def _bounds(T, D, ratio, half, side, K, k):
    """Write the bounds of one level to ``D[LOW]`` and ``D[HIGH]``."""
    pace, most = float64(K[k + intervals.PACE]), float64(K[k + intervals.MOST])
    lower, upper = float64(K[k + intervals.LOWER]), float64(K[k + intervals.UPPER])
    take(T, ratio, D, RATIO)
    for m in range(TILE):
        wide = D[RATIO + m] * D[SCALES + m]
        limited = intervals.limited(wide, most, float64(float32(D[LARGEST + m])))
        width = float64(float32(limited))
        paced = pace * float64(T[intervals.COUNT * TILE + m])
        D[HALF + m] = width
        D[LOW + m], D[HIGH + m] = intervals.bounds_of(
            side, lower, upper, paced, width, D[VALUE + m]
        )
    put(D, HALF, T, half)


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


@inlined
def intervals_tile(
    S, rows, addresses, positions, ring, at, largest, T, D, K, k, R, low, high, O
):  # fmt: skip
    """Learn from ``D[RESIDUAL]`` and write the bounds of the forecasts ``D[VALUE]``.

    Parameters
    ----------
    rows, addresses : int64[TILE]
        Where the row of each stream begins in S, and in memory.
    positions, ring : int64[TILE], int64
        Which of the last ``ring`` forecasts of each stream is due.
    at, largest : int64
        Of the columns of this output, in a row, and of its largest error of late.
    T : float32[COLUMNS * TILE]
        Working memory for columns.
    D : float64[VECTORS]
        Working memory; ``D[LOW]`` and ``D[HIGH]`` then hold the bounds of the last level.
    K, k : float32[...], int64
        Constants.
    R, low, high, O : float32[...], int64, int64, int64
        The low bounds of level ``n`` go to ``R[(low + n * O) * TILE]``, the high ones to
        ``R[(high + n * O) * TILE]``, side by side.
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
    take(T, shown + LEAN * TILE, D, LEANS)
    take(T, shown + SCALE * TILE, D, SCALES)
    for m in range(TILE):
        D[LARGEST + m] = float64(S[rows[m] + largest])
    fade = float64(K[k + intervals.FADE])
    _learn_scales(T, D, shown + (HALVES + levels - 1) * TILE, pace, fade)
    put(D, LEANS, T, shown + LEAN * TILE)
    put(D, SCALES, T, shown + SCALE * TILE)
    for n in range(levels):
        side = float64(K[k + LEVEL + n * LEVEL_SIZE + intervals.SIDE])
        ratio, half = (RATIOS + n) * TILE, shown + (HALVES + n) * TILE
        _bounds(T, D, ratio, half, side, K, k)
        put(D, LOW, R, (low + n * O) * TILE)
        put(D, HIGH, R, (high + n * O) * TILE)
    scatter(addresses, at, columns, T)
    if ring > 1:
        _copy_shown(S, rows, positions, at + kept, width, T, shown, True)
    for m in range(TILE):  # after the columns, which may end beyond it
        S[rows[m] + largest] = D[LARGEST + m]


@inlined
def _drift(T, D, pace):
    for m in range(TILE):
        found = drift.drift_step(T, m, TILE, pace, D[RESIDUAL + m])
        D[FOUND + m] = 1.0 if found else 0.0


@inlined
def drift_tile(addresses, at, T, D, pace):
    """Learn from ``D[RESIDUAL]``; ``D[FOUND]`` is 1 where drift was found, else 0."""
    gather(addresses, at, PAD, T)
    _drift(T, D, pace)
    scatter(addresses, at, PAD, T)
