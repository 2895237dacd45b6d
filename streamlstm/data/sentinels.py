"""Suspects values that may stand for missing ones: -999, 9999."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .table import Note

_LEAST = 2  # rows


def suspect_sentinels(name: str, values: NDArray[np.float64]) -> list[Note]:
    """Return a note for each whole number that is repeated far from all other values.

    Parameters
    ----------
    name : str
        The column.
    values : float64[n]
        Its values; NaN is ignored.
    """
    notes: list[Note] = []
    if np.isnan(values).all():
        return notes
    for extreme in (np.fmin, np.fmax):
        value = float(extreme.reduce(values))
        same = values == value
        count = int(same.sum())
        if count < _LEAST or value != np.trunc(value) or abs(value) < _LEAST:
            continue
        rest = values[~same & ~np.isnan(values)]
        if len(rest) <= count:
            continue
        low, high = float(rest.min()), float(rest.max())
        distance = low - value if value < low else value - high
        if distance > high - low and distance > 0:
            text = (
                f"{value:g} stands in {count:,} rows, far from all others ({low:g} to {high:g}); "
                f"--missing-value {value:g} makes them missing"
            )
            notes.append(Note(name, text))
    return notes
