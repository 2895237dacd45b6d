"""Which column of live rows is what, and how it is written, from the header and first rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from ...errors import DataError
from ..cells.missing import Missing
from ..cells.number_format import NumberFormat
from ..columns import Columns
from ..number_columns import recognise_columns
from ..options import ReadOptions
from ..table import list_names, missing_column
from ..time_columns import find_notation, time_names
from ..time_parts import join
from .numbers import LiveNumbers
from .times import LiveTimes

Row = tuple[int, list[str]]
"""Line and cells of a row."""


@dataclass(frozen=True)
class LiveColumns:
    """The columns that are read, by their index, and how they are written.

    Attributes
    ----------
    header : tuple of str
        Names of all columns.
    time : tuple of int
        The columns of the time; none without a time.
    stream : int or None
        The column that names the stream.
    values : tuple of int
        The numeric columns, in the order of the values of a row.
    times : LiveTimes or None
        How times are written.
    numbers : tuple of LiveNumbers
        How the numbers of each numeric column are written.
    """

    header: tuple[str, ...]
    time: tuple[int, ...]
    stream: int | None
    values: tuple[int, ...]
    times: LiveTimes | None
    numbers: tuple[LiveNumbers, ...]

    def move(self, header: tuple[str, ...]) -> LiveColumns | None:
        """Return the same columns below another header; None if it lacks one of them."""
        used = [*self.time, *self.values, *(() if self.stream is None else (self.stream,))]
        if not {self.header[k] for k in used} <= set(header):
            return None
        place = {k: header.index(self.header[k]) for k in used}
        return replace(
            self,
            header=header,
            time=tuple(place[k] for k in self.time),
            stream=None if self.stream is None else place[self.stream],
            values=tuple(place[k] for k in self.values),
        )


def names_of(cells: list[str]) -> tuple[str, ...]:
    """Return the cells of a header as names."""
    return tuple(name.strip().removeprefix("\ufeff") for name in cells)


def read_header(path: str, row: Row, options: ReadOptions) -> tuple[str, ...]:
    """Return the names of the columns.

    Raises
    ------
    DataError
        If these are no names, or a column that was asked for is missing or there twice.
    """
    line, cells = row
    header = names_of(cells)
    if all(NumberFormat().parse(name) is not None for name in header):
        raise DataError(
            f"{path}:{line}: expected a header that names the columns, got numbers: "
            f"{list_names(header)}; put a line of names first"
        )
    for name in (*options.time_columns, options.stream_column, *options.columns):
        if name is None:
            continue
        if name not in header:
            raise missing_column(path, name, header)
        if header.count(name) > 1:
            raise DataError(
                f"{path}:{line}: column {name!r} occurs twice in the header; rename one of them"
            )
    return header


def find_columns(
    path: str, header: tuple[str, ...], rows: Sequence[Row], options: ReadOptions
) -> LiveColumns:
    """Find the columns and their formats from the first rows, each as wide as the header.

    Raises
    ------
    DataError
        If these can be read in several ways; the message names the option that says which.
    """
    cells = _cells(path, header, rows)
    time = time_names(cells, options)
    values = options.columns
    if not values:
        taken = {*time, options.stream_column}
        values = tuple(name for name in cells.names if name not in taken)
    formats = _number_formats(cells, values, options)
    if not options.columns:
        missing = Missing(options.missing_values)
        values = tuple(n for n in values if n in formats or missing.matches(cells[n][0].as_py()))
    return LiveColumns(
        header=header,
        time=tuple(header.index(name) for name in time),
        stream=None if options.stream_column is None else header.index(options.stream_column),
        values=tuple(header.index(name) for name in values),
        times=_live_times(cells, time, options),
        numbers=tuple(LiveNumbers(options, formats.get(name)) for name in values),
    )


def _cells(path: str, header: tuple[str, ...], rows: Sequence[Row]) -> Columns:
    """Return the cells of the columns that have a name of their own."""
    named = [k for k, name in enumerate(header) if name and header.count(name) == 1]
    arrays = [pa.array([cells[k] for _, cells in rows], pa.string()) for k in named]
    lines = np.array([line for line, _ in rows], np.int64)
    return Columns(path, [header[k] for k in named], arrays, lines, from_text=True)


def _number_formats(
    cells: Columns, names: Sequence[str], options: ReadOptions
) -> dict[str, NumberFormat]:
    """Return the format of each column that shows one.

    One row alone is read as programs write numbers where it can be, and decides nothing else.
    """
    if len(cells.lines) > 1:
        missing = Missing(options.missing_values)
        # A column that was asked for and shows no number yet is not taken for one of plain ones.
        found = recognise_columns(cells, names, missing, replace(options, columns=()))
        return {name: reading.formats[0] for name, reading in found.items()}
    return {
        name: written
        for name in names
        if (written := LiveNumbers(options).format_of(cells, name)) is not None
    }


def _live_times(cells: Columns, names: Sequence[str], options: ReadOptions) -> LiveTimes | None:
    if not names:
        return None
    text = cells[names[0]] if len(names) == 1 else join(cells, names)
    return LiveTimes(names, find_notation(cells, names[0], text, options), options)
