"""The table of the online stage that kernels read, written from a model."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..kernels.layout import padded
from ..kernels.online import table
from ..network.model import Model
from ..network.online import Online
from . import adaptation, calendar, drift, fill, labelled, lags, scaling
from .layout import (
    Float32Array,
    adaptation_of,
    anomaly_constants,
    fill_methods,
    fills,
    forecast_inputs,
    group_places,
    groups,
    initial_parts,
    interval_constants,
    lagged_inputs,
    levels_of,
    own_forecasts,
    shares,
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
        It ends with a flag for each float of an observation, 1 if it may be missing and is filled.
    """
    online = model.online
    if online is None:
        return np.zeros(0, np.int64)
    places = {name: place.start for name, place in stage_places(model, start).items()}
    results = model.result_places._asdict()
    pairs = np.array(online.transitions, np.float64).reshape(-1, 2)
    numbers = {
        table.INPUTS: places["inputs"],
        table.COUNT: places["count"],
        table.HIDDEN: hidden,
        **{getattr(table, name.upper()): at for name, at in results.items() if name != "size"},
        table.LEVEL: results["level"] if model.has_levels else 0,
        table.TRANSITION_COUNT: len(pairs),
        table.LEVELS: len(online.intervals),
        **_parts(model, online, places, add),
    }
    head = np.zeros(table.TARGETS, np.int64)
    head[list(numbers)] = list(numbers.values())
    parts: list[tuple[int, Any]] = [
        (table.WATCHED, np.ravel(watched(model))),
        (table.LAG_LIST, [*model.lags, *lagged_inputs(model)]),
        (table.OWN, own_forecasts(model)),
        (table.DIFFERENCE_LIST, [*model.differences, *levels_of(model)]),
        (table.GROUPS, np.ravel(_groups(model, start, add))),
        (table.TRANSITIONS, pairs.view(np.int64).ravel()),
    ]
    behind = [np.array(forecast_inputs(model), np.int64)]
    for number, values in parts:
        head[number] = len(head) + sum(map(len, behind))
        behind.append(np.asarray(values, np.int64))
    may_miss = np.zeros(model.observation_size, np.int64)
    may_miss[: model.input_size] = [method != "refuse" for method in fill_methods(model)]
    return np.concatenate([head, *behind, may_miss])


def _groups(model: Model, start: int, add: Add) -> NDArray[np.int64]:
    """Return the numbers of each group of outputs."""
    online, rows = model.online, []
    assert online is not None
    for group, columns in zip(groups(model), group_places(model, start), strict=True):
        row = np.zeros(table.GROUP_SIZE, np.int64)
        at = {name: place.start for name, place in columns.items()}
        row[[table.FIRST, table.SIZE, table.RING]] = group.first, group.size, group.ring
        row[table.FORECASTS] = at["forecasts"]
        row[[table.HELD, table.USUAL]] = at.get("held", 0), at.get("usual", 0)
        if (head := adaptation_of(model, group)) is not None:
            row[table.ADAPTATION] = at["adaptation"]
            row[table.ADAPTATION_CONSTANTS] = add(adaptation.constants(head))
        if online.intervals:
            size = columns["intervals"].stop - columns["intervals"].start
            row[[table.INTERVALS, table.BOUNDS]] = at["intervals"], at["bounds"]
            row[table.LARGEST] = at["largest"]
            row[table.INTERVAL_SIZE] = size // group.size
            row[table.INTERVAL_CONSTANTS] = add(interval_constants(model, group.horizon))
        if "drift" in at:
            row[table.DRIFTS] = at["drift"]
        row[table.DRIFT_CONSTANTS] = add(drift.constants(group.horizon))
        rows.append(row)
    return np.array(rows)


def _parts(model: Model, online: Online, places: dict[str, int], add: Add) -> dict[int, int]:
    """Return places and constants of the parts that the model has."""
    heads = [head for group in groups(model) if (head := adaptation_of(model, group)) is not None]
    rooms = [model.input_size, lags.room(model.lags), *(head.scratch for head in heads)]
    numbers: dict[int, int] = {
        table.SCRATCH: padded(max(rooms)),
        table.GROUP_COUNT: len(groups(model)),
    }
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
    if model.lag_weights is not None:
        numbers |= {
            table.LAGS: places["lags"],
            table.LAG_RING: lags.ring_length(model.lags),
            table.LAG_CONSTANTS: add(lags.constants(model.lag_weights)),
            table.LAG_COUNT: len(model.lags),
            table.LAG_INPUTS: len(lagged_inputs(model)),
        }
    if model.differences:
        numbers |= {
            table.DIFFERENCES: places["differences"],
            table.DIFFERENCE_COUNT: len(model.differences),
        }
    if model.labelled:
        columns = labelled.columns(online.anomaly)
        numbers |= {
            table.LABELLED: places["labelled"],
            table.LABELLED_SIZE: sum(columns.values()),
        }
    if online.anomaly:
        numbers |= {
            table.SHARES: shares(model),
            table.ANOMALY: places["anomaly"],
            table.ANOMALY_SIZE: len(initial_parts(model)["anomaly"]) // len(watched(model)),
            table.ANOMALY_CONSTANTS: add(anomaly_constants(model)),
            table.WATCHED_COUNT: len(watched(model)),
        }
    return numbers
