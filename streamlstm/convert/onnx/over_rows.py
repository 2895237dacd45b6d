"""Handlers of nodes that look over the rows of a window: convolutions, pooling, both directions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Conv1D, Dense, Flatten, Layer, Pool, Repeat
from ..common.weights import Float64Array
from .feature_ops import LayerOp
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
    if weight.ndim != 3:
        raise ConvertError(f"{node}: expected a convolution over one axis, the rows.")
    groups = node.attribute("group", 1)
    O, part, k = weight.shape
    bias = np.zeros(O) if B is None else np.asarray(node.constant(B), np.float64)
    strides = [n for n in node.attribute("strides") or [] if n != 1]
    if k == groups == 1 and not strides and not any(node.attribute("pads") or []):
        if not x.is_features(1):
            raise ConvertError(f"{node}: expected the features on axis 1.")
        dense = {"weight": weight[:, :, 0], "bias": bias}
        return x.with_features(1, O, LayerOp(Dense(part, O), dense, str(node)))
    full = np.zeros((O, groups, part, k))
    for n in range(groups):
        rows = slice(n * O // groups, (n + 1) * O // groups)
        full[rows, n] = weight[rows]
    x = of_channels(node, x, groups * part)
    stride, dilation = (_single(node.attribute(key), 1) for key in ("strides", "dilations"))
    assert x.time is not None
    left, right = _pads(node, x.time.size, (k - 1) * dilation + 1, stride)
    layer = Conv1D(groups * part, O, k, stride, dilation, left, right)
    weight = full.reshape(O, groups * part, k).transpose(0, 2, 1)
    return apply(node, x, layer, {"weight": weight, "bias": bias})


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


def repeat(node: Node, x: SymbolicTensor, axis: int, count: int) -> SymbolicTensor:
    """Return the last row, repeated along an axis that holds nothing yet."""
    if x.time is None or not x.recurrent or any(x.time in a for a in x.axes):
        raise ConvertError(f"{node}: repeats values along an axis, which cannot be stepped.")
    axes = [(x.time,) if n == axis else a for n, a in enumerate(x.axes)]
    return apply(node, x.reshaped(axes), Repeat(x.width, count))


def pooling(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """MaxPool and AveragePool over one axis."""
    x = of_channels(node, x, x.width)
    size, stride = _single(node.attribute("kernel_shape"), 0), _single(node.attribute("strides"), 1)
    if node.attribute("ceil_mode", 0) or _single(node.attribute("dilations"), 1) != 1 or not size:
        raise ConvertError(f"{node}: expected no ceil_mode and no dilations.")
    assert x.time is not None
    left, right = _pads(node, x.time.size, size, stride)
    counted = bool(node.attribute("count_include_pad", 0)) and bool(left or right)
    function = "max" if node.op == "MaxPool" else "mean"
    return apply(node, x, Pool(x.width, function, size, stride, left, right, counted))


def global_pooling(node: Node, x: SymbolicTensor) -> SymbolicTensor:
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
    if x.time is None or x.feature is None:
        return x.reshaped(axes)
    found = [tuple(axis) for axis in axes]
    for whole, by_feature in (((x.time, x.feature), False), ((x.feature, x.time), True)):
        if whole in found:
            if x.time.open:
                raise ConvertError(
                    f"{node} takes all rows of a window as one: say how many there are (window=T)."
                )
            layer = Flatten(x.width, x.time.size, by_feature)
            feature = Dim(layer.output_size)
            made = x.append(LayerOp(layer, {}, str(node)))
            found[found.index(whole)] = (feature,)
            return replace(made, axes=tuple(found), feature=feature)
    return x.reshaped(axes)


def _single(value: Any, default: int) -> int:
    if value is None:
        return default
    return int(value[0] if isinstance(value, list | tuple) else value)


def _pads(node: Node, rows: int, reach: int, stride: int) -> tuple[int, int]:
    """Return how many rows of padding there are before the first and behind the last row."""
    kind = node.attribute("auto_pad", "NOTSET")
    if kind in ("NOTSET", ""):
        pads = list(node.attribute("pads") or (0, 0))
        return int(pads[0]), int(pads[1])
    if kind == "VALID":
        return 0, 0
    total = max((-(-rows // stride) - 1) * stride + reach - rows, 0)
    short, long = total // 2, total - total // 2
    return (short, long) if kind == "SAME_UPPER" else (long, short)
