"""Rows of windows in other orders and numbers, followed on labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Conv1D, Repeat, Reverse
from .signals import Labels, Signal, Signals
from .whole_window import rows_anew

if TYPE_CHECKING:  # it imports the signals
    from .followed import Followed


def as_sequence(values: Followed, labels: Labels, name: str) -> tuple[Signal, Labels]:
    """Return the signal of a sequence with labels[rows, B, N], and its positions[rows, B].

    Of a window, rows in reverse order are a layer, and so is a repeated last row, or rows without
    those that padding has added.
    """
    signals = values.signals
    source, positions = signals.vectors(labels, name, mixed=False)
    stream, step = np.divmod(positions, source.rows)
    if (stream != stream[0]).any() or (step != step[:, :1]).any():
        return source, positions
    steps, count = step[:, 0], len(step)
    made: Signal | None = None
    whole = count == source.rows
    if whole and (steps == np.arange(count)).all():
        return source, positions
    if signals.windowed and whole and (steps == np.arange(count)[::-1]).all():
        made = signals.over_rows(source, Reverse(source.width), "flip")
    elif signals.windowed and count > 1 and (steps == source.rows - 1).all():
        made = signals.over_rows(source, Repeat(source.width, count), "repeat")
    elif (steps == steps[0] + np.arange(count)).all():
        made = _without_padding(signals, source, int(steps[0]), count)
    if made is None:
        return source, positions
    return made, stream * count + np.arange(count)[:, None]


def _without_padding(signals: Signals, source: Signal, first: int, count: int) -> Signal | None:
    """Return some rows of a convolution as one with less padding; None if that is not all.

    Layers of single rows may stand behind it.
    """
    if source.source is not None and source.layer is not None and source.layer.kind in _BY_ROW:
        inner = _without_padding(signals, source.source, first, count)
        if inner is None or len(source.terms) > 1:
            return None
        terms = [(inner, matrix) for _, matrix in source.terms]
        more: dict[str, Any] = {"layer": source.layer, "terms": terms, "bias": source.bias}
        return signals.add(("rows of", id(source), first, count), source.width, inner, **more)
    layer = None if source.layer is None else source.layer.options.get("layer")
    if not isinstance(layer, Conv1D) or source.source is None or source.layer is None:
        return None
    left = layer.pad_left - first * layer.stride
    right = layer.pad_right - (source.rows - first - count) * layer.stride
    if left < 0 or right < 0:
        return None
    weights = source.layer.weights.copy()
    arrays = {key: weights.take(key) for key in weights.shapes}
    return signals.over_rows(source.source, _padded(layer, left, right), source.layer.name, arrays)


def without_rest(signals: Signals, labels: Labels) -> Labels:
    """Return labels of an output that ends before the rows that padding has put behind it."""
    found = signals.locate(labels)
    numbers = np.unique(found.signal)
    if len(numbers) != 1 or numbers[0] < 0:
        return labels
    source = signals[int(numbers[0])]
    stream, step = np.divmod(found.position, source.rows)
    count = int(step.max(initial=0)) + 1
    if not signals.steps <= count < source.rows:
        return labels
    made = _without_padding(signals, source, 0, count)
    if made is None:
        return labels
    return made.first + (stream * count + step) * made.width + found.value


_BY_ROW = ("function", "linear", "batch_norm", "layer_norm")


def _padded(layer: Conv1D, left: int, right: int) -> Conv1D:
    F, O, k = layer.input_size, layer.output_size, layer.kernel_size
    return Conv1D(F, O, k, layer.stride, layer.dilation, left, right)


def whole_sequence(values: Followed, labels: Labels, name: str) -> tuple[Signal, Labels]:
    """Return the signal of all rows of a sequence with labels[rows, B, N], and the streams[B]."""
    source, positions = as_sequence(values, labels, name)
    stream, step = np.divmod(positions, source.rows)
    if len(step) == source.rows and (step == np.arange(len(step))[:, None]).all():
        return source, stream[0]
    part = f"{name} is given a part of the steps, repeated ones, or steps in another order"
    if not values.signals.windowed or (step != step[:, :1]).any():
        raise ConvertError(part)
    chosen = values.signals.labels(source, positions).reshape(-1, source.width)
    made, positions = rows_anew(values.signals, chosen, name, mixed=False)
    return made, positions.reshape(stream.shape)[0] // made.rows


def padding_of(given: Any, labels: Labels) -> int:
    """Return how many zeros were put before the first row of a sequence with labels[rows, ...]."""
    rows = (labels < 0).reshape(len(labels), -1).all(axis=1)
    count = int(np.argmin(rows)) if not rows.all() else 0
    zeros = not np.asarray(given)[:count].any()
    return count if zeros else 0
