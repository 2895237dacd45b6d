"""The last prediction in a state row, which a stream keeps when it restarts with another model.

A sender that repeats its last observation must get the same reply. A prediction with another number
of outputs cannot be copied; a mark in its place says that it is unknown.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

# The bits of a NaN that no arithmetic makes.
_UNKNOWN = np.uint32(0x7FC5_7AE1).view(np.float32)


class PredictionSlice(NamedTuple):
    """Position of the last prediction in a row: its first column, and its number of outputs."""

    start: int
    outputs: int


def copy_predictions(
    old: Any, before: PredictionSlice, rows: Any, after: PredictionSlice, at: Any
) -> None:
    """Copy the last predictions of rows ``at`` of old[S, R0] into rows[S, R], or mark them unknown.

    Either may be on a device (backends/cuda/rows.py).
    """
    if before.outputs == after.outputs:
        into = slice(after.start, after.start + after.outputs)
        rows[at, into] = old[at, before.start : before.start + before.outputs]
    else:
        rows[at, after.start : after.start + 1] = _UNKNOWN


def prediction_slice(columns: slice) -> PredictionSlice:
    """Return the prediction slice of some columns of a row."""
    return PredictionSlice(columns.start, columns.stop - columns.start)


def is_unknown(prediction: Float32Array) -> bool:
    """Return whether a prediction float32[O] is marked as unknown."""
    return bool(prediction[:1].view(np.uint32)[0] == _UNKNOWN.view(np.uint32))
