"""What a column of numbers may be in truth: a clock, an id, a copy of another one.

Ordinary measurements must pass: each test asks for what hardly comes about by chance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 200_000  # rows from the start that are looked at
_LEAST_ROWS = 20
_SAME = 0.98  # share of rows from which on one column is taken for another
_LEAST_RISES = 50  # of a counter
_RESETS = 0.01  # most of the rows in which one begins again
_DAY = 86_400.0
_ID_NAMES = ("id", "uid", "uuid", "guid", "key", "index", "serial", "nr", "no", "number", "row")

Values = NDArray[np.float64]


class Column(NamedTuple):
    """A column, stream after stream.

    Attributes
    ----------
    name : str
    values : float64[n]
    streams : int[n]
        The number of each row's stream.
    time : float64[n] or None
    """

    name: str
    values: Values
    streams: NDArray[np.integer]
    time: Values | None


def is_shifted(
    values: Values, target: Values, streams: NDArray[np.integer], steps: int = 1
) -> int | None:
    """Return by how many rows a column is ahead of a target of the same table.

    ``values[i] == target[i + k]`` in nearly all rows, and also in those where the target changes
    from row i to i + k: so two columns that seldom change are not the same.

    Parameters
    ----------
    values, target : float64[n]
    streams : int[n]
        Rows of different streams are not compared.
    steps : int
        The largest ``k`` that is tried.

    Returns
    -------
    int or None
        ``k``, from 1 to ``steps`` or -1; None if it is no such copy.
    """
    values, target, streams = values[:_SAMPLE], target[:_SAMPLE], streams[:_SAMPLE]
    k: int
    for k in (1, -1, *range(2, steps + 1)):
        if abs(k) >= len(values):
            break
        ahead, behind = max(k, 0), max(-k, 0)
        now, later = slice(behind, len(values) - ahead), slice(ahead, len(values) - behind)
        if _is_copy(values[now], target[later], target[now], streams[now] == streams[later]):
            return k
    return None


def _is_copy(values: Values, other: Values, now: Values, within: NDArray[np.bool_]) -> bool:
    # The first rows tell nearly always.
    for rows in (slice(0, 1000), slice(None)):
        known = within[rows] & np.isfinite(values[rows]) & np.isfinite(other[rows])
        equal = _close(values[rows], other[rows])[known]
        changed = ~_close(now[rows], other[rows])[known]
        if changed.sum() < _LEAST_ROWS and rows.stop is None:
            return False
        if changed.any() and min(equal.mean(), equal[changed].mean()) < _SAME:
            return False
    return True


def _close(a: Values, b: Values) -> NDArray[np.bool_]:
    close: NDArray[np.bool_] = np.abs(a - b) <= 1e-9 * np.abs(b)
    return close


def is_clock(column: Column) -> str:
    """Return what a column counts if that is rows, days or seconds; empty if nothing such."""
    values = column.values[:_SAMPLE]
    if len(values) < _LEAST_ROWS or not np.isfinite(values).all():
        return ""
    within = np.diff(column.streams[:_SAMPLE].astype(np.int64)) == 0
    steps = np.diff(values)[within]
    if not len(steps) or (steps < 0).any() or not (steps > 0).any():
        return ""
    if (steps == steps[0]).all() and steps[0] == round(steps[0]) and _is_whole(values):
        return "counts the rows"
    if _is_whole(values) and _is_calendar_date(values):
        return "holds dates (year, month and day as one number)"
    if _is_whole(values) and column.name.lower() == "year" and _between(values, 1800, 2200):
        return "is the year"
    if column.time is not None and _is_linear(values, column.time[:_SAMPLE]):
        return "counts the time"
    return ""


def _is_linear(values: Values, time: Values) -> bool:
    """Tell whether values follow the time: as seconds, hours or days since whenever, or the day."""
    rise, seconds = values.max() - values.min(), time.max() - time.min()
    if seconds <= 0:
        return False
    for unit in (1.0, 1e-3, 1e-6, 1e-9, 60.0, 3600.0, _DAY):
        apart = values - time / unit
        spread = apart.max() - apart.min()
        if spread <= 1e-3 + 1e-6 * rise:
            return True
        if unit == _DAY and _is_whole(values) and spread <= 1.1 and rise >= 3:
            return True
    return False


def _is_calendar_date(values: Values) -> bool:
    if not _between(values, 18000101, 22001231):
        return False
    month, day = values // 100 % 100, values % 100
    return bool(_between(month, 1, 12) and _between(day, 1, 31))


def is_counter(column: Column) -> bool:
    """Tell whether a column only rises, but for times at which it begins again."""
    values = column.values[:_SAMPLE]
    steps = np.diff(values)[np.diff(column.streams[:_SAMPLE].astype(np.int64)) == 0]
    steps = steps[np.isfinite(steps)]
    falls, rises = np.count_nonzero(steps < 0), np.count_nonzero(steps > 0)
    if rises < _LEAST_RISES or falls > _RESETS * len(steps):
        return False
    # What begins again falls by most of what had been counted, noise by no more than it rises.
    rise, fall = steps[steps > 0], -steps[steps < 0]
    return bool(falls == 0 or fall.min() > 4 * np.median(rise))


def is_id(column: Column) -> str:
    """Return that a column holds ids; empty if it may hold anything else."""
    values = column.values[:_SAMPLE]
    if len(values) < _LEAST_ROWS or not np.isfinite(values).all() or not _is_whole(values):
        return ""
    if _names_streams(column):
        return "numbers the series"
    ranked = np.sort(values)
    if not (np.diff(ranked) > 0).all():
        return ""
    spread = ranked[-1] - ranked[0] + 1
    # Whole numbers drawn from so many would repeat themselves.
    expected = len(values) ** 2 / (2 * spread) > _LEAST_ROWS
    called = column.name.lower().replace("-", "_").split("_")[-1] in _ID_NAMES
    huge = np.abs(ranked).max() > 2**40
    if (expected or called or huge) and _is_noise(values):
        return "holds ids (whole numbers, each once, without a relation)"
    return ""


def _names_streams(column: Column) -> bool:
    """Tell whether each stream has a number of its own."""
    changes = np.flatnonzero(np.diff(column.streams.astype(np.int64)))
    if not len(changes):
        return False
    starts = np.concatenate([[0], changes + 1])
    least = np.minimum.reduceat(column.values, starts)
    most = np.maximum.reduceat(column.values, starts)
    return bool((least == most).all() and len(np.unique(least)) == len(starts))


def _is_noise(values: Values) -> bool:
    """Tell whether a value says nothing about the next one."""
    x = values - values.mean()
    correlation = np.dot(x[:-1], x[1:]) / np.dot(x, x)
    return bool(abs(correlation) < 4 / np.sqrt(len(values)))


def _is_whole(values: Values) -> bool:
    return bool((values == np.floor(values)).all())


def _between(values: Values, least: float, most: float) -> bool:
    return bool(values.min() >= least and values.max() <= most)
