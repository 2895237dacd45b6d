"""Calendar and time since the last observation of a stream; specified in online/calendar.py."""

import math

from numba import float32, float64, int32, int64

from ..cache import inlined
from .elementary import floor, log

# Columns: the last time as two floats, whether there was one, and how often time did not advance.
TIME, TIME_LOW, SEEN, BACKWARD = range(4)
COLUMNS = 4

# Constants: which features (a sum of these, in this order), and the usual seconds between rows.
FEATURES, SPACING = range(2)
CONSTANTS = 2
HOUR, WEEKDAY, YEARDAY, SINCE = 1, 2, 4, 8

DAY = 86_400.0
MAX_COUNT = 2.0**24 - 1.0
MAX_TIME = 1e13  # seconds; more is no time
# Days from 1 March of year 0, when the leap day is the last of a year, to 1970-01-01; of 400
# years; from 1 January to 1 March.
EPOCH, ERA, MARCH = 719_468, 146_097, 59
THURSDAY = 3.0  # of 1970-01-01, counted from Monday

# Taylor's series of sine and cosine.
S3, S5, S7, S9, S11 = -1 / 6, 1 / 120, -1 / 5040, 1 / 362_880, -1 / 39_916_800
C2, C4, C6, C8, C10, C12 = -1 / 2, 1 / 24, -1 / 720, 1 / 40_320, -1 / 3_628_800, 1 / 479_001_600

# Flags that a step returns.
TIMELESS, BACK = 1, 2


@inlined
def sine_cosine(turns):
    """Return the sine and the cosine of an angle in turns, to 1e-11.

    Taylor's series on an eighth of a turn: the same bits on every machine, in a third of the time
    of the C library.
    """
    quarter = floor(4.0 * turns + 0.5)
    a = 2.0 * math.pi * (turns - 0.25 * quarter)
    b = a * a
    sine = a + a * b * (S3 + b * (S5 + b * (S7 + b * (S9 + b * S11))))
    cosine = 1.0 + b * (C2 + b * (C4 + b * (C6 + b * (C8 + b * (C10 + b * C12)))))
    n = int32(quarter)
    first, second = (cosine, sine) if n & 1 else (sine, cosine)
    return -first if n & 2 else first, -second if (n + 1) & 2 else second


@inlined
def log1p(x):
    """Return the logarithm of 1 + x, x >= 0, right also where x is lost in the sum."""
    y = 1.0 + x
    return log(y) + (x - (y - 1.0)) / y


@inlined
def transition_at(T, t, count, time):
    """Return the number of the last of the transitions that is not later."""
    low, high = int64(0), int64(count)
    while high - low > 1:
        middle = (low + high) >> 1
        if T[t + 2 * middle] <= time:
            low = middle
        else:
            high = middle
    return low


@inlined
def offset_at(T, t, count, time):
    """Return the offset of local time in seconds."""
    return T[t + 2 * transition_at(T, t, count, time) + 1]


@inlined
def year_fraction(days, clock):
    """Return how much of its year has passed; ``clock`` is the fraction of the day.

    Howard Hinnant, chrono-compatible low-level date algorithms (civil_from_days).
    """
    shifted = int64(days) + EPOCH
    era = shifted // ERA
    day = shifted - era * ERA
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    since_march = day - (365 * year + year // 4 - year // 100)
    if since_march >= 306:  # January and February belong to the next year
        year += 1
    leap = 1 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 0
    day_of_year = since_march - 306 if since_march >= 306 else since_march + MARCH + leap
    return (float64(day_of_year) + clock) / (365.0 + leap)


@inlined
def wave(turns, given):
    """Return sine and cosine of an angle in turns, 0 if no time was given."""
    sine, cosine = sine_cosine(turns)
    return sine if given else 0.0, cosine if given else 0.0


@inlined
def week_of(local):
    """Return how much of its week has passed, from local time in days since 1970."""
    week = (local + THURSDAY) / 7.0
    return week - floor(week)


@inlined
def since_last(S, at, time, spacing):
    """Store a time; return the seconds since the last one, and BACK if it is not later."""
    high = float32(time)
    low = float32(time - float64(high))
    now = float64(high) + float64(low)
    passed, back = spacing, int64(0)
    if S[at + SEEN] != 0.0:
        passed = now - (float64(S[at + TIME]) + float64(S[at + TIME_LOW]))
        if passed <= 0.0:
            passed, back = 0.0, int64(BACK)
            S[at + BACKWARD] = min(float64(S[at + BACKWARD]) + 1.0, MAX_COUNT)
    S[at + TIME], S[at + TIME_LOW], S[at + SEEN] = high, low, 1.0
    return passed, back


@inlined
def calendar_step(S, at, time, T, t, count, X, x, K, k):
    """Write the features of a time behind the inputs of one stream.

    Parameters
    ----------
    S : float32[...]
        State rows.
    at : int64
        Offset of this part's first column.
    time : float64
        Seconds since 1970; NaN if none was given: all features are then 0 and the state stays.
    T : float64[...]
        From ``T[t]`` on ``count`` pairs: a moment and the offset of local time from then on, both
        in seconds.
    t, count : int64
    X : float32[...]
        The features are written from ``X[x]`` on.
    x : int64
    K : float32[...]
        Constants, from ``K[k]`` on.
    k : int64

    Returns
    -------
    int64
        0, TIMELESS if no time was given, or BACK if it was not later than the last.
    """
    chosen, flag = int64(K[k + FEATURES]), int64(TIMELESS)
    given = abs(time) <= MAX_TIME
    if not given:
        time = 0.0
    local = (time + offset_at(T, t, count, time)) / DAY
    days = floor(local)
    clock = local - days
    if chosen & HOUR:
        X[x], X[x + 1] = wave(clock, given)
        x += 2
    if chosen & WEEKDAY:
        X[x], X[x + 1] = wave(week_of(local), given)
        x += 2
    if chosen & YEARDAY:
        X[x], X[x + 1] = wave(year_fraction(days, clock), given)
        x += 2
    passed, spacing = 0.0, float64(K[k + SPACING])
    if given:
        passed, flag = since_last(S, at, time, spacing)
    if chosen & SINCE:
        X[x] = log1p(passed / spacing)
    return flag
