"""Tensors of a graph that depend on its input, by the labels of their numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....errors import ConvertError
from ...common.weights import Float64Array
from ...labels.followed import Followed
from ...labels.signal import CONSTANT, Labels
from ..node import Node


@dataclass(frozen=True, eq=False)
class Formula:
    """How a tensor is computed from others without layers.

    Attributes
    ----------
    function : callable
        Takes as many arrays as there are operands.
    operands : tuple of Live or array
    """

    function: Callable[..., Any]
    operands: tuple[Any, ...]


@dataclass(eq=False)
class Live:
    """A tensor that depends on the input.

    Attributes
    ----------
    shape : tuple of int
    labels : int64[...], optional
        Of its shape, CONSTANT where a number does not depend on the input; None if no layer
        computes it.
    numbers : float64[...]
        Those that do not depend on the input; others say nothing.
    problem : ConvertError, optional
        Why there are no labels.
    formula : Formula, optional
        How it is computed, if from functions of single values and the like.
    integer : bool
        Whether it holds whole numbers: categories.
    kept : tuple of Live and array, optional
        If it is attention scores times a mask of zeros and ones: both.
    """

    shape: tuple[int, ...]
    labels: Labels | None = None
    numbers: Float64Array = field(default_factory=lambda: np.zeros(0))
    problem: ConvertError | None = None
    formula: Formula | None = None
    integer: bool = False
    kept: "tuple[Live, Float64Array] | None" = None

    @property
    def ndim(self) -> int:
        """Number of its axes."""
        return len(self.shape)

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be computed from it."""
        return self.labels is None and self.formula is None and self.problem is not None


Value = Any  # a constant array, Live, or None: no input


def live(labels: Labels, numbers: Float64Array | None = None, **more: Any) -> Live:
    """Return a tensor with these labels."""
    labels = np.asarray(labels)
    if numbers is None or numbers.shape != labels.shape:
        numbers = np.zeros(labels.shape)
    return Live(labels.shape, labels, numbers, **more)


class Following(Followed):
    """What is known while a graph is followed."""

    def at(self, node: Node) -> None:
        """Say at which node it is."""
        self.path = [str(node)]

    def labels(self, value: Value) -> Labels:
        """Return the labels of a tensor; those of a constant are all CONSTANT.

        Raises
        ------
        ConvertError
            If no layer computes it.
        """
        if not isinstance(value, Live):
            return np.full(np.shape(value), CONSTANT, np.int64)
        if value.labels is None:
            raise value.problem or ConvertError(f"{self.where} cannot be followed")
        if value.integer:
            raise ConvertError(
                f"{self.where} computes with integers; expected them to be categories of an "
                "embedding."
            )
        return value.labels

    def whole(self, value: Value) -> Labels:
        """Return the labels of a tensor of which all numbers depend on the input."""
        labels = self.labels(value)
        if (labels < 0).any():
            raise ConvertError(
                f"{self.where} is given numbers that do not come from the input, such as padding"
            )
        return labels


def numbers_of(value: Value) -> Float64Array:
    """Return the numbers of a tensor, or a constant, as float64."""
    return value.numbers if isinstance(value, Live) else np.asarray(value, np.float64)


def any_live(values: Sequence[Value]) -> bool:
    """Return whether any of these depends on the input."""
    return any(isinstance(value, Live) for value in values)
