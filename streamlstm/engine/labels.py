"""Labels that come from outside: checked, and applied to the step that they speak of."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BadValueError, LabelError, ModelError, ShapeError, shown
from ..kernels.online.outcomes import APPLIED, NOT_YET, TWICE
from ..network.model import Model
from .ids import StreamId
from .numbers import SPARSE
from .validation import MAX_SEQ, is_number, to_float32, to_float64, without_offsets

Float32Array = NDArray[np.float32]


def check_labels(model: Model, y: ArrayLike) -> Float32Array:
    """Return labels as float32[O], without offsets, a copy; NaN where there is none.

    Raises
    ------
    ModelError
        If the model takes no labels.
    ShapeError, BadValueError
        If they are not O numbers, one is infinite, or all are NaN.
    """
    if model.online is None or not model.online.labels:
        raise ModelError(
            "learn: expected a model that accepts labels from outside, this one does not; "
            'model.with_online(Online(adapt="rls", labels=100)) keeps the last 100 steps for them.'
        )
    offsets = model.output_offsets
    if offsets is None:
        labels = np.array(to_float32(y, "labels"), np.float32, ndmin=1)
    else:
        moved = [name for name, offset in zip(model.outputs, offsets, strict=True) if offset]
        values = np.atleast_1d(to_float64(y, "labels", moved))
        fits = values.shape == offsets.shape
        labels = without_offsets(values, offsets) if fits else values.astype(np.float32)
    if labels.shape != (model.output_size,):
        raise ShapeError(
            f"labels: expected one for each output ({', '.join(model.outputs)}), got shape "
            f"{labels.shape}."
        )
    if np.isinf(labels).any():
        raise BadValueError(f"labels: expected numbers, or NaN for none, got {labels}.")
    if np.isnan(labels).all():
        raise BadValueError("labels: expected one at least that is known, got none.")
    return labels


def steps_back(stream: StreamId, seq: Any, last: int, count: int) -> int:
    """Return how many observations of a stream came after the one that a label speaks of.

    Parameters
    ----------
    stream : str or int
    seq : int
        The number of that observation; where observations are not numbered, how many there were
        up to it.
    last : int
        The last number of the stream, 0 if it has none.
    count : int
        How many observations the stream has had.

    Raises
    ------
    BadValueError
        If ``seq`` is no number of an observation.
    LabelError
        If it is none that has come, or only some of the stream's observations are numbered.
    """
    if not is_number(seq) or not 1 <= seq <= MAX_SEQ or int(seq) != seq:
        raise BadValueError(
            f"stream {shown(stream)}: expected seq from 1 to 2**64 - 1, got {shown(seq)}."
        )
    if last >= SPARSE and seq != last:
        raise LabelError(
            f"stream {shown(stream)}: expected a label for its last observation, since its numbers "
            "are sparse: they do not say how many observations came after another one. Nothing "
            "has changed."
        )
    if 0 < last < count:
        raise LabelError(
            f"stream {shown(stream)}: expected a stream whose observations are all numbered, or "
            "none, so that a label finds its own; some of this one's are. Nothing has changed."
        )
    back = (last or count) - int(seq)
    if back < 0:
        raise label_error(stream, seq, NOT_YET)
    return back


def label_error(stream: StreamId, seq: int, outcome: int) -> LabelError:
    """Return the error for labels that were not applied."""
    why = {
        NOT_YET: "has not come yet; send its label after it",
        TWICE: "has got these labels before",
    }.get(outcome, "is not kept any more; the model keeps fewer observations for labels")
    assert outcome != APPLIED
    return LabelError(f"stream {shown(stream)}: the observation {seq} {why}. Nothing has changed.")
