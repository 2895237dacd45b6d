"""The products of all steps of a batch with the same matrix, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...kernels.products import WIDE
from ...lazy_arrays import lazy_zeros
from .multiply import multiply_all, outer_all, padded, row_width

Array = NDArray[Any]


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return zeros that start on a cache line, large ones on huge pages.

    The gradient of a matrix reads every row of a batch, each on another page: with pages of 4 KB
    it took twice as long.
    """
    return lazy_zeros(int(np.prod(shape)), dtype).reshape(shape)


class PackedMatrix:
    """A matrix as `multiply.multiply` reads it.

    Parameters
    ----------
    K, N : int
        Its rows and columns.
    dtype : float32 or float64

    Attributes
    ----------
    panels : float[(K + 1) * padded(N)]
        Panels of columns one after the other; of each a row of biases, then a row for each of K.
    """

    def __init__(self, K: int, N: int, dtype: DTypeLike) -> None:
        self.shape = K, N
        self.panels = aligned(((K + 1) * padded(N),), dtype)

    def pack(self, W: Array, bias: Array | None = None) -> Array:
        """Set the numbers: ``W``, float[K, N], and the bias of each column, float[N], or 0.

        Returns
        -------
        float[(K + 1) * padded(N)]
            The panels.
        """
        (K, N), start = self.shape, 0
        rows = K + 1
        for column in range(0, N, WIDE):
            width = min(WIDE, padded(N) - column)
            panel = self.panels[start : start + rows * width].reshape(rows, width)
            end = min(column + width, N)
            if bias is not None:
                panel[0, : end - column] = bias[column:end]
            panel[1:, : end - column] = W[:, column:end]
            start += panel.size
        return self.panels


class Product:
    """``Z = [rows, 1] @ W`` at every step of a batch, and its gradients.

    Parameters
    ----------
    W : float[K + 1, N]
        Its last row are the biases.
    T, B : int

    Attributes
    ----------
    rows : float[T + 1, B, K + 1]
        To be set but for the last column, which is 1. Those of step T enter no product.
    Z : float[T, B, row_width(N)]
        The products; on the way back the gradients of the loss by them.
    dW : float[K + 1, row_width(N)]
        The gradient of the loss by ``W``, after `weight_gradient`.
    """

    def __init__(self, W: Array, T: int, B: int) -> None:
        self.W, dtype = W, W.dtype
        (rows, N), width = W.shape, row_width(W.shape[1])
        self.rows = aligned((T + 1, B, rows), dtype)
        self.rows[:, :, -1] = 1
        self.Z = aligned((T, B, width), dtype)
        self.dW = aligned((rows, width), dtype)
        self._packed = PackedMatrix(rows - 1, N, dtype)

    def pack(self) -> Array:
        """Return the panels of ``W`` as it is now."""
        return self._packed.pack(self.W[:-1], self.W[-1])

    def multiply(self) -> None:
        """Compute the products of all steps."""
        multiply_all(self.rows, self.pack(), *self._packed.shape, self.Z)

    def weight_gradient(self) -> None:
        """Compute the gradient of ``W`` from those of the products."""
        outer_all(self.rows, self.Z, self.W.shape[1], self.dW)

    def input_gradient(self, out: Array) -> None:
        """Write the gradient of the first F columns of the rows, float[T, B, F]."""
        T, B, F = out.shape
        transposed = PackedMatrix(self.W.shape[1], F, out.dtype)
        rows = aligned((T, B, row_width(F)), out.dtype)
        multiply_all(self.Z, transposed.pack(self.W[:F].T), *transposed.shape, rows)
        out[:] = rows[:, :, :F]
