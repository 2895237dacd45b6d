"""Results as a table of the kind that the source is: frames for frames, arrays for arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import Table

Array = NDArray[Any]


def table_like(
    data: Any, table: Table, order: Array, columns: dict[str, Array], outputs: Sequence[str]
) -> Any:
    """Return columns as a table of the kind of the source.

    Parameters
    ----------
    data : frame, array, dict or path
        The source.
    table : Table
        What was read of it.
    order : int[n]
        The rows of the table in the order of the source.
    columns : dict of str to array[n]
    outputs : sequence of str
        The columns that an array gets.
    """
    package = type(data).__module__.partition(".")[0]
    if isinstance(data, np.ndarray):
        return np.stack([columns[name] for name in outputs], axis=1)
    if package == "pandas":
        import pandas as pd

        return pd.DataFrame(columns, index=data.index[table.lines[order]])
    if package == "polars":
        import polars as pl

        return pl.DataFrame(columns)
    if package == "pyarrow":
        import pyarrow as pa

        return pa.table(columns)
    leading: dict[str, Any] = {}
    if table.time_column is not None and table.time is not None:
        leading[table.time_column] = table.time[order]
    if table.stream_column is not None and table.streams is not None:
        leading[table.stream_column] = np.array(list(table.streams))[order]
    return leading | columns
