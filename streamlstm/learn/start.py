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
from ..network.layers import GRU, LSTM, RNN
from ..network.model import Model
from ..network.online import Online
from ..network.scaling import Scaling
from .calendar_choice import parse_calendar
from .classes.kinds import predicts_events, tells_classes
from .settings import NetworkSettings, OptimizationSettings, Settings

RECORDED = ("sequence_column", "class_weights")
"""Settings of the data that the file of a model tells, beside those of network and optimization."""


def settings_of(model: Model, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that continue a model: as it was trained, replaced by those given.

    Parameters
    ----------
    model : Model
    given : mapping of str to object
        Settings that were asked for, by name.
    """
    known = {f.name for theme in (NetworkSettings, OptimizationSettings) for f in fields(theme)}
    known |= set(RECORDED)
    recorded = json.loads(model.metadata.get("settings", "{}"))
    kept = {name: value for name, value in recorded.items() if name in known}
    units = (layer.hidden_size for layer in model.layers if hasattr(layer, "hidden_size"))
    kept["hidden_sizes"] = tuple(kept.get("hidden_sizes", units))  # residual layers have more
    kept["inputs"] = tuple(model.inputs[1:] if predicts_events(model) else model.inputs)
    if not tells_classes(model):
        steps = tuple(dict.fromkeys(model.horizons))
        kept["horizon"] = steps[0] if len(steps) == 1 else steps
    if model.online is not None:
        fill = model.online.fill
        words = {fill} if isinstance(fill, str) else set(fill) - {"refuse"}
        kept["fill"] = words.pop() if len(words) == 1 else "refuse"
        kept["calendar"] = model.online.calendar or "none"
        kept["zone"] = model.online.zone
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


def check_stage(name: str, start: Model, settings: Settings) -> None:
    """Refuse to continue a model with another fill or calendar than it has.

    Parameters
    ----------
    name : str
        The model in messages.
    start : Model
    settings : Settings
        As asked for; an automatic calendar is that of the model.

    Raises
    ------
    DataError
    """
    stage = Online() if start.online is None else start.online
    fills = {stage.fill} if isinstance(stage.fill, str) else set(stage.fill)
    asked = parse_calendar(settings.calendar)
    differences = []
    if settings.fill not in fills:
        differences.append(f"it fills missing values by {_shown(stage.fill)}, not {settings.fill}")
    if asked is not None and asked != stage.calendar:
        had, now = (", ".join(names) or "none" for names in (stage.calendar, asked))
        differences.append(f"its calendar is {had}, not {now}")
    if asked and settings.zone != stage.zone:
        differences.append(f"the zone of its calendar is {stage.zone}, not {settings.zone}")
    if differences:
        raise DataError(
            f"{name}: cannot be trained on: {'; '.join(differences)}; keep those of the model, or "
            "train a new one"
        )


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
    if start.window is not None:
        raise DataError(
            f"{name}: cannot be trained on: it runs over windows of {start.window} rows, and "
            "training makes networks that keep their state from step to step; train a new one, or "
            "on model.with_window(None)"
        )
    for what in ("inputs", "outputs", "horizons", "skip", "lags", "counters"):
        mine, theirs = getattr(start, what), getattr(made, what)
        if mine != theirs:
            raise DataError(
                f"{name}: cannot be trained on: its {what} are {_shown(mine)}, the settings ask "
                f"for {_shown(theirs)}; keep those of the model, or train a new one"
            )
    differences = _layer_differences(start, made)
    if differences:
        raise DataError(
            f"{name}: cannot be trained on: {'; '.join(differences)}; leave these settings out, or "
            "train a new model"
        )


def _layer_differences(start: Model, made: Model) -> list[str]:
    """Return in which layers the settings differ from a model, in words."""
    recurrent = [
        [layer for layer in model.layers if isinstance(layer, LSTM | GRU | RNN)]
        for model in (start, made)
    ]
    had, asked = map(len, recurrent)
    if had != asked:
        return [f"it has {had} recurrent layer{'s' * (had != 1)}, the settings ask for {asked}"]
    if len(start.layers) != len(made.layers):
        kinds = (", ".join(layer.kind for layer in model.layers) for model in (start, made))
        return ["its layers are {}, the settings ask for {}".format(*kinds)]
    found = []
    for n, (mine, theirs) in enumerate(zip(start.layers, made.layers, strict=True)):
        if mine == theirs:
            continue
        if mine.kind != theirs.kind:
            found.append(f"layer {n} is {mine.kind}, the settings ask for {theirs.kind}")
            continue
        ours, others = mine.to_dict(), theirs.to_dict()
        found += [
            f"{key.replace('_', ' ')} of layer {n} ({mine.kind}) is {ours.get(key)}, the settings "
            f"ask for {others.get(key)}"
            for key in {**ours, **others}
            if ours.get(key) != others.get(key)
        ]
    return found


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
