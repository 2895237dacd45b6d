"""Checks that times increase within each stream, and that no rows are missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .table import Table

_EVENLY_SPACED = 0.9  # share of equal steps from which on a series counts as evenly spaced


def check_time_order(table: Table, allow_gaps: bool = True) -> None:
    """Check the times of a table, if it has any.

    Parameters
    ----------
    table : Table
    allow_gaps : bool
        Whether rows may be missing in an evenly spaced series.

    Raises
    ------
    DataError
        At the first row that is not later than the one before in its stream, or that follows a gap.
    """
    if table.time is None:
        return
    for stream, rows in table.groups().items():
        steps = np.diff(table.time[rows])
        early = np.flatnonzero(steps <= 0)
        if len(early):
            row, before = rows[early[0] + 1], rows[early[0]]
            raise time_order_error(
                table.path,
                str(table.time_column),
                int(table.lines[row]),
                int(table.lines[before]),
                bool(steps[early[0]] == 0),
                stream or None,
            )
        if not allow_gaps and len(steps) > 2:
            _check_gaps(table, rows, steps)


def _check_gaps(table: Table, rows: NDArray[np.intp], steps: NDArray[np.float64]) -> None:
    usual = float(np.median(steps))
    if np.mean(np.abs(steps - usual) < 0.01 * usual) < _EVENLY_SPACED:
        return  # not evenly spaced, so nothing can be said to be missing
    wide = np.flatnonzero(steps > 1.5 * usual)
    if len(wide):
        row = rows[wide[0] + 1]
        raise DataError(
            f"{table.path}:{table.lines[row]}: column {table.time_column!r}: expected a row every "
            f"{usual:g} s, got none for {steps[wide[0]]:g} s "
            f"({len(wide)} such gap{'s' if len(wide) > 1 else ''}); fill in the missing rows, "
            "or use --allow-gaps to continue as if none were missing"
        )


def time_order_error(
    path: str, column: str, line: int, before: int, equal: bool, stream: str | None
) -> DataError:
    """Return the error for a time that is equal to or earlier than that on line ``before``."""
    owner = f" of stream {stream!r}" if stream else ""
    came = "the same time" if equal else "an earlier time"
    if not equal:
        advice = "sort the file by time"
    elif stream:
        advice = "keep one of the two"
    else:
        advice = (
            "keep one of the two, or name the column that tells the series apart with "
            "--stream-column"
        )
    return DataError(
        f"{path}:{line}: column {column!r}: expected a time later than on line {before}{owner}, "
        f"got {came}; {advice}"
    )
