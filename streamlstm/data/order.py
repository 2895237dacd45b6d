"""Puts the rows of a table in the order of time, and drops those that are there twice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .durations import rounded
from .table import Note, Table

_LEAST_ROWS = 3  # from which on falling times are an order, and not a mistake
_CLOCK_CHANGE = 3600.0  # seconds that clocks are set back by at the end of daylight saving
_MOST_CHANGES = 50  # of clocks, in a file

Rows = NDArray[np.intp]


def put_in_order(table: Table, sort: bool = False, repeated_times: bool = False) -> Table:
    """Return the rows of each stream in the order of time, each once.

    Rows that agree in stream, time and all numbers are one; the first is kept. A table whose times
    fall throughout is turned round.

    Parameters
    ----------
    table : Table
    sort : bool
        Whether rows may be sorted that are in no order.
    repeated_times : bool
        Whether rows of the same time may differ, as where they are to be resampled.

    Returns
    -------
    Table
        The same one if there is nothing to do or no time; else with notes that say what was done.

    Raises
    ------
    DataError
        If two rows of a stream have the same time and other numbers, or rows are in no order and
        may not be sorted.
    """
    if table.time is None or len(table) < 2:
        return table
    codes = stream_codes(table)
    steps = _steps(table.time, codes, rows_by_stream(codes))
    if not (steps <= 0).any():  # between streams they are infinite
        return table
    kept, repeated = _drop_repeated(table, codes, repeated_times)
    notes = [_repeated_note(table, repeated)] if len(repeated) else []
    by_stream = kept[rows_by_stream(codes[kept])]
    steps = _steps(table.time, codes, by_stream)
    if not (steps < 0).any():
        return table.take(kept, notes)
    falls = not (steps[np.isfinite(steps)] > 0).any() and len(kept) >= _LEAST_ROWS
    if falls:
        order = kept[np.argsort(table.time[kept], kind="stable")]
        notes.append(Note(table.time_column, "the newest row is first: read in the order of time"))
    elif sort:
        order = kept[np.argsort(table.time[kept], kind="stable")]
        late = int((steps < 0).sum())
        went = f"sorted by time, which went back {_times(late)} from row to row"
        notes.append(Note(table.time_column, went))
    else:
        raise _no_order(table, by_stream, steps)
    return table.take(order, notes)


def stream_codes(table: Table) -> NDArray[np.integer]:
    """Return the number of each row's stream, int[n]."""
    if table.streams is None:
        return np.zeros(len(table), np.uint8)
    codes, names = table.streams.codes()
    # numpy sorts up to 16 bits by radix, ten times as fast.
    return codes.astype(np.uint16) if len(names) <= 1 << 16 else codes


def rows_by_stream(codes: NDArray[np.integer]) -> Rows | slice:
    """Return the rows stream by stream, each in its order; a slice if that is how they are."""
    if not (np.diff(codes) != 0).any():
        return slice(None)
    return np.argsort(codes, kind="stable")


def _steps(
    time: NDArray[np.float64], codes: NDArray[np.integer], by_stream: Rows | slice
) -> NDArray[np.float64]:
    """Return the seconds from each of these rows to the next, infinite where the stream ends."""
    steps = np.diff(time[by_stream])
    if not isinstance(by_stream, slice):
        steps[np.diff(codes[by_stream]) != 0] = np.inf
    return steps


def _drop_repeated(table: Table, codes: NDArray[np.integer], may_differ: bool) -> tuple[Rows, Rows]:
    """Return the rows to keep, in their order, and those that are there once more."""
    assert table.time is not None
    by_time = np.argsort(table.time, kind="stable")
    if codes.any():
        by_time = by_time[np.argsort(codes[by_time], kind="stable")]
    steps = _steps(table.time, codes, by_time)
    same = np.flatnonzero(steps == 0)
    before, after = by_time[same], by_time[same + 1]
    equal = _equal_rows(table.values, before, after)
    if not (may_differ or equal.all()):
        raise _conflict(table, before[~equal], after[~equal])
    repeated = after[equal]
    kept = np.ones(len(table), bool)
    kept[repeated] = False
    return np.flatnonzero(kept), repeated


def _equal_rows(values: NDArray[np.float64], a: Rows, b: Rows) -> NDArray[np.bool_]:
    x, y = values[a], values[b]
    equal: NDArray[np.bool_] = ((x == y) | (np.isnan(x) & np.isnan(y))).all(axis=1)
    return equal


def _repeated_note(table: Table, repeated: Rows) -> Note:
    first = int(table.lines[repeated.min()])
    many = len(repeated) > 1
    return Note(
        None,
        f"{len(repeated):,} row{'s are' if many else ' is'} there twice (the first on line "
        f"{first}): read once",
    )


def _conflict(table: Table, before: Rows, after: Rows) -> DataError:
    """Return the error for rows of the same stream and time with other numbers."""
    first = int(after.argmin())
    more = f" ({len(after):,} such rows)" if len(after) > 1 else ""
    told = (
        f"expected one row of a time, got other values than on line {table.lines[before[first]]}"
        f"{_owner(table, int(after[first]))} at the same time{more}; "
    )
    if table.streams is None:
        columns = table.text[:3] or tuple(f"{name}" for name in _names_of_series(table))[:3]
        such = f" (perhaps {' or '.join(map(repr, columns))})" if columns else ""
        told += (
            "where the file holds several series, name the column that tells them apart with "
            f"--stream-column{such}; "
        )
    told += (
        "where a clock was set back, name its zone with --timezone; where several readings share a "
        f"time, combine them with --resample '{_usual_step(table)} mean'"
    )
    return _error(table, int(after[first]), told)


def _usual_step(table: Table) -> str:
    """Return about how long most rows are apart, as --resample reads it."""
    assert table.time is not None
    steps = np.abs(np.diff(table.time))
    steps = steps[steps > 0]
    return rounded(float(np.median(steps))) if len(steps) else "1min"


def _names_of_series(table: Table) -> list[str]:
    """Return numeric columns that differ wherever the time is the same."""
    assert table.time is not None
    sample = slice(0, 10_000)
    times = table.time[sample]
    found = []
    for name, values in zip(table.names, table.values[sample].T, strict=True):
        distinct = np.unique(values)
        if len(distinct) > len(values) / 2 or (values != np.round(values)).any():
            continue
        order = np.lexsort((values, times))
        if not ((np.diff(times[order]) == 0) & (np.diff(values[order]) == 0)).any():
            found.append(name)
    return found


def _no_order(table: Table, by_stream: Rows, steps: NDArray[np.float64]) -> DataError:
    late = np.flatnonzero(steps < 0)
    row, before = int(by_stream[late[0] + 1]), int(by_stream[late[0]])
    many = f" (as on {len(late) - 1:,} more line{'s' * (len(late) > 2)})" if len(late) > 1 else ""
    told = (
        f"expected a time later than on line {table.lines[before]}{_owner(table, row)}, got an "
        f"earlier time{many}; "
    )
    if len(late) <= _MOST_CHANGES and (steps[late] >= -_CLOCK_CHANGE).all():
        told += "where a clock was set back, name its zone with --timezone; else "
    return _error(table, row, told + "--sort puts the rows in the order of time")


def _owner(table: Table, row: int) -> str:
    return "" if table.streams is None else f" of stream {table.streams[row]!r}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


def _error(table: Table, row: int, told: str) -> DataError:
    return DataError(f"{table.path}:{table.lines[row]}: column {table.time_column!r}: {told}")
