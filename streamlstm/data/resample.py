"""Resamples a table to even times: ``1min mean``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .durations import in_words, parse_duration
from .order import rows_by_stream, stream_codes
from .stamps import write_times
from .table import Note, Table
from .text_column import TextColumn

_MOST_ROWS = 100_000_000  # of the result
_MOST_PADDED = 4  # times the readings, for intervals of unequal numbers

Values = NDArray[np.float64]
Starts = NDArray[np.intp]
Present = NDArray[np.bool_] | None
"""Which values are there; None for all."""


class Resampling(NamedTuple):
    """The seconds from row to row, and how the values of an interval become one."""

    step: float
    how: str


def parse_resampling(text: str) -> Resampling:
    """Return what ``1min mean`` says; raise DataError if it says nothing."""
    duration, _, how = text.strip().rpartition(" ")
    step = parse_duration(duration)
    if step is None or how.lower() not in _REDUCE:
        raise DataError(
            "resample: expected a duration and one of "
            f"{', '.join(_REDUCE)}, such as '1min mean', '15min last' or '1h sum', got {text!r}"
        )
    return Resampling(step, how.lower())


def resample(table: Table, resampling: str, missing: bool = True) -> Table:
    """Return one row for each interval of each stream, from its first to its last.

    An interval begins at a multiple of its length since 1970 (UTC), which is the time of its row. A
    missing value does not count; an interval without any has a missing value (NaN).

    Parameters
    ----------
    table : Table
        Its rows are in the order of time within each stream.
    resampling : str
        The length of an interval, and how its values become one: mean, last, min, max, sum, median.
    missing : bool
        Whether the result may have missing values.

    Raises
    ------
    DataError
        If the text says nothing, there is no time, too many rows would result, or values would be
        missing and may not.
    """
    step, how = parse_resampling(resampling)
    if table.time is None:
        raise DataError(
            f"{table.path}: resample: expected a time column, found none; name it with "
            "--time-column"
        )
    if not len(table):
        return table
    codes = stream_codes(table)
    rows = rows_by_stream(codes)
    streams = codes[rows].astype(np.int64)
    bins = np.floor(table.time[rows] / step).astype(np.int64)
    starts = _changes(streams, bins)
    at = _places(table, streams[starts], bins[starts], step)
    values = np.full((at[-1] + 1, table.values.shape[1]), np.nan)
    ordered = table.values[rows]
    for column in range(values.shape[1]):
        values[at, column] = _reduce(ordered[:, column], starts, how)
    # An interval without rows belongs to the stream, and is after the line, of the one before.
    source = np.repeat(np.arange(len(at)), np.diff(at, append=at[-1] + 1))
    first = np.arange(len(table))[rows][starts][source]
    time = (bins[starts][source] + np.arange(len(source)) - at[source]).astype(np.float64) * step
    empty = len(source) - len(at)
    gaps = np.isnan(values)
    if gaps.any() and not missing:
        raise _missing(table.take(first), resampling, time, gaps, empty)
    made = table.take(first)
    return replace(
        made,
        time=time,
        values=values,
        stamps=_stamps(table, time),
        notes=(*table.notes, _note(table, step, how, len(values), empty)),
    )


def _stamps(table: Table, time: Values) -> TextColumn | None:
    """Return the times of the intervals as the source writes its own."""
    if table.stamps is None or table.time is None:
        return None
    return write_times(time, table.notation, table.stamps[0], float(table.time[0]), table.zone)


def _changes(streams: NDArray[np.int64], bins: NDArray[np.int64]) -> Starts:
    """Return where an interval of a stream begins."""
    changes = (np.diff(streams) != 0) | (np.diff(bins) != 0)
    return np.concatenate([[0], np.flatnonzero(changes) + 1])


def _places(
    table: Table, streams: NDArray[np.int64], bins: NDArray[np.int64], step: float
) -> NDArray[np.int64]:
    """Return the row of each interval in the result."""
    advances = np.diff(bins)
    advances[np.diff(streams) != 0] = 1
    rows = 1.0 + float(advances.sum(dtype=np.float64))
    if rows > _MOST_ROWS:
        raise DataError(
            f"{table.path}: resample: rows every {in_words(step)} would be {rows:,.0f} for the "
            f"{len(table):,} that there are; choose a longer interval, or check the times"
        )
    return np.concatenate([[0], np.cumsum(advances)])


def _reduce(values: Values, starts: Starts, how: str) -> Values:
    values = np.ascontiguousarray(values)
    if not np.isnan(values.sum()):
        return _REDUCE[how](values, None, starts, np.diff(starts, append=len(values)))
    present = ~np.isnan(values)
    counts = np.add.reduceat(present.astype(np.int64), starts)
    return np.where(counts > 0, _REDUCE[how](values, present, starts, counts), np.nan)


def _mean(values: Values, present: Present, starts: Starts, counts: Starts) -> Values:
    return _sum(values, present, starts, counts) / np.maximum(counts, 1)


def _sum(values: Values, present: Present, starts: Starts, _counts: Starts) -> Values:
    total: Values = np.add.reduceat(
        values if present is None else np.where(present, values, 0.0), starts
    )
    return total


def _min(values: Values, _present: Present, starts: Starts, _counts: Starts) -> Values:
    least: Values = np.fmin.reduceat(values, starts)
    return least


def _max(values: Values, _present: Present, starts: Starts, _counts: Starts) -> Values:
    most: Values = np.fmax.reduceat(values, starts)
    return most


def _last(values: Values, present: Present, starts: Starts, _counts: Starts) -> Values:
    rows = np.arange(len(values))
    if present is not None:
        rows = np.where(present, rows, -1)
    last: Values = values[np.maximum.reduceat(rows, starts)]
    return last


def _median(values: Values, _present: Present, starts: Starts, counts: Starts) -> Values:
    sizes = np.diff(starts, append=len(values))
    groups, width = np.repeat(np.arange(len(starts)), sizes), int(sizes.max())
    if len(starts) * width <= _MOST_PADDED * len(values):
        padded = np.full((len(starts), width), np.nan)
        padded[groups, np.arange(len(values)) - starts[groups]] = values
        padded.sort(axis=1)  # NaN last in each
        ranked, starts = padded.ravel(), width * np.arange(len(starts))
    else:
        ranked = values[np.lexsort((values, groups))]
    lower, upper = starts + np.maximum(counts - 1, 0) // 2, starts + counts // 2
    middle: Values = (ranked[lower] + ranked[np.minimum(upper, len(ranked) - 1)]) / 2
    return middle


_REDUCE: dict[str, Callable[[Values, Present, Starts, Starts], Values]] = {
    "mean": _mean,
    "last": _last,
    "min": _min,
    "max": _max,
    "sum": _sum,
    "median": _median,
}


def _missing(
    table: Table, resampling: str, time: Values, gaps: NDArray[np.bool_], empty: int
) -> DataError:
    row, column = (int(found[0]) for found in np.nonzero(gaps))
    what = f"{empty:,} intervals have no row" if empty else "an interval has no value"
    first = np.datetime64(round(time[row]), "s")
    return DataError(
        f"{table.path}:{table.lines[row]}: resample {resampling!r}: expected a value of "
        f"{table.names[column]!r} for the interval from {first} on, got none ({what}); choose a "
        "longer interval, or how to fill missing values with --fill"
    )


def _note(table: Table, step: float, how: str, rows: int, empty: int) -> Note:
    without = f", {empty:,} of them without a reading and missing" if empty else ""
    return Note(
        table.time_column,
        f"resampled: {rows:,} rows, each the {how} of {in_words(step)} of {len(table):,} "
        f"readings{without}",
    )
