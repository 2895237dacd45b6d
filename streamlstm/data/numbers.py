"""Parses numbers in cells of text."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

MAX_FLOAT32 = float(np.finfo(np.float32).max)

_NULLS = ("nan", "null", "none", "na", "n/a")

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def parse_float(cell: str) -> float | None:
    """Return the number in a cell, which may be NaN or infinite; None if it holds none."""
    if not is_plain(cell):
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def is_plain(cells: str) -> bool:
    """Return whether text has only notation that all programs read: no 1_000, only ASCII digits."""
    return "_" not in cells and cells.isascii()


def is_missing(cell: str) -> bool:
    """Return whether a cell says that there is no value: it is empty, or such as "NA"."""
    text = cell.strip()
    return not text or text.lower() in _NULLS


def has_decimal_comma(cell: str) -> bool:
    """Return whether a cell is a number with a decimal comma."""
    return _DECIMAL_COMMA.fullmatch(cell.strip()) is not None


def is_text_column(cells: Sequence[str]) -> bool:
    """Return whether a column holds text: a cell with something in it, and no cell with a number.

    Numbers with a decimal comma are not text: leaving them out would hide a mistake.
    """
    return not any(
        parse_float(cell) is not None or has_decimal_comma(cell) for cell in cells
    ) and any(cell.strip() for cell in cells)
