"""What the online stage of a model keeps of a stream, and the constants of its parts."""

import re
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..network.model import Model
from ..network.online import FILL_VERSION, JUDGED_VERSION, Online
from . import (
    adaptation,
    anomaly,
    calendar,
    differences,
    drift,
    fill,
    intervals,
    labelled,
    lags,
    scaling,
)
from .adaptation import Adaptation

_QUANTILE = re.compile(r"(?P<base>.+)_q(?P<percent>\d+(\.\d+)?)")

Float32Array: TypeAlias = NDArray[np.float32]


class Group(NamedTuple):
    """Outputs in a row of the same horizon, which share a ring of forecasts and what adapts them.

    Attributes
    ----------
    first, end : int
        The outputs.
    horizon : int
        Steps to what they forecast, at least 1.
    ring : int
        How many forecasts are kept until what they speak of has come: the horizon, and of outputs
        with intervals whose labels come from outside as many as such labels are taken for.
    """

    first: int
    end: int
    horizon: int
    ring: int

    @property
    def outputs(self) -> slice:
        """The outputs."""
        return slice(self.first, self.end)

    @property
    def size(self) -> int:
        """How many outputs there are."""
        return self.end - self.first


def groups(model: Model) -> list[Group]:
    """Return the groups of a model's outputs: one if all have the same horizon.

    Those with intervals whose labels come from outside are apart from others.
    """
    found, first, online = [], 0, model.online
    labels = online.labels if online and online.intervals else 0
    targets = forecast_inputs(model)
    kinds = [(max(h, 1), labels * (t < 0)) for h, t in zip(model.horizons, targets, strict=True)]
    for (horizon, kept), run in groupby(kinds):
        end = first + len(list(run))
        found.append(Group(first, end, horizon, max(horizon, kept)))
        first = end
    return found


def initial_parts(model: Model) -> dict[str, Float32Array]:
    """Return what each part of the stage holds before the first observation, in their order.

    - ``inputs``: F, the inputs of the last step as they were filled.
    - ``count``: 2, the number of steps, as a multiple of 2**24 and the rest.
    - ``forecasts``: of each group a ring, of its outputs for each step of the horizon.
    - ``held``: of each group a ring, of the values that its outputs forecast, as they were then.
    - ``usual``: for each output the usual error of persistence (persistence.py).
    - ``fill``, ``calendar``, ``scaling``: as those modules say; ``adaptation`` for each group.
    - ``bounds``: low and high of the widest interval of each output, for each of ``forecasts``.
    - ``intervals``: for each output as that module says.
    - ``anomaly``: for each pair of :func:`watched` as that module says.
    - ``lags``, ``differences``: as those modules say.
    - ``largest``: the largest error of late of each output with intervals.
    - ``labelled``: as that module says.
    """
    online, outputs = model.online, model.output_size
    if online is None:
        return {}
    kept = sum(group.size * group.ring for group in groups(model))
    parts: dict[str, Any] = {
        "inputs": model.input_scaling.mean,
        "count": np.zeros(2),
        "forecasts": np.full(kept, np.nan),
    }
    if max(forecast_inputs(model)) >= 0:
        parts["held"], parts["usual"] = np.full(kept, np.nan), np.zeros(outputs)
    if fills(model):
        parts["fill"] = fill.initial(fill_methods(model))
    if online.calendar:
        parts["calendar"] = calendar.initial()
    if online.scale == "stream":
        parts["scaling"] = scaling.initial(model.input_size)
    if online.adapt != "none":
        heads = [adaptation_of(model, group) for group in groups(model)]
        parts["adaptation"] = np.concatenate([adaptation.initial(head) for head in heads if head])
    if online.intervals:
        parts["bounds"] = np.full(2 * kept, np.nan)
        of_groups = [
            np.tile(intervals.initial(interval_levels(online), group.ring), group.size)
            for group in groups(model)
        ]
        parts["intervals"] = np.concatenate(of_groups)
    if online.anomaly and max(forecast_inputs(model)) >= 0:
        parts["drift"] = np.tile(drift.initial(), outputs)
    if online.anomaly:
        parts["anomaly"] = np.tile(anomaly.initial(), len(watched(model)))
    if model.lags:
        parts["lags"] = lags.initial(model.lags, len(lagged_inputs(model)))
    if online.difference:
        parts["differences"] = differences.initial(len(online.difference))
    # The last parts, since rows without them are read as they are if those fit into the padding.
    if online.intervals:
        parts["largest"] = np.zeros(outputs)
    if model.labelled:
        parts["labelled"] = labelled.initial(len(model.labelled), online.anomaly)
    return {name: np.asarray(values, np.float32) for name, values in parts.items()}


def former_columns(model: Model, version: int) -> NDArray[np.int64]:
    """Return the columns of the stage that rows of a version had; the others began with zeros."""
    places, since = stage_places(model), np.zeros(stage_size(model))
    for name in {"largest", "labelled"} & places.keys():
        since[places[name]] = JUDGED_VERSION
    if "fill" in places:
        at = places["fill"].start
        for name, size in fill.columns(fill_methods(model)).items():
            since[at : at + size] = FILL_VERSION if name in fill.SINCE_VERSION_4 else 0
            at += size
    return np.flatnonzero(since <= version)


def group_places(model: Model, start: int = 0) -> list[dict[str, slice]]:
    """Return the columns that each group has of the parts that are kept by output."""
    places, found = stage_places(model, start), []
    at = {name: place.start for name, place in places.items()}
    for group in groups(model):
        ring = group.size * group.ring
        sizes = {"forecasts": ring, "held": ring, "usual": group.size, "bounds": 2 * ring}
        if (head := adaptation_of(model, group)) is not None:
            sizes["adaptation"] = len(adaptation.initial(head))
        if model.online and model.online.intervals:
            levels = interval_levels(model.online)
            sizes["intervals"] = group.size * len(intervals.initial(levels, group.ring))
            sizes["largest"] = group.size
        sizes["drift"] = group.size * len(drift.initial())
        found.append({n: slice(at[n], at[n] + size) for n, size in sizes.items() if n in at})
        at |= {name: place.stop for name, place in found[-1].items()}
    return found


def watched(model: Model) -> list[tuple[int, int]]:
    """Return the inputs that are watched for anomalies, each with the output that forecasts it.

    That is the one that does so for the fewest steps ahead, of quantiles the median. Where no
    output forecasts an input, all inputs are watched, with -1 for the output.
    """
    steps = model.horizons
    targets = [-1 if n in beside_median(model) else t for n, t in enumerate(forecast_inputs(model))]
    shortest = {t: min(h for h, u in zip(steps, targets, strict=True) if u == t) for t in targets}
    pairs = [
        (target, output)
        for output, target in enumerate(targets)
        if target >= 0 and steps[output] == shortest[target]
    ]
    return pairs or [(n, -1) for n in range(model.input_size)]


def forecast_inputs(model: Model) -> list[int]:
    """Return the input that each output forecasts, -1 for none."""
    pairs = zip(model.targets, model.horizons, strict=True)
    return [target if horizon else -1 for target, horizon in pairs]


def beside_median(model: Model) -> set[int]:
    """Return the outputs that are quantiles of what another output is the median of."""
    found = set()
    for n, name in enumerate(model.outputs):
        quantile = _QUANTILE.fullmatch(name)
        median = f"{quantile['base']}_q50" if quantile else name
        if median == name or median not in model.outputs:
            continue
        # Columns may have such names too, and then forecast themselves.
        if model.targets[n] == model.targets[model.outputs.index(median)]:
            found.add(n)
    return found


def own_forecasts(model: Model) -> list[int]:
    """Return for each input the output that forecasts it for the fewest steps ahead, or -1."""
    own, aside = [-1] * model.input_size, beside_median(model)
    for output, target in enumerate(forecast_inputs(model)):
        if output in aside:
            continue
        if target >= 0:
            before = own[target]
            if before < 0 or model.horizons[output] <= model.horizons[before]:
                own[target] = output
    return own


def lagged_inputs(model: Model) -> list[int]:
    """Return the inputs whose last values the linear part reads, rising."""
    return (
        sorted({target for target in forecast_inputs(model) if target >= 0}) if model.lags else []
    )


def levels_of(model: Model) -> list[int]:
    """Return for each output the place among the counters of the one it forecasts, -1 for none."""
    counters = model.differences
    return [counters.index(n) if n in counters else -1 for n in model.targets]


def anomaly_constants(model: Model) -> Float32Array:
    """Return the constants of the anomaly stage: all that is judged shares the alarm rate."""
    assert model.online is not None
    return anomaly.constants(model.online.alarm_rate / shares(model))


def shares(model: Model) -> int:
    """Return how much is judged: inputs, and outputs by labels from outside."""
    return len(watched(model)) + len(model.labelled)


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


def interval_constants(model: Model, horizon: int) -> Float32Array:
    """Return the constants of the intervals of a group's outputs."""
    online = model.online
    assert online is not None
    offset = 0.0 if model.output_offsets is None else float(model.output_offsets[0])
    lower = -np.inf if online.lower is None else online.lower - offset
    upper = np.inf if online.upper is None else online.upper - offset
    return intervals.constants(interval_levels(online), horizon, lower, upper)


def adaptation_of(model: Model, group: Group) -> Adaptation | None:
    """Return what a model adapts of a group of its outputs, None for nothing."""
    online = model.online
    if online is None or online.adapt == "none":
        return None
    return Adaptation(
        units=hidden_layer(model)[1],
        horizon=group.horizon,
        scale=tuple(model.output_scaling.scale[group.outputs].tolist()),
        seasons=(online.season,) if online.season else (),
        labels=online.labels,
        adapted=online.adapt == "rls",
    )


def hidden_layer(model: Model) -> tuple[int, int]:
    """Return the number and the width of the last layer that has a hidden state."""
    for n in reversed(range(len(model.layers))):
        layer = model.layers[n]
        if layer.hidden:
            return n, layer.state[layer.hidden]
    raise AssertionError("a model that adapts has a recurrent layer")
