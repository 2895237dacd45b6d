"""Rows that nodes add or take away: Pad, and slices of the rows of a window."""

from dataclasses import replace

import numpy as np

from ...errors import ConvertError
from ...network.layers import Conv1D
from .feature_ops import LayerOp, Padding
from .node import Node
from .over_rows import apply, over
from .slicing import select
from .tensor import SymbolicTensor, Value


def pad(
    node: Node, x: SymbolicTensor, pads: Value = None, value: Value = None, axes: Value = None
) -> SymbolicTensor:
    """Pad; the numbers of rows are an attribute up to opset 10, an input from 11 on."""
    given = node.attribute("pads") if pads is None else node.constant(pads).reshape(-1)
    counts, rank = [int(n) for n in given], len(x.axes)
    places = range(rank) if axes is None else [int(n) % rank for n in node.constant(axes)]
    ends = zip(places, counts[: len(places)], counts[len(places) :], strict=True)
    for axis, left, right in ends:
        if left or right:
            _check(node, x, axis, value)
            x = _of_rows(node, x, axis, left, right)
    return x


def _check(node: Node, x: SymbolicTensor, axis: int, value: Value) -> None:
    number = node.attribute("value", 0) if value is None else node.constant(value).reshape(-1)
    if node.attribute("mode", "constant") != "constant" or np.any(number):
        raise ConvertError(f"{node}: expected rows of zeros; it repeats rows, or adds a number.")
    if x.feature is not None and x.is_features(axis):
        raise ConvertError(f"{node} adds features, and only rows can be added.")


def _of_rows(node: Node, x: SymbolicTensor, axis: int, left: int, right: int) -> SymbolicTensor:
    """Return a tensor with more rows, or, where a number is negative, with less."""
    x = over(node, x, axis)
    rows = x.shape[axis]
    if min(left, right) < 0:
        kept = range(max(-left, 0), rows - max(-right, 0))
        x = select(node, x, axis, list(kept), f"[{kept.start}:{kept.stop}]")
        left, right = max(left, 0), max(right, 0)
    if not left and not right:
        return x
    weight = np.eye(x.width)[:, None]
    layer = Conv1D(x.width, x.width, 1, 1, 1, left, right)
    made = apply(node, x, layer, {"weight": weight, "bias": np.zeros(x.width)})
    (*before, last) = made.ops
    assert isinstance(last, LayerOp)
    return replace(made, ops=(*before, Padding(last.layer, last.weights, last.node)))
