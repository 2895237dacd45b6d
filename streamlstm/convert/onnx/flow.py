"""What flows through an ONNX graph: one step's features, and the axes that merely repeat them.

A tensor of a graph has axes for batch, time and features in any order, split, merged and squeezed
as the exporter liked it. Here each axis is a tuple of *atoms*, axes of the graph's input or of a
layer's output that are longer than one. Reshaping regroups atoms; arithmetic needs the atom of the
features alone on its axis. What is computed on the way is kept as a list of entries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...kernels import reference
from ...network.activations import parse_activation
from ...network.layers import Layer
from ..common.refusal import naming
from ..common.weights import Float64Array


@dataclass(frozen=True, eq=False)
class Atom:
    """An axis that was never split: one object wherever it goes."""

    size: int


Axis = tuple[Atom, ...]


@dataclass(frozen=True, eq=False)
class Scale:
    """``x * weight + bias``; each a number or float64[N], one for each feature."""

    weight: Any
    bias: Any
    node: str

    def __post_init__(self) -> None:
        for name in ("weight", "bias"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))

    def __call__(self, x: Float64Array) -> Float64Array:
        """Compute it."""
        return np.asarray(x * self.weight + self.bias)


@dataclass(frozen=True, eq=False)
class Activate:
    """An activation by its name here."""

    name: str
    node: str

    def __post_init__(self) -> None:
        with naming(self.node):
            parse_activation(self.name, together=True)

    def __call__(self, x: Float64Array) -> Float64Array:
        """Compute it."""
        return reference.activate(parse_activation(self.name, together=True), x)


@dataclass(frozen=True, eq=False)
class Function:
    """A function of the features that has no name here: part of an activation, most likely."""

    function: Callable[[Float64Array], Float64Array]
    node: str

    def __call__(self, x: Float64Array) -> Float64Array:
        """Compute it."""
        return self.function(x)


@dataclass(frozen=True, eq=False)
class Step:
    """A layer with its weights."""

    layer: Layer
    weights: dict[str, Float64Array]
    node: str


Entry = Scale | Activate | Function | Step


@dataclass(frozen=True, eq=False)
class Flow:
    """A tensor of the graph that depends on the input.

    Attributes
    ----------
    axes : tuple of tuple of Atom
        An empty tuple is an axis of length 1.
    feature : Atom or None
        The features' axis; None if there is only one feature.
    entries : tuple of Entry
        What was computed since the graph's input.
    origin : str
        That input's name.
    columns : tuple of int
        Which of its features are left, in which order, before the first entry.
    time : Atom or None
        The axis over which recurrent layers run, once there was one.
    recurrent : bool
        Whether there was a recurrent layer.
    state : bool
        It is a recurrent layer's final state, as it came out of its node.
    integer : bool
        Whether it holds integers: categories.
    cut : bool
        Whether they were cut out of numbers.
    beside : int
        How many features of another input stand behind those of the origin.
    skip : tuple of int, optional
        Column of the input that was added to each output.
    skip_scale : tuple of float, optional
        What it was multiplied by.
    """

    axes: tuple[Axis, ...]
    feature: Atom | None
    entries: tuple[Entry, ...]
    origin: str
    columns: tuple[int, ...]
    time: Atom | None = None
    recurrent: bool = False
    state: bool = False
    integer: bool = False
    cut: bool = False
    beside: int = 0
    skip: tuple[int, ...] | None = None
    skip_scale: tuple[float, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in the graph."""
        return tuple(prod(atom.size for atom in axis) for axis in self.axes)

    @property
    def width(self) -> int:
        """How many features it has."""
        return 1 if self.feature is None else self.feature.size

    @property
    def raw(self) -> bool:
        """Whether nothing was computed yet."""
        return not self.entries and self.skip is None

    def append(self, *entries: Entry) -> "Flow":
        """Return it with more computed."""
        if self.skip is not None:
            raise ConvertError(
                f"{entries[0].node} stands behind a residual connection: only one that adds the "
                "input to the output, at the very end, can be taken over."
            )
        if self.integer:
            raise ConvertError(
                f"{entries[0].node} computes with integers; expected them to be categories of an "
                "embedding."
            )
        return replace(self, entries=(*self.entries, *entries), state=False)

    def reshaped(self, axes: Sequence[Axis]) -> "Flow":
        """Return it with other axes."""
        return replace(self, axes=tuple(axes))

    def is_features(self, axis: int) -> bool:
        """Say whether an axis holds the features and nothing else."""
        wanted = () if self.feature is None else (self.feature,)
        return self.axes[axis] == wanted

    def with_features(self, axis: int, width: int, *entries: Entry) -> "Flow":
        """Return it with more computed, which gives ``width`` features on ``axis``."""
        feature = Atom(width) if width > 1 else None
        axes = list(self.axes)
        axes[axis] = () if feature is None else (feature,)
        return replace(self.append(*entries), axes=tuple(axes), feature=feature)


@dataclass(frozen=True, eq=False)
class Stack:
    """Tensors joined along an axis on which each has length 1: the states of several layers."""

    flows: tuple[Flow, ...]
    axis: int


@dataclass(frozen=True, eq=False)
class Problem:
    """A tensor that cannot be followed, and why; it matters only if the output needs it.

    Attributes
    ----------
    error : ConvertError
    state : bool
        It is a cell state, which is no layer's output.
    """

    error: ConvertError
    state: bool = False


Value = Any  # numpy.ndarray (a constant), Flow, Stack, Problem, or None for an input left out


def along_features(flow: Flow, constant: Any, node: str) -> tuple[Flow, Float64Array]:
    """Return a constant as what it is to each feature: a number or float64[N].

    Also the flow, with axes put in front where the constant has more.

    Raises
    ------
    ConvertError
        If it differs along another axis.
    """
    array = np.asarray(constant, np.float64)
    if array.ndim > len(flow.axes):
        flow = flow.reshaped([()] * (array.ndim - len(flow.axes)) + list(flow.axes))
    array = array.reshape((1,) * (len(flow.axes) - array.ndim) + array.shape)
    for n, size in enumerate(array.shape):
        if size == 1 or (flow.feature is not None and flow.is_features(n)):
            continue
        if not (array == np.take(array, [0], n)).all() or size != flow.shape[n]:
            raise ConvertError(
                f"{node}: expected a number or one for each of {flow.width} features, got a "
                f"constant of shape {np.shape(constant)}."
            )
        array = np.take(array, [0], n)
    if array.size not in (1, flow.width):
        raise ConvertError(
            f"{node}: expected a number or one for each of {flow.width} features, got a constant "
            f"of shape {np.shape(constant)}."
        )
    return flow, array.reshape(()) if array.size == 1 else array.reshape(-1)


def merge(function: Callable[..., Float64Array], node: str, *flows: Flow) -> Flow:
    """Join flows that parted earlier and were computed on by functions only.

    Activations and normalisations that an exporter took apart come together here.

    Parameters
    ----------
    function : callable
        Of as many arrays as there are flows.
    node : str
    *flows : Flow

    Raises
    ------
    ConvertError
        If a layer stands in one of the branches.
    """
    first = flows[0]
    shared = 0
    while all(
        len(flow.entries) > shared and flow.entries[shared] is first.entries[shared]
        for flow in flows
    ):
        shared += 1
    branches = [flow.entries[shared:] for flow in flows]
    layers = [entry.node for branch in branches for entry in branch if isinstance(entry, Step)]
    sources = {(flow.origin, flow.columns, flow.skip) for flow in flows}
    if layers or len(sources) > 1 or first.skip is not None:
        raise ConvertError(
            f"{node} joins two branches of the network ({', '.join(layers) or 'of two inputs'}): "
            "only a chain of layers can be taken over, and the input added to the output."
        )
    wider = max(flows, key=lambda flow: (flow.width, len(flow.axes)))

    def joined(x: Float64Array) -> Float64Array:
        return function(*(apply(branch, x) for branch in branches))

    stem = replace(wider, entries=wider.entries[:shared])
    return stem.append(Function(joined, node))


def apply(entries: Sequence[Entry], x: Float64Array) -> Float64Array:
    """Compute entries, none of them a layer, of x[B, N]."""
    for entry in entries:
        if isinstance(entry, Step):
            raise TypeError(f"{entry.node} is a layer")
        x = entry(x)
    return x
