"""Reads tables: files of several formats, frames and arrays, all into the same `Table`."""

from __future__ import annotations

from typing import Any

from .interpret import interpret
from .options import ReadOptions
from .sources.content import open_content
from .sources.delimited import read_delimited
from .table import Table
from .time_order import check_time_order

Source = Any
"""A path, ``-`` for standard input, an open stream, a frame, a dict of arrays or an array."""


def read_table(source: Source, options: ReadOptions | None = None) -> Table:
    """Read a table.

    Parameters
    ----------
    source : path, "-" for standard input, or an open stream
        CSV, of which ``.gz`` is unpacked.
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
    columns = read_delimited(open_content(source))
    table = interpret(columns, options)
    check_time_order(table, options.allow_gaps)
    return table
