"""The chain of layers that computes a module's output, read off the labels of that output."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...errors import ConvertError
from ...network.layers import Flatten, Repeat, Transpose
from ..common.weights import Float64Array, Weights
from .forks import resolve_fork
from .layers import TorchLayer
from .sequences import without_rest
from .signal import BranchesError, WindowNeededError
from .signals import Labels, Signal, Signals, StreamsMixedError
from .whole_window import in_order

_MIXED = (
    "the output holds {} of {} streams: its axes of streams and rows may be exchanged, as by "
    "nn.LSTM "
    "without batch_first=True"
)


class Residual(NamedTuple):
    """Input added to each output (-1: none) and its factor; None without a residual connection."""

    skip: Sequence[int] | None = None
    scale: Sequence[float] | None = None


class Output(NamedTuple):
    """An output of a module.

    Attributes
    ----------
    layers : list of TorchLayer
        What computes it from the input, in order.
    residual : Residual
        The input that is added to it.
    positions, values : int64
        Of the output's shape: where in Y[S * T, O] each of its numbers is.
    """

    layers: list[TorchLayer]
    residual: Residual
    positions: Labels
    values: Labels


def read_output(signals: Signals, labels: Labels) -> Output:
    """Return the layers that compute an output with these labels.

    Raises
    ------
    ConvertError
        If it is not one vector for each step, or the last one.
    """
    labels = without_rest(signals, labels)
    flat = labels.reshape(-1)
    found = signals.locate(flat)
    if not flat.size or (found.signal < 0).any():
        raise ConvertError("the output has numbers that do not come from the input")
    order = np.argsort(found.position, kind="stable")
    if signals.windowed:
        return _read_window(signals, labels)
    if {signals[n].rows for n in np.unique(found.signal)} != {signals.steps}:
        raise WindowNeededError(
            "the output has another number of steps than the input: a layer makes one of several, "
            "of a window"
        )
    steps = _steps(signals, np.unique(found.position))
    size, rest = divmod(flat.size, len(np.unique(found.position)))
    grouped = [part[order] for part in found]
    if rest or (grouped[1].reshape(-1, size) != grouped[1][::size, None]).any():
        raise ConvertError(f"the output has other sizes at some of its {steps} steps")
    rows = [part.reshape(-1, size) for part in grouped]
    if any((part != part[0]).any() for part in (rows[0], rows[2])):
        raise ConvertError("the output is computed in another way at some steps than at others")
    pairs = [(signals[n], int(v)) for n, v in zip(rows[0][0], rows[2][0], strict=True)]
    values = np.empty(flat.size, np.int64)
    values[order] = np.tile(np.arange(size), flat.size // size)
    _check_order(signals, found.position, values)
    signal, residual = _split_residual(signals, signals.gather(pairs))
    positions = found.position.reshape(labels.shape)
    return Output(layers_of(signal, signals), residual, positions, values.reshape(labels.shape))


def _read_window(signals: Signals, labels: Labels) -> Output:
    """Return the layers that compute the answer to a window: one, or the last of one for each row.

    Positions are the streams, and -1 for what is not answered. All rows are answered of a sequence
    that has begun at the end of the window.
    """
    flat = labels.reshape(-1)
    found = signals.locate(flat)
    stream, step = signals.steps_of(found)
    streams = np.unique(stream)
    if len(streams) != signals.streams and list(streams) != [0]:
        raise StreamsMixedError(_MIXED.format(len(streams), signals.streams))
    kinds = [signals[n] for n in np.unique(found.signal)]
    kept = np.ones(len(flat), bool)
    sequence = len(np.unique(step)) > 1
    if sequence and all(x.rows == signals.steps and not _decodes(x) for x in kinds):
        kept = step == signals.steps - 1
        if not kept.any():
            raise ConvertError("the output holds nothing of the last row of the window")
    order = np.flatnonzero(kept)[np.argsort(stream[kept], kind="stable")]
    if (
        len(order) % len(streams)
        or (stream[order].reshape(len(streams), -1) != streams[:, None]).any()
    ):
        raise ConvertError("the output has other sizes for some windows than for others")
    rows = flat[order].reshape(len(streams), -1)
    positions, values = np.full(len(flat), -1), np.zeros(len(flat), np.int64)
    positions[order] = stream[order]
    values[order] = np.tile(np.arange(rows.shape[1]), len(streams))
    source, places = signals.vectors(rows, "the output")
    earlier = np.unique(places % source.rows)
    if len(earlier) != 1:
        raise ConvertError("the output is that of other rows of some windows than of others")
    if earlier[0] != source.rows - 1:
        source = in_order(signals, source, earlier)
    signal, residual = _split_residual(signals, source)
    return Output(
        layers_of(signal, signals),
        residual,
        positions.reshape(labels.shape),
        values.reshape(labels.shape),
    )


def _decodes(signal: Signal) -> bool:
    """Return whether a signal's rows are none of the window: a Repeat's, or its features."""
    exchanged = False
    while True:
        layer = None if signal.layer is None else signal.layer.options.get("layer")
        if isinstance(layer, Repeat):
            return True
        if isinstance(layer, Transpose) and layer.rows > 1:
            exchanged = not exchanged
        elif isinstance(layer, Transpose | Flatten):
            exchanged = False
        below = [signal.source, *(inner for inner, _ in signal.terms)]
        before = [inner for inner in below if inner is not None]
        if not before:
            return exchanged
        signal = before[0]


def _steps(signals: Signals, positions: Labels) -> int:
    """Return the number of steps in an output: all, or the last."""
    stream, step = np.divmod(positions, signals.steps)
    steps, streams = np.unique(step), np.unique(stream)
    last = signals.steps - 1
    if len(positions) != len(steps) * len(streams):
        raise ConvertError("the output holds other steps of some streams than of others")
    if len(steps) != signals.steps and list(steps) != [last]:
        raise ConvertError(
            f"the output holds {len(steps)} of {signals.steps} steps, neither all nor the last one"
        )
    if len(streams) != signals.streams and list(streams) != [0]:
        raise StreamsMixedError(_MIXED.format(len(streams), signals.streams))
    return len(steps)


def _check_order(signals: Signals, positions: Labels, values: Labels) -> None:
    """Refuse an output whose steps or streams are not in order; arguments in the output's order."""
    stream, step = np.divmod(positions, signals.steps)
    for what, part, rest in (("steps", step, stream), ("streams", stream, step)):
        order = np.lexsort((np.arange(len(part)), values, rest))
        rows = part[order].reshape(-1, len(np.unique(part)))
        if (np.diff(rows, axis=1) <= 0).any():
            raise ConvertError(f"the output has its {what} in another order than the input")


def _split_residual(signals: Signals, signal: Signal) -> tuple[Signal, Residual]:
    """Return an output without the input that is added to it, and that input."""
    if not signal.mixed:
        return signal, Residual()
    try:
        terms, bias = signals.reduce({signal: np.eye(signal.width)}, beside_input=True)
    except BranchesError:
        return signals.resolve(signal), Residual()
    added = terms.pop(signals.input, np.zeros((signal.width, signals.input.width)))
    if not terms:
        return signals.sum({signals.input: added}, bias), Residual()
    if ((added != 0).sum(axis=1) > 1).any():  # a layer of the input
        return resolve_fork(signals, signal), Residual()
    ((source, matrix),) = terms.items()
    if np.array_equal(matrix, np.eye(source.width)) and not bias.any():
        return source, _residual(added)
    return signals.sum(terms, bias), _residual(added)


def _residual(added: Float64Array) -> Residual:
    if not added.any():
        return Residual()
    skip = [int(np.argmax(row != 0)) if row.any() else -1 for row in added]
    scale = [float(row[n]) if n >= 0 else 1.0 for n, row in zip(skip, added, strict=True)]
    return Residual(skip, None if scale == [1.0] * len(scale) else scale)


def layers_of(signal: Signal, signals: Signals) -> list[TorchLayer]:
    """Return copies of the layers from the input to a signal, in order."""
    found: list[TorchLayer] = []
    while signal is not signals.input:
        if signal.hidden:
            raise ConvertError(f"forward uses {signal.hidden}, which no layer returns here")
        layer = signal.layer
        if signal.mixed or signal.source is None or layer is None:
            signal = signals.resolve(signal)
            continue
        found.append(replace(layer.copy(), gap=None))
        signal = signal.source
    return _fold_selections(found[::-1])


def _fold_selections(layers: list[TorchLayer]) -> list[TorchLayer]:
    """Return layers with each selection of values multiplied into the weights behind it."""
    kept: list[TorchLayer] = []
    for layer in layers:
        if layer.kind == "branches":
            layer.options["branches"] = [_fold_selections(b) for b in layer.options["branches"]]
        before = kept[-1] if kept else None
        key = next((k for k in ("weight_ih_l0", "weight_ih") if k in layer.weights), "weight")
        if before is None or before.name != "a selection" or layer.kind not in _TAKERS:
            kept.append(layer)
            continue
        matrix = before.weights.take("weight")
        arrays = {name: layer.weights.take(name) for name in layer.weights.shapes}
        arrays[key] = arrays[key] @ matrix
        kept[-1] = replace(layer, weights=Weights(layer.name, arrays))
    return kept


_TAKERS = ("linear", "recurrent")
