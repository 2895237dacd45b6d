"""Calls of the functions that to_onnx writes for a step of a layer, one for each row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....errors import ConvertError
from ...common.weights import Float64Array
from ...labels.sequences import whole_sequence
from ..local_functions import DOMAIN, LayerFunctionCall, Recurrent, kept_states, parameter_names
from ..node import Node
from .live import Following, Live, Value


class RowByRow:
    """The calls of a layer's function: those of all rows are one layer.

    Parameters
    ----------
    protos : sequence of onnx.NodeProto
        The nodes of the graph.
    """

    def __init__(self, protos: Sequence[Any]) -> None:
        self._left: dict[str, int] = {}
        for proto in protos:
            if proto.domain == DOMAIN:
                self._left[proto.op_type] = self._left.get(proto.op_type, 0) + 1
        self._inputs: dict[str, list[Live]] = {}
        self._made: dict[str, list[list[Live]]] = {}
        self._starts: dict[str, list[Value]] = {}

    def call(
        self, values: Following, node: Node, function: LayerFunctionCall, inputs: list[Value]
    ) -> list[Value]:
        """Return the states of a row; they have labels once the last row is known."""
        layer, kind = function.layer, node.op
        x, *rest = inputs
        states, weights = rest[: function.states], rest[function.states :]
        before = self._made.setdefault(kind, [])
        if not before:
            self._starts[kind] = states
            if any(isinstance(state, Live) for state in states):
                raise ConvertError(f"{node} goes on from a state that is no constant")
        elif any(given is not left for given, left in zip(states, before[-1], strict=True)):
            raise ConvertError(f"{node} goes on from another state than the one that was left")
        widths = kept_states(layer).values()
        lead = np.shape(x)[:-1]
        made = [Live((*lead, width)) for width in widths]
        before.append(made)
        self._inputs.setdefault(kind, []).append(x)
        if len(before) == self._left[kind]:
            arrays = self._arrays(node, function, weights)
            self._finish(values, node, function, arrays)
        return list(made)

    def _arrays(
        self, node: Node, function: LayerFunctionCall, weights: list[Value]
    ) -> dict[str, Float64Array]:
        names, layer = parameter_names(function.layer), function.layer
        if len(weights) != len(names):
            raise ConvertError(f"{node}: expected {len(names)} weights, got {len(weights)}.")
        arrays = {
            name: node.constant(value).astype(np.float64)
            for name, value in zip(names, weights, strict=True)
        }
        if isinstance(layer, Recurrent) and layer.initial_state:
            for part, start in zip(layer.state, self._starts[node.op], strict=True):
                rows = np.asarray(node.constant(start), np.float64).reshape(-1, layer.state[part])
                if (rows != rows[0]).any():
                    raise ConvertError(f"{node} starts from states that differ in a batch")
                arrays[f"initial_{part}"] = rows[0]
        return arrays

    def _finish(
        self,
        values: Following,
        node: Node,
        function: LayerFunctionCall,
        arrays: dict[str, Float64Array],
    ) -> None:
        """Give the states of all rows their labels."""
        rows = np.stack([values.whole(x) for x in self._inputs[node.op]])
        source, streams = whole_sequence(values, rows, str(node))
        signal = values.signals.over_rows(source, function.layer, str(node), arrays)
        problem = ConvertError(f"{node}: the cell state is no output of a layer here.")
        for row, (hidden, *others) in enumerate(self._made[node.op]):
            hidden.labels = values.signals.labels(signal, streams * len(rows) + row)
            hidden.numbers = np.zeros(hidden.shape)
            for other in others:
                other.problem = problem
