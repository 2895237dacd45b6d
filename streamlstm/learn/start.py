"""Training on from a model: its settings, and whether it fits.

A model that serves is retrained every night and reloaded while its streams live. So everything that
decides whether streams can continue is kept: inputs, outputs, horizon, layers, scaling, and the
online stage. Weights alone change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..network.model import Model
from ..network.scaling import Scaling
from .settings import NetworkSettings, OptimizationSettings


def settings_of(model: Model, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that continue a model: as it was trained, replaced by those given.

    Parameters
    ----------
    model : Model
    given : mapping of str to object
        Settings that were asked for, by name.
    """
    known = {f.name for theme in (NetworkSettings, OptimizationSettings) for f in fields(theme)}
    recorded = json.loads(model.metadata.get("settings", "{}"))
    kept = {name: value for name, value in recorded.items() if name in known}
    units = (layer.hidden_size for layer in model.layers if hasattr(layer, "hidden_size"))
    kept["hidden_sizes"] = tuple(kept.get("hidden_sizes", units))  # residual layers have more
    kept["inputs"] = tuple(model.inputs)
    steps = tuple(dict.fromkeys(model.horizons))
    kept["horizon"] = steps[0] if len(steps) == 1 else steps
    if model.online is not None and isinstance(model.online.fill, str):
        kept["fill"] = model.online.fill
    kept["difference"] = model.counters
    kept["skip"] = any(source >= 0 for source in model.skip or ())
    return kept | dict(given)


def scalings_of(model: Model, points: NDArray[np.intp]) -> tuple[Scaling, Scaling]:
    """Return the scaling of the inputs and of the targets, each of which has one of its outputs.

    Parameters
    ----------
    model : Model
    points : int[K]
        For each target the output that is its forecast.
    """
    outputs = model.output_scaling
    return model.input_scaling, Scaling(outputs.mean[points], outputs.scale[points])


def check_fits(name: str, start: Model, made: Model) -> None:
    """Refuse to continue a model where training would make another network of the settings.

    Parameters
    ----------
    name : str
        The model in messages.
    start : Model
        What is to be trained on.
    made : Model
        What training makes with these settings, with any weights.

    Raises
    ------
    DataError
        What differs, both values, and that the start's has to be kept.
    """
    for what in ("inputs", "outputs", "horizons", "skip", "lags", "counters"):
        mine, theirs = getattr(start, what), getattr(made, what)
        if mine != theirs:
            raise DataError(
                f"{name}: cannot be trained on: its {what} are {_shown(mine)}, the settings ask "
                f"for {_shown(theirs)}; keep those of the model, or train a new one"
            )
    for n, (mine, theirs) in enumerate(zip(start.layers, made.layers, strict=False)):
        if mine != theirs:
            raise DataError(
                f"{name}: cannot be trained on: its layer {n} is {mine}, the settings make "
                f"{theirs}; keep the model's, or train a new one"
            )
    if len(start.layers) != len(made.layers):
        raise DataError(
            f"{name}: cannot be trained on: it has {len(start.layers)} layers, the settings make "
            f"{len(made.layers)}; keep the model's, or train a new one"
        )


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
