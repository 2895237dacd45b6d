"""Makes a table of columns: finds time and streams, and converts the rest to numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from ..errors import DataError
from .cell_error import cell_error, first_row
from .columns import Columns
from .memory import release
from .number_columns import read_numbers
from .options import ReadOptions
from .table import Table, list_names, missing_column
from .text_column import TextColumn
from .time_columns import find_time, read_time


def interpret(columns: Columns, options: ReadOptions) -> Table:
    """Return the table that the columns hold.

    Raises
    ------
    DataError
        If a column is missing, or a cell cannot be used; the message names line and column.
    """
    path, header = columns.path, tuple(columns.names)
    for name in (
        *options.time_columns,
        options.stream_column,
        *options.columns,
        *options.categories,
    ):
        if name is not None and name not in header:
            raise missing_column(path, name, header)
    parts = [name for name in (options.stream_column, options.sequence_column) if name in header]
    parts = list(dict.fromkeys(parts))
    streams = _read_streams(columns, parts) if parts else None
    categories = {name: TextColumn(columns[name]) for name in options.categories}
    time_column = find_time(columns, options)
    time, stamps, notation = None, None, ""
    if time_column is not None:
        rows = {"": np.arange(len(columns.lines))} if streams is None else streams.groups()
        release()
        time, stamps, notation = read_time(columns, time_column, options, rows.values())
        release()
        columns.pop(time_column)
    for name in parts:
        if name not in options.columns:
            columns.pop(name)
    for name in categories:
        if name in columns.names:
            columns.pop(name)
    wanted = options.columns or tuple(columns.names) if options.numbers else ()
    names, values, text = read_numbers(columns, wanted, options)
    if not names and not categories:
        raise DataError(
            f"{path}: expected at least one numeric column, found none among {list_names(header)}"
        )
    return Table(
        path=path,
        time=time,
        names=names,
        values=values,
        streams=streams,
        lines=columns.lines,
        stamps=stamps,
        time_column=time_column,
        stream_column="/".join(parts) if parts else None,
        text=text,
        categories=categories,
        notes=tuple(columns.notes),
        notation=notation,
        zone=options.timezone or "UTC",
    )


def _read_streams(columns: Columns, names: Sequence[str]) -> TextColumn:
    """Return the stream of each row; of several columns their names together: "pump/7"."""
    parts = []
    for name in names:
        streams = TextColumn(columns[name])
        if "" in streams.codes()[1]:
            row = first_row(pc.equal(streams.text(), ""))
            raise cell_error(columns, name, row, "the name of a stream")
        parts.append(streams)
    if len(parts) == 1:
        return parts[0]
    return TextColumn(pc.binary_join_element_wise(*(part.text() for part in parts), "/"))
