"""Reads tables: files of several formats, frames and arrays, all into the same `Table`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .interpret import interpret
from .options import ReadOptions
from .order import put_in_order
from .resample import resample
from .sources.content import open_content
from .sources.delimited import read_delimited
from .sources.frames import read_frame
from .spacing import check_spacing
from .table import Table

Source = Any
"""A path, ``-`` for standard input, an open stream, a frame, a dict of arrays or an array."""


def read_table(source: Source, options: ReadOptions | None = None) -> Table:
    """Read a table.

    Parameters
    ----------
    source : path, "-" for standard input, an open stream, frame, array or dict of arrays
        CSV, of which ``.gz`` is unpacked; pandas and polars DataFrame or Series, pyarrow Table.
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
    columns = read_frame(source) or read_delimited(open_content(source))
    # A reading that is missing may be one of several in its interval.
    missing = options.missing or options.resample is not None
    table = interpret(columns, replace(options, missing=missing))
    table = put_in_order(table, options.sort, repeated_times=options.resample is not None)
    if options.resample is not None:
        table = resample(table, options.resample, options.missing)
    return check_spacing(table, options.allow_gaps)
