"""Which models tell classes, and of which column, as their layers and their files say."""

from __future__ import annotations

import json
from typing import Any

from ...network.model import Model


def tells_classes(model: Model) -> bool:
    """Return whether the outputs of a model are shares of classes, or their logarithms."""
    return "softmax" in str(getattr(model.layers[-1], "activation", ""))


def has_logarithms(model: Model) -> bool:
    """Return whether they are logarithms."""
    return "log_softmax" in str(getattr(model.layers[-1], "activation", ""))


def predicts_events(model: Model) -> bool:
    """Return whether a model tells the next category of its first input, by the same names."""
    return tells_classes(model) and model.categories == model.output_size


def recorded(model: Model, name: str) -> Any:
    """Return a setting of the training that the file of a model tells; None if it does not."""
    try:
        settings = json.loads(model.metadata.get("settings", ""))
    except ValueError:
        return None
    return settings.get(name) if isinstance(settings, dict) else None


def class_column(model: Model) -> str | None:
    """Return the column of the classes that a model was trained on, if its file tells it."""
    if predicts_events(model):
        return model.inputs[0]
    try:
        (name,) = json.loads(model.metadata.get("targets", ""))
    except (ValueError, TypeError):
        return None
    return name if isinstance(name, str) else None
