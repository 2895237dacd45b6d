"""What every layer of training has: parameters, their initial values, a tape, an export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...network.layers import Layer

Array = NDArray[Any]
State = tuple[Array, ...]
"""State vectors of a recurrent layer, float[B, H] each: ``(h, c)`` of an LSTM, ``(h,)`` else."""
Exported = tuple[Layer, dict[str, Array]]
"""A layer of a `Model` and its weights."""


class Block(ABC):
    """A layer as training sees it; holds no numbers, its parameters are views of the network's.

    Parameters
    ----------
    input_size, output_size : int
    shapes : sequence of (int, int)
        Of its parameters, a matrix each.

    Attributes
    ----------
    biases : slice
        The rows of each matrix that weight decay leaves alone.
    """

    biases = slice(-1, None)

    def __init__(
        self, input_size: int, output_size: int, shapes: Sequence[tuple[int, int]]
    ) -> None:
        self.input_size, self.output_size = input_size, output_size
        self.shapes = tuple(shapes)

    @abstractmethod
    def initialize(self, matrices: Sequence[Array], rng: np.random.Generator) -> None:
        """Draw the initial values of the parameters."""

    @abstractmethod
    def tape(self, matrices: Sequence[Array], T: int, B: int) -> BlockTape:
        """Return buffers for passes over T steps of B windows with these parameters."""

    @abstractmethod
    def export(self, matrices: Sequence[Array]) -> list[Exported]:
        """Return what a `Model` needs to compute the same."""

    @abstractmethod
    def load(self, matrices: Sequence[Array], weights: Mapping[str, Array]) -> None:
        """Set the parameters from the weights of a model's layer: the inverse of `export`."""

    def run_once(self) -> None:
        """Run forward and backward over one step in float32, so that the kernels are compiled."""
        matrices = [np.ones(shape, np.float32) for shape in self.shapes]
        tape = self.tape(matrices, 1, 1)
        out = tape.forward(np.zeros((1, 1, self.input_size), np.float32))
        gradient = [np.zeros_like(matrix) for matrix in matrices]
        tape.backward(np.zeros_like(out), gradient, None)


class BlockTape(ABC):
    """Buffers of one forward and backward pass through a block; arrays are time-major."""

    @abstractmethod
    def forward(self, below: Array) -> Array:
        """Return the outputs, float[T, B, H], for the inputs, float[T, B, F]."""

    @abstractmethod
    def backward(self, d_out: Array, gradient: Sequence[Array], d_below: Array | None) -> None:
        """Write the gradients of the last `forward`.

        Parameters
        ----------
        d_out : float[T, B, H]
            Gradient of the loss by the outputs.
        gradient : sequence of float[rows, columns]
            Of the parameters; written.
        d_below : float[T, B, F] or None
            Of the inputs; written unless None.
        """
