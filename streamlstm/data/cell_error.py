"""The error for a cell that cannot be used."""

from __future__ import annotations

import shlex
from typing import Any

import pyarrow.compute as pc

from ..errors import DataError
from .cells.missing import Missing
from .columns import Columns

_SHOWN = 40  # characters of a cell


def cell_error(
    columns: Columns, name: str, row: int, expected: str, missing: Missing | None = None
) -> DataError:
    """Return the error for a cell, with what was expected instead."""
    cell = columns[name][row].as_py()
    cell = "" if cell is None else f"{cell:.15g}" if isinstance(cell, float) else str(cell)
    if (missing or Missing()).matches(cell):
        text = cell.strip()
        came = f"{text!r} (a gap)" if text else "an empty cell (a gap)"
        advice = "fill it, or let a model that fills missing values take it (train --fill last)"
    else:
        came = repr(cell if len(cell) <= _SHOWN else cell[:_SHOWN] + "...")
        advice = "correct the cell or leave the column out"
        if expected.startswith("a number") and any(map(str.isalnum, cell)) and len(cell) <= _SHOWN:
            advice += f"; --missing-value {shlex.quote(cell)} makes such cells missing"
    return DataError(f"{columns.where(row, name)}: expected {expected}, got {came}; {advice}")


def first_row(mask: Any) -> int:
    """Return the first row where an Arrow array of booleans is true, -1 where it never is."""
    return int(pc.index(mask, True).as_py())
