"""Signals that join branches: sums, products and concatenations that no single layer computes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ConvertError
from ...network.layers import Last, Layer, Parallel, Pool
from ..common.weights import Float64Array, Weights
from .layers import TorchLayer
from .signal import Labels, Located, Signal, StreamsMixedError
from .whole_window import joined

if TYPE_CHECKING:
    from .signals import Signals

_MOST_LAYERS = 256  # in all branches of a fork: what they share is in each
Term = tuple[Signal, Float64Array | None]
"""A signal and the matrix that it is multiplied with; None for the signal as it is."""


def resolve_fork(signals: Signals, signal: Signal) -> Signal:
    """Return a signal that joins branches as one of a chain of layers, one of which joins them."""
    if signal.layer is not None and signal.source is not None:
        source = signals.resolve(signal.source)
        terms = [(source, matrix) for _, matrix in signal.terms]
        key = ("resolved", id(signal))
        return signals.add(
            key, signal.width, source, layer=signal.layer, terms=terms, bias=signal.bias
        )
    merge, parts = _parts(signal)
    made = fork(signals, parts, merge, "a sum" if merge == "add" else "a concatenation")
    bias = np.zeros(signal.width) if signal.bias is None else signal.bias
    if not bias.any():
        return made
    one = np.ones(signal.width)
    layer = TorchLayer("a constant", "function", Weights("a constant", {}), steps=[(one, bias)])
    more = {"layer": layer, "terms": [(made, np.eye(len(one)))], "bias": bias}
    return signals.add(("bias", bias.tobytes()), signal.width, made, **more)


def _parts(signal: Signal) -> tuple[str, list[Term]]:
    """Return whether terms are concatenated or added, and each with its matrix."""
    used = [np.flatnonzero(matrix.any(axis=1)) for _, matrix in signal.terms]
    order = sorted(range(len(used)), key=lambda n: used[n][0] if len(used[n]) else 0)
    rows = np.concatenate([used[n] for n in order])
    if list(rows) == list(range(signal.width)):
        chosen = [(signal.terms[n][0], signal.terms[n][1][used[n]]) for n in order]
        return "concatenate", [(inner, _unless_identity(matrix)) for inner, matrix in chosen]
    return "add", [(inner, _unless_identity(matrix)) for inner, matrix in signal.terms]


def _unless_identity(matrix: Float64Array) -> Float64Array | None:
    square = matrix.shape[0] == matrix.shape[1]
    return None if square and np.array_equal(matrix, np.eye(len(matrix))) else matrix


def fork(signals: Signals, parts: Sequence[Term], merge: str, name: str) -> Signal:
    """Return the signal of branches that are merged, from where their chains of layers part."""
    chains = []
    for signal, matrix in parts:
        end = signals.resolve(signal)
        if matrix is not None:
            end = signals.linear(end, matrix, None, "a selection")
        chains.append(_chain(signals, end))
    ends = [chain[-1] for chain in chains]
    rows = max(end.rows for end in ends)
    if {end.rows for end in ends} - {1, rows}:
        joined = ", ".join(dict.fromkeys(end.name for end in ends))
        raise ConvertError(f"forward joins branches with other numbers of steps: {joined}")
    shared = 0
    while all(len(c) > shared and c[shared] is chains[0][shared] for c in chains):
        shared += 1
    branches = [[s.layer for s in chain[shared:]] for chain in chains]
    size = sum(1 if x is None else x.options.get("size", 1) for b in branches for x in b)
    _check_count(name, size)
    options = {"branches": branches, "merge": merge, "size": size}
    layer = TorchLayer(name, "branches", Weights(name, {}), options)
    widths = [end.width for end in ends]
    width = sum(widths) if merge == "concatenate" else max(widths)
    key = ("branches", merge, *map(id, ends))
    return signals.add(key, width, chains[0][shared - 1], layer=layer, rows=rows)


def check_size(name: str, layers: Iterable[Layer]) -> None:
    """Refuse branches of very many layers, of which those that they share are in each."""
    _check_count(name, sum(map(_layers_in, layers)))


def _layers_in(layer: Layer) -> int:
    if not isinstance(layer, Parallel):
        return 1
    return 1 + sum(_layers_in(inner) for _, inner in layer.inner)


def _check_count(name: str, count: int) -> None:
    if count > _MOST_LAYERS:
        raise ConvertError(
            f"{name} joins branches of {count} layers, {_MOST_LAYERS} at most: if a recurrent "
            "layer was written out row by row, export it as one layer (nn.LSTM, not nn.LSTMCell)"
        )


def _chain(signals: Signals, signal: Signal) -> list[Signal]:
    """Return the signals from the input to one, each of which a layer makes of the one before."""
    found = [signal]
    while signal is not signals.input:
        if signal.hidden:
            raise ConvertError(f"forward uses {signal.hidden}, which no layer returns here")
        if signal.mixed or signal.source is None or signal.layer is None:
            found[-1] = signal = signals.resolve(signal)
            continue
        signal = signal.source
        found.append(signal)
    return found[::-1]


def as_last(signals: Signals, labels: Labels) -> Labels:
    """Return labels with each signal of which only last rows are used as one of one row."""
    if not signals.windowed:
        return labels
    found, moved = signals.locate(labels), labels.copy()
    stream, step = signals.steps_of(found)
    for n in np.unique(found.signal[found.signal >= 0]):
        old, here = signals[n], found.signal == n
        if old.rows > 1 and (step[here] == old.rows - 1).all() and not old.hidden:
            new = signals.over_rows(old, Last(old.width), "the last row")
            moved[here] = new.first + stream[here] * new.width + found.value[here]
    return moved


def rows_beside(signals: Signals, labels: Labels) -> tuple[Located, bool]:
    """Take labels[M, N] apart; tell whether signals of one row are beside those of several.

    A number of one row then is at the place of the others of its vector, and so is that of a
    last row beside those of other rows or of one row.
    """
    found = signals.locate(labels)
    apart = (found.position != found.position[:, :1]).any()
    if not apart or not signals.windowed or (found.signal < 0).any():
        return found, False
    _, step = signals.steps_of(found)
    last = (step == signals.rows_of(found) - 1).all(axis=0)
    moved = labels.copy()
    moved[:, last] = as_last(signals, labels[:, last])
    changed = signals.locate(moved)
    rows = signals.rows_of(changed)
    stream, _ = signals.steps_of(changed)
    most = int(rows.max())
    first = np.argmax(rows == most, axis=1)[:, None]
    place = np.take_along_axis(changed.position, first, axis=1)
    position = np.where(rows == most, changed.position, place)
    fits = ((rows == 1) | (rows == most)).all() and (stream == stream[:, :1]).all()
    fits = fits and len(np.unique(place % most)) == most  # all rows, not one of them
    if not fits or (position != place).any() or not (rows == most).any(axis=1).all():
        return found, False
    return Located(changed.signal, position, changed.value), True


def common_positions(
    signals: Signals, left: Located, right: Located, what: str
) -> tuple[Labels, int]:
    """Return the positions of what joins two arrays of numbers, and its rows.

    A signal of one row goes to all rows of another.
    """
    streams, each = [], []
    for found in (left, right):
        streams.append(signals.steps_of(found)[0])
        each.append(signals.rows_of(found))
    if (streams[0] != streams[1]).any():
        raise StreamsMixedError(f"{what} joins the values of different steps or streams")
    rows = int(np.maximum(*each).max())
    same = (each[0] == each[1]) & (left.position == right.position)
    apart = ((each[0] == 1) & (each[1] == rows)) | ((each[1] == 1) & (each[0] == rows))
    if not (same | apart).all() or (np.maximum(*each) != rows).any():
        raise ConvertError(f"{what} joins the values of different steps or streams")
    return np.where(each[0] == rows, left.position, right.position), rows


def multiply(signals: Signals, a: Labels, b: Labels, what: str) -> Labels:
    """Return the labels of ``a * b``, both from the input; they broadcast."""
    return joined(signals, lambda x, y: _multiply(signals, x, y, what), a, b)


def _multiply(signals: Signals, a: Labels, b: Labels, what: str) -> Labels:
    a, b = (as_last(signals, part) for part in np.broadcast_arrays(a, b))
    left, right = signals.locate(a), signals.locate(b)
    if (left.signal < 0).any() or (right.signal < 0).any():
        raise ConvertError(f"{what} multiplies numbers that come from the input in part only")
    position, _ = common_positions(signals, left, right, what)
    columns = [part.reshape(-1) for part in (left.signal, left.value, right.signal, right.value)]
    kinds, which = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    factors: list[Term] = []
    for n in (0, 2):
        pairs = [(signals[row[n]], int(row[n + 1])) for row in kinds]
        one = all(pair == pairs[0] for pair in pairs) and n == 2
        other = all((row[0], row[1]) == (kinds[0][0], kinds[0][1]) for row in kinds) and n == 0
        factors.append((signals.gather(pairs[:1] if (one or other) else pairs), None))
    if all(signal.width == 1 for signal, _ in factors):
        which = np.zeros_like(which)
    made = fork(signals, factors, "multiply", "a product")
    return np.asarray(made.first + position * made.width + which.reshape(a.shape))


def weighted_sum(signals: Signals, product: Labels, what: str) -> Labels:
    """Return the labels of the sum over rows of labels[rows, ...], all rows of one signal."""
    found = signals.locate(product)
    stream, step = signals.steps_of(found)
    numbers = np.unique(found.signal)
    whole = len(numbers) == 1 and numbers[0] >= 0 and len(product) == signals[numbers[0]].rows
    rows = np.arange(len(product)).reshape(-1, *[1] * (product.ndim - 1))
    if not whole or (step != rows).any() or (found.value != found.value[0]).any():
        raise ConvertError(f"{what} sums over a part of the steps, or over other values")
    source = signals[numbers[0]]
    made = signals.over_rows(source, Pool(source.width, "sum"), "sum")
    return np.asarray(made.first + stream[0] * made.width + found.value[0])
