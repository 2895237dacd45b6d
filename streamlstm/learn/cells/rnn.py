"""The plain recurrent layer: ``h = tanh([x, h, 1] @ W)``, and backward ``dz = dh * (1 - h^2)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...network.layers import RNN
from .block import Exported, State
from .recurrent import ConcatenatedTape, RecurrentBlock, glorot, orthogonal
from .tanh import compiled, tanh

Array = NDArray[Any]


@compiled
def forward(t: int, z: Array, xh: Array, F: int) -> None:
    """Compute ``h`` of step ``t`` from its pre-activations.

    Parameters
    ----------
    t : int
        The step.
    z : float[T, B, H]
        Pre-activations at ``t``; activations on return.
    xh : float[T + 1, B, F + H + 1]
        The inputs of the matrix products; ``h`` of ``t + 1`` is written.
    F : int
        Column of ``h`` in ``xh``.
    """
    B, H = z.shape[1:]
    for b in range(B):
        at, h = z[t, b], xh[t + 1, b, F : F + H]
        for k in range(H):
            at[k] = tanh(at[k])
        for k in range(H):
            h[k] = at[k]


@compiled
def backward(t: int, z: Array, d_out: Array, dh: Array) -> None:
    """Compute the gradient of the pre-activations of step ``t``.

    Parameters
    ----------
    t : int
        The step.
    z : float[T, B, H]
        Activations at ``t``; gradients of the pre-activations on return.
    d_out : float[T, B, H]
        Gradient of ``h`` from the layers above.
    dh : float[B, H]
        Gradient of ``h`` from later steps.
    """
    one = z.dtype.type(1)
    B, H = dh.shape
    for b in range(B):
        at, d_above, d_next = z[t, b], d_out[t, b], dh[b]
        for k in range(H):
            at[k] = (d_above[k] + d_next[k]) * (one - at[k] * at[k])


KERNELS = forward, backward


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


class RNNTape(ConcatenatedTape):
    """Buffers of one forward and backward pass of a plain recurrent layer."""

    def start(self, state: State | None) -> None:
        """Set the state before the first step."""
        self.h[0] = 0 if state is None else state[0]

    def step(self, t: int) -> None:
        """Compute the state after step ``t``."""
        forward(t, self.gates, self.xh, self.F)

    def step_back(self, t: int, d_out: Array, dh: Array) -> None:
        """Replace the activations of step ``t`` by the gradient of their pre-activations."""
        backward(t, self.gates, d_out, dh)

    def state_before(self, t: int) -> State:
        """Return a view of ``(h,)`` before step ``t``."""
        return (self.h[t],)
