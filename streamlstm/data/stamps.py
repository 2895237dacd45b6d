"""Writes times as a source does: in its pattern, or as ISO 8601 writes them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .cells.time_units import UNITS
from .text_column import TextColumn


def write_times(
    moments: NDArray[np.float64], notation: str, like: str, at: float, zone: str = "UTC"
) -> TextColumn:
    """Return times as text.

    Parameters
    ----------
    moments : float64[n]
        Seconds since 1970.
    notation : str
        How the source writes its times (`data.cells.times.TimeFormat`): a unit of numbers, or a
        pattern of strptime. Another one, or a pattern that does not write ``at`` as it stands in
        the source, gives ISO 8601.
    like : str
        A cell of the source: whether a "T" stands in ISO 8601, and whether the zone is named.
    at : float
        The time of that cell.
    zone : str
        Time zone of stamps that name none.
    """
    if notation in UNITS and _is_number(like):
        return TextColumn(_numbers(moments / UNITS[notation]))
    if "%" in notation and _formatted(np.array([at]), notation, zone)[0].as_py() == like:
        return TextColumn(_formatted(moments, notation, zone))
    suffix = "Z" if like.endswith("Z") else "+00:00" if _has_zone(like) else ""
    pattern = f"%Y-%m-%d{'T' if 'T' in like else ' '}%H:%M:%S{suffix}"
    return TextColumn(_formatted(moments, pattern, "UTC" if suffix else zone))


def _formatted(moments: NDArray[np.float64], pattern: str, zone: str) -> pa.Array:
    whole = bool((moments == np.trunc(moments)).all())
    counts = moments if whole else np.round(moments * 1e6)
    stamps = pa.array(counts.astype(np.int64)).cast(pa.timestamp("s" if whole else "us", zone))
    return pc.strftime(stamps, format=pattern)


def _numbers(numbers: NDArray[np.float64]) -> pa.Array:
    whole = bool((numbers == np.trunc(numbers)).all())
    return pa.array(numbers.astype(np.int64) if whole else numbers).cast(pa.string())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _has_zone(stamp: str) -> bool:
    return stamp[-6:-5] in ("+", "-") and stamp[-3:-2] == ":"
