"""What recurrent layers share: how weights begin, and the loops over time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .block import Block, BlockTape, State
from .multiply import row_width
from .product import PackedMatrix, Product, aligned

Array = NDArray[Any]


class RecurrentBlock(Block):
    """A recurrent layer.

    Attributes
    ----------
    state_vectors : int
        How many vectors of width H its state has.
    """

    state_vectors = 1

    @abstractmethod
    def tape(self, matrices: Sequence[Array], T: int, B: int) -> RecurrentTape:
        """Return buffers for passes over T steps of B windows with these parameters."""


class RecurrentTape(BlockTape):
    """Buffers of a recurrent layer, and its passes: a product and a pointwise function a step.

    Parameters
    ----------
    W : float[F + H + 1, G H]
        The matrix of the products: rows for inputs, which may be none (F = 0), for the hidden
        state, and one for biases.
    H, T, B : int

    Attributes
    ----------
    loops : (compiled function, compiled function)
        Over time, forward and backward: of the cell.
    product : Product
        Of ``x``, ``h`` times its mask and 1. Its ``Z`` holds the gates after a pass forward.
    h : float[T + 1, B, H]
        Hidden states, from that before the first step.
    """

    loops: tuple[Any, Any]

    def __init__(self, W: Array, H: int, T: int, B: int) -> None:
        self.F, self.H = len(W) - H - 1, H
        self.product = Product(W, T, B)
        self.h = aligned((T + 1, B, H), W.dtype)
        self._dh = aligned((B, row_width(H)), W.dtype)
        self._transposed = PackedMatrix(W.shape[1], H, W.dtype)
        self._all = np.ones((B, H), W.dtype)
        self._mask = self._all

    @abstractmethod
    def start(self, state: State | None) -> None:
        """Set the state before the first step."""

    @abstractmethod
    def forward_arrays(self) -> tuple[Array, ...]:
        """Return what a step forward takes beside the products and ``h``."""

    @abstractmethod
    def backward_arrays(self) -> tuple[Array, ...]:
        """Return what a step backward takes beside those and the gradients of ``h``."""

    @abstractmethod
    def state_before(self, t: int) -> State:
        """Return views of the state before step ``t``."""

    def forward(self, below: Array, state: State | None = None, mask: Array | None = None) -> Array:
        """Return the outputs, float[T, B, H].

        Parameters
        ----------
        below : float[T, B, F]
        state : tuple of float[B, H], optional
            Before the first step; zeros by default.
        mask : float[B, H], optional
            Factors of the hidden state where it enters the next step's product: dropout between
            steps with the same mask at all of them (Gal and Ghahramani, 2016).
        """
        product, F = self.product, self.F
        self._mask = self._all if mask is None else mask
        self.start(state)
        self.take_inputs(below)
        product.rows[0, :, F:-1] = self.h[0] * self._mask
        panels, N = product.pack(), product.W.shape[1]
        arrays = self.forward_arrays()
        self.loops[0](product.rows, F, panels, N, product.Z, self.h, self._mask, arrays)
        return self.h[1:]

    def take_inputs(self, below: Array) -> None:
        """Put the inputs into the rows of the product."""
        self.product.rows[:-1, :, : self.F] = below

    def backward(self, d_out: Array, gradient: Sequence[Array], d_below: Array | None) -> None:
        """Write the gradients of the last `forward`."""
        product, F = self.product, self.F
        panels, N = self._transposed.pack(product.W[F:-1].T), product.W.shape[1]
        rows, Z, dW, arrays = product.rows, product.Z, product.dW, self.backward_arrays()
        self.loops[1](rows, Z, panels, N, self.h, self._mask, d_out, self._dh, dW, arrays)
        gradient[-1][:] = dW[:, :N]
        if F and d_below is not None:
            product.input_gradient(d_below)


def glorot(rng: np.random.Generator, rows: int, columns: int, fan: int) -> Array:
    """Draw input rows after Glorot, so that signals keep their size through the layers."""
    limit = np.sqrt(6.0 / fan)
    return rng.uniform(-limit, limit, (rows, columns))


def orthogonal(rng: np.random.Generator, H: int) -> Array:
    """Draw an orthogonal matrix, so that signals keep their size over time."""
    q, r = np.linalg.qr(rng.standard_normal((H, H)))
    matrix: Array = q * np.sign(np.diag(r))
    return matrix
