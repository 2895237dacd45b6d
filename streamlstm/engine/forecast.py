"""Forecasts of several steps ahead: the network is fed with its own forecasts."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backends.backend import Backend
from ..backends.plan import stage_start
from ..errors import BadValueError, ModelError, shown
from ..network.differences import two_floats
from ..network.model import Model
from ..online import differences, intervals
from ..online.columns import split
from ..online.layout import interval_constants, levels_of, stage_places

Float32Array = NDArray[np.float32]
MAX_STEPS = 100_000


class Forecast(NamedTuple):
    """The next values of a stream, as far as its model foresees them.

    Attributes
    ----------
    y : float32[T, O]
        One row for each step ahead.
    low, high : float32[T, O]
        Bounds of the widest interval of the model, which grow with the root of the steps ahead, as
        errors that add up at random do; NaN while they are not known.
    """

    y: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]


def check_forecast(model: Model, steps: int) -> None:
    """Raise an error if a model cannot be fed with its own forecasts.

    Raises
    ------
    ModelError
        If it has no online stage, does not forecast one step ahead, or not all of its inputs.
    BadValueError
        If ``steps`` is out of range.
    """
    if type(steps) is not int or not 1 <= steps <= MAX_STEPS:
        raise BadValueError(
            f"steps: expected an integer from 1 to {MAX_STEPS}, got {shown(steps)}."
        )
    if model.online is None:
        raise ModelError(
            "forecast: expected a model with an online stage, which keeps the last forecast; "
            "model.with_online(Online(...)) adds one."
        )
    missing = [name for n, name in enumerate(model.inputs) if n not in model.targets]
    if set(model.horizons) != {1} or missing:
        raise ModelError(
            "forecast: expected a model whose outputs are its inputs one step later; this one "
            + (
                f"does not forecast {', '.join(missing)}."
                if missing
                else f"forecasts {model.horizon} steps ahead."
            )
        )


def roll_out(
    model: Model, backend: Backend, row: Float32Array, time: float, steps: int
) -> Forecast:
    """Forecast from a state row[R], which is not changed; under the engine's lock.

    Parameters
    ----------
    model : Model
        That :func:`check_forecast` has accepted.
    backend : Backend
    row : float32[R]
    time : float
        Event time of the last observation, NaN if it had none.
    steps : int
        T.
    """
    assert model.online is not None
    places = stage_places(model, stage_start(model))
    Y = np.empty((steps, model.output_size), np.float32)
    Y[0] = row[places["forecasts"]]
    make_rows = getattr(backend, "make_rows", None)  # of a backend with rows on a device
    rows = row[None].copy() if make_rows is None else make_rows(1, row)
    slots = np.zeros(1, np.int64)
    result = np.empty((1, model.result_size), np.float32)
    order = [model.targets.index(n) for n in range(model.input_size)]
    added, rises = np.zeros(Y.shape), np.array(levels_of(model)) >= 0
    if model.has_levels:
        added[0] = _levels(model, row[places["differences"]])
    for t in range(1, steps):
        values = Y[t - 1].astype(np.float64) + added[t - 1]
        added[t] = np.where(rises, values, 0)
        x = two_floats(values[None, order], model.differences)
        moment = np.array([time + t * model.online.spacing])
        backend.step_block(rows, slots, x, result, None, moment)
        Y[t] = result[0, : Y.shape[1]]
    unknown = np.full_like(Y, np.nan)
    bounds = [unknown, unknown.copy()]
    if model.online.intervals:
        bounds = _bounds(model, row[places["intervals"]], Y)
    parts = [Y, *bounds]
    return Forecast(*([part + added for part in parts] if model.has_levels else parts))


def _levels(model: Model, kept: Float32Array) -> NDArray[np.float64]:
    """Return the levels of the outputs, float64[O], from what a stream remembers of counters."""
    state = split(kept[None], differences.columns(len(model.differences)))
    high, low = differences.levels(np.array(levels_of(model)), state)
    levels: NDArray[np.float64] = high[0].astype(np.float64) + low[0]
    return levels


def _bounds(model: Model, kept: Float32Array, Y: Float32Array) -> list[Float32Array]:
    """Return low and high, float32[T, O], of the widest interval around forecasts Y[T, O].

    Parameters
    ----------
    model : Model
    kept : float32[N]
        What the stream remembers of its intervals.
    Y : float32[T, O]
    """
    assert model.online is not None
    levels, outputs = len(model.online.intervals), model.output_size
    names = intervals.columns(levels, 1)
    parts = np.split(kept.reshape(outputs, -1), np.cumsum(list(names.values()))[:-1], axis=1)
    constants = interval_constants(model, 1)
    half = intervals.widths(0, constants, dict(zip(names, parts, strict=True)))  # [O, L]
    growth = np.sqrt(np.arange(1, len(Y) + 1))[:, None, None]
    found = intervals.bounds(Y[..., None], half * growth, constants)
    return [bound[..., -1].astype(np.float32) for bound in found]
