"""Reads CSV: Arrow splits the text into columns of cells, in blocks and in parallel."""

from __future__ import annotations

from collections.abc import Collection, Container
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from ...errors import DataError
from ..cells.delimiters import BLANKS
from ..cells.names import PART_NAMES, TIME_NAMES
from ..cells.numbers import MAX_FLOAT32, shows_plain_numbers
from ..columns import Columns
from ..table import Note, list_names
from .clean import clean
from .content import Content, Scan, to_utf8
from .header import Header, read_header
from .not_rows import pass_over, with_tabs
from .rows import split_rows

_BLOCK = 1 << 20
_SAMPLE = 1 << 16  # bytes whose cells say which columns are plain numbers


def read_delimited(content: Content, as_text: Collection[str] = ()) -> Columns:
    """Split a CSV file into columns: of text, or of numbers where programs wrote them.

    Parameters
    ----------
    content : Content
    as_text : collection of str
        Columns whose cells are needed as they are written, beside those that may be the time.

    Raises
    ------
    DataError
        If it is not CSV; the message names the line.
    """
    content, scan, encoding = to_utf8(content)
    path = content.path
    header = read_header(path, content.head())
    times = {*TIME_NAMES, *chain.from_iterable(PART_NAMES.values())}
    text = {k for k, n in enumerate(header.names) if n in as_text or n.lower() in times}
    notes = [] if encoding is None else [Note(None, f"the text is in {encoding}, not UTF-8")]
    notes += header.notes
    if header.delimiter == BLANKS:
        content, header = with_tabs(content, header)
        notes.append(Note(None, "blanks are taken as what stands between cells"))
    try:
        arrays = _split(content, header, scan, text)
    except DataError:
        passed = pass_over(content, header)
        if passed is None:
            raise
        content, note = passed
        notes.append(note)
        _, scan, _ = to_utf8(content)
        arrays = _split(content, header, scan, text)
    if not len(arrays[0]):
        raise DataError(
            f"{path}: expected at least one row after the header {list_names(header.names)}, "
            "found none"
        )
    lines = _lines(content, header, scan, len(arrays[0]))
    columns = Columns(path, list(header.names), arrays, lines, notes, from_text=True)
    clean(columns, header)
    return columns


def _split(content: Content, header: Header, scan: Scan, as_text: Container[int]) -> list[Any]:
    """Return the columns."""
    if scan.quotes % 2:  # Arrow takes the end of the file for the end of a quoted cell
        _find_bad_row(content, header)
    if scan.lines <= header.line:
        return [pa.chunked_array([[]], pa.string())] * len(header.names)
    try:
        sample = _sample(content, header, scan)
        types = {
            str(k): pa.float64()
            for k, cells in enumerate(sample)
            if k not in as_text and shows_plain_numbers(cells)
        }
        arrays = _read(content.open(header.offset), header, scan, types)
        if all(_is_usable(array) for array in arrays):
            return arrays
    except pa.ArrowInvalid:
        pass
    try:
        return _read(content.open(header.offset), header, scan, {})
    except pa.ArrowInvalid as error:
        _find_bad_row(content, header)
        raise DataError(f"{content.path}: expected CSV: {error}") from error


def _sample(content: Content, header: Header, scan: Scan) -> list[Any]:
    """Return the first cells of each column, as text."""
    head = content.head(header.offset + _SAMPLE)[header.offset :]
    if len(head) == _SAMPLE:  # whole lines, of as whole cells as can be told here
        head = head[: head.rfind(b"\n") + 1]
    return _read(pa.BufferReader(head), header, scan, {})


def _read(stream: Any, header: Header, scan: Scan, types: dict[str, Any]) -> list[Any]:
    names = [str(k) for k in range(len(header.names))]  # the same name may be there twice
    table = pa.csv.read_csv(
        stream,
        pa.csv.ReadOptions(column_names=names, block_size=_BLOCK),
        pa.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=scan.quotes > 0),
        pa.csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(names, pa.string()) | types,
            null_values=[],
        ),
    )
    return list(table.columns)


def _is_usable(array: Any) -> bool:
    """Return whether an error about a column would not need its text."""
    if pa.types.is_string(array.type):
        return True
    return pc.all(pc.less_equal(pc.abs(array), MAX_FLOAT32)).as_py() is not False


def _find_bad_row(content: Content, header: Header) -> None:
    """Raise at the first row that is not CSV or not as wide as the header."""
    for _ in split_rows(content.path, content.text(), header.delimiter):
        pass


def _lines(content: Content, header: Header, scan: Scan, rows: int) -> NDArray[np.int64]:
    """Return the line of each row, int64[n]."""
    if scan.lines - header.line == rows:
        return np.arange(header.line + 1, header.line + 1 + rows)
    found = [line for line, _ in split_rows(content.path, content.text(), header.delimiter)]
    return np.array(found[-rows:], np.int64)
