"""Columns: a source as it was read, before anything in it is understood."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .table import Note


@dataclass
class Columns:
    """Columns by name, as Arrow has them: of text from CSV, of any type from other sources.

    Attributes
    ----------
    path : str
        Name of the source in messages.
    names : list of str
        Names of the columns.
    arrays : list of pyarrow.ChunkedArray
        Their cells.
    lines : int64[n]
        The line of each row; of a source without lines its row, from 0.
    notes : list of Note
        What was understood so far.
    index : str or None
        The column that is the index of a frame, if it holds times.
    from_text : bool
        Whether numbers were read from text, with a decimal point.
    """

    path: str
    names: list[str]
    arrays: list[Any]
    lines: NDArray[np.int64]
    notes: list[Note] = field(default_factory=list)
    index: str | None = None
    from_text: bool = False

    def __getitem__(self, name: str) -> Any:
        return self.arrays[self.names.index(name)]

    def is_text(self, name: str) -> bool:
        """Return whether the cells of a column are text."""
        return is_text(self[name].type)

    def where(self, row: int, name: str) -> str:
        """Return the place of a cell for a message."""
        return f"{self.path}:{self.lines[row]}: column {name!r}"

    def pop(self, name: str) -> Any:
        """Take a column out, so that its memory is free when it is not needed any more."""
        place = self.names.index(name)
        del self.names[place]
        return self.arrays.pop(place)


def is_text(type_: Any) -> bool:
    """Return whether an Arrow type is one of text."""
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(type_) for test in tests)


def is_number(type_: Any) -> bool:
    """Return whether an Arrow type is one of numbers, truth values among them."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(type_) for test in (*tests, pa.types.is_boolean, pa.types.is_null))


def is_time(type_: Any) -> bool:
    """Return whether an Arrow type is one of moments or days."""
    return bool(pa.types.is_timestamp(type_) or pa.types.is_date(type_))
