"""Takes the columns of an Arrow table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...errors import DataError
from ..columns import Columns, is_number, is_time
from ..table import list_names

_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # a second


def from_arrow(
    path: str, table: Any, lines: NDArray[np.int64] | None = None, index: str | None = None
) -> Columns:
    """Return the columns of an Arrow table or record batch.

    Parameters
    ----------
    path : str
        Name of the source in messages.
    table : pyarrow.Table or pyarrow.RecordBatch
    lines : int64[n], optional
        The line of each row; by default the number of the row, from 0.
    index : str, optional
        The column that is the index of a frame.

    Raises
    ------
    DataError
        If there is no row, or a name is there twice.
    """
    names = list(table.column_names)
    for k, name in enumerate(names):
        if name in names[:k]:
            raise DataError(f"{path}: expected columns of different names, got {name!r} twice")
    if table.num_rows == 0:
        raise DataError(f"{path}: expected at least one row, found none; {list_names(names)}")
    arrays = [_plain(array) for array in table.columns]
    lines = np.arange(table.num_rows) if lines is None else lines
    return Columns(path, names, arrays, lines, index=index)


def _plain(array: Any) -> Any:
    """Return an array of numbers, times or text, chunked as all are; spans of time are seconds."""
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_duration(array.type):
        array = pc.divide(
            array.cast(pa.int64()).cast(pa.float64(), safe=False), _UNITS[array.type.unit]
        )
    elif not is_number(array.type) and not is_time(array.type) and array.type != pa.string():
        array = _text(array)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _text(array: Any) -> Any:
    """Return an array of any other type, such as lists, as text."""
    try:
        return array.cast(pa.string())
    except pa.ArrowException:
        cells = array.to_pylist()
        return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
