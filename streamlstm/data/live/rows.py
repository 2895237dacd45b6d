"""Iterates over live rows, and tells what cannot be used of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..cells.missing import Missing
from ..cells.numbers import MAX_FLOAT32
from ..options import ReadOptions
from ..table import list_names
from .columns import LiveColumns, Row, find_columns, names_of, read_header
from .lines import Source
from .numbers import LiveNumbers
from .problems import BadRowError, Kind, OnBad, Problem
from .sources import is_file, open_rows

MAX_STREAM_BYTES = 255
"""UTF-8 of the name of a stream (docs/protocol.md)."""

FIRST_ROWS = 10_000
"""Rows of a file that tell how it is written."""

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
    source: Source, report: Report, options: ReadOptions | None = None, on_bad: OnBad = OnBad.SKIP
) -> Iterator[LiveRow]:
    """Read a source row by row; works on pipes that never end.

    What the columns are and how they are written is found as for whole tables: of a file from its
    first rows, up to `FIRST_ROWS`; of a pipe from the first one alone.

    Parameters
    ----------
    source : path, "-" for standard input, or an open text stream
        CSV or JSON lines; of a path also Parquet or Feather.
    report : callable
        Called with each `Problem`, before the row after it is read.
    options : ReadOptions, optional
        What must not be guessed. Rows are neither sorted nor resampled. With ``missing`` cells may
        be missing: they are NaN; ``fill`` needs it.
    on_bad : OnBad
        What becomes of a row that cannot be used as it is. With ``stop`` a time that is not later
        than the one before in its stream counts as such; otherwise it is told and the row kept.

    Yields
    ------
    LiveRow

    Raises
    ------
    DataError
        If the source cannot be read, lacks a header or a column that was asked for, can be read in
        several ways, or ends without a row that can be used; with ``stop`` also at the first row
        that cannot be used. The rows before have been yielded.
    """
    options = options or ReadOptions()
    first = _first_rows(source, options) if is_file(source) else []
    with open_rows(source) as (path, rows):
        reader = _Reader(path, options, on_bad, report, first)
        for line, cells, problem in rows:
            row = reader.read(line, cells, problem)
            rows.width = len(reader.header)
            if row is not None:
                yield row
        reader.check_end()


def _first_rows(source: Source, options: ReadOptions) -> list[Row]:
    """Return the first rows of a file that are as wide as its header, in the header's order."""
    found: list[Row] = []
    with open_rows(source) as (path, rows):
        header: tuple[str, ...] = ()
        for line, cells, problem in rows:
            if not header and not problem:
                header = read_header(path, (line, cells), options)
                rows.width = len(header)
            elif len(cells) == len(header) and names_of(cells) != header:
                found.append((line, cells))
            if not header or len(found) == FIRST_ROWS:
                break
    return found


class _Reader:
    """Makes rows of cells, and reports what is wrong with them.

    Attributes
    ----------
    header : tuple of str
        The names of the columns; empty before the header.
    """

    def __init__(
        self, path: str, options: ReadOptions, on_bad: OnBad, report: Report, first: list[Row]
    ) -> None:
        self.header: tuple[str, ...] = ()
        self._columns: LiveColumns | None = None  # known from the first row on
        self._path, self._options, self._first = path, options, first
        self._missing = Missing(options.missing_values)
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
            self.header = read_header(self._path, (line, cells), self._options)
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

    def _find_columns(self, line: int, cells: list[str]) -> LiveColumns:
        if len(cells) != len(self.header):
            raise BadRowError(
                self._path,
                line,
                f"expected {len(self.header)} cells as in the header, got {len(cells)}",
            )
        if self._columns is None:
            rows = self._first or [(line, cells)]
            columns = find_columns(self._path, self.header, rows, self._options)
            if not columns.values:
                raise BadRowError(
                    self._path,
                    line,
                    "expected at least one number to find the numeric columns, got none",
                    "name them with --column",
                )
            self._columns, self._first = columns, []
        return self._columns

    def _bad(self, kind: Kind, error: BadRowError) -> None:
        self._first_bad = self._first_bad or error
        if self._on_bad is OnBad.STOP:
            raise error
        self._report(Problem(kind, error.line, error.text))

    def _convert(self, columns: LiveColumns, line: int, cells: list[str]) -> LiveRow:
        stream = time = None
        if columns.stream is not None:
            stream = self._to_stream(columns, line, cells[columns.stream])
        if columns.times is not None:
            stamp = [cells[k] for k in columns.time]
            time = columns.times.parse(stamp, stream)
            if time is None:
                cell = " ".join(stamp)
                raise self._bad_cell(columns, line, columns.time[0], columns.times.expected, cell)
        pairs = zip(columns.values, columns.numbers, strict=True)
        values = np.array([self._to_number(columns, line, k, n, cells[k]) for k, n in pairs])
        if time is not None:
            self._check_clock(columns, line, stream, time, cells)
        return LiveRow(line, stream, time, values)

    def _to_number(
        self, columns: LiveColumns, line: int, column: int, numbers: LiveNumbers, cell: str
    ) -> float:
        value = numbers.parse(cell)
        if value is not None and abs(value) <= MAX_FLOAT32 and not self._missing.others:
            return value
        if self._missing.matches(cell):
            if self._options.missing:
                return nan
            value = None
        elif value is not None and abs(value) <= MAX_FLOAT32:
            return value
        expected = numbers.expected(cell)
        if value is not None and abs(value) > MAX_FLOAT32:  # NaN is not
            expected += f" that fits float32 (up to {MAX_FLOAT32:.1e})"
        error = self._bad_cell(columns, line, column, expected, cell)
        if self._on_bad is not OnBad.FILL:
            raise error
        self._bad(Kind.FILLED, error)
        return nan

    def _to_stream(self, columns: LiveColumns, line: int, cell: str) -> str:
        assert columns.stream is not None
        if 0 < len(cell.encode(errors="replace")) <= MAX_STREAM_BYTES and "\0" not in cell:
            return cell
        expected = f"the name of a stream of at most {MAX_STREAM_BYTES} bytes"
        raise self._bad_cell(columns, line, columns.stream, expected, cell)

    def _check_clock(
        self, columns: LiveColumns, line: int, stream: str | None, time: float, cells: list[str]
    ) -> None:
        """Tell if a time is not later than the one before in its stream; the row is kept."""
        before, stamp, at = self._latest.get(stream, (-inf, "", 0))
        cell = " ".join(cells[k].strip() for k in columns.time)
        self._latest[stream] = time, cell, line
        if time > before:
            return
        owner = f" of stream {stream!r}" if stream else ""
        came = "the same time" if time == before else f"{cell}, which is earlier"
        name = columns.header[columns.time[0]]
        text = (
            f"column {name!r}: expected a time later than {stamp} on line {at}{owner}, got {came}"
        )
        if self._on_bad is OnBad.STOP:
            raise BadRowError(
                self._path, line, text, "--on-bad skip keeps such rows in the order they come in"
            )
        self._report(Problem(Kind.CLOCK, line, text))

    def _bad_cell(
        self, columns: LiveColumns, line: int, column: int, expected: str, cell: str
    ) -> BadRowError:
        text = cell.strip()
        came = repr(text if len(text) <= 40 else text[:40] + "...")
        if self._missing.matches(cell):
            came = f"{came if text else 'an empty cell'} (a gap)"
        return BadRowError(
            self._path, line, f"column {columns.header[column]!r}: expected {expected}, got {came}"
        )
