"""Backpropagation through time over a batch of windows.

Arrays are time-major, ``[T, B, ...]``. Each layer runs over all steps before the next one starts,
in one compiled loop (`cells.time_loop`): a product and a fused pointwise pass a step. Going back,
the gradient of its weights is added up from a hundred rows at a time.

Its speed next to PyTorch: `python -m benchmarks.training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import cells
from .cells.recurrent import RecurrentTape
from .network import RecurrentNetwork

Array = NDArray[Any]
State = list[cells.State]
"""State vectors of each recurrent layer, float[B, H]: ``(h, c)`` of an LSTM, ``(h,)`` else."""
Masks = Sequence[Array | None]
"""Dropout masks of each recurrent layer, float[B, H], None for none."""


class Tape:
    """Buffers of one forward and backward pass; reused from batch to batch.

    Parameters
    ----------
    network : RecurrentNetwork
    T, B : int
        Steps and windows of a batch.
    """

    def __init__(self, network: RecurrentNetwork, T: int, B: int) -> None:
        dtype = network.theta.dtype
        self.network = network
        self.T, self.B = T, B
        self.blocks = [
            block.tape(matrices, T, B)
            for block, matrices in zip(network.blocks, network.matrices, strict=True)
        ]
        # Gradients by the outputs of each block.
        self.d_out = [np.empty((T, B, block.output_size), dtype) for block in network.blocks]
        self.top = np.ones((T, B, network.hidden_sizes[-1] + 1), dtype)
        self.raw = np.empty((T, B, network.head.raw_size), dtype)
        self.masks: list[Array | None] = []

    @property
    def recurrent(self) -> list[RecurrentTape]:
        """The tapes of the recurrent layers."""
        return [tape for tape in self.blocks if isinstance(tape, RecurrentTape)]

    def forward(
        self,
        X: Array,
        state: State | None = None,
        masks: Masks | None = None,
        recurrent_masks: Masks | None = None,
    ) -> Array:
        """Run the network over a batch of windows.

        Parameters
        ----------
        X : float[T, B, F]
            Scaled inputs.
        state : list of tuple of float[B, H], optional
            Initial state of each window, for each recurrent layer; zero by default.
        masks : sequence of float[B, H] or None, optional
            Dropout masks: the factors of each recurrent layer's outputs.
        recurrent_masks : sequence of float[B, H] or None, optional
            The factors of each recurrent layer's hidden state where it enters its next step.

        Returns
        -------
        float[T, B, O]
            Outputs of the head.
        """
        network = self.network
        layers = len(network.hidden_sizes)
        self.masks = self._by_block(masks or [None] * layers)
        initial: Sequence[cells.State | None] = state if state else [None] * layers
        states = iter(initial)
        steps = iter(recurrent_masks or [None] * layers)
        below: Array = X
        for block, tape, mask in zip(network.blocks, self.blocks, self.masks, strict=True):
            if isinstance(tape, RecurrentTape):
                out = tape.forward(below, next(states), next(steps))
            else:
                out = tape.forward(below)
            if network.adds_input(block):
                out = out + below
            below = out if mask is None else out * mask
        self.top[:, :, :-1] = below
        rows = self.T * self.B
        np.dot(self.top.reshape(rows, -1), network.head_matrix, out=self.raw.reshape(rows, -1))
        return network.head.forward(self.raw)

    def _by_block(self, masks: Masks) -> list[Array | None]:
        """Return the mask behind each block: behind the normalisation, where a layer has one."""
        remaining, last = iter(masks), len(self.blocks) - 1
        result: list[Array | None] = [None] * len(self.blocks)
        for n, tape in enumerate(self.blocks):
            if isinstance(tape, RecurrentTape):
                normalised = n < last and not isinstance(self.blocks[n + 1], RecurrentTape)
                result[n + normalised] = next(remaining)
        return result

    def backward(self, d_output: Array) -> Array:
        """Return the gradient of the loss by the parameters, as a vector like ``theta``.

        Parameters
        ----------
        d_output : float[T, B, O]
            Gradient of the loss by the outputs of the last `forward`; once for each `forward`.
        """
        network, rows = self.network, self.T * self.B
        gradient = np.empty_like(network.theta)
        by_block, d_head = network.by_block(gradient)
        d_raw = network.head.backward(self.raw, d_output).reshape(rows, -1)
        np.dot(self.top.reshape(rows, -1).T, d_raw, out=d_head)
        np.dot(d_raw, network.head_matrix[:-1].T, out=self.d_out[-1].reshape(rows, -1))
        for k in reversed(range(len(network.blocks))):
            d_out, d_below, mask = self.d_out[k], self.d_out[k - 1] if k else None, self.masks[k]
            if mask is not None:
                d_out *= mask
            self.blocks[k].backward(d_out, by_block[k], d_below)
            if network.adds_input(network.blocks[k]) and d_below is not None:
                d_below += d_out
        return gradient

    def last_state(self) -> State:
        """Return the state of each recurrent layer after the last step, float[B, H], as copies."""
        return [_copied(tape.state_before(self.T)) for tape in self.recurrent]

    def state_before(self, t: int, b: int) -> State:
        """Return the state of each recurrent layer before step ``t`` of window ``b``, float[H]."""
        return [
            _copied(tuple(vector[b] for vector in tape.state_before(t))) for tape in self.recurrent
        ]


def _copied(state: cells.State) -> cells.State:
    return tuple(vector.copy() for vector in state)
