"""The table of the online stage that kernels read (kernels/online/table.py), and a new stream's row."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..kernels.online import table
from ..network.model import Model
from ..network.online import Online, result_places
from . import intervals
from .layout import ring_length, stage_places

Float32Array: TypeAlias = NDArray[np.float32]
Table: TypeAlias = NDArray[np.int64]


def stage_table(model: Model, start: int, add: Callable[[Float32Array], int]) -> Table:
    """Return the table of a model whose stage's columns begin at ``start`` of a row.

    It ends with a flag for each input, 1 if that is filled where it is missing. It is empty if the
    model has no stage. ``add`` appends constants to the weight block and returns their offset.
    """
    online = model.online
    if online is None:
        return np.zeros(0, np.int64)
    places = stage_places(model, start)
    results = result_places(model.output_size, len(online.intervals))
    numbers = {
        table.INPUTS: places["inputs"].start,
        table.POSITION: places["position"].start,
        table.FORECASTS: places["forecasts"].start,
        table.RING: ring_length(model),
        table.LOW: results.low,
        table.HIGH: results.high,
        table.ERROR: results.error,
        table.SCORE: results.score,
        table.P_VALUE: results.p_value,
        table.ALARM: results.alarm,
        table.KIND: results.kind,
        table.FILLED: results.filled,
    }
    if levels := len(online.intervals):
        numbers |= {
            table.LEVELS: levels,
            table.INTERVALS: places["intervals"].start,
            table.INTERVAL_SIZE: len(_initial_intervals(model)),
            table.INTERVAL_CONSTANTS: add(interval_constants(online)),
        }
    head = np.zeros(table.TARGETS, np.int64)
    head[list(numbers)] = list(numbers.values())
    targets = model.targets if model.horizon else [-1] * model.output_size
    fills = [online.fill_of(n) != "refuse" for n in range(model.input_size)]
    return np.concatenate([head, np.array(targets, np.int64), np.array(fills, np.int64)])


def initial_columns(model: Model, start: int) -> list[tuple[slice, Any]]:
    """Return what the stage's columns that are not zero hold before the first observation."""
    if model.online is None:
        return []
    places = stage_places(model, start)
    found = [(places["inputs"], model.input_scaling.mean), (places["forecasts"], np.nan)]
    if model.online.intervals:
        found.append((places["intervals"], np.tile(_initial_intervals(model), model.output_size)))
    return found


def interval_levels(online: Online) -> list[intervals.Level]:
    """Return the levels of a stage's intervals."""
    side = {"both": "both", "upper": "above", "lower": "below"}[online.side]
    return [intervals.Level(share, side) for share in online.intervals]


def interval_constants(online: Online) -> Float32Array:
    """Return the constants of a stage's intervals."""
    lower = -np.inf if online.lower is None else online.lower
    upper = np.inf if online.upper is None else online.upper
    return intervals.constants(interval_levels(online), lower, upper)


def _initial_intervals(model: Model) -> Float32Array:
    assert model.online is not None
    return intervals.initial(interval_levels(model.online), ring_length(model))
