"""Rows and times that forecasts speak of: those some steps later in the same stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .stamps import write_times
from .table import Table
from .text_column import TextColumn


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
        last = rows[max(len(rows) - steps, 0) :]
        told = [""] * len(last)
        if spacing is not None:
            further = steps - len(rows) + 1 + np.arange(len(rows) - len(last), len(rows))
            told = list(_written(table, int(rows[-1]), times[-1] + spacing * further, numbers))
        ends |= dict(zip(last.tolist(), told, strict=True))
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


def _written(
    table: Table, row: int, moments: NDArray[np.float64], numbers: NDArray[np.float64] | None
) -> Sequence[str]:
    """Return times as the stamp of a row is written."""
    assert table.time is not None
    assert table.stamps is not None
    like = table.stamps[row]
    if numbers is not None:
        whole = like.lstrip("-").isdigit()
        return [f"{moment:.0f}" if whole else repr(float(moment)) for moment in moments]
    return write_times(moments, table.notation, like, float(table.time[row]), table.zone)
