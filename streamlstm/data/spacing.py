"""Tells how far apart the rows of a table are: evenly, about evenly, with gaps, or irregularly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .durations import in_words, rounded
from .order import rows_by_stream, stream_codes
from .table import Note, Table

_EVEN = 0.01  # of the usual step: what counts as equal to it
_EVENLY_SPACED = 0.9  # share of equal steps from which on a table counts as evenly spaced
_ABOUT_EVEN = 0.25  # of the usual step: how far the 5th and 95th percentile of jitter may be
_GAP = 1.5  # usual steps
_SAMPLE = 100_000  # steps that tell what is usual
_MOST_CHANGES = 50  # of clocks, in a file


def check_spacing(table: Table, allow_gaps: bool = True) -> Table:
    """Return the table with notes on the times between its rows, which are in order.

    Parameters
    ----------
    table : Table
    allow_gaps : bool
        Whether rows may be missing where they come at even times, jitter included.

    Raises
    ------
    DataError
        At the first row after a gap, if they may not.
    """
    if table.time is None or len(table) < 4:
        return table
    codes = stream_codes(table)
    rows = rows_by_stream(codes)
    steps = np.diff(table.time[rows])
    within = np.diff(codes[rows]) == 0
    if not within.sum() > 2:
        return table
    inside = steps[within]
    inside = inside[:: max(1, len(inside) // _SAMPLE)]
    low, usual, high = np.percentile(inside, (5, 50, 95))
    if usual <= 0:
        return table  # rows that share their times, to be resampled
    even = np.mean(np.abs(inside - usual) <= _EVEN * usual) >= _EVENLY_SPACED
    notes = []
    if not even and low >= (1 - _ABOUT_EVEN) * usual and high <= (1 + _ABOUT_EVEN) * usual:
        notes.append(
            _note(
                table,
                f"a row every {_range(low, high)}: taken as even; --resample "
                f"'{rounded(usual)} mean' makes it so",
            )
        )
    elif not even:
        notes.append(
            _note(
                table,
                f"rows come at irregular times, most of them {_range(low, high)} apart, and count "
                f"as even ones; --resample '{rounded(usual)} mean' makes them even",
            )
        )
        return replace(table, notes=(*table.notes, *notes))
    wide = np.flatnonzero(within & (steps > _GAP * usual))
    if len(wide):
        notes.append(_gaps(table, table.lines[rows], steps, wide, usual, allow_gaps))
    return replace(table, notes=(*table.notes, *notes)) if notes else table


def usual_spacing(table: Table) -> float | None:
    """Return the median of the seconds by which rows of a stream advance; None if none do."""
    if table.time is None:
        return None
    steps = np.concatenate([np.diff(table.time[rows]) for rows in table.groups().values()])
    advancing = steps[steps > 0]
    return float(np.median(advancing)) if advancing.size else None


def _gaps(
    table: Table,
    lines: NDArray[np.int64],
    steps: NDArray[np.float64],
    wide: NDArray[np.intp],
    usual: float,
    allowed: bool,
) -> Note:
    """Return the note on gaps, or raise the error where they are not allowed."""
    many = f"{len(wide):,} gap{'s' * (len(wide) > 1)}"
    if not allowed:
        saving = "where clocks change, --timezone names the zone; "
        if len(wide) > _MOST_CHANGES or (np.abs(steps[wide] - usual - 3600) > _EVEN * usual).any():
            saving = ""
        raise DataError(
            f"{table.path}:{lines[wide[0] + 1]}: column {table.time_column!r}: expected a row "
            f"every {in_words(usual)}, got none for {in_words(steps[wide[0]])} ({many}); {saving}"
            f"--resample '{rounded(usual)} mean' makes the missing rows missing values, "
            "--allow-gaps continues as if none were missing"
        )
    longest = wide[steps[wide].argmax()]
    return _note(
        table,
        f"{many} between rows every {in_words(usual)}, the longest of {in_words(steps[longest])} "
        f"before line {lines[longest + 1]}: the rows around them count as consecutive",
    )


def _range(low: float, high: float) -> str:
    first, last = in_words(low), in_words(high)
    if first.split()[1] == last.split()[1]:
        first = first.split()[0]
    return f"{first} to {last}"


def _note(table: Table, text: str) -> Note:
    return Note(table.time_column, text)
