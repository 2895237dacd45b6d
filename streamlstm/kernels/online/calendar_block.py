"""The calendar of a tile of streams: what calendar.py does for one, with the same bits."""

from numba import float64, int64

from ..cache import inlined
from . import calendar
from .calendar import DAY, FEATURES, HOUR, MAX_TIME, SINCE, SPACING, WEEKDAY, YEARDAY
from .elementary import floor
from .tiles import TILE

# Vectors of D: times, local times in days, whether there was a time, seconds since the last; sines
# and cosines of the day, and of the week or the year.
TIME, LOCAL, GIVEN, PASSED, DAY_SINE, DAY_COSINE, SINE, COSINE = range(0, 8 * TILE, TILE)


@inlined
def _local_times(T, t, count, D):
    """Write the local times; those of a tile mostly have the same offset."""
    place = int64(0)
    for m in range(TILE):
        time = D[TIME + m]
        D[GIVEN + m] = 1.0 if abs(time) <= MAX_TIME else 0.0
        time = time if abs(time) <= MAX_TIME else 0.0
        later = place + 1 < count and T[t + 2 * place + 2] <= time
        if later or T[t + 2 * place] > time:
            place = calendar.transition_at(T, t, count, time)
        D[TIME + m] = time
        D[LOCAL + m] = time + T[t + 2 * place + 1]


@inlined
def _waves(D):
    """Write the waves of the day and of the week, chosen or not.

    Of a shorter loop LLVM makes no vectors, but one stream after another.
    """
    for m in range(TILE):
        local = D[LOCAL + m] / DAY
        D[LOCAL + m] = local
        D[DAY_SINE + m], D[DAY_COSINE + m] = calendar.sine_cosine(local - floor(local))
        D[SINE + m], D[COSINE + m] = calendar.sine_cosine(calendar.week_of(local))


@inlined
def _put(D, sine, X, x, stride):
    cosine = sine + TILE
    for m in range(TILE):
        given = D[GIVEN + m] > 0.0
        X[x + m * stride] = D[sine + m] if given else 0.0
        X[x + m * stride + 1] = D[cosine + m] if given else 0.0
    return x + 2


@inlined
def calendar_tile(S, rows, at, T, t, count, D, X, x, stride, K, k):
    """Write the features of the times ``D[TIME]`` behind the inputs of each stream.

    Parameters
    ----------
    S, rows, at : float32[...], int64[TILE], int64
        Where the row of each stream begins, and this part's columns in it.
    T, t, count
        As for :func:`.calendar.calendar_step`.
    D : float64[...]
        Working memory.
    X, x, stride : float32[...], int64, int64
        The features of stream ``m`` are written from ``X[x + m * stride]`` on.
    K, k : float32[...], int64
        Constants.
    """
    chosen, spacing = int64(K[k + FEATURES]), float64(K[k + SPACING])
    _local_times(T, t, count, D)
    _waves(D)
    if chosen & HOUR:
        x = _put(D, DAY_SINE, X, x, stride)
    if chosen & WEEKDAY:
        x = _put(D, SINE, X, x, stride)
    if chosen & YEARDAY:
        for m in range(TILE):
            days = floor(D[LOCAL + m])
            turns = calendar.year_fraction(days, D[LOCAL + m] - days)
            D[SINE + m], D[COSINE + m] = calendar.sine_cosine(turns)
        x = _put(D, SINE, X, x, stride)
    for m in range(TILE):
        D[PASSED + m] = 0.0
        if D[GIVEN + m] > 0.0:
            D[PASSED + m], _ = calendar.since_last(S, rows[m] + at, D[TIME + m], spacing)
    if chosen & SINCE:
        for m in range(TILE):
            X[x + m * stride] = calendar.log1p(D[PASSED + m] / spacing)
