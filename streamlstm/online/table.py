"""The table of the online stage that kernels read (kernels/online/table.py), and a new stream's row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online import table
from ..network.model import Model
from ..network.online import result_places
from .layout import stage_places


def stage_table(model: Model, start: int) -> NDArray[np.int64]:
    """Return the table of a model whose stage's columns begin at ``start`` of a row.

    It ends with a flag for each input, 1 if that is filled where it is missing. It is empty if the
    model has no stage.
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
        table.RING: max(model.horizon, 1),
        table.LOW: results.low,
        table.HIGH: results.high,
        table.ERROR: results.error,
        table.SCORE: results.score,
        table.P_VALUE: results.p_value,
        table.ALARM: results.alarm,
        table.KIND: results.kind,
        table.FILLED: results.filled,
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
    return [(places["inputs"], model.input_scaling.mean), (places["forecasts"], np.nan)]
