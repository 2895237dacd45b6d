"""Iterates over live rows, and tells what cannot be used of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf, nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..numbers import MAX_FLOAT32, is_missing, parse_float
from ..table import list_names
from ..timestamps import parse_time
from .cells import Splitter
from .columns import Asked, Columns, find_columns, names_of, read_header
from .lines import Source, open_lines
from .problems import BadRowError, Kind, OnBad, Problem

MAX_STREAM_BYTES = 255
"""UTF-8 of the name of a stream (docs/protocol.md)."""

Report = Callable[[Problem], None]


class LiveRow(NamedTuple):
    """One row that can be used.

    Attributes
    ----------
    line : int
        Its line in the source.
    stream : str or None
        Its stream, if there is a stream column.
    time : float or None
        Its time in seconds since 1970, if there is a time column.
    values : float64[F]
        Its numeric columns; NaN is missing.
    """

    line: int
    stream: str | None
    time: float | None
    values: NDArray[np.float64]


def iterate_rows(
    source: Source,
    report: Report,
    *,
    on_bad: OnBad = OnBad.SKIP,
    time_column: str | None = None,
    stream_column: str | None = None,
    columns: Sequence[str] | None = None,
    missing: bool = False,
) -> Iterator[LiveRow]:
    """Read a source row by row; works on pipes that never end.

    Parameters
    ----------
    source : path, "-" for standard input, or an open text stream
    report : callable
        Called with each `Problem`, before the row after it is read.
    on_bad : OnBad
        What becomes of a row that cannot be used as it is. With ``stop`` a time that is not later
        than the one before in its stream counts as such; otherwise it is told and the row kept.
    time_column : str, optional
        By default a column with a usual name, or else the first that holds time stamps.
    stream_column : str, optional
        The column that names the stream of each row.
    columns : sequence of str, optional
        The numeric columns, in this order; by default those that hold a number in the first row.
    missing : bool
        Whether cells may be empty, or say "NA" or "null": they are NaN. Needed for ``fill``.

    Yields
    ------
    LiveRow

    Raises
    ------
    DataError
        If the source cannot be read, lacks a header or a column that was asked for, or ends
        without a row that can be used; with ``stop`` also at the first row that cannot be used. The
        rows before have been yielded.
    """
    asked = Asked(time_column, stream_column, None if columns is None else tuple(columns))
    with open_lines(source) as (path, lines):
        rows = Splitter(lines)
        reader = _Reader(path, asked, on_bad, report, missing)
        for line, cells, problem in rows:
            row = reader.read(line, cells, problem)
            rows.width = len(reader.header)
            if row is not None:
                yield row
        reader.check_end()


class _Reader:
    """Makes rows of cells, and reports what is wrong with them.

    Attributes
    ----------
    header : tuple of str
        The names of the columns; empty before the header.
    """

    def __init__(
        self, path: str, asked: Asked, on_bad: OnBad, report: Report, missing: bool
    ) -> None:
        self.header: tuple[str, ...] = ()
        self._columns: Columns | None = None  # known from the first row on
        self._path, self._asked, self._missing = path, asked, missing
        self._on_bad, self._report = on_bad, report
        self._latest: dict[str | None, tuple[float, str, int]] = {}  # time, its cell, line
        self._used = 0
        self._first_bad: BadRowError | None = None

    def read(self, line: int, cells: list[str], problem: str) -> LiveRow | None:
        """Return the row; None if it is a header or cannot be used."""
        if not problem and self._take_header(line, cells):
            return None
        if not self.header:
            raise BadRowError(self._path, line, problem)
        try:
            if problem:
                raise BadRowError(self._path, line, problem)
            row = self._convert(self._find_columns(line, cells), line, cells)
        except BadRowError as error:
            self._bad(Kind.SKIPPED, error)
            return None
        self._used += 1
        return row

    def check_end(self) -> None:
        """Raise DataError if the source has ended without a row that could be used."""
        if self._used:
            return
        if self._first_bad is not None:
            raise DataError(f"{self._first_bad} (no row can be used)")
        if not self.header:
            raise DataError(
                f"{self._path}: the file is empty; expected a header that names the columns, then "
                "rows"
            )
        raise DataError(
            f"{self._path}: expected at least one row after the header {list_names(self.header)}, "
            "found none"
        )

    def _take_header(self, line: int, cells: list[str]) -> bool:
        """Take a row that names the columns for the header of the rows after it."""
        if not self.header:
            self.header = read_header(self._path, line, cells, self._asked)
            return True
        names = names_of(cells)
        if self._columns is None:
            return names == self.header
        moved = self._columns.move(names)
        if moved is None:
            return False
        now = f"; the columns are now {list_names(names)}" if names != self.header else ""
        self._report(Problem(Kind.HEADER, line, f"the header is repeated{now}"))
        self.header, self._columns = names, moved
        return True

    def _find_columns(self, line: int, cells: list[str]) -> Columns:
        if len(cells) != len(self.header):
            raise BadRowError(
                self._path,
                line,
                f"expected {len(self.header)} cells as in the header, got {len(cells)}",
            )
        if self._columns is None:
            columns = find_columns(self.header, cells, self._asked)
            if not columns.values:
                raise BadRowError(
                    self._path,
                    line,
                    "expected at least one number to find the numeric columns, got none",
                    "name them with --column",
                )
            self._columns = columns
        return self._columns

    def _bad(self, kind: Kind, error: BadRowError) -> None:
        self._first_bad = self._first_bad or error
        if self._on_bad is OnBad.STOP:
            raise error
        self._report(Problem(kind, error.line, error.text))

    def _convert(self, columns: Columns, line: int, cells: list[str]) -> LiveRow:
        stream = time = None
        if columns.stream is not None:
            stream = self._to_stream(columns, line, cells[columns.stream])
        if columns.time is not None:
            time = self._to_time(columns, line, cells[columns.time])
        values = np.array([self._to_number(columns, line, k, cells[k]) for k in columns.values])
        if time is not None:
            self._check_clock(columns, line, stream, time, cells)
        return LiveRow(line, stream, time, values)

    def _to_number(self, columns: Columns, line: int, column: int, cell: str) -> float:
        if self._missing and is_missing(cell):
            return nan
        value = parse_float(cell)
        if value is not None and abs(value) <= MAX_FLOAT32:
            return value
        too_large = value is not None and abs(value) > MAX_FLOAT32  # NaN is not
        fits = f" that fits float32 (up to {MAX_FLOAT32:.1e})" if too_large else ""
        error = self._bad_cell(columns, line, column, f"a number{fits}", cell)
        if self._on_bad is not OnBad.FILL:
            raise error
        self._bad(Kind.FILLED, error)
        return nan

    def _to_time(self, columns: Columns, line: int, cell: str) -> float:
        assert columns.time is not None
        seconds = parse_time(cell)
        if seconds is None:
            expected = "a time (seconds since 1970, or a time stamp like 2024-05-31 12:30:00)"
            raise self._bad_cell(columns, line, columns.time, expected, cell)
        return seconds

    def _to_stream(self, columns: Columns, line: int, cell: str) -> str:
        assert columns.stream is not None
        if 0 < len(cell.encode(errors="replace")) <= MAX_STREAM_BYTES and "\0" not in cell:
            return cell
        expected = f"the name of a stream of at most {MAX_STREAM_BYTES} bytes"
        raise self._bad_cell(columns, line, columns.stream, expected, cell)

    def _check_clock(
        self, columns: Columns, line: int, stream: str | None, time: float, cells: list[str]
    ) -> None:
        """Tell if a time is not later than the one before in its stream; the row is kept."""
        assert columns.time is not None
        before, stamp, at = self._latest.get(stream, (-inf, "", 0))
        cell = cells[columns.time].strip()
        self._latest[stream] = time, cell, line
        if time > before:
            return
        owner = f" of stream {stream!r}" if stream else ""
        came = "the same time" if time == before else f"{cell}, which is earlier"
        text = (
            f"column {columns.header[columns.time]!r}: expected a time later than {stamp} on line "
            f"{at}{owner}, got {came}"
        )
        if self._on_bad is OnBad.STOP:
            raise BadRowError(
                self._path, line, text, "--on-bad skip keeps such rows in the order they come in"
            )
        self._report(Problem(Kind.CLOCK, line, text))

    def _bad_cell(
        self, columns: Columns, line: int, column: int, expected: str, cell: str
    ) -> BadRowError:
        text = cell.strip()
        came = repr(text if len(text) <= 40 else text[:40] + "...")
        if is_missing(cell):
            came = f"{came if text else 'an empty cell'} (a gap)"
        return BadRowError(
            self._path, line, f"column {columns.header[column]!r}: expected {expected}, got {came}"
        )
