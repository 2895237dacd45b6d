"""Cells that mean "missing"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .number_format import NumberFormat

_WORDS = "na n/a #n/a #na <na> - -- --- null nil none nan -nan nat ? #null! #value! #div/0! #ref!"
MISSING = frozenset(("", *_WORDS.split()))
"""Their text in lower case, trimmed."""
_SPELLED = frozenset(
    {spelled for w in MISSING for spelled in (w, w.upper(), w.title(), w.capitalize())}
    | {"NaN", "-NaN", "NaT"}
)


@dataclass(frozen=True)
class Missing:
    """Which cells are missing.

    Attributes
    ----------
    others : tuple of str
        Cells that mean it beside the usual ones.
    """

    others: tuple[str, ...] = ()

    @property
    def numbers(self) -> list[float]:
        """Those of the others that are numbers: -999 is also missing where it is -999.0."""
        parsed = (NumberFormat().parse(other) for other in self.others)
        return [number for number in parsed if number is not None]

    def matches(self, cell: str) -> bool:
        """Return whether a cell is missing."""
        text = cell.strip()
        if text in _SPELLED or text in self.others:
            return True
        return bool(self.others) and NumberFormat().parse(text) in self.numbers

    def mask(self, cells: Any) -> Any:
        """Return which cells of an Arrow array of text are missing, as an array of booleans."""
        trimmed = pc.utf8_trim_whitespace(cells)
        return pc.is_in(trimmed, pa.array([None, *sorted(_SPELLED), *self.others], pa.string()))

    def to_null(self, cells: Any) -> Any:
        """Return the cells with null for the missing ones."""
        missing = self.mask(cells)
        if not pc.any(missing).as_py():
            return cells
        return pc.if_else(missing, pa.scalar(None, cells.type), cells)
