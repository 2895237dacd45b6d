"""Symbolic tensors: what a tensor of an ONNX graph holds, in terms of one step's features.

A tensor of a graph has axes for batch, time and features in any order, split, merged and squeezed
by the exporter. Here an axis is a tuple of :class:`Dim`: axes of the graph's input, or of a layer's
output, that are longer than 1. Reshaping regroups dims; arithmetic needs the dim of the features
alone on its axis. A tensor records the operations that lead to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..common.weights import Float64Array
from .feature_ops import LayerOp, Op, UnnamedFunction, evaluate_ops


@dataclass(frozen=True, eq=False)
class Dim:
    """An axis that is never split; it is identified by the object, not by its size.

    Attributes
    ----------
    size : int
    open : bool
        Whether the graph leaves its length open, so that the size says nothing.
    """

    size: int
    open: bool = False


Axis = tuple[Dim, ...]


@dataclass(frozen=True, eq=False)
class SymbolicTensor:
    """A tensor of the graph that depends on the input.

    Attributes
    ----------
    axes : tuple of tuple of Dim
        An empty tuple is an axis of length 1.
    feature : Dim or None
        The axis of the features; None if there is only one feature.
    ops : tuple of Op
        Operations since the graph's input.
    origin : str
        Name of that input.
    columns : tuple of int
        Features of the input that reach the first operation, in their order.
    time : Dim or None
        The axis over which recurrent layers run; None before the first of them.
    window : Dim or None
        That axis of the input, where layers over rows may have made another of it.
    recurrent : bool
        Whether a recurrent layer, or one over rows, is among the operations.
    state : bool
        Whether it is the final state of a recurrent layer, straight from its node.
    integer : bool
        Whether it holds integers: categories.
    truncated : bool
        Whether the integers were truncated from floats.
    side_width : int
        Features of a second input, which follow those of the origin in an observation.
    skip : tuple of int, optional
        For each output the column of the input that was added to it.
    skip_scale : tuple of float, optional
        What that column was multiplied by.
    joined : SymbolicTensor, optional
        With a skip: the same as a layer of branches, for layers that follow.
    last : ConvertError or None
        If it is the last row of the input: why no layer can take it alone. It may be added to the
        output.
    parts : tuple of Dim and Dim, optional
        Of both directions: the axes of the direction and of its values, which are the features
        together.
    half : tuple of SymbolicTensor and int, optional
        If it is what one direction of a bidirectional layer returns: what both return, and which.
    """

    axes: tuple[Axis, ...]
    feature: Dim | None
    ops: tuple[Op, ...]
    origin: str
    columns: tuple[int, ...]
    time: Dim | None = None
    recurrent: bool = False
    state: bool = False
    integer: bool = False
    truncated: bool = False
    side_width: int = 0
    skip: tuple[int, ...] | None = None
    skip_scale: tuple[float, ...] | None = None
    last: ConvertError | None = None
    window: Dim | None = None
    parts: tuple[Dim, Dim] | None = None
    half: "tuple[SymbolicTensor, int] | None" = None
    joined: "SymbolicTensor | None" = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the graph."""
        return tuple(prod(dim.size for dim in axis) for axis in self.axes)

    @property
    def width(self) -> int:
        """Number of features."""
        return 1 if self.feature is None else self.feature.size

    @property
    def raw(self) -> bool:
        """True if it is the input, with no operation applied."""
        return not self.ops and self.skip is None

    def append(self, *ops: Op) -> "SymbolicTensor":
        """Return the tensor with more operations applied."""
        if self.skip is not None and self.joined is not None:
            ops_of, columns = self.joined.ops, self.joined.columns
            plain = replace(self, skip=None, skip_scale=None, joined=None)
            return replace(plain, ops=ops_of, columns=columns).append(*ops)
        if self.skip is not None:
            raise ConvertError(
                f"{ops[0].node} follows a residual connection: only one that adds the "
                "input to the output, at the very end, can be converted."
            )
        if self.last is not None and any(isinstance(op, LayerOp) for op in ops):
            raise self.last
        if self.integer:
            raise ConvertError(
                f"{ops[0].node} computes with integers; expected them to be categories of an "
                "embedding."
            )
        return replace(self, ops=(*self.ops, *ops), state=False, half=None)

    def reshaped(self, axes: Sequence[Axis]) -> "SymbolicTensor":
        """Return the tensor with other axes."""
        if self.parts is not None and self.feature is not None and self.parts in axes:
            axes = [(self.feature,) if axis == self.parts else axis for axis in axes]
            return replace(self, axes=tuple(axes), parts=None)
        return replace(self, axes=tuple(axes))

    def is_features(self, axis: int) -> bool:
        """Return whether an axis holds the features and nothing else."""
        wanted = () if self.feature is None else (self.feature,)
        return self.axes[axis] == wanted

    def with_features(self, axis: int, width: int, *ops: Op) -> "SymbolicTensor":
        """Apply operations that put ``width`` features on ``axis``."""
        feature = Dim(width) if width > 1 else None
        axes = list(self.axes)
        axes[axis] = () if feature is None else (feature,)
        return replace(self.append(*ops), axes=tuple(axes), feature=feature)


@dataclass(frozen=True, eq=False)
class StackedStates:
    """Tensors joined along an axis on which each has length 1: the states of several layers."""

    tensors: tuple[SymbolicTensor, ...]
    axis: int


@dataclass(frozen=True, eq=False)
class Unsupported:
    """A tensor that cannot be converted, and why; an error only if the output depends on it.

    Attributes
    ----------
    error : ConvertError
    state : bool
        Whether it is a cell state, which no layer here returns.
    """

    error: ConvertError
    state: bool = False


Value = Any  # a constant array, SymbolicTensor, StackedStates, Unsupported; None: no input


def per_feature(
    tensor: SymbolicTensor, constant: Any, node: str
) -> tuple[SymbolicTensor, Float64Array]:
    """Return a constant by feature: a number or float64[N].

    Also return the tensor, with leading axes added where the constant has more.

    Raises
    ------
    ConvertError
        If it differs along another axis.
    """
    array = np.asarray(constant, np.float64)
    if array.ndim > len(tensor.axes):
        tensor = tensor.reshaped([()] * (array.ndim - len(tensor.axes)) + list(tensor.axes))
    array = array.reshape((1,) * (len(tensor.axes) - array.ndim) + array.shape)
    for n, size in enumerate(array.shape):
        if size == 1 or (tensor.feature is not None and tensor.is_features(n)):
            continue
        if not (array == np.take(array, [0], n)).all() or size != tensor.shape[n]:
            raise ConvertError(
                f"{node}: expected a number or one for each of {tensor.width} features, got a "
                f"constant of shape {np.shape(constant)}."
            )
        array = np.take(array, [0], n)
    if array.size not in (1, tensor.width):
        raise ConvertError(
            f"{node}: expected a number or one for each of {tensor.width} features, got a constant "
            f"of shape {np.shape(constant)}."
        )
    return tensor, array.reshape(()) if array.size == 1 else array.reshape(-1)


def merge_branches(
    function: Callable[..., Float64Array], node: str, *tensors: SymbolicTensor
) -> SymbolicTensor:
    """Join branches that hold no layers into one function of their last common ancestor.

    Exporters decompose activations and normalisations into such branches.

    Parameters
    ----------
    function : callable
        Takes as many arrays as there are tensors.
    node : str
    *tensors : SymbolicTensor

    Raises
    ------
    ConvertError
        If a branch contains a layer.
    """
    first = tensors[0]
    shared = 0
    while all(
        len(tensor.ops) > shared and tensor.ops[shared] is first.ops[shared] for tensor in tensors
    ):
        shared += 1
    branches = [tensor.ops[shared:] for tensor in tensors]
    layers = [op.node for branch in branches for op in branch if isinstance(op, LayerOp)]
    sources = {(tensor.origin, tensor.columns, tensor.skip) for tensor in tensors}
    if layers or len(sources) > 1 or first.skip is not None:
        raise ConvertError(
            f"{node} joins two branches of the network ({', '.join(layers) or 'of two inputs'}): "
            "only a chain of layers can be converted, and the input added to the output."
        )
    places = [{d for axis in t.axes for d in axis} - {t.feature, first.feature} for t in tensors]
    if any(place != places[0] for place in places):
        raise ConvertError(
            f"{node} joins a single row with all rows of the sequence, as of a network that takes "
            "off the last value of its window: do that in your own program, before the network."
        )
    wider = max(tensors, key=lambda tensor: (tensor.width, len(tensor.axes)))

    def joined(x: Float64Array) -> Float64Array:
        return function(*(evaluate_ops(branch, x) for branch in branches))

    stem = replace(wider, ops=wider.ops[:shared])
    return stem.append(UnnamedFunction(joined, node))
