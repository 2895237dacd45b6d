"""Rows and times that forecasts speak of: those some steps later in the same stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .table import Table
from .text_column import TextColumn

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


def rows_ahead(table: Table, steps: int) -> NDArray[np.intp]:
    """Return for each row the one that comes ``steps`` later in its stream, or -1: int[n]."""
    ahead = np.full(len(table), -1, np.intp)
    for rows in table.groups().values():
        ahead[rows[: max(len(rows) - steps, 0)]] = rows[steps:]
    return ahead


def times_ahead(table: Table, steps: int) -> TextColumn:
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
    stamps, ahead = table.stamps.text(), rows_ahead(table, steps)
    numbers = _numbers(stamps)
    ends: dict[int, str] = {}
    for rows in table.groups().values():
        times = (table.time if numbers is None else numbers)[rows]
        gaps = np.diff(times)
        spacing = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else None
        for place in range(max(len(rows) - steps, 0), len(rows)):
            row = int(rows[place])
            ends[row] = ""
            if spacing is not None:
                moment = float(times[-1]) + spacing * (place + steps - len(rows) + 1)
                ends[row] = _written(moment, table.stamps[row], numbers is not None)
    told = stamps.take(pa.array(np.maximum(ahead, 0)))
    if isinstance(told, pa.ChunkedArray):
        told = told.combine_chunks()
    beyond = pa.array([ends[row] for row in sorted(ends)], pa.string())
    return TextColumn(pc.replace_with_mask(told, pa.array(ahead < 0), beyond))


def _numbers(stamps: Any) -> NDArray[np.float64] | None:
    """Return stamps that are numbers, None if they are not."""
    try:
        return np.asarray(pc.cast(stamps, pa.float64()).to_numpy())
    except pa.ArrowInvalid:
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
