"""Reads tables: files of several formats, frames and arrays, all into the same `Table`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import DataError
from .columns import Columns
from .interpret import interpret
from .memory import release
from .options import ReadOptions
from .order import put_in_order
from .resample import resample
from .sources.content import open_content
from .sources.delimited import read_delimited
from .sources.files import read_binary
from .sources.frames import read_frame
from .spacing import check_spacing
from .table import Table

Source = Any
"""A path, ``-`` for standard input, an open stream, a frame, a dict of arrays or an array."""


def read_table(source: Source, options: ReadOptions | None = None) -> Table:
    """Read a table.

    Parameters
    ----------
    source : path, "-" for standard input, open stream, frame, dict or array
        Files are CSV, Parquet, Feather or JSON lines, told by their content; gzip is unpacked.
        Frames and series are those of pandas and polars, and tables of Arrow; an array of NumPy has
        no names, so its columns are those asked for, in their order.
    options : ReadOptions, optional
        What must not be guessed.

    Returns
    -------
    Table
        Its notes say what was understood beyond the ordinary.

    Raises
    ------
    DataError
        If anything cannot be used; the message names file, line and column, and the option that
        settles what can be read in two ways.
    """
    options = options or ReadOptions()
    # A reading that is missing may be one of several in its interval.
    missing = options.missing or options.resample is not None
    table = interpret(_columns(source, options), replace(options, missing=missing))
    release()
    table = put_in_order(table, options.sort, repeated_times=options.resample is not None)
    if options.resample is not None:
        table = resample(table, options.resample, options.missing)
    return check_spacing(table, options.allow_gaps)


def _columns(source: Source, options: ReadOptions) -> Columns:
    columns = read_frame(source, options.columns)
    if columns is not None:
        return columns
    if not (isinstance(source, str | Path) or hasattr(source, "read")):
        raise DataError(
            "expected a file, a frame of pandas or polars, an Arrow table, a dict of arrays or an "
            f"array, got {type(source).__name__}"
        )
    content = open_content(source)
    columns = read_binary(content)
    if columns is not None:
        return columns
    as_text = {*options.time_columns, options.stream_column or "", options.sequence_column or ""}
    return read_delimited(content, as_text)
