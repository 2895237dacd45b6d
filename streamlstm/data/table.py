"""Table: a file or a frame in memory, as the reader returns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .text_column import TextColumn

_MAX_LISTED = 20  # columns in a message


@dataclass(frozen=True)
class Note:
    """What the reader understood, or what looks suspicious.

    Attributes
    ----------
    column : str or None
        The column that it is about; None for the whole table.
    text : str
        One sentence without a full stop.
    """

    column: str | None
    text: str


@dataclass(frozen=True)
class Table:
    """Numeric columns in memory, with the time and the stream of each row.

    Attributes
    ----------
    path : str
        Name of the source in messages.
    time : float64[n] or None
        Event times in seconds since 1970 (time stamps without a zone are taken as UTC).
    names : tuple of str
        The numeric columns.
    values : float64[n, F]
        Their cells: finite, or NaN where a cell was missing and might be.
    streams : TextColumn or None
        The stream of each row, if there is a stream column.
    lines : int64[n]
        The line of each row in the source; of a source without lines its row, from 0.
    stamps : TextColumn or None
        The cells of the time column as they are written.
    time_column, stream_column : str or None
        Names of these columns in the source.
    text : tuple of str
        Columns that hold no numbers and were left out.
    categories : dict of str to TextColumn
        The columns that hold names of classes.
    notes : tuple of Note
        What was understood beyond the ordinary.
    notation : str
        How the stamps are written (`data.cells.times.TimeFormat`); empty if that is not known.
    zone : str
        Time zone of stamps that name none.
    """

    path: str
    time: NDArray[np.float64] | None
    names: tuple[str, ...]
    values: NDArray[np.float64]
    streams: TextColumn | None
    lines: NDArray[np.int64]
    stamps: TextColumn | None = None
    time_column: str | None = None
    stream_column: str | None = None
    text: tuple[str, ...] = ()
    categories: Mapping[str, TextColumn] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    notation: str = ""
    zone: str = "UTC"

    def __post_init__(self) -> None:
        for name in ("streams", "stamps"):
            given = getattr(self, name)
            if given is not None and not isinstance(given, TextColumn):
                object.__setattr__(self, name, TextColumn.of(given))

    def __len__(self) -> int:
        return len(self.values)

    def select(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Return columns by name, as float64[n, len(names)] and C-contiguous.

        Raises
        ------
        DataError
            If a column is missing or holds text; the message lists the numeric columns.
        """
        for name in names:
            if name in self.text:
                raise DataError(
                    f"{self.path}: column {name!r} holds text, expected numbers; "
                    f"the numeric columns are {list_names(self.names)}"
                )
            if name in (self.time_column, self.stream_column) and name not in self.names:
                what = "the time" if name == self.time_column else "the name of the series"
                raise DataError(
                    f"{self.path}: column {name!r} is {what} of each row, expected one of numbers; "
                    f"the numeric columns are {list_names(self.names)}"
                )
            if name not in self.names:
                raise missing_column(self.path, name, self.names)
        if tuple(names) == self.names:
            return np.ascontiguousarray(self.values)
        indices = [self.names.index(name) for name in names]
        return np.ascontiguousarray(self.values[:, indices])

    def groups(self) -> dict[str, NDArray[np.intp]]:
        """Return the row numbers of each stream in order; one stream ``""`` without a column."""
        if self.streams is None:
            return {"": np.arange(len(self))}
        return self.streams.groups()

    def take(self, rows: NDArray[np.intp], notes: Sequence[Note] = ()) -> Table:
        """Return a table of these rows, in this order, with more notes."""
        return replace(
            self,
            time=None if self.time is None else self.time[rows],
            values=self.values[rows],
            streams=None if self.streams is None else self.streams.take(rows),
            lines=self.lines[rows],
            stamps=None if self.stamps is None else self.stamps.take(rows),
            categories={name: cells.take(rows) for name, cells in self.categories.items()},
            notes=(*self.notes, *notes),
        )


def list_names(names: Sequence[str]) -> str:
    """Return names of columns for a message; of thousands only the first few."""
    shown = ", ".join(repr(name) for name in names[:_MAX_LISTED])
    more = len(names) - _MAX_LISTED
    return f"{shown} and {more:,} more" if more > 0 else shown


def missing_column(path: str, name: str, names: Sequence[str]) -> DataError:
    """Return the error for a column that the source lacks."""
    return DataError(f"{path}: expected a column {name!r}; the columns are {list_names(names)}")
