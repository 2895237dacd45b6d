"""Takes the columns of frames of pandas and polars, of dicts and of NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import DataError
from ..columns import Columns
from .arrow import from_arrow


def read_frame(source: Any, names: Sequence[str]) -> Columns | None:
    """Return the columns of a table in memory; None if the source is none.

    Parameters
    ----------
    source : pyarrow.Table, frame or series of pandas or polars, dict of arrays, or array
    names : sequence of str
        Names of the columns of an array, which has none of its own.

    Raises
    ------
    DataError
        If it does not hold columns.
    """
    kind = type(source)
    package = kind.__module__.partition(".")[0]
    name = kind.__name__
    if isinstance(source, pa.Table | pa.RecordBatch):
        return from_arrow("the Arrow table", source)
    if package == "pandas" and name in ("DataFrame", "Series"):
        return _from_pandas(source, name)
    if package == "polars" and name in ("DataFrame", "Series", "LazyFrame"):
        if name == "LazyFrame":
            source = source.collect()
        frame = source.to_frame(source.name or "value") if name == "Series" else source
        return from_arrow(f"the {name}", frame.to_arrow())
    if isinstance(source, Mapping):
        return _from_dict(source)
    if isinstance(source, np.ndarray):
        return _from_array(source, names)
    return None


def _from_pandas(source: Any, kind: str) -> Columns:
    frame = (
        source.to_frame(source.name if source.name is not None else "value")
        if (kind == "Series")
        else source
    )
    columns = {}
    index = None
    for level in range(frame.index.nlevels):
        values = frame.index.get_level_values(level)
        kind_of_index = type(values).__name__
        is_time = kind_of_index in ("DatetimeIndex", "PeriodIndex", "TimedeltaIndex")
        if values.name is None and not is_time and values.dtype.kind in "iu":
            continue  # the numbers of rows
        label = str(values.name) if values.name is not None else ("time" if is_time else "index")
        if kind_of_index == "PeriodIndex":
            values = values.to_timestamp()
        if label not in map(str, frame.columns):
            columns[label] = _array(values)
            index = label if is_time else index
    names = [str(label) for label in frame.columns]
    for k, label in enumerate(names):
        if label in names[:k]:
            raise DataError(f"the {kind}: expected columns of different names, got {label!r} twice")
        columns[label] = _array(frame.iloc[:, k])
    return from_arrow(f"the {kind}", pa.table(columns), index=index)


def _array(values: Any) -> Any:
    """Return a column of pandas as an Arrow array; of mixed types as text."""
    try:
        return pa.Array.from_pandas(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        missing = values.isna()
        return pa.array(
            [None if gone else str(v) for v, gone in zip(values, missing, strict=True)], pa.string()
        )


def _from_dict(source: Mapping[Any, Any]) -> Columns:
    if not source:
        raise DataError("the dict: expected columns by name, got none")
    try:
        return from_arrow("the dict", pa.table({str(k): _column(v) for k, v in source.items()}))
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"the dict: expected columns of one length: {error}") from error


def _column(values: Any) -> Any:
    if type(values).__module__.startswith("pandas"):
        return _array(values)
    if type(values).__module__.startswith("polars"):
        return values.to_arrow()
    return pa.array(values if isinstance(values, np.ndarray) else list(values))


def _from_array(source: Any, names: Sequence[str]) -> Columns:
    if source.dtype.names:
        fields = {name: pa.array(source[name]) for name in source.dtype.names}
        return from_arrow("the array", pa.table(fields))
    if source.ndim not in (1, 2):
        raise DataError(f"the array: expected [rows] or [rows, columns], got {list(source.shape)}")
    array = source.reshape(len(source), -1)
    if not names:
        names = ("value",) if array.shape[1] == 1 else [f"x{k}" for k in range(array.shape[1])]
    if len(names) != array.shape[1]:
        raise DataError(
            f"the array: expected {len(names)} columns ({', '.join(names)}), got {array.shape[1]}"
        )
    arrays = [pa.array(np.ascontiguousarray(array[:, k])) for k in range(array.shape[1])]
    return from_arrow("the array", pa.table(dict(zip(names, arrays, strict=True))))
