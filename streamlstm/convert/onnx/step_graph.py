"""The graph of one step of a model, with the state of the streams as inputs and outputs."""

import json
from typing import Any

import numpy as np

from ...network.layers import Embedding
from ...network.model import Model
from ...network.scaling import Scaling
from .counters import WIDE, add_changes, counter_states
from .file import METADATA_KEY
from .linear_part import add_linear_part, lag_states
from .local_functions import DOMAIN
from .write_layers import LayerGraph
from .writer import OPSET

IR_VERSION = 8  # what belongs to opset 17; older runtimes refuse newer ones


class StepGraph(LayerGraph):
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
        super().__init__(model)
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


def _is_identity(scaling: Scaling) -> bool:
    return bool((scaling.mean == 0).all() and (scaling.scale == 1).all())
