"""Recursive least squares that forget, and stay sound for as long as a stream lives.

For features phi and a target d

    k = P phi,   s = l + phi . k,   e = d - w . phi
    w <- w + k e / s
    P <- (P - k k^T / s) / l,       l = 0.9995

which minimises the sum of ``l^age e^2`` (Haykin, Adaptive Filter Theory, chapter 10). Forgetting
makes P grow wherever nothing new comes, by 0.05 % a step, and rounding makes it lose its symmetry
and its sign. So

- only one triangle of P is kept: it is symmetric. The textbook's ``P - k (phi^T P)`` is not, and
  diverges within some ten thousand steps of float32;
- features that tell nothing new, ``phi . k <= 2 (1 - l)``, leave P alone. Those of a constant
  stream come to that within 1,400 steps;
- a row and column of P whose diagonal exceeds 2 are scaled back to 1: those of a feature that has
  not moved for long, as of a unit that is always zero, while all others go on forgetting;
- where ``phi . k`` is negative, which only rounding can do, P begins again as 0.01 times the
  identity.

Errors are clipped, so that an outlier moves w no more than a usual error does.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.adaptation import FIRST_P, FORGETTING, LARGEST_P, NEWS

Array = NDArray[Any]


def update(
    phi: Array, targets: Array, w: Array, triangle: Array, limits: Array
) -> tuple[Array, Array]:
    """Learn targets of features.

    Parameters
    ----------
    phi : float[B, D]
    targets : float[B, O]
        NaN where there is none: that w stays as it is, and P if a stream has none at all.
    w : float[B, O, D]
    triangle : float[B, D (D + 1) / 2]
        The lower triangle of P, row by row.
    limits : float[B, O]
        At which errors are clipped.

    Returns
    -------
    w, triangle
        After the targets.
    """
    B, D = phi.shape
    due, lower = ~np.isnan(targets), np.tril_indices(D)
    P = np.zeros((B, D, D), phi.dtype)
    P[:, lower[0], lower[1]] = P[:, lower[1], lower[0]] = triangle
    broken = (phi * _product(P, phi)).sum(axis=1) < 0
    P[broken] = FIRST_P * np.eye(D, dtype=phi.dtype)
    k = _product(P, phi)
    news = (phi * k).sum(axis=1)
    share = 1 / (news + FORGETTING)
    errors = np.clip(targets - _product(w, phi), -limits, limits)
    moved = w + (errors * share[:, None])[:, :, None] * k[:, None, :]
    less = (P - share[:, None, None] * k[:, :, None] * k[:, None, :]) / FORGETTING
    diagonal = np.diagonal(less, axis1=1, axis2=2)
    beyond = diagonal > 2 * LARGEST_P
    factors = np.sqrt(LARGEST_P / np.where(beyond, diagonal, LARGEST_P))
    less = less * factors[:, :, None] * factors[:, None, :]
    P = np.where((news > NEWS)[:, None, None], less, P)
    learned = due.any(axis=1, keepdims=True)
    return (
        np.where(due[:, :, None], moved, w),
        np.where(learned, P[:, lower[0], lower[1]], triangle),
    )


def _product(matrices: Array, vectors: Array) -> Array:
    """Return [B, n, D] times [B, D]."""
    return np.asarray((matrices @ vectors[:, :, None])[:, :, 0])
