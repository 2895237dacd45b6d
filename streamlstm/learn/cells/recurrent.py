"""What recurrent layers share: how weights begin, and the loop over time of one product a step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .block import Block, BlockTape, State

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
    """Buffers of a recurrent layer."""

    @abstractmethod
    def forward(self, below: Array, state: State | None = None, mask: Array | None = None) -> Array:
        """Return the outputs.

        Parameters
        ----------
        below : float[T, B, F]
        state : tuple of float[B, H], optional
            Before the first step; zeros by default.
        mask : float[B, H], optional
            Factors of the hidden state where it enters the next step's product: dropout between
            steps with the same mask at all of them (Gal and Ghahramani, 2016).
        """

    @abstractmethod
    def state_before(self, t: int) -> State:
        """Return views of the state before step ``t``, of a pass without a mask."""


class ConcatenatedTape(RecurrentTape):
    """The loop of a cell whose pre-activations are one product, ``z = [x, h, 1] @ W``.

    Attributes
    ----------
    xh : float[T + 1, B, F + H + 1]
        Inputs of the products. ``h`` of the last step is in the last row.
    gates : float[T, B, G H]
        Activations; after `backward` the gradients of the pre-activations.
    """

    def __init__(self, W: Array, H: int, T: int, B: int) -> None:
        self.W, self.F, self.T, self.B = W, len(W) - H - 1, T, B
        self.xh = np.zeros((T + 1, B, len(W)), W.dtype)
        self.xh[:, :, -1] = 1  # the bias row's input
        self.gates = np.empty((T, B, W.shape[1]), W.dtype)
        self.h = self.xh[:, :, self.F : -1]
        self.masked: Array | None = None
        self.mask: Array | None = None

    @abstractmethod
    def start(self, state: State | None) -> None:
        """Set the state before the first step."""

    @abstractmethod
    def step(self, t: int) -> None:
        """Compute the state after step ``t`` from its pre-activations."""

    @abstractmethod
    def step_back(self, t: int, d_out: Array, dh: Array) -> None:
        """Replace the gates of step ``t`` by the gradient of their pre-activations.

        Parameters
        ----------
        t : int
        d_out : float[T, B, H]
            Gradient by the outputs.
        dh : float[B, H]
            Gradient of ``h`` from later steps.
        """

    def forward(self, below: Array, state: State | None = None, mask: Array | None = None) -> Array:
        """Return the outputs, float[T, B, H]."""
        self.mask = mask
        self.xh[:-1, :, : self.F] = below
        self.start(state)
        out: Array = self.h[1:] if mask is None else np.empty(self.h[1:].shape, self.W.dtype)
        if mask is not None:
            self.h[0] *= mask
        for t in range(self.T):
            np.dot(self.xh[t], self.W, out=self.gates[t])
            self.step(t)
            if mask is not None:
                out[t] = self.h[t + 1]
                self.h[t + 1] *= mask
        return out

    def backward(self, d_out: Array, gradient: Sequence[Array], d_below: Array | None) -> None:
        """Write the gradients of the last `forward`."""
        F, rows = self.F, self.T * self.B
        W_hidden = np.ascontiguousarray(self.W[F:-1].T)
        dh = np.zeros(d_out.shape[1:], d_out.dtype)
        for t in reversed(range(self.T)):
            self.step_back(t, d_out, dh)
            np.dot(self.gates[t], W_hidden, out=dh)
            if self.mask is not None:
                dh *= self.mask
        # All steps at once: one product for the weights, and one for the layer below.
        gates = self.gates.reshape(rows, -1)
        np.dot(self.xh[:-1].reshape(rows, -1).T, gates, out=gradient[0])
        if d_below is not None:
            np.dot(gates, self.W[:F].T, out=d_below.reshape(rows, F))


def glorot(rng: np.random.Generator, rows: int, columns: int, fan: int) -> Array:
    """Draw input rows after Glorot, so that signals keep their size through the layers."""
    limit = np.sqrt(6.0 / fan)
    return rng.uniform(-limit, limit, (rows, columns))


def orthogonal(rng: np.random.Generator, H: int) -> Array:
    """Draw an orthogonal matrix, so that signals keep their size over time."""
    q, r = np.linalg.qr(rng.standard_normal((H, H)))
    matrix: Array = q * np.sign(np.diag(r))
    return matrix
