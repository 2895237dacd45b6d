"""Finds the time column of a table and converts it to seconds since 1970."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .cell_error import cell_error
from .cells.missing import Missing
from .cells.names import TIME_NAMES
from .cells.number_format import to_float64
from .cells.times import TimeFormat, recognise_times, timestamps_to_seconds
from .columns import Columns, is_text
from .options import ReadOptions
from .text_column import TextColumn

_SAMPLE = 1000
_EXPECTED = "a time (seconds since 1970, or a time stamp like 2024-05-31 12:30:00)"


def find_time(columns: Columns, options: ReadOptions) -> str | None:
    """Return the time column: as given, an index of times, one with a usual name, or of stamps."""
    if options.time_columns:
        return options.time_columns[0]
    if columns.index is not None:
        return columns.index
    taken = {*options.columns, options.stream_column}
    free = [name for name in columns.names if name not in taken]
    by_name = [name for usual in TIME_NAMES for name in free if name.lower() == usual]
    for name in by_name:
        if _format(columns[name]) is not None:
            return name
    for name in free:
        time_format = _format(columns[name])
        if time_format is not None and time_format.notation != "s":
            return name
    return by_name[0] if by_name else None


def read_time(columns: Columns, name: str) -> tuple[NDArray[np.float64], TextColumn]:
    """Return the times of the rows, float64[n] in seconds since 1970, and their cells.

    Raises
    ------
    DataError
        At the first cell that is no time.
    """
    cells = columns[name]
    time_format = _format(cells) or TimeFormat("iso")
    if is_text(cells.type):
        seconds = time_format.convert(cells)
    elif time_format.notation == "iso":
        seconds = timestamps_to_seconds(cells)
    else:
        seconds = cells.cast(pa.float64())
    time = to_float64(seconds)
    if np.isnan(time).any():
        raise cell_error(columns, name, int(np.isnan(time).argmax()), _EXPECTED)
    return time, TextColumn(cells)


def _format(cells: Any) -> TimeFormat | None:
    """Return how the times of a column are written; None if it holds none."""
    if is_text(cells.type):
        return recognise_times(Missing().to_null(cells.slice(0, _SAMPLE)))
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        return TimeFormat("iso")
    if pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type):
        return TimeFormat("s")
    return None
