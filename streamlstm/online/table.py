"""The table of the online stage that kernels read, written from a model."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..kernels.layout import padded
from ..kernels.online import table
from ..network.model import Model
from ..network.online import Online, result_places
from . import adaptation, calendar, drift, fill, scaling
from .layout import (
    Float32Array,
    adaptation_of,
    anomaly_constants,
    fill_methods,
    fills,
    forecast_inputs,
    initial_parts,
    interval_constants,
    ring_length,
    stage_places,
    watched,
)

Add: TypeAlias = Callable[[Float32Array], int]  # appends constants to the weights: their offset


def stage_table(model: Model, start: int, hidden: int, add: Add) -> NDArray[np.int64]:
    """Return the table of a model (kernels/online/table.py), empty if it has no stage.

    Parameters
    ----------
    model : Model
    start : int
        Where the stage's columns begin in a row,
    hidden : int
        and where the last hidden state does.
    add : callable
        Appends constants to the weight block and returns their offset.

    Returns
    -------
    int64[N]
        It ends with a flag for each input, 1 if that is filled where it is missing.
    """
    online = model.online
    if online is None:
        return np.zeros(0, np.int64)
    places = {name: place.start for name, place in stage_places(model, start).items()}
    results = result_places(model.output_size, len(online.intervals))._asdict()
    pairs = np.array(online.transitions, np.float64).reshape(-1, 2)
    numbers = {
        table.INPUTS: places["inputs"],
        table.COUNT: places["count"],
        table.FORECASTS: places["forecasts"],
        table.RING: ring_length(model),
        **{getattr(table, name.upper()): at for name, at in results.items() if name != "size"},
        table.TRANSITION_COUNT: len(pairs),
        table.LEVELS: len(online.intervals),
        **_parts(model, online, places, hidden, add),
    }
    head = np.zeros(table.TARGETS, np.int64)
    targets, pairs_watched = forecast_inputs(model), np.ravel(watched(model))
    head[table.WATCHED] = len(head) + len(targets)
    head[table.TRANSITIONS] = head[table.WATCHED] + len(pairs_watched)
    head[list(numbers)] = list(numbers.values())
    may_miss = [method != "refuse" for method in fill_methods(model)]
    return np.concatenate(
        [head, targets, pairs_watched, pairs.view(np.int64).ravel(), may_miss]
    ).astype(np.int64)


def _parts(
    model: Model, online: Online, places: dict[str, int], hidden: int, add: Add
) -> dict[int, int]:
    """Return places and constants of the parts that the model has."""
    numbers: dict[int, int] = {table.SCRATCH: padded(model.input_size)}
    if fills(model):
        mean, unit = model.input_scaling.mean, model.input_scaling.scale
        constants = fill.constants(fill_methods(model), online.max_gap, mean, unit)
        numbers |= {table.FILL: places["fill"], table.FILL_CONSTANTS: add(constants)}
    if online.calendar:
        constants = calendar.constants(online.calendar, online.spacing)
        numbers |= {table.CALENDAR: places["calendar"], table.CALENDAR_CONSTANTS: add(constants)}
    if online.scale == "stream":
        constants = scaling.constants(model.input_scaling.scale)
        numbers |= {table.SCALING: places["scaling"], table.SCALING_CONSTANTS: add(constants)}
    if (head := adaptation_of(model)) is not None:
        numbers |= {
            table.ADAPTATION: places["adaptation"],
            table.ADAPTATION_CONSTANTS: add(adaptation.constants(head)),
            table.HIDDEN: hidden,
            table.SCRATCH: max(numbers[table.SCRATCH], padded(head.scratch)),
        }
    if online.intervals:
        numbers |= {
            table.INTERVALS: places["intervals"],
            table.INTERVAL_SIZE: _size(model),
            table.INTERVAL_CONSTANTS: add(interval_constants(model)),
            table.BOUNDS: places["bounds"],
        }
    if "drift" in places:
        constants = drift.constants(ring_length(model))
        numbers |= {table.DRIFTS: places["drift"], table.DRIFT_CONSTANTS: add(constants)}
    if online.anomaly:
        numbers |= {
            table.ANOMALY: places["anomaly"],
            table.ANOMALY_SIZE: len(initial_parts(model)["anomaly"]) // len(watched(model)),
            table.ANOMALY_CONSTANTS: add(anomaly_constants(model)),
            table.WATCHED_COUNT: len(watched(model)),
        }
    return numbers


def _size(model: Model) -> int:
    return len(initial_parts(model)["intervals"]) // model.output_size
