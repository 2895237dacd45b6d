"""Layers with a state as model-local ONNX functions, written by to_onnx and read by from_onnx.

ONNX's LSTM has no projection, no layer normalisation and no cell clipping, and runtimes differ in
which of its options they know. Layers with such options are written as a function of one step, in
elementary nodes that every runtime has; so is a causal convolution over a stream. An attribute
holds the specification of the layer, which from_onnx reads.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...errors import ConvertError, ModelError
from ...network.layers import GRU, LSTM, RNN, Conv1D, Layer
from .feature_ops import LayerOp
from .node import Node
from .tensor import SymbolicTensor, Unsupported, Value
from .write_convolution import write_step
from .writer import OPSET, Writer

DOMAIN = "streamlstm"
Recurrent = LSTM | GRU | RNN
SteppedLayer = LSTM | GRU | RNN | Conv1D


def is_standard(layer: Recurrent) -> bool:
    """Return whether ONNX's own node computes a layer in every runtime."""
    if layer.gate_clip is not None:
        return False
    if isinstance(layer, RNN):
        return layer.activation == "tanh"
    usual = (layer.gate_activation, layer.candidate_activation) == ("sigmoid", "tanh")
    if isinstance(layer, GRU):
        return usual
    special = layer.projection_size or layer.coupled or layer.layer_norm or layer.cell_clip
    return usual and layer.cell_activation == "tanh" and not special


def kept_states(layer: SteppedLayer) -> dict[str, int]:
    """Return names and widths of the states that a graph keeps; a ring begins at its oldest row."""
    return {name: width for name, width in layer.state.items() if name != "place"}


def parameter_names(layer: SteppedLayer) -> list[str]:
    """Return the parameters of one step, in the order of the function's inputs."""
    return [name for name in layer.parameters() if not name.startswith("initial_")]


def make_function(layer: SteppedLayer, name: str) -> Any:
    """Return the FunctionProto of one step: x, state and weights in; the new state out.

    Of a convolution its output comes first, and then the new state.
    """
    from onnx import helper

    w = Writer()
    state, names = list(kept_states(layer)), parameter_names(layer)
    outputs = [f"{part}_next" for part in state]
    if isinstance(layer, Conv1D):
        outputs.insert(0, "y")
        found = [*write_step(w, layer, "x", "ring", "weight", "bias")]
    elif isinstance(layer, LSTM):
        found = _lstm(w, layer)
    elif isinstance(layer, GRU):
        found = _gru(w, layer)
    else:
        found = _rnn(w, layer)
    for source, output in zip(found, outputs, strict=True):
        w.nodes.append(helper.make_node("Identity", [source], [output]))
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_function(
        DOMAIN, name, ["x", *state, *names], outputs, w.nodes, opset, ["specification"]
    )


def specification(layer: SteppedLayer) -> str:
    """Return the value of the attribute that holds the specification of a layer."""
    return json.dumps(layer.to_dict())


def _products(w: Writer) -> tuple[str, str]:
    return (
        w.node("Gemm", "x", "weight_ih", transB=1),
        w.node("Gemm", "h", "weight_hh", transB=1),
    )


def _lstm(w: Writer, layer: LSTM) -> list[str]:
    count = len(layer.gates)
    gates = w.split(w.node("Add", *_products(w)), count, 1)
    if layer.layer_norm:
        gains = w.split("norm_weight", count, 0)
        gates = [
            w.node("LayerNormalization", gate, gain, axis=-1, epsilon=1e-5)
            for gate, gain in zip(gates, gains, strict=True)
        ]
    biases = w.split("bias", count, 0)
    gates = [w.node("Add", gate, bias) for gate, bias in zip(gates, biases, strict=True)]
    peepholes = w.split("peephole", count - 1, 0) if layer.peephole else []

    def activated(n: int, cell: str) -> str:
        gate = gates[n]
        if peepholes:
            peephole = peepholes[-1 if n == count - 1 else n]
            gate = w.node("Add", gate, w.node("Mul", peephole, cell))
        return w.activate(layer.gate_activation, w.clip(gate, layer.gate_clip))

    i = activated(0, "c")
    f = w.node("Sub", w.constant(1), i) if layer.coupled else activated(1, "c")
    g = w.activate(layer.candidate_activation, w.clip(gates[-2], layer.gate_clip))
    c = w.node("Add", w.node("Mul", f, "c"), w.node("Mul", i, g))
    c = w.clip(c, layer.cell_clip)
    shown = w.activate(layer.cell_activation, c)
    h = w.node("Mul", activated(count - 1, c), shown)
    if layer.projection_size is not None:
        h = w.clip(w.node("Gemm", h, "weight_hr", transB=1), layer.projection_clip)
    return [h, c]


def _gru(w: Writer, layer: GRU) -> list[str]:
    from_x, from_h = _products(w)
    from_x = w.node("Add", from_x, "bias_ih")
    a = w.split(from_x, 3, 1)
    b = w.split(w.node("Add", from_h, "bias_hh"), 3, 1)
    r, z = (
        w.activate(layer.gate_activation, w.clip(w.node("Add", a[n], b[n]), layer.gate_clip))
        for n in (0, 1)
    )
    if layer.reset_after:
        past = w.node("Mul", r, b[2])
    else:
        weight, bias = w.split("weight_hh", 3, 0)[2], w.split("bias_hh", 3, 0)[2]
        past = w.node("Add", w.node("Gemm", w.node("Mul", r, "h"), weight, transB=1), bias)
    n = w.node("Add", a[2], past)
    n = w.activate(layer.candidate_activation, w.clip(n, layer.gate_clip))
    carried = w.node("Mul", z, "h")
    return [w.node("Add", w.node("Mul", w.node("Sub", w.constant(1), z), n), carried)]


def _rnn(w: Writer, layer: RNN) -> list[str]:
    a = w.node("Add", w.node("Add", *_products(w)), "bias")
    return [w.activate(layer.activation, w.clip(a, layer.gate_clip))]


@dataclass(frozen=True)
class LayerFunctionCall:
    """A call of such a function.

    Attributes
    ----------
    layer : layer specification
    """

    layer: SteppedLayer

    @property
    def states(self) -> int:
        """Number of inputs, after x, that are state."""
        return len(kept_states(self.layer))

    def outputs(
        self, node: Node, initial: Mapping[str, Sequence[float]], x: Value, *weights: Value
    ) -> list[Value]:
        """Return the values of the new state, of which the first is the layer's output.

        Parameters
        ----------
        node : Node
        initial : mapping of str to list of float
            Initial states, by the names of the graph's inputs.
        x : SymbolicTensor
        *weights : array
        """
        names = parameter_names(self.layer)
        if len(weights) != len(names):
            raise ConvertError(f"{node}: expected {len(names)} weights, got {len(weights)}.")
        arrays = {
            name: node.constant(value).astype(np.float64)
            for name, value in zip(names, weights, strict=True)
        }
        if isinstance(self.layer, Recurrent) and self.layer.initial_state:
            for part, name in zip(self.layer.state, node.inputs[1:], strict=False):
                vector = initial.get(name, np.zeros(self.layer.state[part]))
                arrays[f"initial_{part}"] = np.asarray(vector, np.float64)
        if not isinstance(x, SymbolicTensor) or not x.is_features(-1):
            raise ConvertError(f"{node}: expected the features on the last axis.")
        step = LayerOp(self.layer, arrays, str(node))
        found = x.with_features(len(x.axes) - 1, self.layer.output_size, step)
        other = Unsupported(ConvertError(f"{node}: its state is no output of a layer here."), True)
        hidden = isinstance(self.layer, Recurrent)
        return [replace(found, recurrent=True, state=hidden), other][: self.states + (not hidden)]


def read_function(node: Node) -> LayerFunctionCall | None:
    """Return the call of a function that to_onnx wrote; None if a node is no such call."""
    text = node.attribute("specification") if node.domain == DOMAIN else None
    if text is None:
        return None
    try:
        layer = Layer.from_dict(json.loads(text))
    except (ValueError, TypeError, AttributeError, ModelError) as error:
        raise ConvertError(f"{node}: its specification cannot be read: {error}.") from None
    if not isinstance(layer, SteppedLayer):
        raise ConvertError(f"{node}: expected a layer with a state, got {layer.kind}.")
    return LayerFunctionCall(layer)


def standard_inputs(layer: Recurrent, weights: dict[str, Any]) -> Sequence[Any]:
    """Return the inputs W, R, B and P (None without peepholes) of ONNX's own node."""
    from ..common.gate_order import reorder

    ours, theirs = {"lstm": ("ifgo", "iofg"), "gru": ("rzn", "zrn"), "rnn": ("i", "i")}[layer.kind]
    W, R = (reorder(weights[name], ours, theirs)[None] for name in ("weight_ih", "weight_hh"))
    if isinstance(layer, GRU):
        biases = [weights["bias_ih"], weights["bias_hh"]]
    else:
        biases = [weights["bias"], np.zeros_like(weights["bias"])]
    B = np.concatenate([reorder(bias, ours, theirs) for bias in biases])[None]
    peephole = weights.get("peephole")
    return W, R, B, None if peephole is None else reorder(peephole, "ifo", "iof")[None]
