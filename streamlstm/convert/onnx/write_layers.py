"""Layers of a model as nodes of a graph of one step."""

from functools import reduce
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import GRU, LSTM, RNN, Conv1D, Dense, Layer, LayerNorm, Parallel, Pointwise
from ...network.layers.parallel import own_part
from ...network.model import Model
from .local_functions import (
    DOMAIN,
    SteppedLayer,
    is_standard,
    kept_states,
    make_function,
    parameter_names,
    specification,
    standard_inputs,
)
from .write_convolution import write_step
from .writer import Writer


class LayerGraph:
    """Writes the layers of a model.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.writer = Writer()
        self.weights: list[Any] = []
        self.functions: list[Any] = []
        self.states: list[tuple[str, int]] = []
        self.parts: dict[str, Any] = {}  # weights of parts of layers, by their names

    def _output(self, source: str, name: str) -> None:
        from onnx import helper

        self.writer.nodes.append(helper.make_node("Identity", [source], [name], name))

    def _arrays(self, n: int | str) -> Any:
        """Return the weights of a layer, or of a part of one."""
        return self.parts[n] if isinstance(n, str) else self.model.weights[n]

    def _weight(self, n: int | str, name: str, array: Any) -> str:
        from onnx import numpy_helper

        self.weights.append(
            numpy_helper.from_array(np.ascontiguousarray(array, np.float32), f"layer{n}.{name}")
        )
        return f"layer{n}.{name}"

    def _layer(self, n: int | str, layer: Layer, x: str) -> str:
        w = self.writer
        if isinstance(layer, LSTM | GRU | RNN):
            self.states += [(f"layer{n}.{part}", width) for part, width in layer.state.items()]
            standard = is_standard(layer)
            return self._standard(n, layer, x) if standard else self._function(n, layer, x)
        if isinstance(layer, Parallel):
            return self._branches(n, layer, x)
        if isinstance(layer, Conv1D) and layer.state:
            self.states += [(f"layer{n}.ring", layer.state["ring"])]
            return self._function(n, layer, x)
        if not isinstance(layer, Dense | Pointwise | LayerNorm | Conv1D):
            raise ConvertError(f"layer {n} ({layer.kind}) has no form in ONNX yet.")
        weight, bias = (self._weight(n, k, self._arrays(n)[k]) for k in ("weight", "bias"))
        if isinstance(layer, Conv1D):
            return write_step(w, layer, x, "", weight, bias)[0]
        if isinstance(layer, LayerNorm):
            return w.node(
                "LayerNormalization", x, weight, bias, axis=-1, epsilon=float(layer.epsilon)
            )
        if isinstance(layer, Dense):
            y = self._dense(x, weight, bias)
        else:
            y = w.node("Add", w.node("Mul", x, weight), bias)
        return w.activate(layer.activation, y)

    def _branches(self, n: int | str, layer: Parallel, x: str) -> str:
        w, parts = self.writer, []
        for b, branch in enumerate(layer.branches):
            y = x
            for i, inner in enumerate(branch):
                key = f"{n}.{b}.{i}"
                self.parts[key] = own_part(f"{b}.{i}.", self._arrays(n))
                y = self._layer(key, inner, y)
            parts.append(y)
        if layer.merge == "concatenate":
            return w.node("Concat", *parts, axis=-1)
        op = "Add" if layer.merge == "add" else "Mul"
        return reduce(lambda given, y: w.node(op, given, y), parts)

    def _dense(self, x: str, weight: str, bias: str) -> str:
        return self.writer.node("Gemm", x, weight, bias, transB=1)

    def _standard(self, n: int | str, layer: LSTM | GRU | RNN, x: str) -> str:
        """Write ONNX's own node over a sequence of one step."""
        w, zero = self.writer, self.writer.indices(0)
        W, R, B, P = self._standard_weights(n, layer)
        states = [w.node("Unsqueeze", f"layer{n}.{part}", zero) for part in layer.state]
        inputs = [w.node("Unsqueeze", x, zero), W, R, B, "", *states, *([P] if P else [])]
        options = self._standard_options(layer)
        _, *finals = w.nodes_out(layer.kind.upper(), inputs, 1 + len(states), **options)
        news = [w.node("Squeeze", final, zero) for final in finals]
        for part, new in zip(layer.state, news, strict=True):
            self._output(new, f"layer{n}.{part}.next")
        return news[0]

    def _standard_weights(self, n: int | str, layer: LSTM | GRU | RNN) -> list[str]:
        """Return the names of the inputs W, R, B and P of ONNX's own node, "" for none."""
        arrays = standard_inputs(layer, self._arrays(n))
        return [
            "" if array is None else self._weight(n, name, array)
            for name, array in zip("WRBP", arrays, strict=True)
        ]

    def _standard_options(self, layer: LSTM | GRU | RNN) -> dict[str, int]:
        options = {"hidden_size": layer.hidden_size}
        if isinstance(layer, GRU):
            options["linear_before_reset"] = int(layer.reset_after)
        return options

    def _function(self, n: int | str, layer: SteppedLayer, x: str) -> str:
        """Write a call of the layer's own function."""
        states = [f"layer{n}.{part}" for part in kept_states(layer)]
        news = self._call(n, layer, x, states, self._define(n, layer))
        for state, new in zip(states, news[-len(states) :], strict=True):
            self._output(new, f"{state}.next")
        return news[0]

    def _define(self, n: int | str, layer: SteppedLayer) -> list[str]:
        """Define a layer's own function; return the names of its weights."""
        self.functions.append(make_function(layer, f"{layer.kind}_{n}"))
        arrays = self._arrays(n)
        return [self._weight(n, key, arrays[key]) for key in parameter_names(layer)]

    def _call(
        self, n: int | str, layer: SteppedLayer, x: str, states: list[str], weights: list[str]
    ) -> list[str]:
        """Write a call of that function; return the names of its outputs."""
        return self.writer.nodes_out(
            f"{layer.kind}_{n}",
            [x, *states, *weights],
            len(states) + isinstance(layer, Conv1D),
            domain=DOMAIN,
            specification=specification(layer),
        )
