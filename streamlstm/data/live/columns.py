"""Which column of live rows is what, from their header and first row."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...errors import DataError
from ..numbers import is_missing, is_text_column, parse_float
from ..table import list_names, missing_column
from ..timestamps import TIME_NAMES, parse_time


@dataclass(frozen=True)
class Asked:
    """The columns that were asked for by name; None for those that are to be found."""

    time: str | None
    stream: str | None
    values: tuple[str, ...] | None

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [name for name in (self.time, self.stream, *(self.values or ())) if name is not None]


@dataclass(frozen=True)
class Columns:
    """The columns that are read, by their index.

    Attributes
    ----------
    header : tuple of str
        Names of all columns.
    time, stream : int or None
        The time column and the stream column.
    values : tuple of int
        The numeric columns, in the order of the values of a row.
    """

    header: tuple[str, ...]
    time: int | None
    stream: int | None
    values: tuple[int, ...]

    @property
    def used(self) -> list[int]:
        """All columns that are read."""
        return [k for k in (self.time, self.stream, *self.values) if k is not None]

    def move(self, header: tuple[str, ...]) -> Columns | None:
        """Return the same columns below another header; None if it lacks one of them."""
        if not {self.header[k] for k in self.used} <= set(header):
            return None
        place = {k: header.index(self.header[k]) for k in self.used}
        return replace(
            self,
            header=header,
            time=None if self.time is None else place[self.time],
            stream=None if self.stream is None else place[self.stream],
            values=tuple(place[k] for k in self.values),
        )


def names_of(cells: list[str]) -> tuple[str, ...]:
    """Return the cells of a header as names."""
    return tuple(name.strip().removeprefix("\ufeff") for name in cells)


def read_header(path: str, line: int, cells: list[str], asked: Asked) -> tuple[str, ...]:
    """Return the names of the columns.

    Raises
    ------
    DataError
        If these are no names, or a column that was asked for is missing or there twice.
    """
    header = names_of(cells)
    if all(parse_float(name) is not None for name in header):
        raise DataError(
            f"{path}:{line}: expected a header that names the columns, got numbers: "
            f"{list_names(header)}; put a line of names first"
        )
    for name in asked.names:
        if name not in header:
            raise missing_column(path, name, header)
        if header.count(name) > 1:
            raise DataError(
                f"{path}:{line}: column {name!r} occurs twice in the header; rename one of them"
            )
    return header


def find_columns(header: tuple[str, ...], first: list[str], asked: Asked) -> Columns:
    """Find the columns from the header and the first row; none may be numeric."""
    stream = None if asked.stream is None else header.index(asked.stream)
    if asked.time is not None:
        time: int | None = header.index(asked.time)
    else:
        time = _find_time(header, first, {*(asked.values or ()), asked.stream})
    if asked.values is not None:
        values = [header.index(name) for name in asked.values]
    else:
        values = [k for k, name in enumerate(header) if name and _may_be_numeric(first[k])]
    return Columns(header, time, stream, tuple(k for k in values if k not in (stream, time)))


def _may_be_numeric(cell: str) -> bool:
    return is_missing(cell) or not is_text_column([cell])


def _find_time(header: tuple[str, ...], first: list[str], taken: set[str | None]) -> int | None:
    """Return the time column: one with a usual name, or else the first that holds time stamps."""
    free = [k for k, name in enumerate(header) if name not in taken]
    by_name = [k for usual in TIME_NAMES for k in free if header[k].lower() == usual]
    for k in by_name:
        if parse_time(first[k]) is not None:
            return k
    for k in free:
        if parse_float(first[k]) is None and parse_time(first[k]) is not None:
            return k
    return by_name[0] if by_name else None
