"""A recurrent network in training: its layers, and their parameters in one flat vector.

One vector for all parameters, so that the optimizer, clipping and the copy of the best weights are
one line each. The layers themselves are in the package `cells`, a file each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..network.layers import Layer
from . import residual
from .cells import Block, EmbeddingBlock, LayerNormBlock, RecurrentBlock, block_of
from .head import Head, LinearHead
from .settings import NetworkSettings

Array = NDArray[Any]


class RecurrentNetwork:
    """Stacked recurrent layers between an optional embedding and a head.

    Parameters
    ----------
    input_size : int
        F.
    hidden_sizes : sequence of int
        ``H`` of each recurrent layer.
    head : int or Head
        Makes outputs of the last layer's; a number stands for that many linear outputs.
    dtype : float32 or float64
        float64 is for checking gradients.
    cell : str
        "lstm", "gru" or "rnn".
    layer_norm : bool
        Whether the outputs of each recurrent layer are normalised.
    residual : bool
        Whether each recurrent layer that is as wide as its inputs adds them to its outputs.
    embedding : (int, int), optional
        Number of categories in the first input, and the width of their vectors.

    Attributes
    ----------
    theta : float[P]
        All parameters; the matrices are views of it.
    blocks : list of Block
        Embedding, recurrent layers and normalisations in order, without the head.
    matrices : list of list of float[rows, columns]
        Of each block.
    head_matrix : float[H + 1, R]
        Hidden rows, bias row.
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        head: int | Head,
        dtype: DTypeLike = np.float32,
        *,
        cell: str = "lstm",
        layer_norm: bool = False,
        residual: bool = False,
        embedding: tuple[int, int] | None = None,
    ) -> None:
        self.input_size, self.hidden_sizes = input_size, tuple(hidden_sizes)
        self.head = LinearHead(head) if isinstance(head, int) else head
        self.cell, self.layer_norm, self.residual = cell, layer_norm, residual
        self.embedding = embedding
        self.blocks = self._make_blocks()
        self._shapes = [shape for block in self.blocks for shape in block.shapes]
        self._shapes.append((self.hidden_sizes[-1] + 1, self.head.raw_size))
        self.theta = np.zeros(sum(rows * columns for rows, columns in self._shapes), dtype)
        self.matrices, self.head_matrix = self.by_block(self.theta)

    @classmethod
    def of(
        cls, settings: NetworkSettings, input_size: int, head: int | Head, categories: int = 0
    ) -> RecurrentNetwork:
        """Return the network that the settings ask for, with parameters of zero."""
        return cls(
            input_size,
            settings.hidden_sizes,
            head,
            cell=settings.cell,
            layer_norm=settings.layer_norm,
            residual=settings.residual,
            embedding=(categories, settings.embedding) if categories else None,
        )

    @property
    def output_size(self) -> int:
        """O, outputs of the head."""
        return self.head.output_size

    def _make_blocks(self) -> list[Block]:
        blocks: list[Block] = []
        size = self.input_size
        if self.embedding:
            blocks.append(EmbeddingBlock(size, *self.embedding))
            size = blocks[-1].output_size
        for H in self.hidden_sizes:
            blocks.append(block_of(self.cell)(size, H))
            if self.layer_norm:
                blocks.append(LayerNormBlock(H))
            size = H
        return blocks

    def twin(self) -> RecurrentNetwork:
        """Return a network of the same structure with parameters of its own, copied."""
        twin = RecurrentNetwork(
            self.input_size,
            self.hidden_sizes,
            self.head,
            self.theta.dtype,
            cell=self.cell,
            layer_norm=self.layer_norm,
            residual=self.residual,
            embedding=self.embedding,
        )
        twin.theta[:] = self.theta
        return twin

    def views(self, flat: Array) -> list[Array]:
        """Return views of a vector as long as ``theta`` as matrices: of the blocks, then head."""
        ends = np.cumsum([rows * columns for rows, columns in self._shapes])
        parts = np.split(flat, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def by_block(self, flat: Array) -> tuple[list[list[Array]], Array]:
        """Return the same, grouped by block, and the head's."""
        *views, head = self.views(flat)
        remaining = iter(views)
        return [[next(remaining) for _ in block.shapes] for block in self.blocks], head

    def decayed(self) -> Array:
        """Return 1 for each parameter that weight decay shrinks, 0 for biases: like ``theta``."""
        decayed = np.ones_like(self.theta)
        by_block, head = self.by_block(decayed)
        for block, matrices in zip(self.blocks, by_block, strict=True):
            for matrix in matrices:
                matrix[block.biases] = 0
        head[-1] = 0
        return decayed

    def adds_input(self, block: Block) -> bool:
        """Tell whether the inputs of a block are added to its outputs."""
        same_width = block.input_size == block.output_size
        return self.residual and isinstance(block, RecurrentBlock) and same_width

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw the initial weights.

        Hidden rows are orthogonal per gate and input rows follow Glorot, so that signals neither
        grow nor vanish over time; the head is small, so that the first predictions are near the
        mean.
        """
        for block, matrices in zip(self.blocks, self.matrices, strict=True):
            block.initialize(matrices, rng)
        W = self.head_matrix
        limit = np.sqrt(1.0 / len(W))
        W[:-1] = rng.uniform(-limit, limit, W[:-1].shape)
        W[-1] = 0
        self.head.initialize(W)

    def export(self) -> list[tuple[Layer, dict[str, Array]]]:
        """Return layers and weights that compute the same in a `Model`."""
        exported = []
        for block, matrices in zip(self.blocks, self.matrices, strict=True):
            layers = block.export(matrices)
            exported += residual.widen(layers[0]) if self.adds_input(block) else layers
        return exported + self.head.export(self.head_matrix)

    def layers(self) -> list[Layer]:
        """Return the layers as a `Model` takes them."""
        return [layer for layer, _ in self.export()]

    def weights(self) -> list[dict[str, Array]]:
        """Return the weights of each layer as a `Model` takes them: names and shapes of PyTorch."""
        return [weights for _, weights in self.export()]

    def load(self, weights: Sequence[Mapping[str, Array]]) -> None:
        """Set all parameters from the weights of a model with the layers of `layers`.

        Parameters
        ----------
        weights : sequence of dict of str to array
            Of each layer, as `weights` returns them.
        """
        remaining = iter(weights)
        for block, matrices in zip(self.blocks, self.matrices, strict=True):
            of_layer = next(remaining)
            if self.adds_input(block):
                of_layer = residual.narrow(of_layer, block.output_size)
                next(remaining)  # what adds the input
            block.load(matrices, of_layer)
        self.head.load(self.head_matrix, next(remaining))
