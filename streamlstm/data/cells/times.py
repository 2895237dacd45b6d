"""TimeFormat: how the times of a column are written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .number_format import NumberFormat

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class TimeFormat:
    """How times are written.

    Attributes
    ----------
    notation : str
        ``iso`` for time stamps in ISO 8601, ``s`` for seconds since 1970.
    """

    notation: str = "iso"

    def parse(self, cell: str) -> float | None:
        """Return the time in a cell, in seconds since 1970; None if it holds none."""
        if self.notation == "iso":
            return _parse_iso(cell)
        seconds = NumberFormat().parse(cell)
        return seconds if seconds is not None and isfinite(seconds) else None

    def convert(self, cells: Any) -> Any:
        """Return the times of an Arrow array of text in seconds; null where there is none."""
        if self.notation == "iso":
            return _convert_iso(cells)
        numbers = NumberFormat().convert(cells)
        return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def recognise_times(cells: Any) -> TimeFormat | None:
    """Return how the times of a column are written; None if it holds none.

    Parameters
    ----------
    cells : pyarrow array of text, or sequence of str
        The column. Missing cells are null.
    """
    if not isinstance(cells, pa.Array | pa.ChunkedArray):
        cells = pa.array(cells, pa.string())
    first = next((c for c in cells.slice(0, 1000).to_pylist() if c is not None), None)
    if first is None:
        return None
    for notation in ("s", "iso"):
        if TimeFormat(notation).parse(first) is not None:
            return TimeFormat(notation)
    return None


def _parse_iso(cell: str) -> float | None:
    try:
        moment = datetime.fromisoformat(cell.strip().replace("/", "-"))
    except ValueError:
        return None
    return (moment - (_EPOCH if moment.tzinfo else _NAIVE_EPOCH)).total_seconds()


def _convert_iso(cells: Any) -> Any:
    for type_ in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return timestamps_to_seconds(pc.cast(cells, type_))
        except pa.ArrowInvalid:
            continue
    return pa.array([None if c is None else _parse_iso(c) for c in cells.to_pylist()], pa.float64())


def timestamps_to_seconds(stamps: Any) -> Any:
    """Return an Arrow array of dates or time stamps as seconds since 1970, float64."""
    if not pa.types.is_timestamp(stamps.type):
        stamps = stamps.cast(pa.timestamp("ms"))
    per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[stamps.type.unit]
    return pc.divide(pc.cast(stamps.cast(pa.int64()), pa.float64(), safe=False), per_second)
