"""Rows and times that forecasts speak of: those some steps later in the same stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from .table import Table

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


def rows_ahead(table: Table, steps: int) -> NDArray[np.intp]:
    """Return for each row the one that comes ``steps`` later in its stream, or -1: int[n]."""
    ahead = np.full(len(table), -1, np.intp)
    for rows in table.groups().values():
        ahead[rows[: max(len(rows) - steps, 0)]] = rows[steps:]
    return ahead


def times_ahead(table: Table, steps: int) -> list[str]:
    """Return for each row the time of the row ``steps`` later in its stream.

    As it is written there. Beyond the end of a stream it is told by the usual spacing of its rows:
    a number where stamps are numbers, else as ISO 8601 writes it, in UTC.

    Parameters
    ----------
    table : Table
        With times.
    steps : int
    """
    assert table.time is not None
    assert table.stamps is not None
    stamps, ahead = list(table.stamps), rows_ahead(table, steps)
    told = [stamps[row] if row >= 0 else "" for row in ahead]
    for rows in table.groups().values():
        numbers = _numbers([stamps[row] for row in rows])
        times = table.time[rows] if numbers is None else numbers
        gaps = np.diff(times)
        spacing = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else None
        for place in range(max(len(rows) - steps, 0), len(rows)):
            if spacing is not None:
                moment = float(times[-1]) + spacing * (place + steps - len(rows) + 1)
                stamp = stamps[rows[place]]
                told[rows[place]] = _written(moment, stamp, numbers is not None)
    return told


def _numbers(stamps: list[str]) -> NDArray[np.float64] | None:
    """Return stamps that are numbers, None if they are not."""
    try:
        return np.array([float(stamp) for stamp in stamps])
    except ValueError:
        return None


def _written(moment: float, like: str, is_number: bool) -> str:
    """Return a time written as another one is, where that is a number or ISO 8601."""
    if is_number:
        return f"{moment:.0f}" if like.lstrip("-").isdigit() else repr(moment)
    when = _UNIX + timedelta(seconds=round(moment, 6))
    between = "T" if "T" in like else " "
    text = when.replace(tzinfo=None).isoformat(between)
    return text + ("Z" if like.endswith("Z") else "+00:00" if _has_zone(like) else "")


def _has_zone(stamp: str) -> bool:
    return stamp[-6:-5] in ("+", "-") and stamp[-3:-2] == ":"
