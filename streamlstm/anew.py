"""Streams that begin anew with another model: all of a row is forgotten but the last prediction.

That is carried over, since whoever sends the last observation again is owed what it was answered.
Where the outputs are of another number it cannot be, and a mark says that it is not known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

# The bits of a float32 that is no number, and that no arithmetic makes.
_UNKNOWN = 0x7FC5_7AE1


class Place(NamedTuple):
    """Where in a row the last prediction stands, and how many numbers it has."""

    start: int
    outputs: int


def carry(old: Float32Array, before: Place, rows: Float32Array, after: Place, at: Any) -> None:
    """Carry the last predictions of some rows ``old[B, R0]`` into rows[B, R], initial ones."""
    if before.outputs == after.outputs:
        into = slice(after.start, after.start + after.outputs)
        rows[at, into] = old[at, before.start : before.start + before.outputs]
    else:
        rows.view(np.uint32)[at, after.start] = _UNKNOWN


def place_of(columns: slice) -> Place:
    """Return the place of columns of a row."""
    return Place(columns.start, columns.stop - columns.start)


def is_unknown(prediction: Float32Array) -> bool:
    """Tell whether the mark stands in place of a prediction float32[O]."""
    return int(prediction[:1].view(np.uint32)[0]) == _UNKNOWN
