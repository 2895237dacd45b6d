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

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..kernels.cache import kernel

Array = NDArray[Any]


# Sums may be fused and zeros lose their sign; nothing else that would change a result.
_compile = kernel(nogil=False, fastmath={"contract", "nsz", "nnan", "ninf"})


@njit(inline="always")
def _tanh32(x: Any) -> Any:
    """Return tanh to 3e-7 in float32: a rational function that LLVM vectorises.

    libm's tanh is called element by element, at 16 ns each. Coefficients: Eigen's ``ptanh_float``.
    """
    f = np.float32
    limit = f(7.90531110763549805)  # beyond it float32 has only 1 left
    x = limit if x > limit else x
    x = -limit if x < -limit else x
    s = x * x
    p = f(-2.76076847742355e-16)
    p = p * s + f(2.00018790482477e-13)
    p = p * s + f(-8.60467152213735e-11)
    p = p * s + f(5.12229709037114e-08)
    p = p * s + f(1.48572235717979e-05)
    p = p * s + f(6.37261928875436e-04)
    p = p * s + f(4.89352455891786e-03)
    q = f(1.19825839466702e-06)
    q = q * s + f(1.18534705686654e-04)
    q = q * s + f(2.26843463243900e-03)
    q = q * s + f(4.89352518554385e-03)
    return x * p / q


@njit(inline="always")
def _tanh64(x: Any) -> Any:
    return math.tanh(x)


def _make_forward(tanh: Callable[[Any], Any]) -> Any:
    def forward(t: int, gates: Array, c: Array, tanh_c: Array, xh: Array, F: int) -> None:
        half = gates.dtype.type(0.5)
        B, H = tanh_c.shape[1:]
        for b in range(B):
            z, before, after, tc = gates[t, b], c[t, b], c[t + 1, b], tanh_c[t, b]
            h = xh[t + 1, b, F : F + H]
            # One loop for each slice, each from 0: LLVM vectorises these. It cannot vectorise one
            # loop over all four gates (z[k] and z[H + k] might meet) nor for range(2 * H, 3 * H)
            # (k might be negative): 5.3 and 2.6 ms against 1.1 for 64 steps of B = H = 64.
            input_forget, candidate, output = z[: 2 * H], z[2 * H : 3 * H], z[3 * H :]
            for k in range(2 * H):
                input_forget[k] = half + half * tanh(half * input_forget[k])
            for k in range(H):
                candidate[k] = tanh(candidate[k])
            for k in range(H):
                output[k] = half + half * tanh(half * output[k])
            i, f = input_forget[:H], input_forget[H:]
            for k in range(H):
                after[k] = f[k] * before[k] + i[k] * candidate[k]
            for k in range(H):
                tc[k] = tanh(after[k])
            for k in range(H):
                h[k] = output[k] * tc[k]

    return _compile(forward)


_forward32 = _make_forward(_tanh32)
_forward64 = _make_forward(_tanh64)


def forward(t: int, gates: Array, c: Array, tanh_c: Array, xh: Array, F: int) -> None:
    """Compute the gates of step ``t`` from their pre-activations, and ``c`` and ``h`` of ``t + 1``.

    Parameters
    ----------
    t : int
        The step.
    gates : float[T, B, 4H]
        Pre-activations at ``t``; activations on return.
    c : float[T + 1, B, H]
        Cell states; ``c[t]`` is read, ``c[t + 1]`` written.
    tanh_c : float[T, B, H]
        Written at ``t``.
    xh : float[T + 1, B, F + H + 1]
        The inputs of the matrix products; ``h`` of ``t + 1`` is written.
    F : int
        Column of ``h`` in ``xh``.
    """
    (_forward32 if gates.dtype == np.float32 else _forward64)(t, gates, c, tanh_c, xh, F)


def compile_kernels() -> None:
    """Compile both kernels for float32, or load them from the cache."""
    gates, one = np.zeros((1, 1, 4), np.float32), np.zeros((1, 1, 1), np.float32)
    c, xh = np.zeros((2, 1, 1), np.float32), np.zeros((2, 1, 3), np.float32)
    forward(0, gates, c, one, xh, 1)
    backward(0, gates, c, one, one, one[0].copy(), one[0].copy())


@_compile
def backward(
    t: int, gates: Array, c: Array, tanh_c: Array, d_out: Array, dh: Array, dc: Array
) -> None:
    """Compute the gradient of the pre-activations of step ``t`` from its gates.

    Parameters
    ----------
    t : int
        The step.
    gates : float[T, B, 4H]
        Activations at ``t``; gradients of the pre-activations on return.
    c, tanh_c : float[T + 1, B, H], float[T, B, H]
        As `forward` left them.
    d_out : float[T, B, H]
        Gradient of ``h`` from the layers above.
    dh : float[B, H]
        Gradient of ``h`` from later steps.
    dc : float[B, H]
        Gradient of ``c`` from later steps; of ``c`` before this step on return.
    """
    one = gates.dtype.type(1)
    B, H = dc.shape
    for b in range(B):
        z, before, tc = gates[t, b], c[t, b], tanh_c[t, b]
        d_above, d_next, d_cell = d_out[t, b], dh[b], dc[b]
        for k in range(H):
            i, f, g, o = z[k], z[H + k], z[2 * H + k], z[3 * H + k]
            tanh_ck = tc[k]
            dh_k = d_above[k] + d_next[k]
            dc_k = d_cell[k] + dh_k * o * (one - tanh_ck * tanh_ck)
            z[k] = dc_k * g * i * (one - i)
            z[H + k] = dc_k * before[k] * f * (one - f)
            z[2 * H + k] = dc_k * i * (one - g * g)
            z[3 * H + k] = dh_k * tanh_ck * o * (one - o)
            d_cell[k] = dc_k * f


KERNELS = _forward32, backward  # those of training, which is in float32
