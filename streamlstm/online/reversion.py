"""How far a stream goes back to its middle in 8, 16, 32 and 64 rows: the specification.

Few streams have many long gaps to learn from what values do in so many rows. Values that came tell
it as well: every 64 rows the value ``then`` and the running median of that time are noted, and 8,
16, 32 and 64 rows later it is known what the last value, the median, and the middle of both would
have missed::

    median <- median + 0.02 size sign(value - median)
    missed_r <- 0.97 missed_r + min(|value - then - r (median_then - then)|, 80 size)

for the shares r = 0, 1/2 and 1 of the way, with ``size`` the usual size of a change. The share that
is believed is the lowest point of the parabola through the three, between 0 and 1, with 0.95 of
what the last value missed: where nothing is gained it stays. Absolute misses, not squares: a level
that changes seldom and far is no reason to leave it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online import reversion as kernel

Array = NDArray[Any]


def columns(F: int) -> dict[str, int]:
    """Return the columns of F inputs and how many floats each has, in order."""
    return {"then": F, "median_then": F, "missed": kernel.LOOKS * kernel.SHARES * F}


def next_median(median: Array, value: Array, size: Array, seen: Array, first: Array) -> Array:
    """Return the running medians after values that came, float64[B, F]."""
    step = size * np.maximum(kernel.MEDIAN_START / (seen + 3), kernel.MEDIAN_RATE)
    moved = median + np.where(value > median, step, 0) - np.where(value < median, step, 0)
    return np.asarray(np.where(first, value, moved))


def look_back(
    rows: Array, value: Array, came: Array, size: Array, median: Array, state: dict[str, Array]
) -> tuple[Array, dict[str, Array]]:
    """Learn from values that came, ``rows`` after the look back began (0: none has).

    Parameters
    ----------
    rows, value : float64[B, F]
    came : bool[B, F]
    size, median : float64[B, F]
        The usual size of a change, and the median now.
    state : dict
        :func:`columns`.

    Returns
    -------
    tuple
        The rows for the next row, and the columns.
    """
    then, way = state["then"], state["median_then"].astype(np.float64) - state["then"]
    missed = _by_look(state["missed"]).astype(np.float64)
    for look in range(kernel.LOOKS):
        due = came & (rows == kernel.LONG * 2**look)
        for share in range(kernel.SHARES):
            miss = np.minimum(np.abs(value - then - 0.5 * share * way), kernel.USUAL_SIZES * size)
            old = missed[:, look, share]
            missed[:, look, share] = np.where(due, kernel.MEMORY * old + miss, old)
    begins = came & ((rows == 0) | (rows >= kernel.LONGEST))
    kept = {
        "then": np.where(begins, value, then),
        "median_then": np.where(begins, median, state["median_then"]),
        "missed": missed.reshape(len(missed), -1),
    }
    waits = ~came & ((rows == 0) | (rows > kernel.LONGEST))
    return np.where(waits, rows, np.where(begins, 0, rows) + 1), kept


def share_of(state: dict[str, Array], look: int) -> Array:
    """Return the share of the way to the median that is believed for one length, float64[B, F]."""
    none, half, whole = np.moveaxis(_by_look(state["missed"])[:, look].astype(np.float64), 1, 0)
    none = kernel.CREDIT * none
    bend = none + whole - 2 * half
    lowest = 0.5 + 0.25 * (none - whole) / np.where(bend > 0, bend, 1)
    end = np.where(whole < none, 1.0, 0.0)
    return np.asarray(np.where(bend > 0, np.clip(lowest, 0, 1), end))


def _by_look(missed: Array) -> Array:
    return missed.reshape(len(missed), kernel.LOOKS, kernel.SHARES, -1)
