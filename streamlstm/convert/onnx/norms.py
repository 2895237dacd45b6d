"""Handlers of ONNX nodes over all features: normalisation and reductions."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...errors import ConvertError
from ...network.layers import LayerNorm
from ..common.weights import Float64Array
from .feature_ops import Affine, LayerOp, UnnamedFunction
from .node import Node, shortest_float
from .over_rows import are_rows, pool_rows, reduce_rows
from .tensor import SymbolicTensor, Value, merge_branches


def layer_norm(node: Node, x: SymbolicTensor, weight: Value, bias: Value = None) -> SymbolicTensor:
    """LayerNormalization over the last axis, which must be the features."""
    if node.attribute("axis", -1) % len(x.axes) != len(x.axes) - 1 or not x.is_features(-1):
        raise ConvertError(f"{node}: expected it over the last axis, the features.")
    N, epsilon = x.width, shortest_float(node.attribute("epsilon", 1e-5))
    arrays = {
        "weight": _vector(node, weight, N, "scale"),
        "bias": np.zeros(N) if bias is None else _vector(node, bias, N, "bias"),
    }
    return x.append(LayerOp(LayerNorm(N, epsilon), arrays, str(node)))


def batch_norm(node: Node, x: SymbolicTensor, *given: Value) -> SymbolicTensor:
    """BatchNormalization in inference, over axis 1, which must be the features."""
    if any(isinstance(value, SymbolicTensor) for value in given[2:4]):
        return _normalised(node, x, *given)
    axis = 1 if len(x.axes) > 1 else 0
    if node.attribute("training_mode", 0):
        raise ConvertError(f"{node}: expected it for inference, by the statistics of training.")
    if not x.is_features(axis):
        raise ConvertError(
            f"{node} normalises each row of the window by statistics of its own (axis {axis}), and "
            "rows are no features: expected it over the features, as BatchNorm1d does of "
            "[batch, features, rows]."
        )
    names = ("scale", "bias", "mean", "variance")
    weight, bias, mean, variance = (
        _vector(node, value, x.width, name) for value, name in zip(given, names, strict=True)
    )
    deviation = np.sqrt(variance + node.attribute("epsilon", 1e-5))
    name = str(node)
    return x.append(
        Affine(1, -mean, name), Affine(1 / deviation, 0, name), Affine(weight, bias, name)
    )


def global_pooling(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """GlobalAveragePool and GlobalMaxPool over the rows.

    Of [batch, rows, features] over the features: so tf2onnx writes what normalises them.
    """
    if len(x.axes) != 3 or x.feature is None or not x.is_features(2):
        return pool_rows(node, x)
    kind = "ReduceMax" if node.op == "GlobalMaxPool" else "ReduceMean"
    return _over_features(node, x, kind, {2}, True)


def reduce(node: Node, x: SymbolicTensor, axes: Value = None) -> SymbolicTensor:
    """ReduceMean, ReduceSum, ... over the features; ReduceMean and ReduceMax over the rows."""
    chosen = node.axes(axes)
    rank = len(x.axes)
    positions = {n % rank for n in chosen} if chosen else set(range(rank))
    rows = min(positions)
    if len(positions) == 1 and (x.axes[rows] == (x.time,) or are_rows(x, rows)):
        return reduce_rows(node, x, rows)
    if any(x.axes[n] and not x.is_features(n) for n in positions) or (
        x.feature is not None and not any(x.is_features(n) for n in positions)
    ):
        raise ConvertError(
            f"{node} reduces other axes than the features: what looks at the whole series cannot "
            "be stepped."
        )
    return _over_features(node, x, node.op, positions, bool(node.attribute("keepdims", 1)))


def _over_features(
    node: Node, x: SymbolicTensor, kind: str, positions: set[int], keep: bool
) -> SymbolicTensor:
    function = UnnamedFunction(_REDUCTIONS[kind], str(node))
    axes_left = [() if n in positions else axis for n, axis in enumerate(x.axes)]
    if not keep:
        axes_left = [axis for n, axis in enumerate(x.axes) if n not in positions]
    return replace(x.append(function), axes=tuple(axes_left), feature=None)


_REDUCTIONS: dict[str, Callable[[Float64Array], Float64Array]] = {
    "ReduceMean": lambda x: x.mean(-1, keepdims=True),
    "ReduceSum": lambda x: x.sum(-1, keepdims=True),
    "ReduceMax": lambda x: x.max(-1, keepdims=True),
    "ReduceSumSquare": lambda x: (x * x).sum(-1, keepdims=True),
    "ReduceL2": lambda x: np.sqrt((x * x).sum(-1, keepdims=True)),
    "ReduceLogSumExp": lambda x: np.log(np.exp(x).sum(-1, keepdims=True)),
}
REDUCTIONS = tuple(_REDUCTIONS)


def _normalised(node: Node, x: SymbolicTensor, *given: Value) -> SymbolicTensor:
    """Return layer normalisation, written as BatchNormalization by its own mean and variance.

    This is how tf2onnx writes it for Keras, with one scale of 1 for each step.
    """
    weight, bias = (node.constant(value).astype(np.float64).reshape(-1) for value in given[:2])
    mean, variance = given[2:4]
    if not all(
        isinstance(tensor, SymbolicTensor) and tensor.feature is None for tensor in (mean, variance)
    ) or (np.ptp(weight) or np.ptp(bias)):
        raise ConvertError(f"{node}: expected constants, or mean and variance of the features.")
    epsilon = node.attribute("epsilon", 1e-5)

    def normalised(x: Float64Array, mean: Float64Array, variance: Float64Array) -> Float64Array:
        return np.asarray((x - mean) / np.sqrt(variance + epsilon))

    merged = merge_branches(normalised, str(node), x, mean, variance)
    return merged.append(Affine(weight[0], bias[0], str(node)))


def _vector(node: Node, value: Value, size: int, what: str) -> Float64Array:
    vector = node.constant(value).astype(np.float64).reshape(-1)
    if vector.size not in (1, size):
        raise ConvertError(f"{node}: expected {what} of shape ({size},), got {vector.shape}.")
    return np.broadcast_to(vector, size)
