"""Finds the columns of a CSV file from its header and first row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO

from ...errors import DataError
from ..numbers import parse_float
from ..table import list_names, missing_column
from ..timestamps import TIME_NAMES, parse_time
from .source import split_rows

Rows = Iterator[tuple[int, list[str]]]
"""Line number and cells of each row."""


@dataclass(frozen=True)
class Layout:
    """The columns of a file, by their index.

    Attributes
    ----------
    path : str
    header : tuple of str
        Names of all columns.
    time, stream : int or None
        The time column and the stream column.
    columns : tuple of int
        The numeric columns asked for, or all others.
    """

    path: str
    header: tuple[str, ...]
    time: int | None
    stream: int | None
    columns: tuple[int, ...]


def read_layout(
    path: str,
    stream: IO[str],
    time_column: str | None,
    stream_column: str | None,
    columns: Sequence[str] | None,
) -> tuple[Layout, Rows]:
    """Read the header and the first row, which tells the time column.

    Returns
    -------
    Layout
    iterator of (int, list of str)
        All rows, the first one too.

    Raises
    ------
    DataError
        If there is no header or no row, or a column that was asked for is missing.
    """
    rows = split_rows(path, stream)
    header = next(rows, None)
    if header is None:
        raise DataError(
            f"{path}: the file is empty; expected a header that names the columns, then rows"
        )
    names = _check_header(path, *header)
    first = next(rows, None)
    if first is None:
        raise DataError(
            f"{path}: expected at least one row after the header {list_names(names)}, found none"
        )
    for name in (time_column, stream_column, *(columns or ())):
        if name is not None and name not in names:
            raise missing_column(path, name, names)
    stream_index = None if stream_column is None else names.index(stream_column)
    if time_column is not None:
        time_index: int | None = names.index(time_column)
    else:
        time_index = _find_time(names, first[1], {*(columns or ()), stream_column})
    chosen = [names.index(name) for name in columns or ()] or [
        k for k in range(len(names)) if k not in (stream_index, time_index)
    ]
    return Layout(path, names, time_index, stream_index, tuple(chosen)), chain([first], rows)


def _check_header(path: str, line: int, row: list[str]) -> tuple[str, ...]:
    names = tuple(name.strip().removeprefix("\ufeff") for name in row)
    for k, name in enumerate(names):
        if not name:
            raise DataError(
                f"{path}:{line}: expected a name for column {k + 1}, got none; complete the header"
            )
        if name in names[:k]:
            raise DataError(
                f"{path}:{line}: column {name!r} occurs twice in the header; rename one of them"
            )
    if all(parse_float(name) is not None for name in names):
        raise DataError(
            f"{path}:{line}: expected a header that names the columns, got numbers: "
            f"{list_names(names)}; put a line of names first"
        )
    return names


def _find_time(names: tuple[str, ...], first: list[str], taken: set[str | None]) -> int | None:
    """Return the time column: one with a usual name, or else the first that holds time stamps."""
    free = [k for k, name in enumerate(names) if name not in taken]
    by_name = [k for usual in TIME_NAMES for k in free if names[k].lower() == usual]
    for k in by_name:
        if parse_time(first[k]) is not None:
            return k
    for k in free:
        if parse_float(first[k]) is None and parse_time(first[k]) is not None:
            return k
    return by_name[0] if by_name else None
