"""Prepares the panels of a figure, from top to bottom, as plain numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network.activations import parse_activation
from .record import LayerRecord, Recording
from .seriation import seriate

Array = NDArray[Any]

MAX_CURVES = 6
"""Maximum number of curves of a panel; more are drawn as a heat map."""
MAX_NAMED_ROWS = 10  # of a heat map
MAX_ROWS = 120  # of a heat map; of more units neighbours are averaged

# For readers who see gates for the first time.
_MEANINGS = {
    "forget_gate": "fraction of the cell state that is kept: 1 keeps all, 0 forgets",
    "input_gate": "fraction of the candidate that is added",
    "candidate": "proposed update of the cell state",
    "output_gate": "fraction of the cell state that is output",
    "cell": "cell state: the memory of the layer",
    "hidden": "hidden state: the input of the next layer",
    "output": "output of the layer",
    "reset_gate": "fraction of the hidden state that the candidate sees",
    "update_gate": "fraction of the hidden state that is kept: 1 keeps all, 0 takes the candidate",
}
_BOUNDED = ("sigmoid", "hard_sigmoid")  # activations between 0 and 1
_ORDER = ("forget_gate", "input_gate", "candidate", "output_gate", "cell", "hidden")


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a panel: values[n] of the steps from ``start`` on."""

    name: str
    values: Array
    start: int = 0
    is_prediction: bool = False
    as_dots: bool = False


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel of the figure: curves or a heat map.

    Attributes
    ----------
    title, meaning : str
        Name of the quantity, and its explanation.
    curves : list of Curve
        Lines; empty if there is a heat map.
    heat : float[T, N] or None
        Heat map, the first of N rows at the top.
    rows : list of str
        Names of the N rows; empty if there are too many.
    scale : (float, float) or None
        Limits of the colours or of the axis; fitted to the curves if None.
    signed : bool
        Whether values lie on both sides of 0, and need a diverging colour map.
    summary : Curve or None
        Mean over all units.
    new_layer : str
        Heading of the layer, on its first panel.
    """

    title: str
    meaning: str = ""
    curves: list[Curve] = field(default_factory=list)
    heat: Array | None = None
    rows: list[str] = field(default_factory=list)
    scale: tuple[float, float] | None = None
    signed: bool = False
    summary: Curve | None = None
    new_layer: str = ""


def panels(recording: Recording, series: bool = True) -> Iterator[Panel]:
    """Yield the series and predictions, if wanted, then every quantity of every layer."""
    if series:
        yield from _series_panels(recording)
    for layer in recording.layers:
        heading = layer.name
        for panel in _layer_panels(layer):
            yield Panel(**{**vars(panel), "new_layer": heading})
            heading = ""


def _series_panels(recording: Recording) -> Iterator[Panel]:
    """Yield inputs, each in its own unit, with the prediction of the same name."""
    model = recording.model
    separate = _separate_inputs(recording)
    for name in separate:
        f = model.inputs.index(name)
        as_dots = bool(model.categories) and f == 0  # nothing lies between two categories
        curves = [Curve("observed", recording.X[:, f], as_dots=as_dots)]
        if name in model.outputs:
            curves.append(_prediction_curve(recording, model.outputs.index(name)))
        yield Panel(name, curves=curves)
    rest = [name for name in model.inputs if name not in separate]
    if rest:
        where = [model.inputs.index(name) for name in rest]
        X = recording.X[:, where].astype(np.float64)
        spread = X.std(axis=0)
        X = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)
        meaning = "each less its mean, in its standard deviations"
        yield Panel("inputs", meaning, heat=X, rows=rest, scale=(-3, 3), signed=True)
    yield from _other_outputs(recording)


def _separate_inputs(recording: Recording) -> list[str]:
    """Return the inputs that have a panel of their own."""
    inputs, outputs = recording.model.inputs, recording.model.outputs
    if len(inputs) <= MAX_CURVES:
        return list(inputs)
    return [name for name in inputs if name in outputs][:MAX_CURVES]


def _other_outputs(recording: Recording) -> Iterator[Panel]:
    """Yield the outputs that have no input of the same name."""
    names = recording.model.outputs
    other = [o for o, name in enumerate(names) if name not in recording.model.inputs]
    meaning = _describe_horizon(recording.model.horizon)
    if len(other) > MAX_CURVES:
        Y = recording.Y[:, other]
        bound = round_up(float(np.abs(Y[np.isfinite(Y)]).max(initial=0.0)))
        signed = bool((Y < 0).any())
        rows = [names[o] for o in other]
        scale = (-bound, bound) if signed else (0.0, bound)
        yield Panel("prediction", meaning, heat=Y, rows=rows, scale=scale, signed=signed)
        return
    for o in other:
        meaning = _describe_horizon(recording.model.horizons[o])
        yield Panel(f"prediction of {names[o]}", meaning, [_prediction_curve(recording, o)])


def _prediction_curve(recording: Recording, o: int) -> Curve:
    """Return the curve of an output, each value at the step that it predicts."""
    horizon = recording.model.horizons[o]
    name = _describe_horizon(horizon) or "output"
    return Curve(name, recording.Y[:, o], horizon, is_prediction=True)


def _describe_horizon(horizon: int) -> str:
    if horizon == 0:
        return ""
    return f"predicted {horizon} step{'s' * (horizon > 1)} before"


def _layer_panels(layer: LayerRecord) -> Iterator[Panel]:
    order = _unit_order(layer)
    names = [name for name in _ORDER if name in layer.values]
    names = [name for name in layer.values if name not in names and name != "hidden"] + names
    if "candidate" in names and "forget_gate" not in names:  # a GRU's gates come first
        names.sort(key=lambda name: not name.endswith("_gate"))
    for name in names:
        values = layer.values[name]
        scale, signed = _scale(layer, name, values)
        title, meaning = name.replace("_", " "), _MEANINGS.get(name, "")
        units = [f"unit {unit}" for unit in layer.units[name]]
        if values.shape[1] <= MAX_CURVES:
            curves = [Curve(unit, column) for unit, column in zip(units, values.T, strict=True)]
            yield Panel(title, meaning, curves, scale=scale, signed=signed)
            continue
        chosen = order if values.shape[1] == len(order) else seriate(values)
        yield Panel(
            title,
            meaning,
            heat=_average_neighbours(values[:, chosen]),
            rows=[units[n] for n in chosen] if len(units) <= MAX_NAMED_ROWS else [],
            scale=scale,
            signed=signed,
            summary=Curve("mean size" if signed else "mean", _mean(values, signed)),
        )


def _unit_order(layer: LayerRecord) -> NDArray[np.intp]:
    """Order units by their gates, or by the widest quantities of a layer without gates."""
    gates = [values for name, values in layer.values.items() if name.endswith("_gate")]
    width = max(values.shape[1] for values in layer.values.values())
    every = gates or [values for values in layer.values.values() if values.shape[1] == width]
    return seriate(np.concatenate(every))


def _mean(values: Array, signed: bool) -> Array:
    mean: Array = (np.abs(values) if signed else values).mean(axis=1, dtype=np.float64)
    return mean


def _average_neighbours(values: Array) -> Array:
    """Average neighbouring units where there are more than MAX_ROWS."""
    N = values.shape[1]
    if N <= MAX_ROWS:
        return values
    parts = np.array_split(values, MAX_ROWS, axis=1)
    return np.stack([part.mean(axis=1) for part in parts], axis=1)


def _scale(layer: LayerRecord, name: str, values: Array) -> tuple[tuple[float, float], bool]:
    """Return scale and sign of a quantity: fixed limits where its equation gives them."""
    known = values[np.isfinite(values)]  # not before a window is long enough
    low, high = float(known.min(initial=np.inf)), float(known.max(initial=-np.inf))
    if name.endswith("_gate"):
        kind = parse_activation(getattr(layer.layer, "gate_activation", "sigmoid"))[0]
        return ((0.0, 1.0) if kind in _BOUNDED else (min(low, 0.0), max(high, 1.0))), False
    if name == "cell" and values.shape[1] > MAX_CURVES and len(known):
        # One large cell must not take the contrast from all others.
        bound = max(1.0, round_up(float(np.quantile(np.abs(known), 0.98))))
        return (-bound, bound), True
    bound = max(1.0, round_up(max(-low, high)))
    if name == "output" and low >= 0:
        return (0.0, bound), False
    return (-bound, bound), True


_STEPS = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)


def round_up(bound: float) -> float:
    """Round up to a number of one or two digits."""
    bound = max(1e-6, bound)
    power = 10.0 ** np.floor(np.log10(bound))
    return float(power * next(step for step in _STEPS if step * power >= bound * 0.999))
