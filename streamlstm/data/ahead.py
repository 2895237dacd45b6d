"""Rows and times that forecasts speak of: those some steps later in the same stream."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

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
    a number where stamps are numbers, else in their pattern and time zone where that writes the
    last one as it stands there, else as ISO 8601 writes it.

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
        write = _writer(table, int(rows[-1]), numbers is not None)
        for place in range(max(len(rows) - steps, 0), len(rows)):
            row = int(rows[place])
            ends[row] = ""
            if spacing is not None:
                moment = float(times[-1]) + spacing * (place + steps - len(rows) + 1)
                ends[row] = write(moment, table.stamps[row])
    beyond = pa.array([ends[row] for row in sorted(ends)], pa.string())
    if table.streams is None:  # then nothing has to be copied
        later = stamps.slice(len(beyond))
        return TextColumn(pa.chunked_array([*getattr(later, "chunks", [later]), beyond]))
    told = stamps.take(pa.array(np.maximum(ahead, 0)))
    if isinstance(told, pa.ChunkedArray):
        told = told.combine_chunks()
    return TextColumn(pc.replace_with_mask(told, pa.array(ahead < 0), beyond))


def _numbers(stamps: Any) -> NDArray[np.float64] | None:
    """Return stamps that are numbers, None if they are not."""
    try:
        return np.asarray(pc.cast(stamps, pa.float64()).to_numpy())
    except pa.ArrowInvalid:
        return None


def _writer(table: Table, row: int, are_numbers: bool) -> Callable[[float, str], str]:
    """Return what writes a time like another one of the stream whose last row this is."""
    assert table.time is not None
    assert table.stamps is not None
    if are_numbers:
        return _number
    zone = ZoneInfo(table.zone)
    pattern = table.notation
    if (
        "%" in pattern
        and _local(float(table.time[row]), zone).strftime(pattern) == table.stamps[row]
    ):
        return lambda moment, _: _local(moment, zone).strftime(pattern)
    return lambda moment, like: _iso(moment, like, zone)


def _number(moment: float, like: str) -> str:
    return f"{moment:.0f}" if like.lstrip("-").isdigit() else repr(moment)


def _local(moment: float, zone: tzinfo) -> datetime:
    return (_UNIX + timedelta(seconds=round(moment, 6))).astimezone(zone)


def _iso(moment: float, like: str, zone: tzinfo) -> str:
    """Return a time as ISO 8601 writes it: in UTC if the other one names its zone, else local."""
    suffix = "Z" if like.endswith("Z") else "+00:00" if _has_zone(like) else ""
    when = _local(moment, UTC if suffix else zone)
    return when.replace(tzinfo=None).isoformat("T" if "T" in like else " ") + suffix


def _has_zone(stamp: str) -> bool:
    return stamp[-6:-5] in ("+", "-") and stamp[-3:-2] == ":"
