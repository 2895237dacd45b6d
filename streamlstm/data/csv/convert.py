"""Converts cells of a CSV file to numbers, times and streams; errors name line and column."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..numbers import MAX_FLOAT32, has_decimal_comma, is_missing, is_plain, parse_float
from ..timestamps import parse_time, parse_timestamp
from .layout import Layout


def to_number(layout: Layout, column: int, cell: str, line: int, missing: bool = False) -> float:
    """Return the number in a cell; raise DataError if float32 cannot hold it.

    With ``missing`` an empty cell, and one that says that there is no value, is NaN.
    """
    if missing and is_missing(cell):
        return nan
    value = parse_float(cell)
    if value is None or not abs(value) <= MAX_FLOAT32:
        too_large = value is not None and abs(value) > MAX_FLOAT32  # nan is not
        fits = f" that fits float32 (up to {MAX_FLOAT32:.1e})" if too_large else ""
        raise _cell_error(layout, column, line, f"a number{fits}", cell)
    return value


def to_numbers(
    layout: Layout,
    column: int,
    cells: Sequence[str],
    lines: Sequence[int],
    missing: bool = False,
) -> NDArray[np.float64]:
    """Return the numbers of a column; it is converted cell by cell only where one is none."""
    try:
        values = np.array(list(map(float, cells)), np.float64)
        if (np.abs(values) <= MAX_FLOAT32).all() and is_plain("".join(cells)):
            return values
    except ValueError:
        pass
    pairs = zip(cells, lines, strict=True)
    return np.array([to_number(layout, column, cell, line, missing) for cell, line in pairs])


def to_time(layout: Layout, column: int, cell: str, line: int) -> float:
    """Return the time in a cell, in seconds since 1970; raise DataError if it holds none."""
    seconds = parse_time(cell)
    if seconds is None:
        expected = "a time (seconds since 1970, or a time stamp like 2024-05-31 12:30:00)"
        raise _cell_error(layout, column, line, expected, cell)
    return seconds


def to_times(
    layout: Layout, column: int, cells: Sequence[str], lines: Sequence[int]
) -> NDArray[np.float64]:
    """Return the times of a column, in seconds since 1970."""
    # Mostly time stamps, so numbers are not tried first: a failed float() costs a microsecond.
    is_stamp = parse_float(cells[0]) is None
    times = np.empty(len(cells))
    for row, cell in enumerate(cells):
        seconds = parse_timestamp(cell) if is_stamp else None
        times[row] = to_time(layout, column, cell, lines[row]) if seconds is None else seconds
    return times


def to_stream(layout: Layout, column: int, cell: str, line: int) -> str:
    """Return the stream in a cell; raise DataError if it is empty."""
    if cell == "":
        raise _cell_error(layout, column, line, "the name of a stream", cell)
    return cell


def _cell_error(layout: Layout, column: int, line: int, expected: str, cell: str) -> DataError:
    text = cell.strip()
    if is_missing(cell):
        came, advice = (
            repr(text) if text else "an empty cell",
            "fill it, for instance with the value before",
        )
        came += " (a gap)"
    else:
        came = repr(cell if len(cell) <= 40 else cell[:40] + "...")
        advice = "correct the cell or leave the column out"
        if has_decimal_comma(cell):
            advice = "write numbers with a decimal point"
    return DataError(
        f"{layout.path}:{line}: column {layout.header[column]!r}: expected {expected}, "
        f"got {came}; {advice}"
    )
