"""Takes frames, Arrow tables, arrays and dicts of arrays as columns by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import DataError
from ..columns import Columns
from ..table import list_names

INDEX = "index"  # name of an index of times that has none
VALUE = "value"  # name of a series that has none


def read_frame(source: Any) -> Columns | None:
    """Return the columns of a frame, an array or a dict of arrays; None of anything else.

    Parameters
    ----------
    source : pandas or polars DataFrame or Series, pyarrow Table, array [n] or [n, F], dict
        An array without names has columns ``x0``, ``x1``, ...; an index of times is the time.

    Raises
    ------
    DataError
        If columns have different lengths, equal names, or cells that are of no type.
    """
    package, kind = type(source).__module__.partition(".")[0], type(source).__name__
    if package == "pandas" and kind in ("DataFrame", "Series"):
        return _from_pandas(source, kind)
    if package == "polars" and kind in ("DataFrame", "Series", "LazyFrame"):
        frame = source.collect() if kind == "LazyFrame" else source
        if kind == "Series":
            frame = frame.to_frame(frame.name or VALUE)
        return _from_arrow(frame.to_arrow(), f"the {kind}")
    if isinstance(source, pa.Table | pa.RecordBatch):
        table = source if isinstance(source, pa.Table) else pa.Table.from_batches([source])
        return _from_arrow(table, "the Arrow table")
    if isinstance(source, np.ndarray):
        return _from_arrays(_columns_of(source), "the array")
    if isinstance(source, Mapping):
        arrays = {str(name): np.asarray(cells) for name, cells in source.items()}
        return _from_arrays(arrays, "the dict")
    return None


def _from_pandas(source: Any, kind: str) -> Columns:
    path = f"the {kind}"
    if kind == "Series":
        source = source.to_frame(VALUE if source.name is None else source.name)
    frame, index = source, source.index
    if hasattr(index, "to_timestamp"):  # periods
        index = index.to_timestamp()
    columns = _from_arrow(_pandas_to_arrow(frame, path), path)
    if type(index).__name__ == "DatetimeIndex":
        name = INDEX if index.name is None else str(index.name)
        while name in columns.names:
            name += "_"
        columns.names.insert(0, name)
        columns.arrays.insert(0, pa.chunked_array([pa.array(index)]))
        columns.index = name
    return columns


def _pandas_to_arrow(frame: Any, path: str) -> pa.Table:
    """Convert column by column, so that one that cannot be converted is named."""
    arrays = []
    for place in range(frame.shape[1]):
        try:
            arrays.append(pa.array(frame.iloc[:, place], from_pandas=True))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            name = frame.columns[place]
            raise DataError(
                f"{path}: column {name!r}: expected cells of one type ({error})"
            ) from None
    return pa.Table.from_arrays(arrays, names=[str(name) for name in frame.columns])


def _columns_of(array: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    if array.dtype.names:
        return {name: array[name] for name in array.dtype.names}
    if array.ndim not in (1, 2):
        raise DataError(f"the array: expected [rows] or [rows, columns], got {array.shape}")
    by_column = array[:, None] if array.ndim == 1 else array
    return {f"x{n}": by_column[:, n] for n in range(by_column.shape[1])}


def _from_arrays(arrays: Mapping[str, np.ndarray[Any, Any]], path: str) -> Columns:
    shapes = {name: cells.shape for name, cells in arrays.items()}
    if len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 1:
        raise DataError(f"{path}: expected columns of one length, got {shapes}")
    made = {}
    for name, cells in arrays.items():
        try:
            made[name] = pa.array(np.ascontiguousarray(cells))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataError(f"{path}: column {name!r}: cannot be used ({error})") from None
    return _from_arrow(pa.table(made), path)


def _from_arrow(table: pa.Table, path: str) -> Columns:
    names = [str(name) for name in table.column_names]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DataError(
            f"{path}: expected columns of different names, got {list_names(twice)} twice"
        )
    arrays = [_plain(cells) for cells in table.columns]
    return Columns(path, names, arrays, np.arange(table.num_rows))


def _plain(cells: Any) -> Any:
    """Return categories as what they name, and numbers of a fixed point as floats."""
    if pa.types.is_dictionary(cells.type):
        return cells.cast(cells.type.value_type)
    if pa.types.is_decimal(cells.type):
        return cells.cast(pa.float64())
    return cells
