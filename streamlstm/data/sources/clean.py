"""Takes out what is no row of a CSV file: repeated headers and a column that numbers the rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..cells.missing import Missing
from ..columns import Columns, is_text
from ..table import Note
from .header import Header

_END = 10_000  # rows that may be empty at the end


def clean(columns: Columns, header: Header) -> None:
    """Take out repeated headers, empty columns without a name, and an index that counts rows."""
    _drop_headers(columns, header)
    _drop_empty_end(columns)
    for name, cell in zip(header.names, header.cells, strict=True):
        if not cell.strip() and name != header.unnamed and _is_empty(columns, name):
            columns.pop(name)
    if header.unnamed is not None:
        _drop_index(columns, header.unnamed)


def _drop_headers(columns: Columns, header: Header) -> None:
    """Take out rows that repeat the header, as in files that were put together."""
    if not all(is_text(array.type) for array in columns.arrays):
        return
    repeated = pc.equal(columns.arrays[0], header.cells[0])
    if not pc.any(repeated).as_py():
        return
    for array, cell in zip(columns.arrays, header.cells, strict=True):
        repeated = pc.and_(repeated, pc.equal(array, cell))
    count = pc.sum(repeated).as_py()
    if count and count < len(columns.lines):
        keep = pc.invert(repeated)
        columns.arrays = [array.filter(keep) for array in columns.arrays]
        columns.lines = columns.lines[keep.to_numpy(zero_copy_only=False)]
        columns.notes.append(Note(None, f"the header is repeated {count:,} times; passed over"))


def _drop_empty_end(columns: Columns) -> None:
    """Take out rows of empty cells at the end, which spreadsheets write."""
    if not all(is_text(array.type) for array in columns.arrays):
        return
    rows = len(columns.lines)
    kept = rows
    for array in columns.arrays:
        filled = np.flatnonzero(pc.not_equal(array[-_END:], "").to_numpy(zero_copy_only=False))
        last = rows - min(rows, _END) + int(filled[-1]) if len(filled) else -1
        kept = min(kept, rows - 1 - last)
    if 0 < kept < min(rows, _END):
        columns.arrays = [array[:-kept] for array in columns.arrays]
        columns.lines = columns.lines[:-kept]
        columns.notes.append(Note(None, f"{kept:,} empty rows at the end are passed over"))


def _is_empty(columns: Columns, name: str) -> bool:
    array = columns[name]
    return is_text(array.type) and pc.all(Missing().mask(array)).as_py() is not False


def _drop_index(columns: Columns, name: str) -> None:
    """Take out a first column without a name that counts the rows."""
    array = columns[name]
    try:
        numbers = pc.cast(array, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return
    if len(numbers) and (len(numbers) == 1 or (np.diff(numbers) == 1).all()):
        columns.pop(name)
        columns.notes.append(Note(None, "a first column without a name counts rows; left out"))
    else:
        columns.notes.append(Note(name, "the name given to a first column without one"))
