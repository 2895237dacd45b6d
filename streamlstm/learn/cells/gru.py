"""The gated recurrent unit as in PyTorch: the reset gate acts after the recurrent product.

Forward, from ``a = [x, 1] @ W_input`` and ``b = [h, 1] @ W_hidden`` with gates ``r, z, n``::

    r, z = sigmoid(a_r + b_r), sigmoid(a_z + b_z);  n = tanh(a_n + r * b_n)
    h = (1 - z) * n + z * h_before

Backward, from the gradient ``dh`` of ``h``, each times the derivative of its activation::

    dz = dh * (h_before - n);  dn = dh * (1 - z);  dr = dn * b_n
    db = (dr, dz, dn * r);  dh_before = dh * z + db @ W_hidden^T
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...network.layers import GRU
from .block import Exported, State
from .recurrent import RecurrentBlock, RecurrentTape, glorot, orthogonal
from .tanh import compiled, tanh

Array = NDArray[Any]


@compiled
def forward(t: int, a: Array, b: Array, h: Array, hidden: Array) -> None:
    """Compute the gates of step ``t`` from their two products, and ``h`` of ``t + 1``.

    Parameters
    ----------
    t : int
        The step.
    a : float[T, B, 3H]
        Products of the inputs at ``t``; the activations ``r, z, n`` on return.
    b : float[T, B, 3H]
        Products of the hidden state at ``t``.
    h : float[T + 1, B, H]
        ``h[t]`` is read, ``h[t + 1]`` written.
    hidden : float[T + 1, B, H + 1]
        The inputs of the matrix products; ``h`` of ``t + 1`` is written.
    """
    half = a.dtype.type(0.5)
    B, H = h.shape[1:]
    for m in range(B):
        # Slices, and a loop each from 0, so that LLVM vectorises them (lstm.py).
        reset_update, candidate = a[t, m, : 2 * H], a[t, m, 2 * H :]
        recurrent, recurrent_n = b[t, m, : 2 * H], b[t, m, 2 * H :]
        before, after, following = h[t, m], h[t + 1, m], hidden[t + 1, m]
        for k in range(2 * H):
            sum_k = reset_update[k] + recurrent[k]
            reset_update[k] = half + half * tanh(half * sum_k)
        r, z = reset_update[:H], reset_update[H:]
        for k in range(H):
            candidate[k] = tanh(candidate[k] + r[k] * recurrent_n[k])
        for k in range(H):
            after[k] = candidate[k] + z[k] * (before[k] - candidate[k])
        for k in range(H):
            following[k] = after[k]


@compiled
def backward(t: int, a: Array, b: Array, h: Array, d_out: Array, dh: Array, direct: Array) -> None:
    """Compute the gradients of both products of step ``t`` from its gates.

    Parameters
    ----------
    t : int
        The step.
    a, b : float[T, B, 3H]
        As `forward` left them at ``t``; the gradients of both products on return.
    h : float[T + 1, B, H]
        As `forward` left it.
    d_out : float[T, B, H]
        Gradient of ``h`` from the layers above.
    dh : float[B, H]
        Gradient of ``h`` from the next step's product.
    direct : float[B, H]
        Gradient of ``h`` that passes the update gate of the next step; of this step on return.
    """
    one = a.dtype.type(1)
    B, H = dh.shape
    for m in range(B):
        r, z, n = a[t, m, :H], a[t, m, H : 2 * H], a[t, m, 2 * H :]
        b_r, b_z, b_n = b[t, m, :H], b[t, m, H : 2 * H], b[t, m, 2 * H :]
        before, d_above, d_next, passed = h[t, m], d_out[t, m], dh[m], direct[m]
        for k in range(H):
            d = d_above[k] + d_next[k] + passed[k]
            r_k, z_k, n_k = r[k], z[k], n[k]
            passed[k] = d * z_k
            d_n = d * (one - z_k) * (one - n_k * n_k)
            d_r = d_n * b_n[k] * r_k * (one - r_k)
            d_z = d * (before[k] - n_k) * z_k * (one - z_k)
            r[k] = b_r[k] = d_r
            z[k] = b_z[k] = d_z
            n[k] = d_n
            b_n[k] = d_n * r_k


KERNELS = forward, backward


class GRUBlock(RecurrentBlock):
    """A gated recurrent unit layer: ``W_input[F + 1, 3H]`` and ``W_hidden[H + 1, 3H]``.

    The last row of each is a bias; gates ``r, z, n`` side by side.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        shapes = [(input_size + 1, 3 * hidden_size), (hidden_size + 1, 3 * hidden_size)]
        super().__init__(input_size, hidden_size, shapes)

    def initialize(self, matrices: Sequence[Array], rng: np.random.Generator) -> None:
        """Draw the initial weights; the update gate begins by keeping, as the forget gate does."""
        (W_input, W_hidden), F, H = matrices, self.input_size, self.output_size
        W_input[:F] = glorot(rng, F, 3 * H, F + H)
        for gate in range(3):
            W_hidden[:H, gate * H : (gate + 1) * H] = orthogonal(rng, H)
        W_input[-1], W_hidden[-1] = 0, 0
        W_input[-1, H : 2 * H] = 1

    def tape(self, matrices: Sequence[Array], T: int, B: int) -> GRUTape:
        """Return buffers for passes over T steps of B windows."""
        return GRUTape(matrices[0], matrices[1], T, B)

    def export(self, matrices: Sequence[Array]) -> list[Exported]:
        """Return the layer, with weights as PyTorch names them."""
        W_input, W_hidden = matrices
        weights = {
            "weight_ih": W_input[:-1].T.copy(),
            "weight_hh": W_hidden[:-1].T.copy(),
            "bias_ih": W_input[-1].copy(),
            "bias_hh": W_hidden[-1].copy(),
        }
        return [(GRU(self.input_size, self.output_size), weights)]

    def load(self, matrices: Sequence[Array], weights: Mapping[str, Array]) -> None:
        """Set the parameters from the weights of a model's layer."""
        W_input, W_hidden = matrices
        W_input[:-1], W_input[-1] = weights["weight_ih"].T, weights["bias_ih"]
        W_hidden[:-1], W_hidden[-1] = weights["weight_hh"].T, weights["bias_hh"]


class GRUTape(RecurrentTape):
    """Buffers of one forward and backward pass of a GRU layer."""

    def __init__(self, W_input: Array, W_hidden: Array, T: int, B: int) -> None:
        self.W_input, self.W_hidden, self.T, self.B = W_input, W_hidden, T, B
        H, dtype = len(W_hidden) - 1, W_hidden.dtype
        self.x = np.ones((T, B, len(W_input)), dtype)
        self.hidden = np.ones((T + 1, B, H + 1), dtype)  # what enters the products
        self.h = np.empty((T + 1, B, H), dtype)
        self.a, self.b = np.empty((T, B, 3 * H), dtype), np.empty((T, B, 3 * H), dtype)
        self.mask: Array | None = None

    def forward(self, below: Array, state: State | None = None, mask: Array | None = None) -> Array:
        """Return the outputs, float[T, B, H]."""
        self.mask, rows = mask, self.T * self.B
        self.x[:, :, :-1] = below
        self.h[0] = 0 if state is None else state[0]
        self.hidden[0, :, :-1] = self.h[0] if mask is None else self.h[0] * mask
        # The inputs of all steps in one product: only the hidden state has to wait.
        np.dot(self.x.reshape(rows, -1), self.W_input, out=self.a.reshape(rows, -1))
        for t in range(self.T):
            np.dot(self.hidden[t], self.W_hidden, out=self.b[t])
            forward(t, self.a, self.b, self.h, self.hidden)
            if mask is not None:
                self.hidden[t + 1, :, :-1] *= mask
        return self.h[1:]

    def backward(self, d_out: Array, gradient: Sequence[Array], d_below: Array | None) -> None:
        """Write the gradients of the last `forward`."""
        rows = self.T * self.B
        W_hidden = np.ascontiguousarray(self.W_hidden[:-1].T)
        dh, direct = np.zeros_like(self.h[0]), np.zeros_like(self.h[0])
        for t in reversed(range(self.T)):
            backward(t, self.a, self.b, self.h, d_out, dh, direct)
            np.dot(self.b[t], W_hidden, out=dh)
            if self.mask is not None:
                dh *= self.mask
        a, b = self.a.reshape(rows, -1), self.b.reshape(rows, -1)
        np.dot(self.x.reshape(rows, -1).T, a, out=gradient[0])
        np.dot(self.hidden[:-1].reshape(rows, -1).T, b, out=gradient[1])
        if d_below is not None:
            np.dot(a, self.W_input[:-1].T, out=d_below.reshape(rows, -1))

    def state_before(self, t: int) -> State:
        """Return a view of ``(h,)`` before step ``t``."""
        return (self.h[t],)
