"""The graph of a window model whose layers look at several of its rows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...network.layers import (
    GRU,
    LSTM,
    RNN,
    Attention,
    Bidirectional,
    Conv1D,
    Flatten,
    Last,
    Layer,
    Pool,
    Repeat,
    Reverse,
)
from ...network.model import Model
from ...network.window import rows_through
from .window_graph import WindowGraph

# A window is [rows, batch, N] from layer to layer; nodes over rows take [batch, N, rows].
_TO_CHANNELS, _TO_ROWS = [1, 2, 0], [2, 0, 1]


class RowsGraph(WindowGraph):
    """Writes the graph of a window model; every layer takes and returns [rows, batch, N]."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._last = -1  # no recurrent layer gives its last row alone
        self._each = rows_through(model.layers, self._rows)

    def _layer(self, n: int | str, layer: Layer, x: str) -> str:
        if isinstance(n, str):  # one direction
            return super()._layer(n, layer, x)
        self._rows_here = self._each[n]
        writer = _WRITERS.get(type(layer))
        x = super()._layer(n, layer, x) if writer is None else writer(self, n, layer, x)
        if n < len(self.model.layers) - 1:
            return x
        last = self.writer.indices(self._each[-1] - 1)
        return self.writer.node("Squeeze", self._take(x, last), self.writer.indices(0))

    def _take(self, x: str, rows: str) -> str:
        return self.writer.node("Gather", x, rows, axis=0)

    def _reversed(self, x: str, rows: int) -> str:
        return self._take(x, self.writer.indices(*range(rows - 1, -1, -1)))

    def _convolve(self, n: int, layer: Conv1D, x: str) -> str:
        w, weights = self.writer, self.model.weights[n]
        kernel = self._weight(n, "weight", weights["weight"].transpose(0, 2, 1))
        y = w.node(
            "Conv",
            w.node("Transpose", x, perm=_TO_CHANNELS),
            kernel,
            self._weight(n, "bias", weights["bias"]),
            kernel_shape=[layer.kernel_size],
            strides=[layer.stride],
            dilations=[layer.dilation],
            pads=[layer.pad_left, layer.pad_right],
        )
        return w.activate(layer.activation, w.node("Transpose", y, perm=_TO_ROWS))

    def _pool(self, _: int, layer: Pool, x: str) -> str:
        w = self.writer
        if layer.size is None:
            op = "ReduceMean" if layer.function == "mean" else "ReduceMax"
            return w.node(op, x, axes=[0], keepdims=1)
        options: dict[str, Any] = {"kernel_shape": [layer.size], "strides": [layer.step]}
        pads, mean = [layer.pad_left, layer.pad_right], layer.function == "mean"
        channels = w.node("Transpose", x, perm=_TO_CHANNELS)
        if mean and not layer.count_padding:
            options |= {"pads": pads, "count_include_pad": 0}
        elif any(pads):
            value = w.constant(0 if mean else -np.inf)
            channels = w.node("Pad", channels, w.indices(0, 0, pads[0], 0, 0, pads[1]), value)
        y = w.node("AveragePool" if mean else "MaxPool", channels, **options)
        return w.node("Transpose", y, perm=_TO_ROWS)

    def _both_ways(self, n: int, layer: Bidirectional, x: str) -> str:
        w, cell, rows = self.writer, layer.layer, self._each[n]
        assert isinstance(cell, LSTM | GRU | RNN)
        found = []
        for way, given in (("forward", x), ("backward", self._reversed(x, rows))):
            key = f"{n}_{way}"
            own = self.model.weights[n].items()
            self.parts[key] = {
                name.removeprefix(f"{way}_"): a for name, a in own if name.startswith(f"{way}_")
            }
            found.append(super()._layer(key, cell, given))
        forward, backward = found
        if layer.sequence:
            backward = self._reversed(backward, rows)
        else:
            last = w.indices(rows - 1)
            forward, backward = self._take(forward, last), self._take(backward, last)
        if layer.merge == "concat":
            return w.node("Concat", forward, backward, axis=-1)
        return w.node({"sum": "Sum", "mul": "Mul", "ave": "Mean"}[layer.merge], forward, backward)

    def _flatten(self, _: int, layer: Flatten, x: str) -> str:
        w = self.writer
        ordered = w.node("Transpose", x, perm=_TO_CHANNELS if layer.by_feature else [1, 0, 2])
        return w.node("Reshape", ordered, w.indices(1, -1, layer.output_size))

    def _final(self, n: int, _: Last, x: str) -> str:
        return self._take(x, self.writer.indices(self._each[n] - 1))

    def _repeat(self, n: int, layer: Repeat, x: str) -> str:
        return self._take(x, self.writer.indices(*[self._each[n] - 1] * layer.rows))

    def _reverse(self, n: int, _: Reverse, x: str) -> str:
        return self._reversed(x, self._each[n])

    def _attend(self, n: int, layer: Attention, x: str) -> str:
        w = self.writer
        query = self._final(n, Last(layer.input_size), x) if layer.query == "last" else x
        keys = w.node("Transpose", x, perm=_TO_CHANNELS)
        queries = w.node("Transpose", query, perm=[1, 0, 2])
        scores = w.node("Mul", w.node("MatMul", queries, keys), w.constant(layer.scale))
        shares = w.node("Softmax", scores, axis=-1)
        found = w.node("MatMul", shares, w.node("Transpose", x, perm=[1, 0, 2]))
        found = w.node("Transpose", found, perm=[1, 0, 2])
        return w.node("Concat", found, query, axis=-1) if layer.join else found


_WRITERS: dict[type[Layer], Callable[[RowsGraph, int, Any, str], str]] = {
    Conv1D: RowsGraph._convolve,
    Pool: RowsGraph._pool,
    Bidirectional: RowsGraph._both_ways,
    Flatten: RowsGraph._flatten,
    Last: RowsGraph._final,
    Repeat: RowsGraph._repeat,
    Reverse: RowsGraph._reverse,
    Attention: RowsGraph._attend,
}
