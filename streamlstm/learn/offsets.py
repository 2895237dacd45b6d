"""Chooses offsets: what is subtracted from columns that are large against their changes.

A column has one only where it needs it: where the spacing of float32 at its largest value is more
than 1/64 of its usual change, the median of those that are not 0. Then it is the mean of the
training period, rounded to a power of ten about as large as the column's range, so that a later
training of nearly the same data finds the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.table import Table
from ..network.model import Model

Float64Array = NDArray[np.float64]

SMALL = 1 / 64  # of a change, that rounding may be


def fit_offsets(series: Sequence[Float64Array]) -> Float64Array:
    """Return the offset of each column, 0 where none is needed.

    Parameters
    ----------
    series : sequence of float64[n, C]
        The training period of each stream; NaN where a value is missing.
    """
    values = np.concatenate(series)
    needed = _is_coarse(np.abs(values), usual_changes(series))
    return np.array([_rounded_mean(values[:, c]) if needed[c] else 0.0 for c in range(len(needed))])


def coarse_columns(series: Sequence[Float64Array], offsets: Float64Array) -> list[int]:
    """Return the columns of which float32 loses too much even without their offsets."""
    left = np.abs(np.concatenate(series) - offsets)
    return np.flatnonzero(_is_coarse(left, usual_changes(series))).tolist()


def offsets_of(model: Model, columns: Sequence[str]) -> Float64Array:
    """Return the offsets that a model has for columns of a table, 0 where it has none."""
    found: dict[str, float] = {}
    for names, offsets in (
        (model.outputs, model.output_offsets),
        (model.inputs, model.input_offsets),
    ):
        found |= {} if offsets is None else dict(zip(names, offsets.tolist(), strict=True))
    return np.array([found.get(name, 0.0) for name in columns])


def offset_notes(
    table: Table, offsets: Float64Array | None, columns: Sequence[str]
) -> tuple[str, ...]:
    """Return which columns have offsets, and of which float32 keeps too little even so.

    Parameters
    ----------
    table : Table
    offsets : float64[C] or None
    columns : sequence of str
        Their names; one that comes twice counts once.
    """
    names = list(dict.fromkeys(columns))
    offsets = np.zeros(len(names)) if offsets is None else offsets
    notes = [
        f"{names[c]}: {offsets[c]:.15g} is subtracted in float64, of which float32 would keep too "
        "few digits"
        for c in np.flatnonzero(offsets).tolist()
    ]
    values = table.select(names)
    series = [values[rows] for rows in table.groups().values()]
    notes += [
        f"{names[c]}: float32 keeps too few of its digits even so, as its range is large against "
        f"its changes; if it only rises, --difference {names[c]} takes its changes instead"
        for c in coarse_columns(series, offsets)
    ]
    return tuple(notes)


def usual_changes(series: Sequence[Float64Array]) -> Float64Array:
    """Return the median of each column's changes from row to row, float64[C]; 0 without any."""
    changes = np.abs(np.concatenate([np.diff(values, axis=0) for values in series]))
    found = [column[column > 0] for column in changes.T]
    return np.array([np.median(column) if len(column) else 0.0 for column in found])


def _is_coarse(sizes: Float64Array, changes: Float64Array) -> NDArray[np.bool_]:
    """Return whether float32 is coarse at the largest of sizes[n, C], against changes[C]."""
    largest = np.max(np.where(np.isfinite(sizes), sizes, 0), axis=0, initial=0.0)
    limit = float(np.finfo(np.float32).max)
    spacing = np.spacing(np.minimum(largest, limit).astype(np.float32)).astype(np.float64)
    coarse: NDArray[np.bool_] = (changes > 0) & (spacing > SMALL * changes)
    return coarse


def _rounded_mean(column: Float64Array) -> float:
    """Return the mean, rounded to the power of ten at or above the range."""
    known = column[np.isfinite(column)]
    low, high = known.min(), known.max()
    unit = 10.0 ** np.ceil(np.log10(high - low))
    return float(np.round((low + (known - low).mean()) / unit) * unit)
