"""Series from CSV files: whole tables for training, rows one by one for live streams.

A file is a header and rows: at most one time column, at most one column that names the stream, and
numeric columns. Nothing is repaired in silence: a cell that cannot be used is an error that says
where it stands, what was expected and what came.
"""

from __future__ import annotations

import csv
import gzip
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from math import inf, isfinite
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlstm.errors import DataError

TIME_NAMES = ("timestamp", "datetime", "time", "date", "ts")
"""Names, in any case, under which a time column is looked for, the most telling first."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BARE_EPOCH = datetime(1970, 1, 1)
_LARGEST = float(np.finfo(np.float32).max)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_MOST_LISTED = 20  # columns in a message
_REGULAR = 0.9  # share of equal steps from which on a file counts as evenly spaced

Source = str | Path | IO[str]


class Observation(NamedTuple):
    """One row of a file: what `iterate_csv` yields."""

    line: int
    stream: str | None
    time: float | None
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Table:
    """A CSV file in memory.

    Attributes
    ----------
    path : str
        What messages call the file.
    time : float64[n] or None
        Event times in seconds since 1970 (time stamps without a zone are taken as UTC).
    names : tuple of str
        The numeric columns.
    values : float32[n, F]
        Their cells, all finite.
    streams : list of str or None
        The stream of every row, where a stream column was asked for.
    lines : int64[n]
        The line of the file that each row stands on.
    stamps : list of str or None
        The cells of the time column as they are written.
    time_column, stream_column : str or None
        What these columns are called in the file.
    text : tuple of str
        Columns that hold no numbers and were left out.
    """

    path: str
    time: NDArray[np.float64] | None
    names: tuple[str, ...]
    values: NDArray[np.float32]
    streams: list[str] | None
    lines: NDArray[np.int64]
    stamps: list[str] | None = None
    time_column: str | None = None
    stream_column: str | None = None
    text: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def select(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Return the columns of these names, as float32[n, len(names)] and C-contiguous.

        Raises
        ------
        DataError
            Where a column is missing or holds text; the message lists the columns there are.
        """
        for name in names:
            if name in self.text:
                raise DataError(
                    f"{self.path}: column {name!r} holds text, expected numbers; "
                    f"the numeric columns are {_listed(self.names)}"
                )
            if name not in self.names:
                raise _missing_column(self.path, name, self.names)
        where = [self.names.index(name) for name in names]
        return np.ascontiguousarray(self.values[:, where])

    def groups(self) -> dict[str, NDArray[np.intp]]:
        """Return the row numbers of each stream in order; one stream ``""`` without a column."""
        if self.streams is None:
            return {"": np.arange(len(self))}
        found: dict[str, list[int]] = {}
        for row, stream in enumerate(self.streams):
            found.setdefault(stream, []).append(row)
        return {stream: np.array(rows, np.intp) for stream, rows in found.items()}


def read_csv(
    source: Source,
    *,
    time_column: str | None = None,
    stream_column: str | None = None,
    columns: Sequence[str] | None = None,
    allow_gaps: bool = True,
) -> Table:
    """Read a whole CSV file.

    Parameters
    ----------
    source : path, "-" for standard input, or an open text stream
        ``.gz`` is unpacked. Comma, semicolon or tab, whichever the header uses.
    time_column : str, optional
        By default a column named like one of `TIME_NAMES`, or else the first that holds time
        stamps. Numbers are seconds since 1970; text is ISO 8601.
    stream_column : str, optional
        The column that names each row's stream, for files of many series.
    columns : sequence of str, optional
        The numeric columns wanted, in this order; by default every column that holds numbers.
    allow_gaps : bool
        Whether rows may be missing in an evenly spaced series. Empty cells never pass.

    Raises
    ------
    DataError
        For anything that cannot be used, naming file, line and column.
    """
    with _opened(source) as (path, stream):
        layout, rows = _begin(path, stream, time_column, stream_column, columns)
        lines: list[int] = []
        cells: list[str] = []  # one flat list: 200,000 small ones keep the garbage collector busy
        for line, row in rows:
            lines.append(line)
            cells.extend(row)
    by_column = [cells[k :: len(layout.header)] for k in range(len(layout.header))]
    text = tuple(
        layout.header[k] for k in layout.columns if columns is None and _is_text(by_column[k])
    )
    wanted = [k for k in layout.columns if layout.header[k] not in text]
    if not wanted:
        raise DataError(
            f"{path}: expected at least one numeric column, found none among "
            f"{_listed(layout.header)}"
        )
    values = np.empty((len(lines), len(wanted)), np.float32)
    for at, k in enumerate(wanted):
        values[:, at] = _numbers(layout, k, by_column[k], lines)
    streams = None if layout.stream is None else by_column[layout.stream]
    time = None if layout.time is None else _times(layout, by_column[layout.time], lines)
    if streams is not None and "" in streams:
        line = lines[streams.index("")]
        raise _bad_cell(layout, layout.stream, line, "the name of a stream", "")
    table = Table(
        path=path,
        time=time,
        names=tuple(layout.header[k] for k in wanted),
        values=values,
        streams=streams,
        lines=np.array(lines, np.int64),
        stamps=None if layout.time is None else by_column[layout.time],
        time_column=None if layout.time is None else layout.header[layout.time],
        stream_column=stream_column,
        text=text,
    )
    _check_times(table, allow_gaps)
    return table


def iterate_csv(
    source: Source,
    *,
    time_column: str | None = None,
    stream_column: str | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[Observation]:
    """Read a CSV file row by row, each as soon as it is there: for pipes that never end.

    Takes what `read_csv` takes. Without ``columns``, the numeric columns are those that hold a
    number in the first row.

    Yields
    ------
    Observation
        ``(line, stream, time, values)``: the line in the file, the stream or None, the time in
        seconds or None, the values as float32[F].

    Raises
    ------
    DataError
        At the first row that cannot be used. The rows before it have been yielded.
    """
    with _opened(source) as (path, stream):
        layout, rows = _begin(path, stream, time_column, stream_column, columns)
        wanted: Sequence[int] | None = None if columns is None else layout.columns
        last: dict[str | None, tuple[float, int]] = {}
        for line, row in rows:
            if wanted is None:
                wanted = [k for k in layout.columns if not _is_text([row[k]])]
            name = None if layout.stream is None else row[layout.stream]
            if name == "":
                raise _bad_cell(layout, layout.stream, line, "the name of a stream", "")
            time = None
            if layout.time is not None:
                time = _seconds(row[layout.time])
                if time is None:
                    raise _bad_time(layout, line, row[layout.time])
                before, before_line = last.get(name, (-inf, 0))
                if time <= before:
                    raise _not_later(
                        path, layout.header[layout.time], line, before_line, time == before, name
                    )
                last[name] = (time, line)
            values = [_number(layout, k, row[k], line) for k in wanted]
            yield Observation(line, name, time, np.array(values, np.float32))


# ---- opening and rows


@contextmanager
def _opened(source: Source) -> Iterator[tuple[str, IO[str]]]:
    """Open a source as text; what the file itself does wrong comes out as DataError."""
    path = str(getattr(source, "name", "<stream>"))
    try:
        if not isinstance(source, str | Path):
            yield path, source
        elif str(source) == "-":
            if sys.stdin is None:  # closed by whoever started us
                raise DataError("<stdin>: expected CSV on standard input, but it is closed")
            yield "<stdin>", sys.stdin
        else:
            path = str(source)
            opener = gzip.open if path.endswith(".gz") else open
            with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
                yield path, stream
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected text in UTF-8, got byte 0x{error.object[error.start]:02x} that is "
            "not; convert the file to UTF-8"
        ) from error
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: expected a whole gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True)
class _Layout:
    """Where the columns of a file stand."""

    path: str
    header: tuple[str, ...]
    time: int | None
    stream: int | None
    columns: tuple[int, ...]


def _begin(
    path: str,
    stream: IO[str],
    time_column: str | None,
    stream_column: str | None,
    columns: Sequence[str] | None,
) -> tuple[_Layout, Iterator[tuple[int, list[str]]]]:
    """Read the header and the first row, which tells the time column; return all rows to come."""
    rows = _rows(path, stream)
    header = next(rows, None)
    if header is None:
        raise DataError(
            f"{path}: the file is empty; expected a header that names the columns, then rows"
        )
    names = _header(path, *header)
    first = next(rows, None)
    if first is None:
        raise DataError(
            f"{path}: expected at least one row after the header {_listed(names)}, found none"
        )
    for name in (time_column, stream_column, *(columns or ())):
        if name is not None and name not in names:
            raise _missing_column(path, name, names)
    at_stream = None if stream_column is None else names.index(stream_column)
    at_time = _find_time(names, first[1], time_column, {*(columns or ()), stream_column})
    chosen = columns or [name for k, name in enumerate(names) if k not in (at_stream, at_time)]
    layout = _Layout(path, names, at_time, at_stream, tuple(names.index(name) for name in chosen))

    return layout, chain([first], rows)


def _rows(path: str, stream: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row that is not blank; all as wide as the first."""
    lines = iter(stream)
    start = 1
    head = next(lines, "")
    while head and not head.strip():
        start += 1
        head = next(lines, "")
    delimiter = max(",;\t", key=head.count)  # the comma where there is none

    reader = csv.reader(chain([head] if head else [], lines), delimiter=delimiter, strict=True)
    width = 0
    line = start
    try:
        for row in reader:
            line = reader.line_num + start - 1
            if not row:
                continue
            width = width or len(row)
            if len(row) != width:
                raise DataError(
                    f"{path}:{line}: expected {width} cells as in the header, got {len(row)}"
                )
            yield line, row
    except csv.Error as error:
        raise DataError(f"{path}:{line + 1}: expected a row of CSV: {error}") from error


def _header(path: str, line: int, row: list[str]) -> tuple[str, ...]:
    names = tuple(name.strip().removeprefix("\ufeff") for name in row)
    for at, name in enumerate(names):
        if not name:
            raise DataError(
                f"{path}:{line}: expected a name for column {at + 1}, got none; complete the header"
            )
        if name in names[:at]:
            raise DataError(
                f"{path}:{line}: column {name!r} stands twice in the header; rename one of them"
            )
    if all(_as_float(name) is not None for name in names):
        raise DataError(
            f"{path}:{line}: expected a header that names the columns, got numbers: "
            f"{_listed(names)}; put a line of names first"
        )
    return names


def _find_time(
    names: tuple[str, ...], first: list[str], asked: str | None, taken: set[str | None]
) -> int | None:
    """Return where the time column stands: as asked, by its name, or by what its first cell is."""
    if asked is not None:
        return names.index(asked)
    free = [k for k, name in enumerate(names) if name not in taken]
    by_name = [k for known in TIME_NAMES for k in free if names[k].lower() == known]
    for k in by_name:
        if _seconds(first[k]) is not None:
            return k
    for k in free:
        if _as_float(first[k]) is None and _seconds(first[k]) is not None:
            return k
    return by_name[0] if by_name else None


# ---- cells


def _as_float(cell: str) -> float | None:
    if not _is_plain(cell):
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _is_plain(cells: str) -> bool:
    """Tell whether Python reads numbers in it as others do: not 1_000, nor digits of any script."""
    return "_" not in cells and cells.isascii()


def _is_text(cells: Sequence[str]) -> bool:
    """Tell whether a column holds text throughout: something, but never a number.

    Numbers with a decimal comma are no text: they are meant to be used, and must not be left out.
    """
    return all(
        _as_float(cell) is None and not _DECIMAL_COMMA.fullmatch(cell.strip()) for cell in cells
    ) and any(cell.strip() for cell in cells)


def _number(layout: _Layout, column: int, cell: str, line: int) -> float:
    value = _as_float(cell)
    if value is None or not abs(value) <= _LARGEST:
        too_large = value is not None and abs(value) > _LARGEST  # nan is not
        expected = f"a number that fits float32 (up to {_LARGEST:.1e})" if too_large else "a number"
        raise _bad_cell(layout, column, line, expected, cell)
    return value


def _numbers(
    layout: _Layout, column: int, cells: Sequence[str], lines: Sequence[int]
) -> NDArray[np.float64]:
    """Convert a column at once; look at single cells only where that fails."""
    try:
        values = np.array(list(map(float, cells)), np.float64)
        if (np.abs(values) <= _LARGEST).all() and _is_plain("".join(cells)):
            return values
    except ValueError:
        pass
    for cell, line in zip(cells, lines, strict=True):
        _number(layout, column, cell, line)
    raise AssertionError("a column that cannot be converted has a cell that cannot")


def _seconds(cell: str) -> float | None:
    """Return a time in seconds since 1970: a number as it is, a time stamp as UTC if it is bare."""
    seconds = _as_float(cell)
    if seconds is None:
        return _stamp(cell)
    return seconds if isfinite(seconds) else None


def _stamp(cell: str) -> float | None:
    try:
        moment = datetime.fromisoformat(cell.strip().replace("/", "-"))
    except ValueError:
        return None
    return (moment - (_EPOCH if moment.tzinfo else _BARE_EPOCH)).total_seconds()


def _times(layout: _Layout, cells: Sequence[str], lines: Sequence[int]) -> NDArray[np.float64]:
    # Mostly time stamps, so numbers are not tried first: a failed float() costs a microsecond.
    stamps = _as_float(cells[0]) is None
    times = np.empty(len(cells))
    for at, cell in enumerate(cells):
        seconds = _stamp(cell) if stamps else None
        seconds = _seconds(cell) if seconds is None else seconds
        if seconds is None:
            raise _bad_time(layout, lines[at], cell)
        times[at] = seconds
    return times


def _check_times(table: Table, allow_gaps: bool) -> None:
    """Refuse time stamps that are not later than the one before, and missing rows."""
    if table.time is None:
        return
    for stream, rows in table.groups().items():
        steps = np.diff(table.time[rows])
        early = np.flatnonzero(steps <= 0)
        if len(early):
            at, before = rows[early[0] + 1], rows[early[0]]
            raise _not_later(
                table.path,
                str(table.time_column),
                int(table.lines[at]),
                int(table.lines[before]),
                bool(steps[early[0]] == 0),
                stream or None,
            )
        if not allow_gaps and len(steps) > 2:
            _check_gaps(table, rows, steps)


def _check_gaps(table: Table, rows: NDArray[np.intp], steps: NDArray[np.float64]) -> None:
    usual = float(np.median(steps))
    if np.mean(np.abs(steps - usual) < 0.01 * usual) < _REGULAR:
        return  # not evenly spaced, so nothing can be said to be missing
    wide = np.flatnonzero(steps > 1.5 * usual)
    if len(wide):
        at = rows[wide[0] + 1]
        raise DataError(
            f"{table.path}:{table.lines[at]}: column {table.time_column!r}: expected a row every "
            f"{usual:g} s, got none for {steps[wide[0]]:g} s "
            f"({len(wide)} such gap{'s' if len(wide) > 1 else ''}); fill in the missing rows, "
            "or say --allow-gaps to go on as if none were missing"
        )


# ---- messages


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_MOST_LISTED])
    more = len(names) - _MOST_LISTED
    return f"{shown} and {more:,} more" if more > 0 else shown


def _missing_column(path: str, name: str, names: Sequence[str]) -> DataError:
    return DataError(f"{path}: expected a column {name!r}; the columns are {_listed(names)}")


def _bad_cell(
    layout: _Layout, column: int | None, line: int, expected: str, cell: str
) -> DataError:
    assert column is not None
    if not cell.strip() or (cell.strip().lower() in ("nan", "null", "none", "na", "n/a")):
        came = "an empty cell" if not cell.strip() else repr(cell.strip())
        came, advice = f"{came} (a gap)", "fill it, for instance with the value before"
    else:
        shown = cell if len(cell) <= 40 else cell[:40] + "..."
        came, advice = repr(shown), "correct the cell or leave the column out"
        if _DECIMAL_COMMA.fullmatch(cell.strip()):
            advice = "write numbers with a decimal point"
    return DataError(
        f"{layout.path}:{line}: column {layout.header[column]!r}: expected {expected}, "
        f"got {came}; {advice}"
    )


def _bad_time(layout: _Layout, line: int, cell: str) -> DataError:
    return _bad_cell(
        layout,
        layout.time,
        line,
        "a time (seconds since 1970, or a time stamp like 2024-05-31 12:30:00)",
        cell,
    )


def _not_later(
    path: str, column: str, line: int, before: int, equal: bool, stream: str | None
) -> DataError:
    of = f" of stream {stream!r}" if stream else ""
    came = "the same time" if equal else "an earlier time"
    advice = (
        "keep one of the two, or name the column that tells the series apart with --stream-column"
        if equal and not stream
        else "keep one of the two"
        if equal
        else "sort the file by time"
    )
    return DataError(
        f"{path}:{line}: column {column!r}: expected a time later than on line {before}{of}, "
        f"got {came}; {advice}"
    )
