"""What the online stage of a model keeps of a stream, and the constants of its parts."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..network.model import Model
from ..network.online import Online
from . import adaptation, anomaly, calendar, drift, fill, intervals, scaling
from .adaptation import Adaptation

Float32Array: TypeAlias = NDArray[np.float32]


def ring_length(model: Model) -> int:
    """Return how many forecasts of a stream are kept until what they speak of has come."""
    return max(model.horizon, 1)


def initial_parts(model: Model) -> dict[str, Float32Array]:
    """Return what each part of the stage holds before the first observation, in their order.

    - ``inputs``: F, the inputs of the last step as they were filled.
    - ``count``: 2, the number of steps, as a multiple of 2**24 and the rest.
    - ``forecasts``: O for each step of the horizon, a ring.
    - ``fill``, ``calendar``, ``scaling``, ``adaptation``: as those modules say.
    - ``bounds``: low and high of the widest interval of each output, for each of ``forecasts``.
    - ``intervals``: for each output as that module says.
    - ``anomaly``: for each pair of :func:`watched` as that module says.
    """
    online, outputs = model.online, model.output_size
    if online is None:
        return {}
    ring = ring_length(model)
    parts: dict[str, Any] = {
        "inputs": model.input_scaling.mean,
        "count": np.zeros(2),
        "forecasts": np.full(outputs * ring, np.nan),
    }
    if fills(model):
        parts["fill"] = fill.initial(fill_methods(model))
    if online.calendar:
        parts["calendar"] = calendar.initial()
    if online.scale == "stream":
        parts["scaling"] = scaling.initial(model.input_size)
    if (head := adaptation_of(model)) is not None:
        parts["adaptation"] = adaptation.initial(head)
    if online.intervals:
        parts["bounds"] = np.full(2 * outputs * ring, np.nan)
        parts["intervals"] = np.tile(intervals.initial(interval_levels(online), ring), outputs)
    if online.anomaly and max(forecast_inputs(model)) >= 0:
        parts["drift"] = np.tile(drift.initial(), outputs)
    if online.anomaly:
        parts["anomaly"] = np.tile(anomaly.initial(), len(watched(model)))
    return {name: np.asarray(values, np.float32) for name, values in parts.items()}


def watched(model: Model) -> list[tuple[int, int]]:
    """Return the inputs that are watched for anomalies, each with the output that forecasts it.

    Where no output forecasts an input, all inputs are watched, with -1 for the output.
    """
    targets = forecast_inputs(model)
    pairs = [(target, output) for output, target in enumerate(targets) if target >= 0]
    return pairs or [(n, -1) for n in range(model.input_size)]


def forecast_inputs(model: Model) -> list[int]:
    """Return the input that each output forecasts, -1 for none."""
    return list(model.targets) if model.horizon else [-1] * model.output_size


def anomaly_constants(model: Model) -> Float32Array:
    """Return the constants of the anomaly stage: all that is watched shares the alarm rate."""
    assert model.online is not None
    return anomaly.constants(model.online.alarm_rate / len(watched(model)))


def stage_size(model: Model) -> int:
    """Return how many floats the stage keeps of a stream."""
    return sum(map(len, initial_parts(model).values()))


def stage_places(model: Model, start: int = 0) -> dict[str, slice]:
    """Return the columns of each part, from ``start`` on."""
    places = {}
    for name, values in initial_parts(model).items():
        places[name] = slice(start, start + len(values))
        start += len(values)
    return places


def fill_methods(model: Model) -> list[str]:
    """Return how each input is filled."""
    online = model.online
    return [online.fill_of(n) if online else "refuse" for n in range(model.input_size)]


def fills(model: Model) -> bool:
    """Return whether any input is filled."""
    return any(method != "refuse" for method in fill_methods(model))


def interval_levels(online: Online) -> list[intervals.Level]:
    """Return the levels of a stage's intervals."""
    side = {"both": "both", "upper": "above", "lower": "below"}[online.side]
    return [intervals.Level(share, side) for share in online.intervals]


def interval_constants(model: Model) -> Float32Array:
    """Return the constants of a stage's intervals."""
    online = model.online
    assert online is not None
    offset = 0.0 if model.output_offsets is None else float(model.output_offsets[0])
    lower = -np.inf if online.lower is None else online.lower - offset
    upper = np.inf if online.upper is None else online.upper - offset
    return intervals.constants(interval_levels(online), ring_length(model), lower, upper)


def adaptation_of(model: Model) -> Adaptation | None:
    """Return what a model adapts, None for nothing."""
    online = model.online
    if online is None or online.adapt == "none":
        return None
    return Adaptation(
        units=hidden_layer(model)[1],
        horizon=ring_length(model),
        scale=tuple(model.output_scaling.scale.tolist()),
        seasons=(online.season,) if online.season else (),
        labels=online.labels,
        adapted=online.adapt == "rls",
    )


def hidden_layer(model: Model) -> tuple[int, int]:
    """Return the number and the width of the last layer that has a hidden state."""
    for n in reversed(range(len(model.layers))):
        if "h" in model.layers[n].state:
            return n, model.layers[n].state["h"]
    raise AssertionError("a model that adapts has a recurrent layer")
