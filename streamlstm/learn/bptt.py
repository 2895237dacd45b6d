"""Backpropagation through time over a batch of windows.

Arrays are time-major, ``[T, B, ...]``. Each layer runs over all steps before the next one starts:
one product ``[x, h, 1] @ W`` by BLAS and one fused pointwise pass (`lstm_cell`) a step. Going back,
the gradients of all pre-activations of a layer come first, so that the gradient of its weights is a
single product over all ``T * B`` rows.

Its speed next to PyTorch: `python -m benchmarks.training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import lstm_cell
from .stacked_lstm import StackedLSTM

Array = NDArray[Any]
State = list[tuple[Array, Array]]
"""``(h, c)`` of each layer, float[B, H]."""


class Tape:
    """Buffers of one forward and backward pass; reused from batch to batch.

    Parameters
    ----------
    network : StackedLSTM
    T, B : int
        Steps and windows of a batch.
    """

    def __init__(self, network: StackedLSTM, T: int, B: int) -> None:
        dtype = network.theta.dtype
        self.network = network
        self.T, self.B = T, B
        self.xh, self.gates, self.c, self.tanh_c, self.d_out = [], [], [], [], []
        for W, H in zip(network.lstm, network.hidden_sizes, strict=True):
            xh = np.zeros((T + 1, B, len(W)), dtype)
            xh[:, :, -1] = 1  # the bias row's input
            self.xh.append(xh)
            self.gates.append(np.empty((T, B, 4 * H), dtype))
            self.c.append(np.empty((T + 1, B, H), dtype))
            self.tanh_c.append(np.empty((T, B, H), dtype))
            self.d_out.append(np.empty((T, B, H), dtype))
        self.top = np.ones((T, B, network.hidden_sizes[-1] + 1), dtype)
        self.masks: list[Array | None] = [None] * len(network.hidden_sizes)

    def forward(
        self, X: Array, state: State | None = None, masks: Sequence[Array | None] | None = None
    ) -> Array:
        """Run the network over a batch of windows.

        Parameters
        ----------
        X : float[T, B, F]
            Scaled inputs.
        state : list of (h, c), optional
            Initial state of each window; zero by default.
        masks : sequence of float[B, H] or None, optional
            Dropout masks: the factors of each layer's outputs.

        Returns
        -------
        float[T, B, O]
            Outputs of the head.
        """
        network = self.network
        self.masks = list(masks or [None] * len(network.lstm))
        below: Array = X
        for k, (W, H) in enumerate(zip(network.lstm, network.hidden_sizes, strict=True)):
            xh, gates, c, tanh_c = self.xh[k], self.gates[k], self.c[k], self.tanh_c[k]
            F = len(W) - H - 1
            xh[:-1, :, :F] = below
            xh[0, :, F:-1], c[0] = (0, 0) if state is None else state[k]
            for t in range(self.T):
                np.dot(xh[t], W, out=gates[t])
                lstm_cell.forward(t, gates, c, tanh_c, xh, F)
            below = xh[1:, :, F:-1]
            mask = self.masks[k]
            if mask is not None:
                below = below * mask
        self.top[:, :, :-1] = below
        return (self.top.reshape(-1, len(network.head)) @ network.head).reshape(self.T, self.B, -1)

    def backward(self, d_output: Array) -> Array:
        """Return the gradient of the loss by the parameters, as a vector like ``theta``.

        Parameters
        ----------
        d_output : float[T, B, O]
            Gradient of the loss by the outputs of the last `forward`; once for each `forward`.
        """
        network, T, B = self.network, self.T, self.B
        gradient = np.empty_like(network.theta)
        *d_lstm, d_head = network.views(gradient)
        d_flat = d_output.reshape(T * B, -1)
        np.dot(self.top.reshape(T * B, -1).T, d_flat, out=d_head)
        np.dot(d_flat, network.head[:-1].T, out=self.d_out[-1].reshape(T * B, -1))
        for k in reversed(range(len(network.lstm))):
            W = network.lstm[k]
            F = len(W) - network.hidden_sizes[k] - 1
            mask = self.masks[k]
            if mask is not None:
                self.d_out[k] *= mask
            gates = self._back_through_layer(k, np.ascontiguousarray(W[F:-1].T))
            np.dot(self.xh[k][:-1].reshape(T * B, -1).T, gates, out=d_lstm[k])
            if k:
                np.dot(gates, W[:F].T, out=self.d_out[k - 1].reshape(T * B, -1))
        return gradient

    def _back_through_layer(self, k: int, W_hidden: Array) -> Array:
        """Replace a layer's gates by the gradients of its pre-activations, float[T * B, 4H]."""
        gates, c, tanh_c, d_out = self.gates[k], self.c[k], self.tanh_c[k], self.d_out[k]
        dh, dc = np.zeros_like(c[0]), np.zeros_like(c[0])
        for t in reversed(range(self.T)):
            lstm_cell.backward(t, gates, c, tanh_c, d_out, dh, dc)
            np.dot(gates[t], W_hidden, out=dh)
        return gates.reshape(self.T * self.B, -1)

    def last_state(self) -> State:
        """Return ``(h, c)`` of each layer after the last step, float[B, H], as copies."""
        return [
            (xh[-1, :, -1 - H : -1].copy(), c[-1].copy())
            for xh, c, H in zip(self.xh, self.c, self.network.hidden_sizes, strict=True)
        ]

    def state_before(self, t: int, b: int) -> State:
        """Return ``(h, c)`` of each layer before step ``t`` of window ``b``, as float[H]."""
        return [
            (xh[t, b, -1 - H : -1].copy(), c[t, b].copy())
            for xh, c, H in zip(self.xh, self.c, self.network.hidden_sizes, strict=True)
        ]
