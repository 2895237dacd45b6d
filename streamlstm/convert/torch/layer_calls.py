"""Layers with weights, as ``forward`` calls them, followed on labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...errors import ConvertError
from ..labels.calls import batch_norm, embedding, layer_norm, linear
from ..labels.layers import TorchLayer, to_array
from ..labels.sequences import as_sequence
from ..labels.signal import WindowNeededError
from ..labels.signals import Labels, Signal, StreamsMixedError
from .attention import multi_head
from .modules import read_module
from .values import Values


@dataclass(frozen=True)
class Call:
    """One call of a layer: its module, name, arguments and what it returned."""

    module: Any
    name: str
    args: Sequence[Any]
    given: Any


def add_linear(values: Values, name: str, x: Any, weight: Any, bias: Any) -> Labels:
    """Follow a product with float[O, K] along the last axis."""
    shift = None if bias is None else to_array(bias, f"{name}.bias").reshape(-1)
    matrix = to_array(weight, f"{name}.weight")
    if shift is not None and len(shift) != len(matrix):
        shift = np.broadcast_to(shift, len(matrix)).copy()
    return linear(values, name, values.labels(x), matrix, shift)


def add_layer_norm(
    values: Values, name: str, x: Any, shape: Sequence[int], tensors: Mapping[str, Any], eps: float
) -> Labels:
    """Follow a normalisation over the features, or over all rows of a window at once."""
    labels = values.labels(x)
    name = name if len(shape) == 1 else f"{name} (LayerNorm over {(*shape,)})"
    flat = labels.reshape(*labels.shape[: labels.ndim - len(shape)], -1)
    arrays = {key: to_array(t, f"{name}.{key}").reshape(-1) for key, t in tensors.items()}
    return layer_norm(values, name, flat, arrays, eps).reshape(labels.shape)


def add_batch_norm(
    values: Values, name: str, x: Any, tensors: Mapping[str, Any], eps: float
) -> Labels:
    """Follow a normalisation by statistics of training, along axis 1."""
    return batch_norm(values, name, values.labels(x), tensors, eps)


def add_embedding(values: Values, name: str, x: Any, weight: Any) -> Labels:
    """Follow a look-up in float[categories, D]; the layer here passes further inputs on."""
    table = to_array(weight, f"{name}.weight")
    return embedding(values, name, values.labels(x, integer=True), table)


def _read(call: Call) -> TorchLayer:
    layer = read_module(call.module, call.name)
    assert layer is not None  # a layer with weights
    return layer


def _tensors(call: Call) -> dict[str, Any]:
    layer = _read(call)
    weights = layer.weights.copy()
    return {key: weights.take(key) for key in layer.weights.shapes if key != _COUNT}


_COUNT = "num_batches_tracked"


def _linear(values: Values, call: Call) -> list[Labels]:
    tensors = _tensors(call)
    weight, bias = tensors["weight"], tensors.get("bias")
    return [add_linear(values, call.name, call.args[0], weight, bias)]


def _layer_norm(values: Values, call: Call) -> list[Labels]:
    module = call.module
    tensors = {key: getattr(module, key) for key in ("weight", "bias")}
    given = {key: tensor for key, tensor in tensors.items() if tensor is not None}
    shape = module.normalized_shape
    return [add_layer_norm(values, call.name, call.args[0], shape, given, module.eps)]


def _batch_norm(values: Values, call: Call) -> list[Labels]:
    return [add_batch_norm(values, call.name, call.args[0], _tensors(call), call.module.eps)]


def _embedding(values: Values, call: Call) -> list[Labels]:
    return [add_embedding(values, call.name, call.args[0], _tensors(call)["weight"])]


def _recurrent(values: Values, call: Call) -> list[Labels]:
    """Follow LSTM, GRU or RNN: its outputs and final states."""
    _read(call)  # refuses what cannot be stepped
    module, x = call.module, call.args[0]
    if not isinstance(x, torch.Tensor):
        raise ConvertError(
            f"{call.name} is given packed series: leave the packing out, a stream has no padding"
        )
    labels = values.labels(x)
    batched = labels.ndim == 3
    given = call.args[1] if len(call.args) > 1 else None
    if not batched:
        labels = labels[:, None]
        if given is not None and not values.is_live(given):
            given = [state[:, None] for state in _states(given)]
    elif module.batch_first:
        labels = labels.swapaxes(0, 1)
    source, positions = as_sequence(values, labels, call.name)
    outputs = module.proj_size or module.hidden_size
    if module.bidirectional:
        found, final = _both_ways(values, call, source, positions, given)
        if not batched:
            return [found[:, 0], *(part[:, 0] for part in final)]
        return [found.swapaxes(0, 1) if module.batch_first else found, *final]
    signal, final = _step(values, call, source, positions, given, module.num_layers, outputs)
    found = values.signals.labels(signal, positions)
    if not batched:
        return [found[:, 0], *(part[:, 0] for part in final)]
    return [found.swapaxes(0, 1) if module.batch_first else found, *final]


def _both_ways(
    values: Values, call: Call, source: Signal, positions: Labels, given: Any
) -> tuple[Labels, list[Labels]]:
    """Follow a bidirectional module over positions[T, B]; return its outputs and final states."""
    if not values.signals.windowed:
        raise WindowNeededError(
            f"{call.name} is bidirectional: its second half reads the series from its end, which "
            "only a window has"
        )
    if _check_order(source, call.name, positions) or len(positions) != source.rows:
        raise ConvertError(f"{call.name} is bidirectional, and is given a part of the steps")
    if given is not None and (values.is_live(given) or _initial_state(call.name, given)):
        raise ConvertError(f"{call.name} is bidirectional, and starts from another state")
    module = call.module
    half = module.proj_size or module.hidden_size
    source = values.signals.resolve(source)
    signal = values.signals.add(("recurrent", id(module)), 2 * half, source, layer=_read(call))
    hidden, *cell = _state_signals(values, call, signal, 2 * module.num_layers, half)

    def at(signal: Signal, step: int) -> Labels:
        return values.signals.labels(signal, positions[step])

    # The last layer's own: what runs backwards ends at the first row.
    ends = [at(signal, -1)[..., :half], at(signal, 0)[..., half:]]
    final = [np.stack([*(at(part, -1) for part in hidden[:-2]), *ends])]
    final += [np.stack([at(part, -1) for part in letter]) for letter in cell]
    return values.signals.labels(signal, positions), final


def _cell(values: Values, call: Call) -> list[Labels]:
    """Follow one step of a cell: its states."""
    labels = values.labels(call.args[0])
    rows = labels if labels.ndim == 2 else labels[None]
    source, positions = values.signals.vectors(rows[None], call.name)
    given = call.args[1] if len(call.args) > 1 else None
    _, final = _step(values, call, source, positions, given, 1, call.module.hidden_size)
    return [part[0] if labels.ndim == 2 else part[0, 0] for part in final]


def _states(given: Any) -> list[Any]:
    return list(given) if isinstance(given, tuple | list) else [given]


def _step(
    values: Values,
    call: Call,
    source: Signal,
    positions: Labels,
    given: Any,
    layers: int,
    outputs: int,
) -> tuple[Signal, list[Labels]]:
    """Follow a recurrent layer over positions[T, B]; return its signal and final states."""
    first = _check_order(source, call.name, positions)
    source = values.signals.resolve(source)
    runs = values.runs.setdefault((id(source), id(call.module)), [])
    if first == 0:
        states = _first_states(values, call, source, given, layers, outputs)
        runs.append(states)
    else:
        before = positions[0] - 1
        left = [states for states in runs if _goes_on(values, states, before, given)]
        if not left and values.signals.windowed and given is None and len(positions) > 1:
            raise ConvertError(
                f"{call.name} leaves {first} rows of the window out: give the number of those that "
                f"it takes (window={int(positions[-1].flat[0]) + 1 - first})"
            )
        if not left:
            raise ConvertError(
                f"{call.name} starts anew at each step, or goes on from another state than the one "
                "that it left, as that of another layer"
            )
        states = left[0]
    last = [
        np.stack([values.signals.labels(signal, positions[-1]) for signal in letter])
        for letter in states
    ]
    return states[0][-1], last


def _first_states(
    values: Values, call: Call, source: Signal, given: Any, layers: int, outputs: int
) -> list[list[Signal]]:
    """Return the signals of the states of a layer that starts: h, and c, of each level."""
    if given is not None and values.is_live(given):
        raise ConvertError(f"{call.name} takes its first state from another part of the network")
    layer = _read(call)
    initial = _initial_state(call.name, given)
    if initial is not None:
        layer.options["initial_state"] = initial
    key = ("recurrent", id(call.module), *(part.tobytes() for part in initial or ()))
    known = values.signals.add(key, outputs, source, layer=layer)
    return _state_signals(values, call, known, layers, outputs)


def _state_signals(
    values: Values, call: Call, known: Signal, layers: int, outputs: int
) -> list[list[Signal]]:
    """Return the signals of the states: h, and c of an LSTM, of each layer; the last h is known."""
    found = []
    for letter in "hc" if "LSTM" in _base_name(call.module) else "h":
        width = outputs if letter == "h" else call.module.hidden_size
        word = "the hidden state" if letter == "h" else "the cell state"
        signals = [
            values.signals.add(
                (letter, n), width, known, hidden=f"{word} of {call.name}, layer {n}"
            )
            for n in range(layers)
        ]
        if letter == "h":
            signals[-1] = known
        found.append(signals)
    return found


def _base_name(module: Any) -> str:
    return " ".join(base.__name__ for base in type(module).__mro__)


def _check_order(source: Signal, name: str, positions: Labels) -> int:
    """Return the first step of positions[T, B] if each column is consecutive steps of a stream."""
    stream, step = np.divmod(positions, source.rows)
    if (stream != stream[0]).any():
        raise StreamsMixedError(f"{name} runs over the streams instead of the steps")
    if (step != step[0, 0] + np.arange(len(step))[:, None]).any():
        kind = "from its end" if len(step) > 1 and step[0, 0] > step[-1, 0] else "with gaps"
        if (step[0] != step[0, 0]).any():
            kind = "in pieces side by side"
        raise ConvertError(f"{name} reads the series {kind}, which a live stream does not have")
    return int(step[0, 0])


def _goes_on(values: Values, states: list[list[Signal]], before: Labels, given: Any) -> bool:
    """Return whether a state is that of a layer at the positions before."""
    parts = [] if given is None else _states(given)
    if len(parts) != len(states):
        return False
    for signals, tensor in zip(states, parts, strict=True):
        expected = np.stack([values.signals.labels(signal, before) for signal in signals])
        if not np.array_equal(values.labels(tensor).reshape(-1), expected.reshape(-1)):
            return False
    return True


def _initial_state(name: str, given: Any) -> list[Any] | None:
    """Return a constant initial state, one vector for all streams; None for zeros."""
    parts = [] if given is None else [to_array(t, f"{name}: initial state") for t in _states(given)]
    if not any(part.any() for part in parts):
        return None
    for part in parts:
        rows = part[None] if part.ndim == 1 else part
        if (rows != rows[..., :1, :]).any():
            raise ConvertError(f"{name} starts from a state that differs from stream to stream")
    return [
        (part[None] if part.ndim == 1 else part)[..., :1, :].reshape(-1, part.shape[-1])
        for part in parts
    ]


LAYERS: dict[str, Callable[[Values, Call], list[Labels]]] = {
    "linear": _linear,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "embedding": _embedding,
    "recurrent": _recurrent,
    "cell": _cell,
    "attention": multi_head,
}
