"""Handlers of nodes that look over the rows of a window: convolutions, pooling, both directions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Conv1D, Dense, Flatten, Layer, Pool, Repeat
from ..common.weights import Float64Array
from .feature_ops import LayerOp, Padding
from .node import Node
from .tensor import Axis, Dim, SymbolicTensor, Value


def apply(
    node: Node, x: SymbolicTensor, layer: Layer, arrays: dict[str, Float64Array] | None = None
) -> SymbolicTensor:
    """Return a tensor whose rows a layer has made; its axes are where they were."""
    assert x.time is not None
    rows = layer.rows_of(x.time.size)
    if rows < 1:
        raise ConvertError(f"{node}: expected more rows than the {x.time.size} that come.")
    time = x.time if rows == x.time.size else Dim(rows, x.time.open and rows > 1)
    feature = x.feature if layer.output_size == x.width else Dim(layer.output_size)
    if layer.output_size == 1:
        feature = None
    moved: dict[Axis, Axis] = {(x.time,): (time,) if rows > 1 else ()}
    if x.feature is not None:
        moved[(x.feature,)] = () if feature is None else (feature,)
    axes = tuple(moved.get(axis, axis) for axis in x.axes)
    made = x.append(LayerOp(layer, arrays or {}, str(node)))
    return replace(made, axes=axes, time=time, feature=feature)


def of_channels(node: Node, x: SymbolicTensor, channels: int) -> SymbolicTensor:
    """Return a tensor [batch, N, rows] with its last axis known as that of the rows."""
    if len(x.axes) != 3 or (not x.is_features(1) and channels > 1):
        raise ConvertError(f"{node}: expected its input to be [batch, features, rows].")
    if x.width != channels:
        raise ConvertError(f"{node} takes {channels} values, but {x.width} come.")
    return over(node, x, 2)


def over(node: Node, x: SymbolicTensor, axis: int) -> SymbolicTensor:
    """Return a tensor with one of its axes known as that of the rows."""
    dims = x.axes[axis]
    if len(dims) != 1 or dims[0] is x.feature or (x.recurrent and dims[0] is not x.time):
        raise ConvertError(f"{node} looks over an axis that is not that of the rows.")
    return replace(x, time=dims[0], recurrent=True, window=x.window or dims[0])


def convolution(node: Node, x: SymbolicTensor, W: Value, B: Value = None) -> SymbolicTensor:
    """Conv over one axis; its weight is [O, F, k]. One of kernel 1 is a Dense layer."""
    weight = np.asarray(node.constant(W), np.float64)
    if weight.ndim == 4 and weight.shape[2] == 1:
        flat = convolution(node, _one_axis(node, x), weight[:, :, 0], B)
        return _two_axes(flat)
    if weight.ndim != 3:
        raise ConvertError(f"{node}: expected a convolution over one axis, the rows.")
    groups = node.attribute("group", 1)
    O, part, k = weight.shape
    bias = np.zeros(O) if B is None else np.asarray(node.constant(B), np.float64)
    strides = [n for n in node.attribute("strides") or [] if n != 1]
    padded = any(node.attribute("pads") or []) or bool(x.ops and isinstance(x.ops[-1], Padding))
    if k == groups == 1 and not strides and not padded:
        if not x.is_features(1):
            raise ConvertError(f"{node}: expected the features on axis 1.")
        dense = {"weight": weight[:, :, 0], "bias": bias}
        return x.with_features(1, O, LayerOp(Dense(part, O), dense, str(node)))
    full = np.zeros((O, groups, part, k))
    for n in range(groups):
        rows = slice(n * O // groups, (n + 1) * O // groups)
        full[rows, n] = weight[rows]
    x, *more = without_zeros(of_channels(node, x, groups * part))
    stride, dilation = (_single(node.attribute(key), 1) for key in ("strides", "dilations"))
    assert x.time is not None
    pads = _pads(node, x.time.size + sum(more), (k - 1) * dilation + 1, stride)
    left, right = (own + n for own, n in zip(pads, more, strict=True))
    layer = Conv1D(groups * part, O, k, stride, dilation, left, right)
    weight = full.reshape(O, groups * part, k).transpose(0, 2, 1)
    return apply(node, x, layer, {"weight": weight, "bias": bias})


def without_zeros(x: SymbolicTensor) -> tuple[SymbolicTensor, int, int]:
    """Return a tensor without the rows of zeros that a Pad added, and how many at both ends."""
    last = x.ops[-1] if x.ops else None
    if not isinstance(last, Padding) or x.time is None:
        return x, 0, 0
    assert isinstance(last.layer, Conv1D)
    left, right = last.layer.pad_left, last.layer.pad_right
    rows = x.time.size - left - right
    known = x.window is not None and x.window.size == rows
    time = x.window if known and x.window is not None else Dim(rows, x.time.open and rows > 1)
    axes = tuple((time,) if axis == (x.time,) else axis for axis in x.axes)
    return replace(x, ops=x.ops[:-1], axes=axes, time=time), left, right


def without_padding(x: SymbolicTensor, axis: int, indices: list[int]) -> SymbolicTensor | None:
    """Return some rows of a convolution as one with less padding; None if that is not all.

    Functions of single values may stand behind it. So causal convolutions are written: with
    padding on both sides, and the last rows cut off.
    """
    assert x.time is not None
    first, count = indices[0], len(indices)
    places = [n for n, op in enumerate(x.ops) if isinstance(op, LayerOp)]
    op = x.ops[places[-1]] if places else None
    layer = op.layer if isinstance(op, LayerOp) else None
    if not isinstance(layer, Conv1D) or indices != list(range(first, first + count)) or count < 2:
        return None
    left = layer.pad_left - first * layer.stride
    right = layer.pad_right - (x.time.size - first - count) * layer.stride
    if left < 0 or right < 0:
        return None
    less = replace(layer, pad_left=left, pad_right=right)
    time = Dim(count, x.time.open)
    time = x.window if x.window is not None and x.window.size == count else time
    axes = tuple((time,) if n == axis else a for n, a in enumerate(x.axes))
    assert isinstance(op, LayerOp)
    ops = (*x.ops[: places[-1]], replace(op, layer=less), *x.ops[places[-1] + 1 :])
    return replace(x, ops=ops, axes=axes, time=time)


def are_rows(x: SymbolicTensor, axis: int) -> bool:
    """Tell whether an axis is that of the rows, and the graph says how many there are."""
    dims = x.axes[axis]
    if len(dims) != 1 or dims[0].open or dims[0] is x.feature:
        return False
    if x.time is not None:
        return dims[0] is x.time
    others = [d for n, a in enumerate(x.axes) if n != axis for d in a if d is not x.feature]
    return len(x.axes) == 3 and not x.recurrent and all(d.open for d in others)


def some_rows(node: Node, x: SymbolicTensor, axis: int, indices: list[int]) -> SymbolicTensor:
    """Return neighbouring rows alone: a convolution that takes one row of those it sees."""
    x = over(node, x, axis)
    assert x.time is not None
    k = x.time.size - len(indices) + 1
    weight = np.zeros((x.width, k, x.width))
    weight[range(x.width), indices[0], range(x.width)] = 1
    arrays = {"weight": weight, "bias": np.zeros(x.width)}
    return apply(node, x, Conv1D(x.width, x.width, k), arrays)


def repeat(node: Node, x: SymbolicTensor, axis: int, count: int) -> SymbolicTensor:
    """Return the last row, repeated along an axis that holds nothing yet."""
    if x.time is None or not x.recurrent or any(x.time in a for a in x.axes):
        raise ConvertError(f"{node}: repeats values along an axis, which cannot be stepped.")
    axes = [(x.time,) if n == axis else a for n, a in enumerate(x.axes)]
    return apply(node, x.reshaped(axes), Repeat(x.width, count))


def pooling(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """MaxPool and AveragePool over one axis, or over two of which the first has one place."""
    if len(x.axes) == 4:
        return _two_axes(pooling(node, _one_axis(node, x)))
    x = of_channels(node, x, x.width)
    size, stride = _single(node.attribute("kernel_shape"), 0), _single(node.attribute("strides"), 1)
    if node.attribute("ceil_mode", 0) or _single(node.attribute("dilations"), 1) != 1 or not size:
        raise ConvertError(f"{node}: it has ceil_mode or dilations, and pooling here has neither.")
    assert x.time is not None
    left, right = _pads(node, x.time.size, size, stride)
    counted = bool(node.attribute("count_include_pad", 0)) and bool(left or right)
    function = "max" if node.op == "MaxPool" else "mean"
    return apply(node, x, Pool(x.width, function, size, stride, left, right, counted))


def pool_rows(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """GlobalAveragePool and GlobalMaxPool over one axis."""
    function = "max" if node.op == "GlobalMaxPool" else "mean"
    return apply(node, of_channels(node, x, x.width), Pool(x.width, function))


def reduce_rows(node: Node, x: SymbolicTensor, axis: int) -> SymbolicTensor:
    """ReduceMean and ReduceMax over the rows."""
    function = {"ReduceMean": "mean", "ReduceMax": "max"}.get(node.op)
    if function is None:
        raise ConvertError(f"{node}: expected a mean or a maximum over the rows.")
    made = apply(node, over(node, x, axis), Pool(x.width, function))
    if node.attribute("keepdims", 1):
        return made
    return made.reshaped([a for n, a in enumerate(made.axes) if n != axis])


def flattened(node: Node, x: SymbolicTensor, axes: Sequence[Axis]) -> SymbolicTensor:
    """Return a tensor with other axes, of which one may be all rows of a window."""
    found = [tuple(axis) for axis in axes]
    place = next((n for n, axis in enumerate(found) if _rows_in(x, axis) is not None), None)
    if place is None:
        return x.reshaped(axes)
    time = _rows_in(x, found[place])
    assert time is not None
    if time.open:
        raise ConvertError(
            f"{node} takes all rows of a window as one: say how many there are (window=T)."
        )
    layer = Flatten(x.width, time.size, found[place][-1] is time)
    feature = Dim(layer.output_size)
    x = replace(x, time=time, recurrent=True, window=x.window or time)
    made = x.append(LayerOp(layer, {}, str(node)))
    found[place] = (feature,)
    return replace(made, axes=tuple(found), feature=feature)


def series_of_one(node: Node, x: SymbolicTensor, axis: int, rows: int) -> SymbolicTensor:
    """Return all rows of a single feature, where they are taken as features."""
    dims = x.axes[axis]
    if len(dims) != 1 or dims[0].size != rows or dims[0].open:
        return x
    alone = all(d.open for n, a in enumerate(x.axes) if n != axis for d in a)
    if x.time is not dims[0] and (x.time is not None or not x.raw or not alone):
        return x
    made = replace(x, time=dims[0], recurrent=True, window=x.window or dims[0])
    feature = Dim(rows)
    axes = tuple((feature,) if n == axis else a for n, a in enumerate(x.axes))
    made = made.append(LayerOp(Flatten(1, rows), {}, str(node)))
    return replace(made, axes=axes, feature=feature)


def _rows_in(x: SymbolicTensor, axis: Axis) -> Dim | None:
    """Return the axis of rows in one that holds rows and features; None if it does not."""
    others = [dim for dim in axis if dim is not x.feature]
    if x.feature is None or len(axis) != 2 or len(others) != 1:
        return None
    (time,) = others
    if x.time is not None or x.recurrent:
        return time if time is x.time else None
    return time


def _one_axis(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """Return [batch, features, 1, rows], as exporters write one axis as two, without the 1."""
    if len(x.axes) != 4 or x.axes[2]:
        raise ConvertError(f"{node}: expected a convolution over one axis, the rows.")
    return x.reshaped((*x.axes[:2], x.axes[3]))


def _two_axes(x: SymbolicTensor) -> SymbolicTensor:
    return x.reshaped((*x.axes[:2], (), x.axes[2]))


def _single(value: Any, default: int) -> int:
    """Return an attribute of the axis of rows, the last one."""
    if value is None:
        return default
    return int(value[-1] if isinstance(value, list | tuple) else value)


def _pads(node: Node, rows: int, reach: int, stride: int) -> tuple[int, int]:
    """Return how many rows of padding there are before the first and behind the last row."""
    kind = node.attribute("auto_pad", "NOTSET")
    if kind in ("NOTSET", ""):
        pads = list(node.attribute("pads") or (0, 0))
        return int(pads[len(pads) // 2 - 1]), int(pads[-1])
    if kind == "VALID":
        return 0, 0
    total = max((-(-rows // stride) - 1) * stride + reach - rows, 0)
    short, long = total // 2, total - total // 2
    return (short, long) if kind == "SAME_UPPER" else (long, short)
