"""Inputs of a network that a calendar takes over, or gives back, when its stage is another one.

A network's first layer takes the inputs of the model and behind them those that the stage computes
from the event time. With another calendar this border moves: inputs that had names are computed
from now on, or those that were computed get names and come with each observation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError
from .online import CALENDAR, Online
from .scaling import Scaling

if TYPE_CHECKING:
    from .model import Model


def names_of(online: Online | None) -> list[str]:
    """Return names for the inputs that a stage computes, such as ``hour_sin``."""
    features = online.calendar if online else ()
    ends = {1: ("",), 2: ("_sin", "_cos")}
    return [f"{name}{end}" for name in features for end in ends[CALENDAR[name]]]


def inputs_with(model: Model, online: Online | None) -> dict[str, Any]:
    """Return names, scaling and offsets of a model's inputs, if they are others with another stage.

    Raises
    ------
    ModelError
        If an input that the calendar would take over is scaled, has an offset, or is added to an
        output: the calendar's inputs go to the network as they are.
    """
    names, scaling, offsets = model.inputs, model.input_scaling, model.input_offsets
    derived = online.derived if isinstance(online, Online) else 0
    size = model.layers[0].input_size - derived
    if size == model.input_size or size < 1:  # nothing moves, or cannot be
        return {}
    if size < model.input_size:
        _check_free(model, size)
    names = (*names, *names_of(model.online))[:size]
    zeros, ones = np.zeros(len(names)), np.ones(len(names))
    offsets = None if offsets is None else np.append(offsets, zeros)[:size]
    mean, scale = np.append(scaling.mean, zeros)[:size], np.append(scaling.scale, ones)[:size]
    scaling = Scaling(mean.astype(np.float32), scale.astype(np.float32))
    return {"inputs": names, "input_scaling": scaling, "input_offsets": offsets}


def _check_free(model: Model, size: int) -> None:
    """Refuse a calendar that would take over inputs which are more than inputs of the network."""
    for n in range(size, model.input_size):
        scaled = model.input_scaling.mean[n] != 0 or model.input_scaling.scale[n] != 1
        offset = model.input_offsets is not None and model.input_offsets[n] != 0
        if scaled or offset or (model.skip is not None and n in model.skip):
            why = "is scaled" if scaled else "has an offset" if offset else "is added to an output"
            raise ModelError(
                f"online: the calendar would compute the last {model.input_size - size} inputs of "
                f"the network, but {model.inputs[n]!r} {why}; train the network with the calendar "
                "(streamlstm train --calendar), or leave the calendar out."
            )
