"""What of a model's inputs and outputs is drawn together: a value and the forecast of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

NONE = -1


class Signal(NamedTuple):
    """One thing to draw.

    Attributes
    ----------
    name : str
    input, output : int
        Places in X and Y; -1 where it has none.
    horizon : int
        Steps between a forecast and the value that it is for.
    """

    name: str
    input: int
    output: int
    horizon: int


class Shape(NamedTuple):
    """The numbers of a model's inputs and outputs, whether they have offsets, and its signals."""

    fingerprint: str
    inputs: int
    outputs: int
    is_wide: bool
    signals: tuple[Signal, ...]


def shape_of(model: Mapping[str, Any]) -> Shape:
    """Return what is drawn of the model that INFO tells of."""
    inputs, outputs = model["inputs"], model["outputs"]
    targets = model.get("targets") or [_target(name, inputs) for name in outputs]
    horizons = model.get("horizons") or [model["horizon"]] * len(outputs)
    signals = [
        Signal(name, target, place, horizon if target != NONE else 0)
        for place, (name, target, horizon) in enumerate(
            zip(outputs, targets, horizons, strict=True)
        )
    ]
    signals += [
        Signal(name, place, NONE, 0) for place, name in enumerate(inputs) if place not in targets
    ]
    is_wide = model.get("input_offsets") is not None or model.get("output_offsets") is not None
    return Shape(model["fingerprint"], len(inputs), len(outputs), is_wide, tuple(signals))


def _target(output: str, inputs: list[str]) -> int:
    name = output.rpartition("@+")[0] or output
    return inputs.index(name) if name in inputs else NONE
