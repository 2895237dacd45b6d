"""The plain recurrent layer: ``h = tanh([x, h, 1] @ W)``, and backward ``dz = dh * (1 - h^2)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...network.layers import RNN
from .block import Exported, State
from .recurrent import RecurrentBlock, RecurrentTape, glorot, orthogonal
from .tanh import compiled, tanh
from .time_loop import backward_loop, forward_loop

Array = NDArray[Any]


@compiled
def forward(t: int, Z: Array, h: Array) -> None:
    """Compute ``h`` of step ``t`` from its pre-activations.

    Parameters
    ----------
    t : int
        The step.
    Z : float[T, B, H or more]
        Pre-activations at ``t``.
    h : float[T + 1, B, H]
        ``h[t + 1]`` is written.
    """
    B, H = h.shape[1:]
    for b in range(B):
        z, after = Z[t, b], h[t + 1, b]
        for k in range(H):
            after[k] = tanh(z[k])


@compiled
def backward(t: int, Z: Array, h: Array, d_out: Array, dh: Array) -> None:
    """Compute the gradient of the pre-activations of step ``t``.

    Parameters
    ----------
    t : int
        The step.
    Z : float[T, B, H or more]
        Gradients of the pre-activations at ``t`` on return.
    h : float[T + 1, B, H]
        As `forward` left it.
    d_out : float[T, B, H]
        Gradient of ``h`` from the layers above.
    dh : float[B, H or more]
        Gradient of ``h`` from later steps.
    """
    one = Z.dtype.type(1)
    B, H = h.shape[1:]
    for b in range(B):
        z, at, d_above, d_next = Z[t, b], h[t + 1, b], d_out[t, b], dh[b]
        for k in range(H):
            z[k] = (d_above[k] + d_next[k]) * (one - at[k] * at[k])


LOOPS = forward_loop("rnn", forward), backward_loop("rnn", backward)


class RNNBlock(RecurrentBlock):
    """A plain recurrent (Elman) layer: one matrix, ``W[F + H + 1, H]``."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, [(input_size + hidden_size + 1, hidden_size)])

    def initialize(self, matrices: Sequence[Array], rng: np.random.Generator) -> None:
        """Draw the initial weights."""
        (W,), F, H = matrices, self.input_size, self.output_size
        W[:F] = glorot(rng, F, H, F + H)
        W[F : F + H] = orthogonal(rng, H)
        W[-1] = 0

    def tape(self, matrices: Sequence[Array], T: int, B: int) -> RNNTape:
        """Return buffers for passes over T steps of B windows."""
        return RNNTape(matrices[0], self.output_size, T, B)

    def export(self, matrices: Sequence[Array]) -> list[Exported]:
        """Return the layer and its weights."""
        (W,), F = matrices, self.input_size
        weights = {"weight_ih": W[:F].T.copy(), "weight_hh": W[F:-1].T.copy(), "bias": W[-1].copy()}
        return [(RNN(F, self.output_size), weights)]

    def load(self, matrices: Sequence[Array], weights: Mapping[str, Array]) -> None:
        """Set the parameters from the weights of a model's layer."""
        (W,), F = matrices, self.input_size
        W[:F], W[F:-1], W[-1] = weights["weight_ih"].T, weights["weight_hh"].T, weights["bias"]


class RNNTape(RecurrentTape):
    """Buffers of one forward and backward pass of a plain recurrent layer."""

    loops = LOOPS

    def start(self, state: State | None) -> None:
        """Set the state before the first step."""
        self.h[0] = 0 if state is None else state[0]

    def forward_arrays(self) -> tuple[Array, ...]:
        """Return nothing: the products and ``h`` are all."""
        return ()

    def backward_arrays(self) -> tuple[Array, ...]:
        """Return nothing."""
        return ()

    def state_before(self, t: int) -> State:
        """Return a view of ``(h,)`` before step ``t``."""
        return (self.h[t],)
