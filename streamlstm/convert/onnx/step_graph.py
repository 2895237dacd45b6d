"""The graph of one step of a model, with the state of the streams as inputs and outputs."""

import json
from functools import reduce
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import (
    GRU,
    LSTM,
    RNN,
    Conv1D,
    Dense,
    Embedding,
    Layer,
    LayerNorm,
    Parallel,
    Pointwise,
)
from ...network.layers.parallel import own_part
from ...network.model import Model
from ...network.scaling import Scaling
from .counters import WIDE, add_changes, counter_states
from .file import METADATA_KEY
from .linear_part import add_linear_part, lag_states
from .local_functions import (
    DOMAIN,
    is_standard,
    make_function,
    parameter_names,
    specification,
    standard_inputs,
)
from .write_convolution import write_step
from .writer import OPSET, Writer

IR_VERSION = 8  # what belongs to opset 17; older runtimes refuse newer ones


class StepGraph:
    """Writes the graph of a model.

    Parameters
    ----------
    model : Model

    Attributes
    ----------
    source : str
        Name of the input with the observations.
    """

    name, source = "step", "observation"

    def __init__(self, model: Model) -> None:
        self.model = model
        self.writer = Writer()
        self.weights: list[Any] = []
        self.functions: list[Any] = []
        self.states: list[tuple[str, int]] = []
        self.parts: dict[str, Any] = {}  # weights of parts of layers, by their names
        self.observation = self.source  # without offsets, counters as their changes
        self.levels: str | None = None  # what is added to outputs that forecast counters

    def proto(self) -> Any:
        """Return the ModelProto."""
        from onnx import TensorProto, helper

        self._write()
        float_, model = TensorProto.FLOAT, self.model
        states = [(name, ["batch", width]) for name, width in self.states]
        inputs = [(self.source, self.source_shape()), *states]
        outputs = [("prediction", ["batch", model.output_size])]
        outputs += [(f"{name}.next", shape) for name, shape in states]
        wide = {
            name
            for name, offsets in (
                (self.source, model.input_offsets),
                ("prediction", model.output_offsets),
            )
            if offsets is not None
        }.union(WIDE)

        def described(parts: list[tuple[str, list[Any]]]) -> list[Any]:
            kinds = [TensorProto.DOUBLE if name in wide else float_ for name, _ in parts]
            return [
                helper.make_tensor_value_info(name, kind, shape)
                for (name, shape), kind in zip(parts, kinds, strict=True)
            ]

        graph = helper.make_graph(
            self.writer.nodes,
            self.name,
            described(inputs),
            described(outputs),
            self.weights,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        if self.functions:
            opsets.append(helper.make_opsetid(DOMAIN, 1))
        proto = helper.make_model(
            graph, opset_imports=opsets, functions=self.functions, producer_name="streamlstm"
        )
        proto.ir_version = IR_VERSION
        helper.set_model_props(proto, {METADATA_KEY: json.dumps(self._metadata())})
        return proto

    def source_shape(self) -> list[Any]:
        """Return the shape of the input with the observations."""
        return ["batch", self.model.input_size]

    def _metadata(self) -> dict[str, Any]:
        model = self.model
        initial = {
            f"layer{n}.{part}": model.weights[n][layer.initial_of(part)].tolist()
            for n, layer in enumerate(model.layers)
            for part in layer.state
            if layer.initial_of(part) in model.weights[n]
        }
        return {
            "inputs": model.inputs,
            "outputs": model.outputs,
            "horizon": model.specification()["horizon"],
            "metadata": model.metadata,
            "initial": initial,
        }

    def _write(self) -> None:
        from onnx import TensorProto

        w, model = self.writer, self.model
        if model.differences:
            self._difference()
        if model.input_offsets is not None:
            moved = w.node("Sub", self.observation, w.constant(model.input_offsets, np.float64))
            self.observation = w.node("Cast", moved, to=TensorProto.FLOAT)
        self._start()
        x = self.observation
        x = self._embed() if model.categories else self._scaled(x, model.input_scaling)
        for n, layer in enumerate(model.layers):
            if not isinstance(layer, Embedding):
                x = self._layer(n, layer, x)
        if model.lags:
            self.states += lag_states(model)
            parts = add_linear_part(w, model, self.observation, x)
            x = parts.pop("outputs")
            for state, new in parts.items():
                self._output(new, f"{state}.next")
        out = model.output_scaling
        if not _is_identity(out):
            x = w.affine(x, out.scale, out.mean)
        y = self._skipped(x)
        if model.output_offsets is not None:
            wide = w.node("Cast", y, to=TensorProto.DOUBLE)
            y = w.node("Add", wide, w.constant(model.output_offsets, np.float64))
        if self.levels is not None:
            y = w.node("Add", y, self.levels)
        self._output(y, "prediction")

    def _difference(self) -> None:
        """Write the changes of counters, and the levels of the outputs that forecast them."""
        self.states += counter_states(self.model)
        parts = add_changes(self.writer, self.model, self.source)
        self.observation = parts.pop("observation")
        levels = parts.pop("levels")
        self.levels = levels if self.model.has_levels else None
        for state, new in parts.items():
            self._output(new, f"{state}.next")

    def _start(self) -> None:
        """Write what comes before scaling."""

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

    def _scaled(self, x: str, scaling: Scaling) -> str:
        if _is_identity(scaling):
            return x
        w = self.writer
        return w.node("Div", w.node("Sub", x, w.constant(scaling.mean)), w.constant(scaling.scale))

    def _embed(self) -> str:
        """Write the embedding: the category apart from the numeric features."""
        w, model = self.writer, self.model
        from onnx import TensorProto

        category = w.node("Gather", self.observation, w.constant(0, np.int64), axis=-1)
        category = w.node("Cast", category, to=TensorProto.INT64)
        table = self._weight(0, "weight", model.weights[0]["weight"])
        vector = w.node("Gather", table, category, axis=0)
        F = model.input_size
        if F == 1:
            return vector
        rest = w.node("Slice", self.observation, w.indices(1), w.indices(F), w.indices(-1))
        scaling = Scaling(model.input_scaling.mean[1:], model.input_scaling.scale[1:])
        return w.node("Concat", vector, self._scaled(rest, scaling), axis=-1)

    def _skipped(self, x: str) -> str:
        skip, w = self.model.skip, self.writer
        if skip is None:
            return x
        added = w.node("Gather", self.observation, w.indices(*(max(s, 0) for s in skip)), axis=1)
        factors = self.model.skip_factors * (np.array(skip) >= 0)
        if (factors != 1).any():
            added = w.node("Mul", added, w.constant(factors))
        return w.node("Add", x, added)

    def _layer(self, n: int | str, layer: Layer, x: str) -> str:
        w = self.writer
        if isinstance(layer, LSTM | GRU | RNN):
            self.states += [(f"layer{n}.{part}", width) for part, width in layer.state.items()]
            standard = is_standard(layer)
            return self._standard(n, layer, x) if standard else self._function(n, layer, x)
        if isinstance(layer, Parallel):
            return self._branches(n, layer, x)
        if not isinstance(layer, Dense | Pointwise | LayerNorm | Conv1D):
            raise ConvertError(f"layer {n} ({layer.kind}) has no form in ONNX yet.")
        weight, bias = (self._weight(n, k, self._arrays(n)[k]) for k in ("weight", "bias"))
        if isinstance(layer, Conv1D):
            past = f"layer{n}.ring" if layer.state else ""
            y, left = write_step(w, layer, x, past, weight, bias)
            if past:
                self.states += [(past, layer.state["ring"])]
                self._output(left, f"{past}.next")
            return y
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

    def _function(self, n: int | str, layer: LSTM | GRU | RNN, x: str) -> str:
        """Write a call of the layer's own function."""
        states = [f"layer{n}.{part}" for part in layer.state]
        news = self._call(n, layer, x, states, self._define(n, layer))
        for state, new in zip(states, news, strict=True):
            self._output(new, f"{state}.next")
        return news[0]

    def _define(self, n: int | str, layer: LSTM | GRU | RNN) -> list[str]:
        """Define a layer's own function; return the names of its weights."""
        self.functions.append(make_function(layer, f"{layer.kind}_{n}"))
        arrays = self._arrays(n)
        return [self._weight(n, key, arrays[key]) for key in parameter_names(layer)]

    def _call(
        self, n: int | str, layer: LSTM | GRU | RNN, x: str, states: list[str], weights: list[str]
    ) -> list[str]:
        """Write a call of that function; return the names of the new states."""
        return self.writer.nodes_out(
            f"{layer.kind}_{n}",
            [x, *states, *weights],
            len(states),
            domain=DOMAIN,
            specification=specification(layer),
        )


def _is_identity(scaling: Scaling) -> bool:
    return bool((scaling.mean == 0).all() and (scaling.scale == 1).all())
