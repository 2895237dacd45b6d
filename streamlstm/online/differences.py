"""Differences of counters (:mod:`streamlstm.network.differences`): their changes, and their levels.

``high`` and ``low`` are the two floats of a value, which are added in float64::

    v      = high + low
    change = (v - last) / rows      rows since the last value came
    level  = v, where a value came; else level + what the change is filled with

- The first value of a stream has a change of 0: none is known yet.
- Where the value falls, the counter has begun again, and nothing is known of the change: it is
  missing if the input is filled, else 0.
- Behind missing values the change is the mean one of each row since the last value.

The level is what a forecast of the next change is added to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.differences import COLUMNS, LARGEST, LEVEL, LEVEL_LOW, MAX_ROWS

Array = NDArray[Any]
State = dict[str, Array]


def columns(counters: int) -> dict[str, int]:
    """Return the columns of a state row and how many floats each has, in order."""
    return dict.fromkeys(("last", "last_low", "rows", "level", "level_low"), counters)


def initial(counters: int) -> NDArray[np.float32]:
    """Return the columns before the first observation: nothing came, and no level is known."""
    found = np.zeros((COLUMNS, counters), np.float32)
    found[[LEVEL, LEVEL_LOW]] = np.nan
    return found.ravel()


def step(high: Array, low: Array, filled: Array, state: State) -> tuple[Array, State]:
    """Return the changes of counters, and the state after it but for the levels of missing ones.

    Parameters
    ----------
    high, low : float32[B, D]
        The values; NaN where one is missing.
    filled : bool[D]
        Which of them are filled where they are missing.
    state : dict
        By name, each float32[B, D].

    Returns
    -------
    change : float64[B, D]
        NaN where it is missing.
    state : dict
    """
    value = high.astype(np.float64) + low
    came, seen = ~np.isnan(value), state["rows"] > 0
    last = state["last"].astype(np.float64) + state["last_low"]
    with np.errstate(invalid="ignore"):
        change = np.minimum((value - last) / np.maximum(state["rows"], 1), LARGEST)
        again = seen & (value < last)
    change = np.where(seen, change, 0.0)
    change = np.where(again, np.where(filled, np.nan, 0.0), change)
    waits = np.minimum(state["rows"] + seen, MAX_ROWS)
    after = {
        "last": np.where(came, high, state["last"]),
        "last_low": np.where(came, low, state["last_low"]),
        "rows": np.where(came, 1, waits),
        "level": np.where(came, high, state["level"]),
        "level_low": np.where(came, low, state["level_low"]),
    }
    return np.where(came, change, np.nan), after


def advance(came: Array, change: Array, state: State) -> State:
    """Return the state with the levels of counters that did not come moved by filled changes."""
    level = state["level"].astype(np.float64) + state["level_low"] + change
    high = level.astype(np.float32)
    low = (level - high).astype(np.float32)
    return state | {
        "level": np.where(came, state["level"], high),
        "level_low": np.where(came, state["level_low"], low),
    }


def levels(of_outputs: Array, state: State) -> tuple[Array, Array]:
    """Return the levels of outputs as two floats, each [B, O].

    Parameters
    ----------
    of_outputs : int[O]
        The counter that each output forecasts, -1 for none, whose level is 0.
    state : dict
    """
    aimed = of_outputs >= 0
    high, low = (np.zeros((len(state["rows"]), len(of_outputs)), np.float32) for _ in range(2))
    high[:, aimed] = state["level"][:, of_outputs[aimed]]
    low[:, aimed] = state["level_low"][:, of_outputs[aimed]]
    return high, low


def changes_of(values: NDArray[np.float64], filled: bool) -> NDArray[np.float64]:
    """Return the change of each value of a stream, float64[n], as :func:`step` would.

    Parameters
    ----------
    values : float64[n]
        NaN where one is missing.
    filled : bool
        Whether it is filled where it is missing.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        high = values.astype(np.float32).astype(np.float64)
        held = high + (values - high).astype(np.float32)
    rows = np.flatnonzero(~np.isnan(values))
    change = np.full(len(values), np.nan)
    if len(rows) == 0:
        return change
    change[rows[0]] = 0.0
    steps = np.diff(held[rows])
    waits = np.minimum(np.diff(rows), MAX_ROWS)
    change[rows[1:]] = np.where(
        steps < 0, np.nan if filled else 0.0, np.minimum(steps / waits, LARGEST)
    )
    return change
