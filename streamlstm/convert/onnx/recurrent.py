"""Handler of LSTM, GRU and RNN nodes: gates i, o, f, c and z, r, h; activations; initial states."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.activations import PARAMETERS, name_activation
from ...network.layers import GRU, LSTM, RNN, Bidirectional, Reverse
from ..common.gate_order import reorder
from ..common.weights import Float64Array, check_shape
from .feature_ops import LayerOp
from .node import Node, shortest_float
from .tensor import Dim, SymbolicTensor, Unsupported, Value

_ACTIVATION_NAMES = {
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "affine": "affine",
    "leakyrelu": "leaky_relu",
    "thresholdedrelu": "thresholded_relu",
    "scaledtanh": "scaled_tanh",
    "hardsigmoid": "hard_sigmoid",
    "elu": "elu",
    "softsign": "softsign",
    "softplus": "softplus",
}
# Defaults of ONNX that differ from those here.
_DEFAULTS: dict[str, tuple[float, ...]] = {"hard_sigmoid": (0.2, 0.5)}
CELL_CLIP = "cell_clip"  # none of ONNX's: graphs that are written from other formats have it
# Activations without defaults in ONNX, or with others in ONNX Runtime.
_NO_DEFAULTS = ("affine", "scaled_tanh", "thresholded_relu")
Recurrent = tuple[LSTM | GRU | RNN, dict[str, Float64Array]]
_GATE_ORDERS = {"LSTM": ("iofc", "ifco"), "GRU": ("zrh", "rzh"), "RNN": ("i", "i")}


def recurrent(node: Node, x: SymbolicTensor, *rest: Value) -> list[Value]:
    """Return the values of Y, Y_h and, for an LSTM, Y_c."""
    W, R, B, _lengths, initial_h, initial_c, P = (*rest, *[None] * 7)[:7]
    direction = node.attribute("direction", "forward").lower()
    if direction != "forward":
        return _backwards(node, x, direction, W, R, B, initial_h, initial_c, P)
    layer, arrays = _forward_layer(node, W, R, B, initial_h, initial_c, P)
    F, H = layer.input_size, layer.hidden_size
    batch_first = bool(node.attribute("layout", 0))
    found = _over_time(node, x, batch_first, F)
    feature = Dim(H) if H > 1 else None
    last: tuple[Dim, ...] = () if feature is None else (feature,)
    time, batch = found.axes[::-1][1:] if batch_first else found.axes[:2]
    axes = [(batch, time, (), last), (batch, (), last)]
    if not batch_first:
        axes = [(time, (), batch, last), ((), batch, last)]
    stepped = replace(found.append(LayerOp(layer, arrays, str(node))), feature=feature)
    outputs: list[Value] = [
        replace(stepped, axes=axes[0]),
        replace(stepped, axes=axes[1], state=True),
        Unsupported(ConvertError(f"{node}: the cell state is no output of a layer here."), True),
    ]
    return outputs[: len(node.outputs)]


def layer_of_node(node: Node, given: Sequence[Value]) -> tuple[Recurrent, Recurrent | None]:
    """Return the layer of a node whose further inputs are constants, and the one backwards, if any.

    The layer of direction "reverse" alone is the first; each is a layer and its weights.
    """
    W, R, B, _lengths, initial_h, initial_c, P = (*given, *[None] * 7)[:7]
    if node.attribute("direction", "forward").lower() == "forward":
        return _forward_layer(node, W, R, B, initial_h, initial_c, P), None
    first, *second = _both_layers(node, W, R, B, initial_h, initial_c, P)
    return first, second[0] if second else None


def _forward_layer(node: Node, *given: Value) -> Recurrent:
    W, R, B, initial_h, initial_c, P = given
    arrays, F, H = _matrices(node, W, R, B)
    if P is not None:
        arrays["peephole"] = _peephole(node, P, H)
    for key, value in (("initial_h", initial_h), ("initial_c", initial_c)):
        if value is not None:
            arrays[key] = _initial(node, value, H, key)
    # All zeros have no effect. Their shape is checked all the same, as a wrong one reveals a broken
    # export: PyTorch's newer exporter drops a projection and leaves such zeros.
    for key in ("peephole", "initial_h", "initial_c"):
        if key in arrays and not arrays[key].any():
            del arrays[key]
    return _layer(node, F, H, arrays)


def _both_layers(node: Node, *given: Value) -> list[Recurrent]:
    """Return the layer of direction "reverse", or those of both directions."""
    direction = node.attribute("direction", "forward").lower()
    if any(value is not None and np.any(node.constant(value)) for value in given[3:]):
        raise ConvertError(f"{node}: expected direction {direction} to start from zeros.")
    ways = 2 if direction == "bidirectional" else 1
    parts = []
    for n in range(ways):
        own = [None if a is None else np.asarray(node.constant(a))[n : n + 1] for a in given[:3]]
        arrays, F, H = _matrices(node, *own)
        parts.append(_layer(node, F, H, arrays, n, ways))
    if ways == 2 and (parts[1][0] != parts[0][0] or H == 1):
        raise ConvertError(f"{node}: expected the same activations in both directions, and H > 1.")
    return parts


def _backwards(node: Node, x: SymbolicTensor, direction: str, *given: Value) -> list[Value]:
    """Return Y, Y_h and Y_c of a layer that runs backwards, or in both directions."""
    parts = _both_layers(node, *given)
    ways, (layer, arrays) = len(parts), parts[0]
    F, H = layer.input_size, layer.hidden_size
    batch_first = bool(node.attribute("layout", 0))
    found = _over_time(node, x, batch_first, F)
    if found.time is None:
        raise ConvertError(f"{node} has direction {direction!r}, and gets one row.")
    time, batch = found.axes[::-1][1:] if batch_first else found.axes[:2]
    unknown = Unsupported(
        ConvertError(f"{node}: the cell state is no output of a layer here."), True
    )
    if ways == 1:
        turned = found.append(LayerOp(Reverse(F), {}, str(node)), LayerOp(layer, arrays, str(node)))
        again = turned.append(LayerOp(Reverse(H), {}, str(node)))
        feature = Dim(H) if H > 1 else None
        made = [replace(again, feature=feature), replace(turned, feature=feature)]
        last: tuple[Dim, ...] = () if feature is None else (feature,)
        first: tuple[Dim, ...] = ()
    else:
        joined = {f"forward_{key}": a for key, a in arrays.items()}
        joined |= {f"backward_{key}": a for key, a in parts[1][1].items()}
        made = [
            found.append(LayerOp(Bidirectional(F, layer, sequence=every), joined, str(node)))
            for every in (True, False)
        ]
        directions, units = Dim(2), Dim(H)
        made = [replace(y, feature=Dim(2 * H), parts=(directions, units)) for y in made]
        last, first = (units,), (directions,)
    axes = [(batch, time, first, last), (batch, first, last)]
    if not batch_first:
        axes = [(time, first, batch, last), (first, batch, last)]
    outputs: list[Value] = [
        replace(y, axes=a, state=n == 1) for n, (y, a) in enumerate(zip(made, axes, strict=True))
    ]
    return [*outputs, unknown][: len(node.outputs)]


def _matrices(node: Node, W: Value, R: Value, B: Value) -> tuple[dict[str, Float64Array], int, int]:
    """Return the weights with gates reordered, F and H, which are those of the weights."""
    W, R = (_weights(node, value, name, 3) for value, name in ((W, "W"), (R, "R")))
    theirs, ours = _GATE_ORDERS[node.op]
    gates, H, F = len(theirs), R.shape[2], W.shape[2]
    if W.shape[:2] != (1, gates * H) or R.shape[:2] != (1, gates * H):
        raise ConvertError(
            f"{node}: expected W (1, {gates}H, F) and R (1, {gates}H, H), got W {W.shape} and R "
            f"{R.shape}."
        )
    if B is None:
        B = np.zeros((1, 2 * gates * H))
    B = _weights(node, B, "B", 2)
    check_shape(B, (1, 2 * gates * H), f"{node}: B")
    bias_ih, bias_hh = (reorder(bias, theirs, ours) for bias in np.split(B[0], 2))
    arrays = {"weight_ih": reorder(W[0], theirs, ours), "weight_hh": reorder(R[0], theirs, ours)}
    if node.op == "GRU":
        return arrays | {"bias_ih": bias_ih, "bias_hh": bias_hh}, F, H
    return arrays | {"bias": bias_ih + bias_hh}, F, H


def _weights(node: Node, value: Value, name: str, rank: int) -> Float64Array:
    if value is None:
        raise ConvertError(f"{node} lacks {name}.")
    array = np.asarray(node.constant(value), np.float64)
    if array.ndim != rank:
        raise ConvertError(f"{node}: expected {name} with {rank} axes, got shape {array.shape}.")
    return array


def _peephole(node: Node, P: Value, H: int) -> Float64Array:
    array = _weights(node, P, "P", 2)
    check_shape(array, (1, 3 * H), f"{node}: P")
    return reorder(array[0], "iof", "ifo")


def _initial(node: Node, value: Value, H: int, name: str) -> Float64Array:
    """Return the initial vector of a stream, which must be the same in the whole batch."""
    array = _weights(node, value, name, 3)
    rows = array.reshape(-1, array.shape[2])
    if array.shape[2] != H or not (rows == rows[0]).all():
        raise ConvertError(
            f"{node}: expected {name} of shape (1, batch, {H}), the same for all of the batch, got "
            f"{array.shape}."
        )
    return np.asarray(rows[0])


def _layer(
    node: Node, F: int, H: int, arrays: dict[str, Float64Array], way: int = 0, ways: int = 1
) -> tuple[LSTM | GRU | RNN, dict[str, Float64Array]]:
    clip = None if node.attribute("clip") is None else shortest_float(node.attribute("clip"))
    starts = "initial_h" in arrays or "initial_c" in arrays
    if starts:
        arrays.setdefault("initial_h", np.zeros(H))
    if node.op == "RNN":
        (activation,) = _activations(node, ["Tanh"], way, ways)
        return RNN(F, H, activation, gate_clip=clip, initial_state=starts), arrays
    if node.op == "GRU":
        gate, candidate = _activations(node, ["Sigmoid", "Tanh"], way, ways)
        after = bool(node.attribute("linear_before_reset", 0))
        return GRU(F, H, after, clip, gate, candidate, starts), arrays
    if starts:
        arrays.setdefault("initial_c", np.zeros(H))
    coupled = bool(node.attribute("input_forget", 0))
    if coupled:
        for key in ("weight_ih", "weight_hh", "bias"):
            arrays[key] = reorder(arrays[key], "ifco", "ico")
        if "peephole" in arrays:
            arrays["peephole"] = reorder(arrays["peephole"], "ifo", "io")
    gate, candidate, cell = _activations(node, ["Sigmoid", "Tanh", "Tanh"], way, ways)
    layer = LSTM(
        F,
        H,
        peephole="peephole" in arrays,
        coupled=coupled,
        gate_clip=clip,
        cell_clip=node.attribute(CELL_CLIP),
        gate_activation=gate,
        candidate_activation=candidate,
        cell_activation=cell,
        initial_state=starts,
    )
    return layer, arrays


def _activations(node: Node, defaults: Sequence[str], way: int = 0, ways: int = 1) -> list[str]:
    """Return the names of the activations, with parameters.

    alpha and beta hold values for those activations that take them, in their order; some exporters
    write one for each activation.
    """
    names = node.attribute("activations") or list(defaults) * ways
    if len(names) == len(defaults) * ways:
        names = names[way * len(defaults) : (way + 1) * len(defaults)]
    if len(names) != len(defaults):
        raise ConvertError(f"{node}: expected {len(defaults)} activations, got {list(names)}.")
    ours = [_ACTIVATION_NAMES.get(name.lower()) for name in names]
    for name, known in zip(names, ours, strict=True):
        if known is None:
            raise ConvertError(f"{node}: activation {name!r} is not known.")
    values = []
    for letter, place in (("alpha", 0), ("beta", 1)):
        given = list(node.attribute(f"activation_{letter}") or ())
        takers = [n for n, name in enumerate(ours) if len(PARAMETERS[str(name)]) > place]
        if len(given) == len(ours) > len(takers):
            given = [given[n] for n in takers]
        values.append(dict(zip(takers, given, strict=False)))
    return [_parametrised(node, str(name), n, values) for n, name in enumerate(ours)]


def _parametrised(node: Node, name: str, n: int, values: Sequence[dict[int, Any]]) -> str:
    defaults = _DEFAULTS.get(name, PARAMETERS[name])
    if name in _NO_DEFAULTS and any(n not in values[place] for place in range(len(defaults))):
        raise ConvertError(
            f"{node}: activation {name!r} lacks its activation_alpha or activation_beta, for which "
            "runtimes do not agree on a value: write them into the graph."
        )
    given = [values[place].get(n, default) for place, default in enumerate(defaults)]
    return name_activation(name, *(shortest_float(value) for value in given))


def _over_time(node: Node, x: SymbolicTensor, batch_first: bool, F: int) -> SymbolicTensor:
    """Check the input and record the axis over which the layer runs."""
    if len(x.axes) != 3:
        raise ConvertError(f"{node}: expected X with 3 axes, got {len(x.axes)}.")
    if not x.is_features(2):
        raise ConvertError(f"{node}: expected the features on the last axis of X.")
    if x.width != F:
        raise ConvertError(
            f"{node}: W takes {F} values, but the layer before it returns {x.width}."
        )
    axis = x.axes[1 if batch_first else 0]
    if len(axis) > 1 or (x.feature is not None and x.feature in axis):
        raise ConvertError(f"{node} runs over an axis that was merged with others.")
    time = axis[0] if axis else None
    if x.recurrent and time is not x.time:
        gone = x.time is not None and all(x.time not in a for a in x.axes)
        raise ConvertError(
            f"{node} runs over "
            + (
                "what only the last step of the layer before it gave, which cannot be stepped."
                if gone
                else "another axis than the recurrent layer before it."
            )
        )
    return replace(x, time=time, recurrent=True, window=x.window or time)
