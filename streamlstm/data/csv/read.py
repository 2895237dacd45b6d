"""Reads a whole CSV file into a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import DataError
from ..numbers import is_text_column
from ..table import Table, list_names
from ..time_order import check_time_order
from .convert import to_numbers, to_stream, to_times
from .layout import read_layout
from .source import Source, open_source


def read_csv(
    source: Source,
    *,
    time_column: str | None = None,
    stream_column: str | None = None,
    columns: Sequence[str] | None = None,
    allow_gaps: bool = True,
    missing: bool = False,
) -> Table:
    """Read a whole CSV file.

    Parameters
    ----------
    source : path, "-" for standard input, or an open text stream
        ``.gz`` is unpacked. Comma, semicolon or tab, whichever the header uses.
    time_column : str, optional
        By default a column named like one of :data:`streamlstm.data.timestamps.TIME_NAMES`, or else
        the first that holds time stamps. Numbers are seconds since 1970; text is ISO 8601.
    stream_column : str, optional
        The column that names the stream of each row, for files of many series.
    columns : sequence of str, optional
        The numeric columns to read, in this order; by default every column that holds numbers.
    allow_gaps : bool
        Whether rows may be missing in an evenly spaced series.
    missing : bool
        Whether cells may be empty, or say "NA" or "null": they are NaN. Otherwise they are refused.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        If anything cannot be used; the message names file, line and column.
    """
    with open_source(source) as (path, text):
        layout, rows = read_layout(path, text, time_column, stream_column, columns)
        lines: list[int] = []
        cells: list[str] = []  # one flat list: 200,000 small ones keep the garbage collector busy
        for line, row in rows:
            lines.append(line)
            cells.extend(row)
    header = layout.header
    by_column = [cells[k :: len(header)] for k in range(len(header))]
    left_out = {k for k in layout.columns if columns is None and is_text_column(by_column[k])}
    numeric = [k for k in layout.columns if k not in left_out]
    if not numeric:
        raise DataError(
            f"{path}: expected at least one numeric column, found none among {list_names(header)}"
        )
    values = np.empty((len(lines), len(numeric)), np.float32)
    for n, k in enumerate(numeric):
        values[:, n] = to_numbers(layout, k, by_column[k], lines, missing)
    time = stamps = streams = None
    if layout.time is not None:
        stamps = by_column[layout.time]
        time = to_times(layout, layout.time, stamps, lines)
    if layout.stream is not None:
        streams = by_column[layout.stream]
        if "" in streams:
            to_stream(layout, layout.stream, "", lines[streams.index("")])
    table = Table(
        path=path,
        time=time,
        names=tuple(header[k] for k in numeric),
        values=values,
        streams=streams,
        lines=np.array(lines, np.int64),
        stamps=stamps,
        time_column=None if layout.time is None else header[layout.time],
        stream_column=stream_column,
        text=tuple(header[k] for k in layout.columns if k in left_out),
    )
    check_time_order(table, allow_gaps)
    return table
