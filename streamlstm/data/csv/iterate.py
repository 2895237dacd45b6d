"""Iterates over the rows of a CSV file or pipe, each as soon as it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..numbers import is_text_column
from ..time_order import time_order_error
from .convert import to_number, to_stream, to_time
from .layout import read_layout
from .source import Source, open_source


class CsvRow(NamedTuple):
    """One row of a file.

    Attributes
    ----------
    line : int
        Its line in the file.
    stream : str or None
        Its stream, if there is a stream column.
    time : float or None
        Its time in seconds since 1970, if there is a time column.
    values : float32[F]
        Its numeric columns.
    """

    line: int
    stream: str | None
    time: float | None
    values: NDArray[np.float32]


def iterate_csv(
    source: Source,
    *,
    time_column: str | None = None,
    stream_column: str | None = None,
    columns: Sequence[str] | None = None,
    missing: bool = False,
) -> Iterator[CsvRow]:
    """Read a CSV file row by row; works on pipes that never end.

    Parameters
    ----------
    source, time_column, stream_column, columns, missing
        As for :func:`streamlstm.data.csv.read_csv`. By default the numeric columns are those that
        hold a number in the first row.

    Yields
    ------
    CsvRow

    Raises
    ------
    DataError
        At the first row that cannot be used. The rows before it have been yielded.
    """
    with open_source(source) as (path, text):
        layout, rows = read_layout(path, text, time_column, stream_column, columns)
        numeric: Sequence[int] | None = None if columns is None else layout.columns
        latest: dict[str | None, tuple[float, int]] = {}  # time and line of each stream's last row
        for line, row in rows:
            if numeric is None:
                numeric = [k for k in layout.columns if not is_text_column([row[k]])]
            stream = time = None
            if layout.stream is not None:
                stream = to_stream(layout, layout.stream, row[layout.stream], line)
            if layout.time is not None:
                time = to_time(layout, layout.time, row[layout.time], line)
                before, before_line = latest.get(stream, (-inf, 0))
                if time <= before:
                    column = layout.header[layout.time]
                    equal = time == before
                    raise time_order_error(path, column, line, before_line, equal, stream)
                latest[stream] = (time, line)
            values = [to_number(layout, k, row[k], line, missing) for k in numeric]
            yield CsvRow(line, stream, time, np.array(values, np.float32))
