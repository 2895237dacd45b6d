"""Convolutions, pooling and softmax over the rows of a window, followed on labels."""

from collections.abc import Callable

import numpy as np

from ...network.layers import Conv1D, Layer, Pool, SoftmaxOverRows
from ..common.weights import Float64Array
from .followed import Followed
from .sequences import whole_sequence
from .signal import WindowNeededError
from .signals import Labels, Signal


def convolved(
    values: Followed,
    labels: Labels,
    make: Callable[[int, int], Conv1D],
    arrays: dict[str, Float64Array],
    beside: tuple[int, int] = (0, 0),
) -> Labels:
    """Return the labels of a convolution of labels[B, F, T].

    Parameters
    ----------
    values : Followed
    labels : int64[B, F, T]
    make : callable
        Returns the layer, from the rows of zeros before and behind that are given as numbers.
    arrays : dict
        Its weights.
    beside : tuple of int
        Those rows.
    """
    name = values.where.split(" ")[0]
    rows = np.moveaxis(labels, 2, 0)
    rows = rows[beside[0] : len(rows) - beside[1]]
    source, streams = whole_sequence(values, rows, name)
    layer = make(*beside)
    if not values.signals.windowed and layer.rows_of(source.rows) < source.rows:
        raise WindowNeededError(
            f"{values.where} is a convolution over {layer.kernel_size} steps at once, a window"
        )
    return _channels(values, source, streams, layer, name, arrays)


def pooled(
    values: Followed, labels: Labels, make: Callable[[int, int, int], Pool], beside: tuple[int, int]
) -> Labels:
    """Return the labels of a pooling of labels[B, N, T]; ``make`` takes N first."""
    name = values.where.split(" ")[0]
    rows = np.moveaxis(labels, 2, 0)
    rows = rows[beside[0] : len(rows) - beside[1]]
    source, streams = whole_sequence(values, rows, name)
    return _channels(values, source, streams, make(source.width, *beside), name, {})


def _channels(
    values: Followed,
    source: Signal,
    streams: Labels,
    layer: Layer,
    name: str,
    arrays: dict[str, Float64Array],
) -> Labels:
    made = values.signals.over_rows(source, layer, name, arrays)
    positions = streams[:, None] * made.rows + np.arange(made.rows)
    return values.signals.labels(made, positions).swapaxes(1, 2)


def are_rows(values: Followed, labels: Labels, dim: int) -> bool:
    """Return whether an axis is the steps of a window."""
    if not values.signals.windowed:
        return False
    found = values.signals.locate(np.moveaxis(labels, dim, 0))
    if (found.signal < 0).any():
        return False
    return bool((found.signal == found.signal[0]).all() and (found.value == found.value[0]).all())


def reduced(values: Followed, labels: Labels, dim: int, function: str, keep: bool) -> Labels:
    """Return the labels of a mean, maximum or sum over all steps of [B, T, N] or [B, N, T]."""
    rows = np.moveaxis(labels, dim, 0)
    rows = rows if rows.ndim == 3 else rows[:, None]
    source, streams = whole_sequence(values, rows, f"{values.where} ({function})")
    made = values.signals.over_rows(source, Pool(source.width, function), function)
    found = values.signals.labels(made, streams)
    found = found if labels.ndim == 3 else found[0]
    return np.expand_dims(found, dim) if keep else found


def softmax_over_rows(values: Followed, labels: Labels, dim: int) -> Labels:
    """Return the labels of a softmax over all steps of [B, T, N], [B, N, T] or of [B, T]."""
    rows = np.moveaxis(labels, dim, 0)
    flat = rows.ndim == 2
    if flat:
        stream, _ = values.signals.steps_of(values.signals.locate(rows))
        rows = rows[:, :, None] if (stream != stream[:, :1]).any() else rows[:, None]
        batched = rows.shape[2] == 1
    source, streams = whole_sequence(values, rows, f"{values.where} (softmax)")
    made = values.signals.over_rows(source, SoftmaxOverRows(source.width), "softmax")
    found = values.signals.labels(made, streams * made.rows + np.arange(made.rows)[:, None])
    if flat:
        found = found[:, :, 0] if batched else found[:, 0]
    return np.moveaxis(found, 0, dim)
