"""Layer normalisation, ``y = u * weight + bias`` with ``u = (x - mean(x)) / deviation(x)``.

Backward, with ``du = dy * weight``::

    dx = (du - mean(du) - u * mean(du * u)) / deviation(x)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...network.layers import LayerNorm
from .block import Block, BlockTape, Exported
from .tanh import compiled

Array = NDArray[Any]


@compiled
def forward(x: Array, W: Array, u: Array, inverse: Array, y: Array, epsilon: float) -> None:
    """Normalise every row.

    Parameters
    ----------
    x : float[R, N]
        The rows.
    W : float[2, N]
        Weight and bias.
    u : float[R, N]
        Normalised rows; written.
    inverse : float[R]
        One over the deviation of each row; written.
    y : float[R, N]
        Written.
    epsilon : float
        Added to the variance.
    """
    zero = x.dtype.type(0)
    R, N = x.shape
    weight, bias = W[0], W[1]
    for r in range(R):
        row, u_r, y_r = x[r], u[r], y[r]
        mean = zero
        for k in range(N):
            mean += row[k]
        mean /= x.dtype.type(N)
        variance = zero
        for k in range(N):
            variance += (row[k] - mean) * (row[k] - mean)
        scale = x.dtype.type(1 / math.sqrt(variance / N + epsilon))
        inverse[r] = scale
        for k in range(N):
            u_r[k] = (row[k] - mean) * scale
            y_r[k] = u_r[k] * weight[k] + bias[k]


@compiled
def backward(dy: Array, W: Array, u: Array, inverse: Array, dx: Array, dW: Array) -> None:
    """Compute the gradients of `forward`.

    Parameters
    ----------
    dy : float[R, N]
        Gradient of the results.
    W, u, inverse : float[2, N], float[R, N], float[R]
        As `forward` left them.
    dx : float[R, N]
        Gradient of the rows; written.
    dW : float[2, N]
        Gradient of weight and bias; written.
    """
    zero = dy.dtype.type(0)
    R, N = dy.shape
    weight, d_weight, d_bias = W[0], dW[0], dW[1]
    dW[:] = zero
    for r in range(R):
        dy_r, u_r, dx_r = dy[r], u[r], dx[r]
        mean, product = zero, zero
        for k in range(N):
            d = dy_r[k] * weight[k]
            mean += d
            product += d * u_r[k]
            d_weight[k] += dy_r[k] * u_r[k]
            d_bias[k] += dy_r[k]
        mean /= dy.dtype.type(N)
        product /= dy.dtype.type(N)
        for k in range(N):
            dx_r[k] = (dy_r[k] * weight[k] - mean - u_r[k] * product) * inverse[r]


KERNELS = forward, backward


class LayerNormBlock(Block):
    """Layer normalisation of N values: ``W[2, N]``, weight and bias."""

    biases = slice(None)

    def __init__(self, size: int) -> None:
        super().__init__(size, size, [(2, size)])
        self.layer = LayerNorm(size)

    def initialize(
        self,
        matrices: Sequence[Array],
        rng: np.random.Generator,  # noqa: ARG002 - of layers with random weights
    ) -> None:
        """Begin without scale and shift."""
        matrices[0][0], matrices[0][1] = 1, 0

    def tape(self, matrices: Sequence[Array], T: int, B: int) -> LayerNormTape:
        """Return buffers for passes over T steps of B windows."""
        return LayerNormTape(matrices[0], self.layer.epsilon, T, B)

    def export(self, matrices: Sequence[Array]) -> list[Exported]:
        """Return the layer and its weights."""
        (W,) = matrices
        return [(self.layer, {"weight": W[0].copy(), "bias": W[1].copy()})]

    def load(self, matrices: Sequence[Array], weights: Mapping[str, Array]) -> None:
        """Set the parameters from the weights of a model's layer."""
        matrices[0][0], matrices[0][1] = weights["weight"], weights["bias"]


class LayerNormTape(BlockTape):
    """Buffers of one forward and backward pass of layer normalisation."""

    def __init__(self, W: Array, epsilon: float, T: int, B: int) -> None:
        self.W, self.epsilon, self.N = W, epsilon, W.shape[1]
        self.u = np.empty((T * B, self.N), W.dtype)
        self.inverse = np.empty(T * B, W.dtype)
        self.y = np.empty((T, B, self.N), W.dtype)

    def forward(self, below: Array) -> Array:
        """Return the normalised values, float[T, B, N]."""
        x, y = np.ascontiguousarray(below).reshape(-1, self.N), self.y.reshape(-1, self.N)
        forward(x, self.W, self.u, self.inverse, y, self.epsilon)
        return self.y

    def backward(self, d_out: Array, gradient: Sequence[Array], d_below: Array | None) -> None:
        """Write the gradients of the last `forward`."""
        dy = d_out.reshape(-1, self.N)
        dx = np.empty_like(dy) if d_below is None else d_below.reshape(-1, self.N)
        backward(dy, self.W, self.u, self.inverse, dx, gradient[0])
