"""The activations of the training kernels, which LLVM vectorises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from ...kernels.cache import kernel

# Sums may be fused and zeros lose their sign; nothing else that would change a result.
_MATH = {"contract", "nsz", "nnan", "ninf"}
compiled = kernel(nogil=False, fastmath=_MATH)


def tanh(x: Any) -> Any:
    """Return tanh in the precision of ``x``; of compiled code alone.

    In float32 to 3e-7, by a rational function that LLVM vectorises: libm's tanh is called element
    by element, at 16 ns each. Coefficients: Eigen's ``ptanh_float``.
    """
    raise NotImplementedError


@overload(tanh, jit_options={"forceinline": True, "fastmath": _MATH})
def _tanh(x: Any) -> Any:
    return _tanh32 if x == types.float32 else _tanh64


def _tanh32(x: Any) -> Any:
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


def _tanh64(x: Any) -> Any:
    return math.tanh(x)
