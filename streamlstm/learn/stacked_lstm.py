"""Stacked LSTM layers with a dense head, and their parameters in one flat vector.

One matrix a layer, ``W[F + H + 1, 4H]``: rows for the inputs, for the hidden state, and one for the
bias, so that a step is one matrix product ``[x, h, 1] @ W``. One vector for all parameters, so
that the optimizer, clipping and the copy of the best weights are one line each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


class StackedLSTM:
    """Stacked LSTM layers with a dense head.

    Parameters
    ----------
    input_size : int
        ``F`` of the first layer.
    hidden_sizes : sequence of int
        ``H`` of each layer.
    output_size : int
        ``O`` of the head.
    dtype : float32 or float64
        float64 is for checking gradients.

    Attributes
    ----------
    theta : float[P]
        All parameters; the matrices below are views of it.
    lstm : list of float[F + H + 1, 4H]
        Input rows, hidden rows, bias row; gates ``i, f, g, o`` side by side.
    head : float[H + 1, O]
        Hidden rows, bias row.
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.input_size = input_size
        self.hidden_sizes = tuple(hidden_sizes)
        self.output_size = output_size
        widths = (input_size, *self.hidden_sizes)
        shapes = [(F + H + 1, 4 * H) for F, H in zip(widths, self.hidden_sizes, strict=False)]
        shapes.append((widths[-1] + 1, output_size))
        self.theta = np.zeros(sum(rows * columns for rows, columns in shapes), dtype)
        self._shapes = shapes
        *self.lstm, self.head = self.views(self.theta)

    def views(self, flat: Array) -> list[Array]:
        """Return views of a vector as long as ``theta`` as matrices: layers, then head."""
        ends = np.cumsum([rows * columns for rows, columns in self._shapes])
        parts = np.split(flat, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw the initial weights.

        Hidden rows are orthogonal per gate and input rows follow Glorot, so that signals neither
        grow nor vanish over time; the forget bias is 1 (Jozefowicz et al., 2015); the head is
        small, so that the first predictions are near the mean.
        """
        for W, H in zip(self.lstm, self.hidden_sizes, strict=True):
            F = len(W) - H - 1
            limit = np.sqrt(6.0 / (F + H))
            W[:F] = rng.uniform(-limit, limit, (F, 4 * H))
            for gate in range(4):
                q, r = np.linalg.qr(rng.standard_normal((H, H)))
                W[F : F + H, gate * H : (gate + 1) * H] = q * np.sign(np.diag(r))
            W[-1] = 0
            W[-1, H : 2 * H] = 1
        limit = np.sqrt(1.0 / len(self.head))
        self.head[:-1] = rng.uniform(-limit, limit, (len(self.head) - 1, self.output_size))
        self.head[-1] = 0

    def weights(self) -> list[dict[str, Array]]:
        """Return the weights of each layer as a `Model` takes them: names and shapes of PyTorch."""
        layers: list[dict[str, Array]] = []
        for W, H in zip(self.lstm, self.hidden_sizes, strict=True):
            F = len(W) - H - 1
            layers.append(
                {
                    "weight_ih": W[:F].T.copy(),
                    "weight_hh": W[F : F + H].T.copy(),
                    "bias": W[-1].copy(),
                }
            )
        layers.append({"weight": self.head[:-1].T.copy(), "bias": self.head[-1].copy()})
        return layers
