"""Warns of values whose changes are lost in float32, in which networks compute."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .order import rows_by_stream, stream_codes
from .table import Note, Table

_SMALL = 0.01  # of the typical change: how far apart neighbours of float32 may be
_SAMPLE = 50_000  # rows from the start that tell the typical change


def check_precision(table: Table, differenced: Collection[str] = ()) -> Table:
    """Return the table with a note on each column whose values are too large for its changes.

    The typical change is the median of those from row to row that are not 0. What counts is the
    distance of neighbouring float32 at the largest value after its offset is subtracted, the value
    in the middle.

    Parameters
    ----------
    table : Table
        Its rows are in the order of time within each stream.
    differenced : collection of str
        Columns of which the network sees the differences.
    """
    codes = stream_codes(table)[:_SAMPLE]
    rows = rows_by_stream(codes)
    same = np.diff(codes[rows]) == 0
    notes = []
    for k, name in enumerate(table.names):
        least, most = limits(table.values[:, k])
        largest = max(abs(least), abs(most))
        change = _typical_change(table.values[:_SAMPLE, k][rows], same)
        if name in differenced or not change or _spacing(largest) <= _SMALL * change:
            continue
        notes.append(_note(name, least, most, change))
    return replace(table, notes=(*table.notes, *notes)) if notes else table


def limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the least and the largest of values that may be NaN; NaN if all are."""
    least, most = values.min(), values.max()
    if np.isnan(least):
        least, most = np.fmin.reduce(values), np.fmax.reduce(values)
    return float(least), float(most)


def _typical_change(values: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    changes = np.abs(np.diff(values))
    changes = changes[same & (changes > 0)]  # NaN is not
    return float(np.median(changes)) if len(changes) else 0.0


def _spacing(value: float) -> float:
    return float(np.spacing(np.float32(value)))


def _note(name: str, least: float, most: float, change: float) -> Note:
    middle = (least + most) / 2
    left = _spacing((most - least) / 2)
    near = f"values near {middle:.4g} change by {change:.3g} from row to row, and float32 tells "
    near += f"them apart by {_spacing(max(abs(least), abs(most))):.2g} only: "
    if left <= _SMALL * change:
        return Note(name, near + f"an offset near {middle:.6g} is subtracted in float64")
    return Note(
        name,
        near + f"without an offset still by {left:.2g}; --difference {name} gives the network the "
        "change from row to row",
    )
