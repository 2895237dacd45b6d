"""Arithmetic in ``forward`` followed on labels: scaling by constants, sums of signals."""

from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Flatten
from ..common.weights import Float64Array, Weights
from .forks import as_last, common_positions
from .layers import TorchLayer
from .sequences import without_rest
from .signals import Labels, Signal, Signals
from .whole_window import joined, unflattened


def scale(
    signals: Signals, labels: Labels, weight: Float64Array, bias: Float64Array, name: str
) -> Labels:
    """Return the labels of ``x * weight + bias``.

    Parameters
    ----------
    signals : Signals
    labels : int64[...]
        Of x.
    weight, bias : float64[...]
        Of the shape of the labels.
    name : str
        What is computed, for messages.
    """
    found = signals.locate(labels)
    moved = labels.copy()
    for n in np.unique(found.signal[found.signal >= 0]):
        here = found.signal == n
        rows = np.stack([found.value[here].astype(np.float64), weight[here], bias[here]], axis=1)
        position = found.position[here]
        moved[here] = _scaled(signals, signals[n], rows, position, name)
    return moved


def _scaled(
    signals: Signals, source: Signal, rows: Float64Array, position: Labels, name: str
) -> Labels:
    """Return labels for rows of value, weight and bias."""
    value = rows[:, 0].astype(np.int64)
    weight, bias = np.ones(source.width), np.zeros(source.width)
    weight[value], bias[value] = rows[:, 1], rows[:, 2]
    if not ((weight[value] == rows[:, 1]) & (bias[value] == rows[:, 2])).all():
        if signals.windowed and source.rows > 1 and _by_row(source, rows, position):
            flat = signals.over_rows(source, Flatten(source.width, source.rows), "flatten")
            place = position % source.rows * source.width + value
            weight, bias = np.ones(flat.width), np.zeros(flat.width)
            weight[place], bias[place] = rows[:, 1], rows[:, 2]
            scaled = unflattened(signals, _affine(signals, flat, weight, bias, name), source.rows)
            return np.asarray(scaled.first + position * scaled.width + value)
        kinds, value = np.unique(rows, axis=0, return_inverse=True)
        matrix = np.eye(source.width)[kinds[:, 0].astype(np.int64)] * kinds[:, 1:2]
        new = signals.linear(source, matrix, kinds[:, 2], name)
        value = value.reshape(-1)
    elif (weight == 1).all() and (bias == 0).all():
        new = source
    else:
        new = _affine(signals, source, weight, bias, name)
    return np.asarray(new.first + position * new.width + value)


def _affine(
    signals: Signals, source: Signal, weight: Float64Array, bias: Float64Array, name: str
) -> Signal:
    key = ("scale", weight.tobytes(), bias.tobytes())
    layer = TorchLayer(name, "function", Weights(name, {}), steps=[(weight, bias)])
    more: dict[str, Any] = {"layer": layer, "bias": bias}
    if not isinstance(source.layer and source.layer.options.get("layer"), Flatten):
        more["terms"] = [(source, np.diag(weight))]
    return signals.add(key, source.width, source, **more)


def _by_row(source: Signal, rows: Float64Array, position: Labels) -> bool:
    """Return whether each number of a window has a weight and a bias of its own."""
    each = np.stack([position % source.rows, rows[:, 0].astype(np.int64)], axis=1)
    kinds = np.concatenate([each, rows[:, 1:]], axis=1)
    return len(np.unique(each, axis=0)) == len(np.unique(kinds, axis=0))


def add(signals: Signals, a: Labels, b: Labels, factor: float, what: str) -> Labels:
    """Return the labels of ``a + factor * b``, both from the input; they broadcast.

    Raises
    ------
    ConvertError
        If numbers of different steps or streams are added.
    """
    return joined(signals, lambda x, y: _add(signals, x, y, factor, what), a, b)


def _add(signals: Signals, a: Labels, b: Labels, factor: float, what: str) -> Labels:
    a, b = (without_rest(signals, part) for part in np.broadcast_arrays(a, b))
    left, right = signals.locate(a), signals.locate(b)
    if (left.signal < 0).any() or (right.signal < 0).any():
        raise ConvertError(f"{what} adds numbers that come from the input in part only")
    position = left.position
    if (left.position != right.position).any():
        ends = (as_last(signals, part) for part in (a, b))
        left, right = (signals.locate(part) for part in ends)
        position, _ = common_positions(signals, left, right, what)
    columns = [part.reshape(-1) for part in (left.signal, left.value, right.signal, right.value)]
    kinds, which = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    terms: dict[Signal, Float64Array] = {}
    for row, (n, value, m, other) in enumerate(kinds):
        for signal, column, weight in ((n, value, 1.0), (m, other, factor)):
            source = signals[signal]
            matrix = terms.setdefault(source, np.zeros((len(kinds), source.width)))
            matrix[row, column] += weight
    new = signals.sum(terms, np.zeros(len(kinds)))
    return np.asarray(new.first + position * new.width + which.reshape(a.shape))


def absolute(signals: Signals, labels: Labels) -> Labels:
    """Return the labels of ``|x|``, which is ``relu(x) + relu(-x)``."""
    found = signals.locate(labels)
    moved = labels.copy()
    for n in np.unique(found.signal[found.signal >= 0]):
        old = signals[n]
        one = np.eye(old.width)
        both = signals.linear(signals.resolve(old), np.vstack([one, -one]), None, "abs")
        layer = TorchLayer("abs", "function", Weights("abs", {}), steps=["relu"])
        parts = signals.add(("function", "abs"), both.width, both, layer=layer)
        new = signals.linear(parts, np.hstack([one, one]), None, "abs")
        moved[found.signal == n] += new.first - old.first
    return moved
