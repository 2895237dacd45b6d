"""Predictions of a whole table, as a table of the kind that was given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.warmup import compile_for
from ..data.read import read_table
from ..data.results import table_like
from ..data.table import Table
from ..engine.offline import predict_rows, result_columns
from ..errors import DataError
from ..network.model import Model
from ..online.layout import fills
from .model_inputs import inputs_of, options_of, reading_of
from .python_names import naming_parameters

Array = NDArray[Any]


def predict(model: Model, data: Any, **options: Any) -> Any:
    """Predict from every row of a table, each stream from a fresh state, as a worker would.

    The prediction in a row is made of that row and those before it; it speaks of the row
    ``model.horizon`` steps later in the same stream.

    Parameters
    ----------
    model : Model
    data : path, frame, array or dict of arrays
        What `train` takes. Columns are matched by name; an array, which has no names, needs the
        inputs of the model in their order.
    **options
        How to read it, by the names of `ReadOptions`: ``stream_column="pump"``,
        ``time_column="date"``, ...

    Returns
    -------
    pandas DataFrame, polars DataFrame, pyarrow Table, float32[n, O], or dict of str to array
        A row for each row of the data, in their order. Of pandas with its index. Of an array
        another with the outputs. Of everything else a dict, for a file with its time and streams.
        The columns are the outputs by name, and what the online stage says of them: bounds of
        intervals (``value_low_90``), ``score``, ``p_value``, ``alarm``.

    Raises
    ------
    DataError
        If the data cannot be read, or lack an input.
    """
    reading: dict[str, Any] = reading_of(model, model.inputs) | {"missing": fills(model)}
    given = options_of(reading, options)
    named = _name(model, data) if isinstance(data, np.ndarray) else data
    with naming_parameters():
        table = data if isinstance(data, Table) else read_table(named, given)
    compile_for(model)
    groups = list(table.groups().values())
    results = predict_rows(model, inputs_of(model, table), groups, table.time)
    order = np.argsort(table.lines, kind="stable")  # as the source has them
    names, places = result_columns(model)
    columns = {name: results[order, place] for name, place in zip(names, places, strict=True)}
    return table_like(data, table, order, columns, model.outputs)


def _name(model: Model, data: Array) -> Any:
    """Give the columns of an array the names of the inputs."""
    if data.dtype.names:
        return data
    wide = data[:, None] if data.ndim == 1 else data
    if wide.ndim != 2 or wide.shape[1] != model.input_size:
        raise DataError(
            f"the array: expected [rows, {model.input_size}] with the inputs "
            f"{', '.join(model.inputs)}, got {data.shape}"
        )
    return dict(zip(model.inputs, wide.T, strict=True))
