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
from .product import Product
from .recurrent import RecurrentBlock, RecurrentTape, glorot, orthogonal
from .tanh import compiled, tanh
from .time_loop import backward_loop, forward_loop

Array = NDArray[Any]


@compiled
def forward(t: int, Z: Array, h: Array, a: Array) -> None:
    """Compute the gates of step ``t`` from their two products, and ``h`` of ``t + 1``.

    Parameters
    ----------
    t : int
        The step.
    Z : float[T, B, 3H or more]
        Products of the hidden state at ``t``.
    h : float[T + 1, B, H]
        ``h[t]`` is read, ``h[t + 1]`` written.
    a : float[T, B, 3H or more]
        Products of the inputs at ``t``; the activations ``r, z, n`` on return.
    """
    half = a.dtype.type(0.5)
    B, H = h.shape[1:]
    for m in range(B):
        # Slices that begin at 0, so that LLVM vectorises the loop (lstm.py).
        r, z, n = a[t, m, :H], a[t, m, H : 2 * H], a[t, m, 2 * H : 3 * H]
        b_r, b_z, b_n = Z[t, m, :H], Z[t, m, H : 2 * H], Z[t, m, 2 * H : 3 * H]
        before, after = h[t, m], h[t + 1, m]
        for k in range(H):
            r_k = half + half * tanh(half * (r[k] + b_r[k]))
            z_k = half + half * tanh(half * (z[k] + b_z[k]))
            n_k = tanh(n[k] + r_k * b_n[k])
            r[k], z[k], n[k] = r_k, z_k, n_k
            after[k] = n_k + z_k * (before[k] - n_k)


@compiled
def backward(t: int, Z: Array, h: Array, d_out: Array, dh: Array, a: Array, direct: Array) -> None:
    """Compute the gradients of both products of step ``t`` from its gates.

    Parameters
    ----------
    t : int
        The step.
    Z, a : float[T, B, 3H or more]
        As `forward` left them at ``t``; the gradients of both products on return.
    h : float[T + 1, B, H]
        As `forward` left it.
    d_out : float[T, B, H]
        Gradient of ``h`` from the layers above.
    dh : float[B, H or more]
        Gradient of ``h`` from the next step's product.
    direct : float[B, H]
        Gradient of ``h`` that passes the update gate of the next step; of this step on return.
    """
    one = a.dtype.type(1)
    B, H = direct.shape
    for m in range(B):
        r, z, n = a[t, m, :H], a[t, m, H : 2 * H], a[t, m, 2 * H : 3 * H]
        b_r, b_z, b_n = Z[t, m, :H], Z[t, m, H : 2 * H], Z[t, m, 2 * H : 3 * H]
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


LOOPS = forward_loop("gru", forward), backward_loop("gru", backward)


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

    loops = LOOPS

    def __init__(self, W_input: Array, W_hidden: Array, T: int, B: int) -> None:
        super().__init__(W_hidden, len(W_hidden) - 1, T, B)
        self.inputs = Product(W_input, T, B)

    def start(self, state: State | None) -> None:
        """Set the state before the first step."""
        self.h[0] = 0 if state is None else state[0]

    def take_inputs(self, below: Array) -> None:
        """Multiply the inputs of all steps at once: only the hidden state has to wait."""
        self.inputs.rows[:-1, :, :-1] = below
        self.inputs.multiply()

    def forward_arrays(self) -> tuple[Array, ...]:
        """Return the products of the inputs."""
        return (self.inputs.Z,)

    def backward_arrays(self) -> tuple[Array, ...]:
        """Return those, and the gradient that passes the update gate, zero behind the last step."""
        return self.inputs.Z, np.zeros_like(self.h[0])

    def backward(self, d_out: Array, gradient: Sequence[Array], d_below: Array | None) -> None:
        """Write the gradients of the last `forward`."""
        super().backward(d_out, gradient, d_below)
        self.inputs.weight_gradient()
        gradient[0][:] = self.inputs.dW[:, : gradient[0].shape[1]]
        if d_below is not None:
            self.inputs.input_gradient(d_below)

    def state_before(self, t: int) -> State:
        """Return a view of ``(h,)`` before step ``t``."""
        return (self.h[t],)
