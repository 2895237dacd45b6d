"""Numba kernels of the pointwise part of an LSTM step over a batch, forward and backward.

Forward, from pre-activations ``z = [x, h, 1] @ W`` with gates ``i, f, g, o``::

    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
    c = f * c_before + i * g;  h = o * tanh(c)

Backward, from the gradients ``dh`` and ``dc`` of ``h`` and ``c``::

    do = dh * tanh(c);  dc += dh * o * (1 - tanh(c)^2)
    di = dc * g;  df = dc * c_before;  dg = dc * i;  dc_before = dc * f

each times the derivative of its activation, written over the gates. Fusing saves the dozen passes
over memory that the same lines cost in NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...network.layers import LSTM
from .block import Exported, State
from .product import aligned
from .recurrent import RecurrentBlock, RecurrentTape, glorot, orthogonal
from .tanh import compiled, tanh
from .time_loop import backward_loop, forward_loop

Array = NDArray[Any]


@compiled
def forward(t: int, Z: Array, h: Array, c: Array, tanh_c: Array) -> None:
    """Compute the gates of step ``t`` from their pre-activations, and ``c`` and ``h`` of ``t + 1``.

    Parameters
    ----------
    t : int
        The step.
    Z : float[T, B, 4H or more]
        Pre-activations at ``t``; activations on return.
    h, c : float[T + 1, B, H]
        States; ``c[t]`` is read, ``h[t + 1]`` and ``c[t + 1]`` are written.
    tanh_c : float[T, B, H]
        Written at ``t``.
    """
    half = Z.dtype.type(0.5)
    B, H = tanh_c.shape[1:]
    for b in range(B):
        z, before, after, tc, h_after = Z[t, b], c[t, b], c[t + 1, b], tanh_c[t, b], h[t + 1, b]
        # Slices that begin at 0: LLVM does not vectorise z[H + k] beside z[k], which might meet.
        i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H : 4 * H]
        for k in range(H):
            i_k, f_k = half + half * tanh(half * i[k]), half + half * tanh(half * f[k])
            g_k, o_k = tanh(g[k]), half + half * tanh(half * o[k])
            c_k = f_k * before[k] + i_k * g_k
            tanh_ck = tanh(c_k)
            i[k], f[k], g[k], o[k] = i_k, f_k, g_k, o_k
            after[k], tc[k], h_after[k] = c_k, tanh_ck, o_k * tanh_ck


@compiled
def backward(
    t: int, Z: Array, _h: Array, d_out: Array, dh: Array, c: Array, tanh_c: Array, dc: Array
) -> None:
    """Compute the gradient of the pre-activations of step ``t`` from its gates.

    Parameters
    ----------
    t : int
        The step.
    Z : float[T, B, 4H or more]
        Activations at ``t``; gradients of the pre-activations on return.
    c, tanh_c : float[T + 1, B, H], float[T, B, H]
        As `forward` left them.
    d_out : float[T, B, H]
        Gradient of ``h`` from the layers above.
    dh : float[B, H or more]
        Gradient of ``h`` from later steps.
    dc : float[B, H]
        Gradient of ``c`` from later steps; of ``c`` before this step on return.
    """
    one = Z.dtype.type(1)
    B, H = dc.shape
    for b in range(B):
        z, before, tc = Z[t, b], c[t, b], tanh_c[t, b]
        i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H : 4 * H]
        d_above, d_next, d_cell = d_out[t, b], dh[b], dc[b]
        for k in range(H):
            i_k, f_k, g_k, o_k, tc_k = i[k], f[k], g[k], o[k], tc[k]
            d_h = d_above[k] + d_next[k]
            d_c = d_cell[k] + d_h * o_k * (one - tc_k * tc_k)
            i[k] = d_c * g_k * i_k * (one - i_k)
            f[k] = d_c * before[k] * f_k * (one - f_k)
            g[k] = d_c * i_k * (one - g_k * g_k)
            o[k] = d_h * tc_k * o_k * (one - o_k)
            d_cell[k] = d_c * f_k


LOOPS = forward_loop("lstm", forward), backward_loop("lstm", backward)


class LSTMBlock(RecurrentBlock):
    """A long short-term memory layer: one matrix, ``W[F + H + 1, 4H]``.

    Rows for the inputs, for the hidden state, and one for the bias, so that a step is one product
    ``[x, h, 1] @ W``; gates ``i, f, g, o`` side by side.
    """

    state_vectors = 2

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, [(input_size + hidden_size + 1, 4 * hidden_size)])

    def initialize(self, matrices: Sequence[Array], rng: np.random.Generator) -> None:
        """Draw the initial weights; the forget bias is 1 (Jozefowicz et al., 2015)."""
        (W,), F, H = matrices, self.input_size, self.output_size
        W[:F] = glorot(rng, F, 4 * H, F + H)
        for gate in range(4):
            W[F : F + H, gate * H : (gate + 1) * H] = orthogonal(rng, H)
        W[-1] = 0
        W[-1, H : 2 * H] = 1

    def tape(self, matrices: Sequence[Array], T: int, B: int) -> LSTMTape:
        """Return buffers for passes over T steps of B windows."""
        return LSTMTape(matrices[0], self.output_size, T, B)

    def export(self, matrices: Sequence[Array]) -> list[Exported]:
        """Return the layer, with weights as PyTorch names them; its two biases are one here."""
        (W,), F = matrices, self.input_size
        weights = {"weight_ih": W[:F].T.copy(), "weight_hh": W[F:-1].T.copy(), "bias": W[-1].copy()}
        return [(LSTM(F, self.output_size), weights)]

    def load(self, matrices: Sequence[Array], weights: Mapping[str, Array]) -> None:
        """Set the parameters from the weights of a model's layer."""
        (W,), F = matrices, self.input_size
        W[:F], W[F:-1], W[-1] = weights["weight_ih"].T, weights["weight_hh"].T, weights["bias"]


class LSTMTape(RecurrentTape):
    """Buffers of one forward and backward pass of an LSTM layer."""

    loops = LOOPS

    def __init__(self, W: Array, H: int, T: int, B: int) -> None:
        super().__init__(W, H, T, B)
        self.c = aligned((T + 1, B, H), W.dtype)
        self.tanh_c = aligned((T, B, H), W.dtype)

    def start(self, state: State | None) -> None:
        """Set the state before the first step."""
        self.h[0], self.c[0] = (0, 0) if state is None else state

    def forward_arrays(self) -> tuple[Array, ...]:
        """Return cell states and their tanh."""
        return self.c, self.tanh_c

    def backward_arrays(self) -> tuple[Array, ...]:
        """Return those and the gradient of the last cell state, which is zero."""
        return self.c, self.tanh_c, np.zeros_like(self.c[0])

    def state_before(self, t: int) -> State:
        """Return views of ``(h, c)`` before step ``t``."""
        return self.h[t], self.c[t]
