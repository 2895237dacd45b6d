"""Hour of the day, day of the week, day of the year, and the time since the last observation.

Each of the first three is a point on a circle, ``sin 2 pi u`` and ``cos 2 pi u``, with ``u`` the
part of the day, of the week (from Monday) or of the year that has passed in local time. The fourth
is ``log(1 + d / spacing)``, with ``d`` the seconds since the stream's last observation and
``spacing`` the usual ones in training: log 2 for a regular stream, and for its first row.

Local time is a table of transitions, made once from a time zone (network/time_zone.py) and stored
in the model file: a machine that serves the model needs no data of time zones, and all of them
agree. After the last transition of the table its offset stays.

- **Time that goes back or stands still**: ``d`` is 0, and the stream counts it. The given time is
  the one that the next row is compared with, so one wrong time spoils two rows at most.
- **No time, or one beyond 1e13 seconds**: all features are 0 and the state does not change.

Times are remembered to 4 microseconds: two float32, as all of a state row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.calendar import (
    C2,
    C4,
    C6,
    C8,
    C10,
    C12,
    DAY,
    EPOCH,
    ERA,
    HOUR,
    MARCH,
    MAX_COUNT,
    MAX_TIME,
    S3,
    S5,
    S7,
    S9,
    S11,
    SINCE,
    THURSDAY,
    WEEKDAY,
    YEARDAY,
)

Array = NDArray[Any]
State = dict[str, Array]

FEATURES = {"hour": HOUR, "weekday": WEEKDAY, "yearday": YEARDAY, "since": SINCE}


def columns() -> dict[str, int]:
    """Return the columns of a state row and how many floats each has, in order."""
    return dict.fromkeys(("time", "time_low", "seen", "backward"), 1)


def initial() -> NDArray[np.float32]:
    """Return the columns before the first observation: zeros."""
    return np.zeros(sum(columns().values()), np.float32)


def constants(features: Sequence[str], spacing: float) -> NDArray[np.float32]:
    """Return what the kernel reads of the model.

    Parameters
    ----------
    features : sequence of str
        Any of :data:`FEATURES`.
    spacing : float
        Usual seconds between observations.
    """
    return np.array([sum(FEATURES[name] for name in features), spacing], np.float32)


def sine_cosine(turns: Array) -> tuple[Array, Array]:
    """Return the sine and the cosine of angles in turns, by Taylor's series on an eighth."""
    quarter = np.floor(4.0 * turns + 0.5)
    a = 2.0 * np.pi * (turns - 0.25 * quarter)
    b = a * a
    sine = a + a * b * (S3 + b * (S5 + b * (S7 + b * (S9 + b * S11))))
    cosine = 1.0 + b * (C2 + b * (C4 + b * (C6 + b * (C8 + b * (C10 + b * C12)))))
    n = quarter.astype(np.int64) % 4
    return (
        np.choose(n, [sine, cosine, -sine, -cosine]),
        np.choose(n, [cosine, -sine, -cosine, sine]),
    )


def year_fraction(days: Array, clock: Array) -> Array:
    """Return how much of its year has passed, from days since 1970 and the fraction of the day."""
    shifted = days.astype(np.int64) + EPOCH
    era = shifted // ERA
    day = shifted - era * ERA
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    since_march = day - (365 * year + year // 4 - year // 100)
    year = year + (since_march >= 306)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    of_year = np.where(since_march >= 306, since_march - 306, since_march + MARCH + leap)
    return np.asarray((of_year + clock) / (365.0 + leap))


def step(
    time: Array, table: NDArray[np.float64], features: Sequence[str], spacing: float, state: State
) -> tuple[Array, State]:
    """Return the features of a row.

    Parameters
    ----------
    time : float64[B]
        Seconds since 1970; NaN if none was given.
    table : float64[N, 2]
        From :func:`streamlstm.network.time_zone.transitions`.
    features : sequence of str
        Any of :data:`FEATURES`.
    spacing : float
        Usual seconds between observations.
    state : dict
        By name, each float[B, 1].

    Returns
    -------
    z : float[B, N]
        In the order of :data:`FEATURES`.
    state : dict
        After the step.
    """
    given = np.abs(time) <= MAX_TIME
    time = np.where(given, time, 0.0)
    local = (time + table[np.searchsorted(table[:, 0], time, side="right") - 1, 1]) / DAY
    days = np.floor(local)
    week = (local + THURSDAY) / 7.0
    turns = {
        "hour": local - days,
        "weekday": week - np.floor(week),
        "yearday": year_fraction(days, local - days),
    }
    z = [part for name, u in turns.items() if name in features for part in sine_cosine(u)]
    since, state = _since_last(time[:, None], given[:, None], np.float32(spacing), state)
    if "since" in features:
        z.append(since[:, 0])
    return np.where(given[:, None], np.stack(z, axis=1), 0.0), state


def _since_last(
    time: Array, given: Array, spacing: np.float32, state: State
) -> tuple[Array, State]:
    high = time.astype(np.float32)
    low = (time - high).astype(np.float32)
    last = state["time"].astype(np.float64) + state["time_low"]
    seen = state["seen"] != 0
    passed = np.where(seen, high.astype(np.float64) + low - last, float(spacing))
    back = seen & (passed <= 0)
    after = {
        "time": high,
        "time_low": low,
        "seen": 1.0,
        "backward": np.minimum(state["backward"] + back, MAX_COUNT),
    }
    state = {
        name: np.where(given, after[name], old).astype(old.dtype) for name, old in state.items()
    }
    return np.log1p(np.maximum(passed, 0) / float(spacing)), state
