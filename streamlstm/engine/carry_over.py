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
_UNKNOWN = np.uint32(0x7FC5_7AE1).view(np.float32)


class Place(NamedTuple):
    """Where in a row the last prediction stands, and how many numbers it has."""

    start: int
    outputs: int


def carry(old: Any, before: Place, rows: Any, after: Place, at: Any) -> None:
    """Carry the last predictions of some rows ``old[B, R0]`` into rows[B, R], initial ones.

    Either may be on a device (backends/cuda/rows.py).
    """
    if before.outputs == after.outputs:
        into = slice(after.start, after.start + after.outputs)
        rows[at, into] = old[at, before.start : before.start + before.outputs]
    else:
        rows[at, after.start : after.start + 1] = _UNKNOWN


def place_of(columns: slice) -> Place:
    """Return the place of columns of a row."""
    return Place(columns.start, columns.stop - columns.start)


def is_unknown(prediction: Float32Array) -> bool:
    """Tell whether the mark stands in place of a prediction float32[O]."""
    return bool(prediction[:1].view(np.uint32)[0] == _UNKNOWN.view(np.uint32))
