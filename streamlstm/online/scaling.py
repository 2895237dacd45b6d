"""Scaling by the running mean and standard deviation of each input of a stream.

One model then serves sensors of different level and spread. With ``v`` the value, ``m`` the mean,
``s`` the standard deviation and ``n`` the number of values::

    a = max(4 / (n + 3), 0.001),    d = v - m
    m <- m + a d
    s <- sqrt((1 - a) (s^2 + a d^2))
    z = (v - m) / s,    clipped to 8

This is the update of an exponentially weighted mean and variance (T. Finch, Incremental calculation
of weighted mean and variance, 2009) with a rate that falls from 1 to 0.001: by then the first value
weighs less than 10^-12, so that a wrong first value (-999) is soon forgotten. The state holds the
standard deviation, since the square of 1e30 is not a float32.

- **First value**: z is 0. **Second**: z is 0.5 or -0.5. The value of a row is learned before it is
  scaled, so the first rows are of the size of later ones. From about the hundredth on the scale is
  that of the last 0.4 n rows, later of the last thousand.
- **A value beyond 8 s** is learned as one of 8 s: a spike of 1e30 too. If the next ones are as far,
  s grows by 3 % a row, in a young stream by half and more, and stays: it covers all that comes.
- **A constant** (s below 1e-9 of the mean) has 1 % of its mean and a millionth of its unit as its
  scale. Its first change is learned if it is at most ten times the smaller of both values and the
  unit, and the stream then counts as one of 30 values, so that its spread is soon known. A glitch
  of 1e30 is not learned at all.
- **Fifty values in a row beyond that**, of a young stream half as many as it has had, and it starts
  anew with the value that has come: after a change of unit, or a wrong first value.
- **A missing value** changes nothing, however it was filled.

What it does not promise: another level is followed, and an old spread forgotten, with a memory of
a thousand rows, as changes are what the network is to see. 50 rows of nonsense are learned like any
other 50.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.scaling import (
    BOUND,
    CONSTANT,
    FLOOR,
    FRACTION,
    JUMP,
    MAX_COUNT,
    MAX_SPREAD,
    PATIENCE,
    SLOW,
    START,
    WOKEN,
)

Array = NDArray[Any]
State = dict[str, Array]


def columns(inputs: int) -> dict[str, int]:
    """Return the columns of a state row and how many floats each has, in order."""
    return dict.fromkeys(("mean", "mean_low", "spread", "count", "run"), inputs)


def initial(inputs: int) -> NDArray[np.float32]:
    """Return the columns before the first observation: zeros."""
    return np.zeros(sum(columns(inputs).values()), np.float32)


def constants(unit: Array) -> NDArray[np.float32]:
    """Return what the kernel reads of the model.

    Parameters
    ----------
    unit : float[F]
        Standard deviation of each input in training; 1 where it is not known.
    """
    return np.asarray(unit, np.float32)


def _mean(state: State) -> Array:
    return state["mean"].astype(np.float64) + state["mean_low"].astype(np.float64)


def _width(state: State, unit: Array) -> Array:
    mean, spread = np.abs(_mean(state)), state["spread"].astype(np.float64)
    return np.where(spread > CONSTANT * mean, spread, FRACTION * mean + FLOOR * unit)


def learn(x: Array, observed: Array, unit: Array, state: State) -> State:
    """Return the state after the observed values of a row.

    Parameters
    ----------
    x : float[B, F]
        Values; those that were not observed may be anything.
    observed : bool[B, F]
    unit : float[F]
        Standard deviation of each input in training.
    state : dict
        By name, each float[B, F].
    """
    v, unit = np.where(observed, x, 0).astype(np.float64), unit.astype(np.float64)
    mean, spread = _mean(state), state["spread"].astype(np.float64)
    count = state["count"].astype(np.float64) + 1
    change = v - mean
    constant = spread <= CONSTANT * np.abs(mean)
    jump = JUMP * (np.minimum(np.abs(v), np.abs(mean)) + unit)
    bound = np.where(constant, jump, BOUND * spread)
    beyond = (count > 1) & (np.abs(change) > bound)
    change = np.where(beyond, np.where(constant, 0, np.clip(change, -bound, bound)), change)
    wakes = (count > 1) & constant & (change != 0)
    count = np.where(wakes, np.minimum(count, WOKEN), count)
    run = np.where(beyond, state["run"].astype(np.float64) + 1, 0)
    anew = run >= np.minimum(PATIENCE, 0.5 * count)
    mean, spread, change = np.where(anew, v, mean), np.where(anew, 0, spread), change * ~anew
    count, run = np.where(anew, 1, count), np.where(anew, 0, run)
    rate = np.maximum(START / (count + START - 1), SLOW)
    mean = mean + rate * change
    spread = np.sqrt((1 - rate) * (spread * spread + rate * change * change))
    high = mean.astype(np.float32)
    after = {
        "mean": high,
        "mean_low": mean - high,
        "spread": np.minimum(spread, MAX_SPREAD),
        "count": np.minimum(count, MAX_COUNT),
        "run": run,
    }
    return {
        name: np.where(observed, after[name], old).astype(old.dtype) for name, old in state.items()
    }


def scale(x: Array, unit: Array, state: State) -> Array:
    """Return z: ``x`` in standard deviations from the mean, within 8; 0 before the first value."""
    z = (x.astype(np.float64) - _mean(state)) / _width(state, unit.astype(np.float64))
    return np.where(state["count"] == 0, 0, np.clip(z, -BOUND, BOUND))


def unscale(z: Array, target: Array, unit: Array, state: State) -> Array:
    """Return outputs in the unit of the inputs that they forecast.

    Parameters
    ----------
    z : float[B, O]
    target : int[O]
        The input that each output forecasts.
    unit : float[F]
    state : dict
    """
    width, mean = _width(state, unit.astype(np.float64)), _mean(state)
    return np.asarray(z.astype(np.float64) * width[:, target] + mean[:, target])


def step(x: Array, observed: Array, unit: Array, state: State) -> tuple[Array, State]:
    """Learn from the observed values of a row, then scale all of them; see :func:`learn`."""
    state = learn(x, observed, unit, state)
    return scale(x, unit, state), state
