"""Reads CSV: Arrow splits the text into columns of cells, in blocks and in parallel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from ...errors import DataError
from ..columns import Columns
from ..table import Note, list_names
from .content import Content, Scan, to_utf8
from .header import Header, read_header
from .rows import split_rows

_BLOCK = 1 << 22


def read_delimited(content: Content) -> Columns:
    """Split a CSV file into columns of text.

    Raises
    ------
    DataError
        If it is not CSV; the message names the line.
    """
    content, scan, encoding = to_utf8(content)
    path = content.path
    header = read_header(path, content.head())
    arrays = _split(content, header, scan)
    if not len(arrays[0]):
        raise DataError(
            f"{path}: expected at least one row after the header {list_names(header.names)}, "
            "found none"
        )
    lines = _lines(content, header, scan, len(arrays[0]))
    notes = [] if encoding is None else [Note(None, f"the text is in {encoding}, not UTF-8")]
    return Columns(path, list(header.names), arrays, lines, notes)


def _split(content: Content, header: Header, scan: Scan) -> list[Any]:
    names = [str(k) for k in range(len(header.names))]
    if scan.lines <= header.line:
        return [pa.chunked_array([[]], pa.string())] * len(names)
    try:
        table = pa.csv.read_csv(
            content.open(header.offset),
            pa.csv.ReadOptions(column_names=names, block_size=_BLOCK),
            pa.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=scan.quotes > 0),
            pa.csv.ConvertOptions(check_utf8=False, column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid as error:
        _find_bad_row(content, header)
        raise DataError(f"{content.path}: expected CSV: {error}") from error
    if scan.quotes % 2:  # Arrow takes the end of the file for the end of a quoted cell
        _find_bad_row(content, header)
    return list(table.columns)


def _find_bad_row(content: Content, header: Header) -> None:
    """Raise at the first row that is not CSV or not as wide as the header."""
    for _ in split_rows(content.path, content.text(), header.delimiter):
        pass


def _lines(content: Content, header: Header, scan: Scan, rows: int) -> NDArray[np.int64]:
    """Return the line of each row, int64[n]."""
    if scan.lines - header.line == rows:
        return np.arange(header.line + 1, header.line + 1 + rows)
    found = [line for line, _ in split_rows(content.path, content.text(), header.delimiter)]
    return np.array(found[1:], np.int64)
