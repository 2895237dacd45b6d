"""Operations that a graph applies to the features of one step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...kernels import reference
from ...network.activations import parse_activation
from ...network.layers import Layer
from ..common.error_context import layer_errors
from ..common.weights import Float64Array


@dataclass(frozen=True, eq=False)
class Affine:
    """``x * weight + bias``; each a number or float64[N], one for each feature."""

    weight: Any
    bias: Any
    node: str

    def __post_init__(self) -> None:
        for name in ("weight", "bias"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))

    def __call__(self, x: Float64Array) -> Float64Array:
        """Return the result for x[B, N]."""
        return np.asarray(x * self.weight + self.bias)


@dataclass(frozen=True, eq=False)
class Activation:
    """An activation, by the name that :mod:`streamlstm.network.activations` has for it."""

    name: str
    node: str

    def __post_init__(self) -> None:
        with layer_errors(self.node):
            parse_activation(self.name, together=True)

    def __call__(self, x: Float64Array) -> Float64Array:
        """Return the result for x[B, N]."""
        return reference.activate(parse_activation(self.name, together=True), x)


@dataclass(frozen=True, eq=False)
class UnnamedFunction:
    """A function of the features without a name of its own, such as a part of an activation."""

    function: Callable[[Float64Array], Float64Array]
    node: str

    def __call__(self, x: Float64Array) -> Float64Array:
        """Return the result for x[B, N]."""
        return self.function(x)


@dataclass(frozen=True, eq=False)
class LayerOp:
    """A layer with its weights."""

    layer: Layer
    weights: dict[str, Float64Array]
    node: str


@dataclass(frozen=True, eq=False)
class Padding(LayerOp):
    """Rows of zeros around those that come: a convolution of one row, the identity.

    A convolution that comes next has them as its own padding.
    """


Op = Affine | Activation | UnnamedFunction | LayerOp


def evaluate_ops(ops: Sequence[Op], x: Float64Array) -> Float64Array:
    """Apply operations, none of them a layer, to x[B, N]."""
    for op in ops:
        assert not isinstance(op, LayerOp)
        x = op(x)
    return x


def width_of(ops: Sequence[Op], width: int) -> int:
    """Return how many features operations make of ``width``."""
    for op in ops:
        if isinstance(op, LayerOp):
            width = op.layer.output_size
        else:
            width = op(np.ones((1, width))).shape[-1]
    return width
