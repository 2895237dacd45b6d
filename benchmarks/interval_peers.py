"""Half widths of prediction intervals by other methods, whose labels come ``h`` rows late.

Each takes absolute residuals r[T] and returns half widths float64[T] of the level 1 - ``ALPHA``,
each from residuals that were known at its row; infinite where a method says nothing yet.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
ALPHA = 0.1
WINDOW = 500  # residuals that are remembered
FIRST = 100  # before the first interval
SPLIT = 400  # of which the fixed split is made


@njit
def fixed_split(r: Array, h: int) -> Array:
    """Return the quantile of the first residuals, for ever."""
    half = np.full(r.size, np.inf)
    if r.size > SPLIT + h:
        half[SPLIT + h :] = np.sort(r[:SPLIT])[int((1 - ALPHA) * SPLIT)]
    return half


@njit
def _replace(known: Array, count: int, old: float, new: float) -> None:
    """Exchange ``old`` for ``new`` among the first ``count`` numbers, which rise; NaN: none."""
    at = np.searchsorted(known[:count], old) if old == old else count
    while at > 0 and known[at - 1] > new:
        known[at] = known[at - 1]
        at -= 1
    while at + 1 < count and known[at + 1] < new:
        known[at] = known[at + 1]
        at += 1
    known[at] = new


@njit
def _adaptive(r: Array, h: int, rate: float) -> Array:
    half, known = np.full(r.size, np.inf), np.zeros(WINDOW)
    alpha, count = ALPHA, 0
    for t in range(h, r.size):
        now = r[t - h]
        if count >= FIRST:
            alpha += rate * (ALPHA - (now > half[t - h]))
        _replace(known, count, r[t - h - WINDOW] if count == WINDOW else np.nan, now)
        count = min(count + 1, WINDOW)
        if count >= FIRST and alpha > 0.0:
            rank = int(np.ceil((1 - alpha) * (count + 1))) - 1
            half[t] = known[min(rank, count - 1)] if rank >= 0 else 0.0
    return half


@njit
def rolling_quantile(r: Array, h: int) -> Array:
    """Return the quantile of the last 500 residuals."""
    half: Array = _adaptive(r, h, 0.0)
    return half


@njit
def adaptive_conformal(r: Array, h: int) -> Array:
    """Return adaptive conformal inference, rate 0.02 (Gibbs and Candès 2021).

    Where its level is above that of any interval it says infinity; here the largest residual times
    1.5, so that its score is finite.
    """
    half: Array = _adaptive(r, h, 0.02)
    largest = 0.0
    for t in range(h, r.size):
        largest = max(largest, r[t - h])
        if t >= h + FIRST and half[t] == np.inf:
            half[t] = 1.5 * largest
    return half


@njit
def conformal_pi(r: Array, h: int) -> Array:
    """Return conformal PI control, rate 0.05 (Angelopoulos, Candès and Tibshirani 2023)."""
    half, quantile, excess = np.full(r.size, np.inf), 0.0, 0.0
    for t in range(h, r.size):
        known = t - h + 1
        largest = r[max(known - 100, 0) : known].max()
        if known == FIRST:
            quantile = np.sort(r[:FIRST])[int((1 - ALPHA) * FIRST)]
        elif known > FIRST and half[t - h] < np.inf:
            error = (r[t - h] > half[t - h]) - ALPHA
            quantile += 0.05 * largest * error
            excess += error
        if known >= FIRST:
            turn = min(max(excess * np.log(known + 1.0) / (known + 1.0), -1.5), 1.5)
            half[t] = max(quantile + 0.1 * largest * np.tan(turn), 0.0)
    return half


PEERS: dict[str, Callable[[Array, int], Array]] = {
    "fixed split": fixed_split,
    "rolling quantile": rolling_quantile,
    "adaptive conformal": adaptive_conformal,
    "conformal PI": conformal_pi,
}
