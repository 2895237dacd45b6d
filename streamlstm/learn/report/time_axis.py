"""The time axis of plots: dates in the zone of the model's calendar, seconds, or rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.table import Table
from ...network.model import Model
from ...plots.axes import DAY, are_dates, mark_dates

Array = NDArray[Any]


def place_rows(axes: Any, table: Table, model: Model, rows: NDArray[np.intp]) -> Array:
    """Return where rows of a table are on the axis, and label it."""
    return place(axes, rows + 1.0 if table.time is None else table.time[rows], table, model)


def place(axes: Any, at: Array, table: Table, model: Model) -> Array:
    """Return where times, or rows of a table without, are on the axis, and label it."""
    if table.time is None:
        axes.set_xlabel("row of the table")
        return at
    time = local_time(at, model)
    if not are_dates(time):
        axes.set_xlabel("time in seconds")
        return time
    # With fewer marks at least, hours and minutes too have an interval that gives eight at most.
    mark_dates(axes, 3, 8)
    axes.set_xlabel(f"time ({zone_name(model)})")
    return np.asarray(time / DAY)


def local_time(time: Array, model: Model) -> Array:
    """Return times in the zone of the model's calendar, in seconds."""
    online = model.online
    if online is None or not online.transitions:
        return time
    since, offsets = np.array(online.transitions).T
    return np.asarray(time + offsets[np.maximum(np.searchsorted(since, time, "right") - 1, 0)])


def zone_name(model: Model) -> str:
    """Return the name of the zone of that time."""
    online = model.online
    return online.zone if online is not None and online.transitions else "UTC"
