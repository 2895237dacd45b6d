"""The graph of a window model whose layers look at several of its rows."""

from collections.abc import Callable
from functools import reduce
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
    Parallel,
    Pool,
    Repeat,
    Reverse,
    SoftmaxOverRows,
    Transpose,
)
from ...network.layers.parallel import own_part
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
        rows = rows_through(model.layers, self._rows)
        self._each: dict[int | str, int] = dict(enumerate(rows))  # rows that go into a layer

    def _layer(self, n: int | str, layer: Layer, x: str) -> str:
        self._rows_here = self._each[n]
        writer = _WRITERS.get(type(layer))
        x = super()._layer(n, layer, x) if writer is None else writer(self, n, layer, x)
        if n != len(self.model.layers) - 1:
            return x
        last = self.writer.indices(self._each[n + 1] - 1)
        return self.writer.node("Squeeze", self._take(x, last), self.writer.indices(0))

    def _take(self, x: str, rows: str) -> str:
        return self.writer.node("Gather", x, rows, axis=0)

    def _reversed(self, x: str, rows: int) -> str:
        return self._take(x, self.writer.indices(*range(rows - 1, -1, -1)))

    def _convolve(self, n: int | str, layer: Conv1D, x: str) -> str:
        w, weights = self.writer, self._arrays(n)
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

    def _pool(self, _: int | str, layer: Pool, x: str) -> str:
        w = self.writer
        if layer.size is None:
            if layer.function == "sum":
                return w.node("ReduceSum", x, w.indices(0), keepdims=1)
            op = "ReduceMean" if layer.function == "mean" else "ReduceMax"
            return w.node(op, x, axes=[0], keepdims=1)
        options: dict[str, Any] = {"kernel_shape": [layer.size], "strides": [layer.step]}
        pads, mean = [layer.pad_left, layer.pad_right], layer.function != "max"
        channels = w.node("Transpose", x, perm=_TO_CHANNELS)
        if layer.function == "mean" and not layer.count_padding:
            options |= {"pads": pads, "count_include_pad": 0}
        elif any(pads):
            value = w.constant(0 if mean else -np.inf)
            channels = w.node("Pad", channels, w.indices(0, 0, pads[0], 0, 0, pads[1]), value)
        y = w.node("AveragePool" if mean else "MaxPool", channels, **options)
        if layer.function == "sum":
            y = w.node("Mul", y, w.constant(layer.size))
        return w.node("Transpose", y, perm=_TO_ROWS)

    def _both_ways(self, n: int | str, layer: Bidirectional, x: str) -> str:
        w, cell, rows = self.writer, layer.layer, self._each[n]
        assert isinstance(cell, LSTM | GRU | RNN)
        found = []
        for way, given in (("forward", x), ("backward", self._reversed(x, rows))):
            key = f"{n}_{way}"
            own = self._arrays(n).items()
            self._each[key] = rows
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

    def _flatten(self, _: int | str, layer: Flatten, x: str) -> str:
        w = self.writer
        ordered = w.node("Transpose", x, perm=_TO_CHANNELS if layer.by_feature else [1, 0, 2])
        return w.node("Reshape", ordered, w.indices(1, -1, layer.output_size))

    def _final(self, n: int | str, _: Last, x: str) -> str:
        return self._take(x, self.writer.indices(self._each[n] - 1))

    def _repeat(self, n: int | str, layer: Repeat, x: str) -> str:
        return self._take(x, self.writer.indices(*[self._each[n] - 1] * layer.rows))

    def _reverse(self, n: int | str, _: Reverse, x: str) -> str:
        return self._reversed(x, self._each[n])

    def _softmax(self, _n: int | str, _layer: SoftmaxOverRows, x: str) -> str:
        return self.writer.node("Softmax", x, axis=0)

    def _transpose(self, _n: int | str, _layer: Transpose, x: str) -> str:
        return self.writer.node("Transpose", x, perm=[2, 1, 0])

    def _attend(self, n: int | str, layer: Attention, x: str) -> str:
        w, rows = self.writer, self._each[n]
        query = keys = values = x
        if layer.key_size is not None:
            widths = w.indices(layer.queries, layer.queries, layer.values)
            query, keys, values = w.nodes_out("Split", [x, widths], 3, axis=-1)
        if layer.query == "last":
            query = self._take(query, w.indices(rows - 1))
        made = layer.rows_of(rows)
        q, k, v = (
            self._heads(part, layer.heads, count)
            for part, count in ((query, made), (keys, rows), (values, rows))
        )
        scores = w.node("MatMul", q, w.node("Transpose", k, perm=[0, 1, 3, 2]))
        scores = w.node("Mul", scores, w.constant(layer.scale))
        if layer.causal:
            later = np.arange(rows) > np.arange(rows - made, rows)[:, None]
            scores = w.node("Add", scores, w.constant(np.where(later, -np.inf, 0)))
        found = w.node("MatMul", w.node("Softmax", scores, axis=-1), v)
        found = w.node("Transpose", found, perm=[2, 0, 1, 3])
        found = w.node("Reshape", found, w.indices(made, -1, layer.values))
        return w.node("Concat", found, query, axis=-1) if layer.join else found

    def _heads(self, x: str, heads: int, rows: int) -> str:
        """Split [rows, batch, N] into [batch, heads, rows, N / heads]."""
        w, shape = self.writer, self.writer.node("Shape", x)
        batch = w.node("Gather", shape, w.indices(1), axis=0)
        sizes = w.node("Concat", w.indices(rows), batch, w.indices(heads, -1), axis=0)
        return w.node("Transpose", w.node("Reshape", x, sizes), perm=[1, 2, 0, 3])

    def _branches(self, n: int | str, layer: Parallel, x: str) -> str:
        w, parts, lengths = self.writer, [], []
        for b, branch in enumerate(layer.branches):
            y, rows = x, self._each[n]
            for i, inner in enumerate(branch):
                key = f"{n}.{b}.{i}"
                self.parts[key] = own_part(f"{b}.{i}.", self._arrays(n))
                self._each[key] = rows
                y, rows = self._layer(key, inner, y), inner.rows_of(rows)
            parts.append(y)
            lengths.append(rows)
        if layer.merge == "concatenate":
            each = w.indices(*[0] * max(lengths))
            whole = (
                y if rows == max(lengths) else self._take(y, each)
                for y, rows in zip(parts, lengths, strict=True)
            )
            return w.node("Concat", *whole, axis=-1)
        op = "Add" if layer.merge == "add" else "Mul"
        return reduce(lambda given, y: w.node(op, given, y), parts)


_WRITERS: dict[type[Layer], Callable[[RowsGraph, int | str, Any, str], str]] = {
    Conv1D: RowsGraph._convolve,
    Pool: RowsGraph._pool,
    Bidirectional: RowsGraph._both_ways,
    Flatten: RowsGraph._flatten,
    Last: RowsGraph._final,
    Repeat: RowsGraph._repeat,
    Reverse: RowsGraph._reverse,
    Attention: RowsGraph._attend,
    SoftmaxOverRows: RowsGraph._softmax,
    Transpose: RowsGraph._transpose,
    Parallel: RowsGraph._branches,
}
