"""Nodes over the rows of a window: convolutions, pooling, reductions, recurrent layers, softmax."""

from typing import Any

import numpy as np

from ....errors import ConvertError
from ....network.layers import Bidirectional, Conv1D, Pool, Reverse
from ...common.weights import Float64Array
from ...labels.calls import linear
from ...labels.over_rows import are_rows, convolved, pooled, reduced, softmax_over_rows
from ...labels.scores import heads_over_rows, shares_by_head, softmax_by_head
from ...labels.sequences import whole_sequence
from ...labels.signal import CONSTANT, Labels
from ..node import Node
from ..over_rows import _pads as padding_of_node
from ..recurrent import layer_of_node
from .functions import computed, named, softmax
from .live import Following, Live, Value, live

_SINGLE = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max"}


def convolution(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """Conv over one axis; its weight is [O, F, k]."""
    x, weight = _one_axis(node, inputs[0], np.asarray(node.constant(inputs[1]), np.float64))
    bias = inputs[2] if len(inputs) > 2 else None
    groups = node.attribute("group", 1)
    O, part, k = weight.shape
    shift = np.zeros(O) if bias is None else np.asarray(node.constant(bias), np.float64)
    full = np.zeros((O, groups, part, k))
    for n in range(groups):
        rows = slice(n * O // groups, (n + 1) * O // groups)
        full[rows, n] = weight[rows]
    F = groups * part
    matrix = full.reshape(O, F, k)
    stride, dilation = (_last(node.attribute(key), 1) for key in ("strides", "dilations"))
    labels = values.labels(x)
    if labels.shape[1] != F:
        raise ConvertError(f"{node} takes {F} values, but {labels.shape[1]} come.")
    left, right = padding_of_node(node, labels.shape[2], (k - 1) * dilation + 1, stride)
    if k == stride == 1 and not left and not right and (labels >= 0).all():
        found = linear(values, str(node), np.moveaxis(labels, 1, -1), matrix[:, :, 0], shift)
        return [_as_before(np.moveaxis(found, -1, 1), inputs[0])]

    def make(first: int, last: int) -> Conv1D:
        return Conv1D(F, O, k, stride, dilation, left + first, right + last)

    arrays = {"weight": np.ascontiguousarray(matrix.transpose(0, 2, 1)), "bias": shift}
    found = convolved(values, labels, make, arrays, _beside(labels, x.numbers, 0.0))
    return [_as_before(found, inputs[0])]


def pooling(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """MaxPool and AveragePool over one axis."""
    x, _ = _one_axis(node, inputs[0], np.zeros((1, 1, 1)))
    size, stride = _last(node.attribute("kernel_shape"), 0), _last(node.attribute("strides"), 1)
    if node.attribute("ceil_mode", 0) or _last(node.attribute("dilations"), 1) != 1 or not size:
        raise ConvertError(f"{node}: it has ceil_mode or dilations, and pooling here has neither.")
    labels = values.labels(x)
    left, right = padding_of_node(node, labels.shape[2], size, stride)
    function = "max" if node.op == "MaxPool" else "mean"
    beside = _beside(labels, x.numbers, -np.inf if function == "max" else 0.0)
    if (
        function == "mean"
        and any(beside)
        and (left or right)
        and not node.attribute("count_include_pad", 0)
    ):
        raise ConvertError(f"{node} counts some rows of zeros in its means, and others not")
    counted = function == "mean" and (any(beside) or bool(node.attribute("count_include_pad", 0)))

    def make(width: int, first: int, last: int) -> Pool:
        pads = left + first, right + last
        return Pool(width, function, size, stride, *pads, counted and any(pads))

    return [_as_before(pooled(values, labels, make, beside), inputs[0])]


def global_pooling(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """GlobalAveragePool and GlobalMaxPool: over all axes from the third on."""
    kind = "ReduceMax" if node.op == "GlobalMaxPool" else "ReduceMean"
    return [_reduced(values, kind, inputs[0], list(range(2, len(inputs[0].shape))), True)]


def reduce(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """ReduceMean, ReduceSum, ReduceMax, ..."""
    x = inputs[0]
    chosen = node.axes(inputs[1] if len(inputs) > 1 else None)
    rank = len(x.shape)
    axes = sorted({n % rank for n in chosen} if chosen else range(rank))
    if not chosen and node.attribute("noop_with_empty_axes", 0):
        return [x]
    return [_reduced(values, node.op, x, axes, bool(node.attribute("keepdims", 1)))]


def _reduced(values: Following, kind: str, x: Value, axes: list[int], keep: bool) -> Live:
    shape = [1 if n in axes else size for n, size in enumerate(x.shape)]
    if not keep:
        shape = [size for n, size in enumerate(x.shape) if n not in axes]
    made = computed(lambda v: _REDUCTIONS[kind](v, tuple(axes), keep), (x,), shape)
    try:
        made.labels = _reduced_labels(values, kind, values.whole(x), axes, keep)
    except ConvertError as error:
        named(values, made)
        if x.labels is not None and made.labels is None:
            made.problem = error
    return made


def _reduced_labels(
    values: Following, kind: str, labels: Labels, axes: list[int], keep: bool
) -> Labels:
    for axis in axes[::-1]:
        labels = _along(values, kind, labels, axis)
    return (
        labels if keep else labels.reshape([n for a, n in enumerate(labels.shape) if a not in axes])
    )


def _along(values: Following, kind: str, labels: Labels, axis: int) -> Labels:
    """Return the labels of a reduction along one axis, which stays."""
    function, shape = _SINGLE.get(kind), labels.shape
    if shape[axis] == 1 and function:
        return labels
    ones = [n for n, size in enumerate(shape) if size == 1 and n != axis]
    if labels.ndim > 3 and ones:  # axes that hold nothing
        axis_left = axis - sum(n < axis for n in ones)
        found = _along(values, kind, labels.squeeze(tuple(ones)), axis_left)
        return found.reshape([1 if n == axis else size for n, size in enumerate(shape)])
    if kind == "ReduceSumSquare":
        raise ConvertError(f"{values.where} sums squares")
    if function is None:
        raise ConvertError(f"{values.where} is no mean, sum or maximum")
    if labels.ndim <= 3 and are_rows(values, labels, axis):
        return reduced(values, labels, axis, function, True)
    if function == "max":
        raise ConvertError(f"{values.where} takes a maximum of features")
    N = labels.shape[axis]
    row = np.full((1, N), 1 / N if function == "mean" else 1.0)
    last = linear(values, values.where, np.moveaxis(labels, axis, -1), row, None)
    return np.moveaxis(last, -1, axis)


def softmax_node(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """Softmax and LogSoftmax; up to opset 12 over all axes from ``axis`` on."""
    x = inputs[0]
    old = node.opset < 13
    axis = node.attribute("axis", 1 if old else -1) % len(x.shape)
    if old and any(size > 1 for size in x.shape[axis + 1 :]):
        raise ConvertError(f"{node} is over several axes at once")
    labels = values.whole(x)
    name = "softmax" if node.op == "Softmax" else "log_softmax"
    if name == "softmax" and labels.ndim == 2 and are_rows(values, labels, axis):
        return [live(softmax_over_rows(values, labels, axis))]
    moved = np.moveaxis(labels, axis, -1)
    if name == "softmax" and labels.ndim > 2 and heads_over_rows(values, moved):
        return [live(np.moveaxis(softmax_by_head(values, moved), -1, axis))]
    if name == "softmax" and moved.ndim > 2:
        shares = shares_by_head(values, moved)
        if shares is not None:
            return [live(np.moveaxis(shares, -1, axis))]
    return [live(np.moveaxis(softmax(values, name, moved), -1, axis))]


def recurrent(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """Return Y, Y_h and Y_c of LSTM, GRU and RNN."""
    x, *rest = inputs
    if any(isinstance(value, Live) for value in rest):
        raise ConvertError(
            f"{node} starts from what another part of the network gives: an initial state is a "
            "constant here"
        )
    batch_first = bool(node.attribute("layout", 0))
    labels = values.whole(x)
    rows = labels.swapaxes(0, 1) if batch_first else labels
    source, streams = whole_sequence(values, rows, str(node))
    (layer, arrays), backward = layer_of_node(node, rest)
    signals, name = values.signals, str(node)
    if backward is not None:
        both = {f"forward_{key}": a for key, a in arrays.items()}
        both |= {f"backward_{key}": a for key, a in backward[1].items()}
        made = [
            signals.over_rows(
                source, Bidirectional(layer.input_size, layer, sequence=s), name, both
            )
            for s in (True, False)
        ]
        H = layer.output_size
        every = signals.labels(made[0], streams * len(rows) + np.arange(len(rows))[:, None])
        last = signals.labels(made[1], streams)
        Y = np.stack([every[..., :H], every[..., H:]], axis=1)
        Y_h = np.stack([last[..., :H], last[..., H:]])
    else:
        turned = node.attribute("direction", "forward").lower() == "reverse"
        if turned:
            source = signals.over_rows(source, Reverse(source.width), name)
        signal = signals.over_rows(source, layer, name, arrays)
        Y_h = signals.labels(signal, streams * len(rows) + len(rows) - 1)[None]
        if turned:
            signal = signals.over_rows(signal, Reverse(signal.width), name)
        Y = signals.labels(signal, streams * len(rows) + np.arange(len(rows))[:, None])[:, None]
    if batch_first:
        Y, Y_h = Y.transpose(2, 0, 1, 3), Y_h.swapaxes(0, 1)
    problem = ConvertError(f"{node}: the cell state is no output of a layer here.")
    return [live(Y), live(Y_h), Live(Y_h.shape, None, problem=problem)][: len(node.outputs)]


def _one_axis(node: Node, x: Value, weight: Float64Array) -> tuple[Live, Float64Array]:
    """Return [batch, features, rows] of what may have a further axis of length 1."""
    if len(x.shape) == 3 and weight.ndim == 3:
        return x, weight
    if len(x.shape) == 4 and x.labels is not None:
        for axis in (2, 3):
            if x.shape[axis] == 1 and (weight.ndim == 3 or weight.shape[axis] == 1):
                one = live(x.labels.squeeze(axis), x.numbers.squeeze(axis))
                return one, weight.squeeze(axis) if weight.ndim == 4 else weight
    raise ConvertError(f"{node}: expected a convolution over one axis, the rows.")


def _as_before(labels: Labels, x: Live) -> Live:
    """Return labels with the axis of length 1 that the input had."""
    if len(x.shape) == 3:
        return live(labels)
    return live(np.expand_dims(labels, 2 if x.shape[2] == 1 else 3))


def _beside(labels: Labels, numbers: Float64Array, expected: float) -> tuple[int, int]:
    """Return how many rows of a constant there are before and behind labels[B, N, T]."""
    constant = (labels == CONSTANT).all(axis=(0, 1)) & (numbers == expected).all(axis=(0, 1))
    if constant.all():
        return 0, 0
    return int(np.argmin(constant)), int(np.argmin(constant[::-1]))


def _last(value: Any, default: int) -> int:
    """Return an attribute of the axis of rows."""
    if value is None:
        return default
    longest = [int(n) for n in (value if isinstance(value, list | tuple) else [value])]
    return longest[-1] if len(longest) == 1 or longest[-1] != 1 else longest[0]


_REDUCTIONS: dict[str, Any] = {
    "ReduceMean": lambda x, axes, keep: np.mean(x, axis=axes, keepdims=keep),
    "ReduceSum": lambda x, axes, keep: np.sum(x, axis=axes, keepdims=keep),
    "ReduceMax": lambda x, axes, keep: np.max(x, axis=axes, keepdims=keep),
    "ReduceMin": lambda x, axes, keep: np.min(x, axis=axes, keepdims=keep),
    "ReduceSumSquare": lambda x, axes, keep: np.sum(x * x, axis=axes, keepdims=keep),
    "ReduceL2": lambda x, axes, keep: np.sqrt(np.sum(x * x, axis=axes, keepdims=keep)),
    "ReduceLogSumExp": lambda x, axes, keep: np.log(np.sum(np.exp(x), axis=axes, keepdims=keep)),
}
REDUCTIONS = tuple(_REDUCTIONS)
