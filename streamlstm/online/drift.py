"""Drift: have the forecasts of a stream become worse than they were? The specification.

Page's test (1954; Page-Hinkley with a mean that is learned), on the size e of the residual r:

    e     = min(|r| / scale, 4)
    sum  <- max(sum + e - mean - 0.25, 0)         from the 200th row on, in units of 1 / pace
    drift   where sum pace > 100; then all begins anew

``scale`` is the mean of |r| and ``mean`` that of e, over all rows since the beginning, later over
the last 5,000. pace is 2 / (1 + h) for a forecast h steps ahead: errors of overlapping forecasts
hang together. Errors that become smaller, and slow changes, are learned and not told.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online import drift as kernel

Array = NDArray[Any]
State = dict[str, Array]


def constants(horizon: int) -> NDArray[np.float32]:
    """Return the constants that the kernel reads: the pace."""
    return np.array([2 / (1 + horizon)], np.float32)


def columns() -> dict[str, int]:
    """Return how many floats the test of one output keeps, by name, in their order."""
    return {"scale": 1, "mean": 1, "count": 1, "sum": 1}


def initial() -> NDArray[np.float32]:
    """Return the columns before the first observation."""
    return np.zeros(4, np.float32)


def step(residual: Array, K: Array, state: State) -> tuple[Array, State]:
    """Compare one error of each stream with those before.

    Parameters
    ----------
    residual : float[B]
        Label less forecast; NaN: not known, nothing changes.
    K : float[M]
        :func:`constants`.
    state : dict of str to float[B, 1]
        :func:`columns`.

    Returns
    -------
    tuple
        Whether drift was found, bool[B], and the new state.
    """
    old = {name: values[:, 0] for name, values in state.items()}
    pace, known = K[kernel.PACE], np.isfinite(residual)
    size = np.minimum(np.abs(np.where(known, residual, 0)), kernel.LARGEST)
    begun = old["scale"] > 0
    scale, count = np.where(begun, old["scale"], 1), old["count"] + 1
    error = np.minimum(size / scale, kernel.MOST)
    grown = np.maximum(old["sum"] + error - old["mean"] - kernel.SLACK, 0)
    total = np.where(pace * count > kernel.ROWS, grown, old["sum"])
    told = known & begun & (pace * total > kernel.LIMIT)
    moved = scale + (np.minimum(size, kernel.OUTLIER * scale) - scale) / count
    first = size > 0
    new = {
        "scale": np.where(begun, np.maximum(moved, kernel.SMALLEST), size),
        "mean": np.where(begun, old["mean"] + (error - old["mean"]) / count, first),
        "count": np.where(begun, np.minimum(count, kernel.COUNTED / pace), first),
        "sum": np.where(begun, total, 0),
    }
    new["scale"] = np.where(first & ~begun, np.maximum(size, kernel.SMALLEST), new["scale"])
    for name, values in new.items():
        kept = np.where(known, np.where(told, 0, values), old[name])
        new[name] = kept.astype(state[name].dtype)[:, None]
    return told, new
