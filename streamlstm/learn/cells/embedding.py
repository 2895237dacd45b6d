"""A vector for each category, in the place of the integer in the first input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...network.layers import Embedding
from .block import Block, BlockTape, Exported
from .tanh import compiled

Array = NDArray[Any]


@compiled
def backward(categories: Array, d_out: Array, D: int, dW: Array) -> None:
    """Add up the gradients of each category's vector.

    Parameters
    ----------
    categories : int64[R]
        The category of each row.
    d_out : float[R, D + F - 1]
        Gradient by the outputs.
    D : int
        Width of a vector.
    dW : float[N, D]
        Written.
    """
    dW[:] = d_out.dtype.type(0)
    for r in range(len(categories)):
        vector, d = dW[categories[r]], d_out[r]
        for k in range(D):
            vector[k] += d[k]


KERNELS = (backward,)


class EmbeddingBlock(Block):
    """Vectors of width D for N categories: ``W[N, D]``; the numeric inputs follow the vector."""

    biases = slice(0)

    def __init__(self, input_size: int, categories: int, dimension: int) -> None:
        super().__init__(input_size, dimension + input_size - 1, [(categories, dimension)])
        self.layer = Embedding(input_size, categories, dimension)

    def initialize(self, matrices: Sequence[Array], rng: np.random.Generator) -> None:
        """Draw vectors of the size of scaled inputs."""
        matrices[0][:] = rng.standard_normal(matrices[0].shape)

    def tape(self, matrices: Sequence[Array], T: int, B: int) -> EmbeddingTape:
        """Return buffers for passes over T steps of B windows."""
        return EmbeddingTape(matrices[0], self.output_size, T, B)

    def export(self, matrices: Sequence[Array]) -> list[Exported]:
        """Return the layer and its weights."""
        return [(self.layer, {"weight": matrices[0].copy()})]

    def load(self, matrices: Sequence[Array], weights: Mapping[str, Array]) -> None:
        """Set the parameters from the weights of a model's layer."""
        matrices[0][:] = weights["weight"]


class EmbeddingTape(BlockTape):
    """Buffers of one forward and backward pass of an embedding."""

    def __init__(self, W: Array, output_size: int, T: int, B: int) -> None:
        self.W, self.D = W, W.shape[1]
        self.categories = np.zeros(T * B, np.int64)
        self.out = np.empty((T, B, output_size), W.dtype)

    def forward(self, below: Array) -> Array:
        """Return ``[W[x[0]], x[1], x[2], ...]``, float[T, B, D + F - 1]."""
        self.categories[:] = below[:, :, 0].reshape(-1)
        self.out[:, :, : self.D] = self.W[self.categories].reshape(*below.shape[:2], self.D)
        self.out[:, :, self.D :] = below[:, :, 1:]
        return self.out

    def backward(self, d_out: Array, gradient: Sequence[Array], d_below: Array | None) -> None:
        """Write the gradient of the vectors; categories have none."""
        flat = d_out.reshape(-1, d_out.shape[2])
        backward(self.categories, flat, self.D, gradient[0])
        if d_below is not None:
            d_below[:, :, 0], d_below[:, :, 1:] = 0, d_out[:, :, self.D :]
