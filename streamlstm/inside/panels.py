"""What a picture of a recording shows: its panels from top to bottom, as plain numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlstm.network.activations import parse_activation

from .order import similar_first
from .record import LayerRecord, Recording

Array = NDArray[Any]

FEW = 6
"""Up to so many curves are drawn as lines, more as a heat map."""
FEW_ROWS = 10  # units that are named beside a heat map
MOST_ROWS = 120  # of a heat map; more units share rows, as their mean

# What each quantity means, in the words of someone who looks at it for the first time.
_MEANINGS = {
    "forget_gate": "share of its memory that a cell keeps: 1 keeps all, 0 forgets",
    "input_gate": "share of the candidate that is let in",
    "candidate": "what is offered to the memory",
    "output_gate": "share of the memory that is shown",
    "cell": "the memory itself",
    "hidden": "what the next layer sees",
    "output": "what the layer hands on",
    "reset_gate": "share of the memory that the candidate sees",
    "update_gate": "share of the memory that is kept: 1 keeps all, 0 takes the candidate",
}
_UNIPOLAR = ("sigmoid", "hard_sigmoid")  # activations between 0 and 1
_ORDER = ("forget_gate", "input_gate", "candidate", "output_gate", "cell", "hidden")


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a panel: values[n] for the steps from ``start`` on, in steps."""

    name: str
    values: Array
    start: int = 0
    is_prediction: bool = False
    as_dots: bool = False


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture in the column of pictures.

    Attributes
    ----------
    title, meaning : str
        What it is, and what that means.
    curves : list of Curve
        To be drawn as lines; or else
    heat : float[T, N] or None
        to be drawn as a heat map, the first of N at the top.
    rows : list of str
        What the N rows are called; empty if they are too many to be told apart.
    scale : (float, float) or None
        What the ends of the colours or of the axis stand for; fitted to the curves if None.
    signed : bool
        Whether values lie on both sides of 0, and so have colours of two kinds.
    summary : Curve or None
        One line over all units.
    new_layer : str
        Heading of the layer that begins here.
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
    """Yield the series and the prediction, if wanted, then every quantity of every layer."""
    if series:
        yield from _series(recording)
    for layer in recording.layers:
        heading = layer.name
        for panel in _layer(layer):
            yield Panel(**{**vars(panel), "new_layer": heading})
            heading = ""


# ---- the series


def _series(recording: Recording) -> Iterator[Panel]:
    """Yield inputs, each in its own unit, under the prediction of the same name."""
    model = recording.model
    alone = _drawn_alone(recording)
    for name in alone:
        f = model.inputs.index(name)
        as_dots = bool(model.categories) and f == 0  # nothing lies between two categories
        curves = [Curve("observed", recording.X[:, f], as_dots=as_dots)]
        if name in model.outputs:
            curves.append(_predicted(recording, model.outputs.index(name)))
        yield Panel(name, curves=curves)
    rest = [name for name in model.inputs if name not in alone]
    if rest:
        where = [model.inputs.index(name) for name in rest]
        X = recording.X[:, where].astype(np.float64)
        spread = X.std(axis=0)
        X = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)
        meaning = "each less its mean, in its standard deviations"
        yield Panel("inputs", meaning, heat=X, rows=rest, scale=(-3, 3), signed=True)
    yield from _other_outputs(recording)


def _drawn_alone(recording: Recording) -> list[str]:
    inputs, outputs = recording.model.inputs, recording.model.outputs
    if len(inputs) <= FEW:
        return list(inputs)
    return [name for name in inputs if name in outputs][:FEW]


def _other_outputs(recording: Recording) -> Iterator[Panel]:
    """Yield the outputs that stand beside no input."""
    names = recording.model.outputs
    other = [o for o, name in enumerate(names) if name not in recording.model.inputs]
    meaning = _speaks_of(recording)
    if len(other) > FEW:
        Y = recording.Y[:, other]
        bound = nice(float(np.abs(Y).max()))
        signed = bool((Y < 0).any())
        rows = [names[o] for o in other]
        scale = (-bound, bound) if signed else (0.0, bound)
        yield Panel("prediction", meaning, heat=Y, rows=rows, scale=scale, signed=signed)
        return
    for o in other:
        yield Panel(f"prediction of {names[o]}", meaning, [_predicted(recording, o)])


def _predicted(recording: Recording, o: int) -> Curve:
    """Return an output's curve, each value at the step that it speaks of."""
    name = _speaks_of(recording) or "output"
    return Curve(name, recording.Y[:, o], recording.model.horizon, is_prediction=True)


def _speaks_of(recording: Recording) -> str:
    horizon = recording.model.horizon
    if horizon == 0:
        return ""
    return f"predicted {horizon} step{'s' * (horizon > 1)} before"


# ---- the layers


def _layer(layer: LayerRecord) -> Iterator[Panel]:
    order = _unit_order(layer)
    ranked = [name for name in _ORDER if name in layer.values]
    ranked = [name for name in layer.values if name not in ranked and name != "hidden"] + ranked
    if "candidate" in ranked and "forget_gate" not in ranked:  # a GRU's gates come first
        ranked.sort(key=lambda name: not name.endswith("_gate"))
    for name in ranked:
        values = layer.values[name]
        scale, signed = _scale(layer, name, values)
        title, meaning = name.replace("_", " "), _MEANINGS.get(name, "")
        units = [f"unit {unit}" for unit in layer.units[name]]
        if values.shape[1] <= FEW:
            curves = [Curve(unit, column) for unit, column in zip(units, values.T, strict=True)]
            yield Panel(title, meaning, curves, scale=scale, signed=signed)
            continue
        chosen = order if values.shape[1] == len(order) else similar_first(values)
        yield Panel(
            title,
            meaning,
            heat=_merged(values[:, chosen]),
            rows=[units[n] for n in chosen] if len(units) <= FEW_ROWS else [],
            scale=scale,
            signed=signed,
            summary=Curve("mean size" if signed else "mean", _mean(values, signed)),
        )


def _unit_order(layer: LayerRecord) -> NDArray[np.intp]:
    """Order units by what their gates do, or by what they hand on where they have none."""
    gates = [values for name, values in layer.values.items() if name.endswith("_gate")]
    width = max(values.shape[1] for values in layer.values.values())
    every = gates or [values for values in layer.values.values() if values.shape[1] == width]
    return similar_first(np.concatenate(every))


def _mean(values: Array, signed: bool) -> Array:
    mean: Array = (np.abs(values) if signed else values).mean(axis=1, dtype=np.float64)
    return mean


def _merged(values: Array) -> Array:
    """Average neighbours where there are more units than rows."""
    N = values.shape[1]
    if N <= MOST_ROWS:
        return values
    parts = np.array_split(values, MOST_ROWS, axis=1)
    return np.stack([part.mean(axis=1) for part in parts], axis=1)


def _scale(layer: LayerRecord, name: str, values: Array) -> tuple[tuple[float, float], bool]:
    """Return what the colours stand for: the same in every picture wherever the equation allows."""
    low, high = float(values.min()), float(values.max())
    if name.endswith("_gate"):
        kind = parse_activation(getattr(layer.layer, "gate_activation", "sigmoid"))[0]
        return ((0.0, 1.0) if kind in _UNIPOLAR else (min(low, 0.0), max(high, 1.0))), False
    if name == "cell" and values.shape[1] > FEW:
        # One full cell must not take the colours from all others.
        bound = max(1.0, nice(float(np.quantile(np.abs(values), 0.98))))
        return (-bound, bound), True
    bound = max(1.0, nice(max(-low, high)))
    if name == "output" and low >= 0:
        return (0.0, bound), False
    return (-bound, bound), True


_STEPS = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)


def nice(bound: float) -> float:
    """Round up to a number that is easily read."""
    power = 10.0 ** np.floor(np.log10(max(bound, 1e-6)))
    return float(power * next(step for step in _STEPS if step * power >= bound * 0.999))
