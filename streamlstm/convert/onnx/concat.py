"""Handler of Concat: features, an embedding beside features, or the states of several layers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Embedding
from .branches import join
from .feature_ops import Affine, LayerOp
from .node import Node
from .slicing import direction, select_features
from .tensor import Dim, StackedStates, SymbolicTensor, Value


def concat(node: Node, *tensors: Value) -> Value:
    """Concat: features, an embedding beside features, or the states of several layers."""
    axis = node.attribute("axis", 1)
    if len(tensors) == 1:
        return tensors[0]
    if not all(isinstance(tensor, SymbolicTensor) for tensor in tensors):
        raise ConvertError(f"{node}: cannot join constants with values of the network.")
    axis %= len(tensors[0].axes)
    if all(tensor.raw for tensor in tensors) and all(
        tensor.is_features(axis) for tensor in tensors
    ):
        return _join_columns(node, tensors, axis)
    halves = [tensor.half for tensor in tensors]
    if len(tensors) == 2 and all(halves) and tensors[0].is_features(axis):
        return _join_directions(node, tensors, axis)
    embedded = [n for n, tensor in enumerate(tensors) if _is_embedded(tensor)]
    if len(embedded) == 1:
        (n,) = embedded
        others = (*tensors[:n], *tensors[n + 1 :])
        joined = _join_embedding(node, tensors[n], others, axis)
        before = sum(tensor.width for tensor in tensors[:n])
        if not before:
            return joined
        # An Embedding puts the vector first: move it behind the features that precede it.
        D = tensors[n].width
        order = [*range(D, D + before), *range(D), *range(D + before, joined.width)]
        return select_features(node, joined, axis, order)
    if all(tensor.state and not tensor.axes[axis] for tensor in tensors):
        return StackedStates(tuple(tensors), axis)
    if all(t.state and t.parts and t.axes[axis] == (t.parts[0],) for t in tensors):
        ways = [(t, which) for t in tensors for which in (0, 1)]
        return StackedStates(tuple(direction(node, t, axis, which) for t, which in ways), axis)
    return join(node, tensors, "concatenate", axis)


def _join_directions(node: Node, tensors: Sequence[SymbolicTensor], axis: int) -> SymbolicTensor:
    """Return what both directions of a bidirectional layer return, one behind the other."""
    (whole, first), (other, second) = (tensor.half for tensor in tensors if tensor.half)
    if whole.ops != other.ops or (first, second) != (0, 1) or tensors[0].axes != tensors[1].axes:
        raise ConvertError(f"{node}: expected both directions of one layer, forward first.")
    assert whole.feature is not None
    axes = tuple((whole.feature,) if n == axis else a for n, a in enumerate(tensors[0].axes))
    return replace(whole, axes=axes, parts=None)


def _is_embedded(tensor: SymbolicTensor) -> bool:
    """Return whether a tensor is the vector of a category, straight from the table."""
    return any(isinstance(e, LayerOp) and isinstance(e.layer, Embedding) for e in tensor.ops[-1:])


def _join_columns(node: Node, tensors: Sequence[SymbolicTensor], axis: int) -> SymbolicTensor:
    if len({tensor.origin for tensor in tensors}) > 1:
        raise ConvertError(
            f"{node} joins two inputs, {', '.join(tensor.origin for tensor in tensors)}: expected "
            "all features in one input."
        )
    columns = tuple(column for tensor in tensors for column in tensor.columns)
    feature = Dim(len(columns))
    axes = list(tensors[0].axes)
    axes[axis] = (feature,)
    return replace(tensors[0], axes=tuple(axes), feature=feature, columns=columns)


def _join_embedding(
    node: Node, first: SymbolicTensor, others: Sequence[SymbolicTensor], axis: int
) -> SymbolicTensor:
    """Concatenate the vector of a category and numeric features, which may be scaled."""
    (step,) = first.ops[-1:]
    plain = all(isinstance(e, Affine) for tensor in others for e in tensor.ops)
    fits = all(tensor.is_features(axis) for tensor in (first, *others))
    if len(first.ops) > 1 or not plain or not fits or any(tensor.side_width for tensor in others):
        raise ConvertError(f"{node}: expected an embedding and, after it, features of one input.")
    if len(others) > 1 and any(tensor.ops for tensor in others):
        raise ConvertError(f"{node}: expected the features after an embedding in one piece.")
    columns = (*first.columns, *(column for tensor in others for column in tensor.columns))
    F, side_width = len(columns), 0
    if any(tensor.origin != first.origin for tensor in others):
        # The numbers have their own input: in an observation they follow the category.
        side_width = F - 1
        if len(others) > 1 or columns != (0, *range(side_width)):
            raise ConvertError(
                f"{node}: expected an embedding of one input and, after it, all of another one."
            )
        columns = tuple(range(F))
    scales = [_beside_category(e, F) for tensor in others for e in tensor.ops]
    assert isinstance(step, LayerOp)
    assert isinstance(step.layer, Embedding)
    layer = Embedding(F, step.layer.categories, step.layer.dimension)
    joined = LayerOp(layer, step.weights, step.node)
    stem = replace(first, ops=(), columns=columns, side_width=side_width)
    return stem.with_features(axis, layer.output_size, *scales, joined)


def _beside_category(op: Any, features: int) -> Affine:
    """Extend a scaling of the numeric features to the category, which stays as it is."""
    weight, bias = (np.broadcast_to(a, features - 1) for a in (op.weight, op.bias))
    return Affine(np.append(1.0, weight), np.append(0.0, bias), op.node)
