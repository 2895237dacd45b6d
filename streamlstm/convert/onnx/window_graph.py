"""The graph of a window model: one window in, the prediction for its last row out."""

from typing import Any

import numpy as np

from ...network.layers import GRU, LSTM, RNN, Layer
from ...network.model import Model
from .local_functions import is_standard
from .step_graph import StepGraph


class WindowGraph(StepGraph):
    """Writes the graph of a window model; layers up to the last recurrent one get [T, batch, K]."""

    name, source = "window", "window"

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._last = max((n for n, layer in enumerate(model.layers) if layer.state), default=-1)
        self._rows = model.window or 1
        self._rows_here = self._rows  # that go into a layer

    def source_shape(self) -> list[Any]:
        """Return the shape of the input with the observations."""
        return ["batch", self._rows, self.model.input_size]

    def _metadata(self) -> dict[str, Any]:
        window = {"window": self.model.window, "start": self.model.start}
        return super()._metadata() | window | {"initial": {}}

    def _start(self) -> None:
        self.observation = self.writer.node("Transpose", self.observation, perm=[1, 0, 2])

    def _skipped(self, x: str) -> str:
        if self.model.skip is not None:
            last = self.writer.constant(self._rows - 1, np.int64)
            self.observation = self.writer.node("Gather", self.observation, last, axis=0)
        return super()._skipped(x)

    def _dense(self, x: str, weight: str, bias: str) -> str:
        w = self.writer
        return w.node("Add", w.node("MatMul", x, w.node("Transpose", weight, perm=[1, 0])), bias)

    def _layer(self, n: int | str, layer: Layer, x: str) -> str:
        if not isinstance(layer, LSTM | GRU | RNN):
            return super()._layer(n, layer, x)
        return (self._over_time if is_standard(layer) else self._unrolled)(n, layer, x)

    def _over_time(self, n: int | str, layer: LSTM | GRU | RNN, x: str) -> str:
        """Write ONNX's own node over all rows."""
        w = self.writer
        W, R, B, P = self._standard_weights(n, layer)
        weights = self._arrays(n)
        trained = any(f"initial_{part}" in weights for part in layer.state)
        zero = w.indices(0)
        states = [
            w.node("Unsqueeze", self._initial(n, part, width), zero) if trained else ""
            for part, width in layer.state.items()
        ]
        inputs = [x, W, R, B, "", *states, *([P] if P else [])]
        while inputs[-1] == "":
            inputs.pop()
        every, last = w.nodes_out(layer.kind.upper(), inputs, 2, **self._standard_options(layer))
        return w.node("Squeeze", *((last, zero) if n == self._last else (every, w.indices(1))))

    def _unrolled(self, n: int | str, layer: LSTM | GRU | RNN, x: str) -> str:
        """Write a call of the layer's own function for each row."""
        w, weights = self.writer, self._define(n, layer)
        states = [self._initial(n, part, width) for part, width in layer.state.items()]
        hidden, zero = [], w.indices(0)
        for row in w.split(x, self._rows_here, axis=0):
            states = self._call(n, layer, w.node("Squeeze", row, zero), states, weights)
            hidden.append(states[0])
        if n == self._last:
            return hidden[-1]
        return w.node("Concat", *(w.node("Unsqueeze", h, zero) for h in hidden), axis=0)

    def _initial(self, n: int | str, part: str, width: int) -> str:
        """Write an initial state for every window, [batch, width]."""
        w = self.writer
        value = self._arrays(n).get(f"initial_{part}", np.zeros(width))
        batch = w.node("Gather", w.node("Shape", self.source), w.indices(0), axis=0)
        return w.node(
            "Expand", w.constant(value), w.node("Concat", batch, w.indices(width), axis=0)
        )
