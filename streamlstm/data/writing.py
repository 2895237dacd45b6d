"""Writes columns as CSV in blocks, without a Python string for each cell."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .text_column import TextColumn

_BLOCK = 16_384  # rows


def csv_blocks(*parts: Mapping[str, TextColumn | NDArray[Any]]) -> Iterator[bytes]:
    """Yield a CSV file in blocks of rows: UTF-8, commas, a line feed after each row.

    Parameters
    ----------
    *parts : dict of str to TextColumn or float[n]
        The columns, one part after the other; a name may be in several. Numbers are written in the
        fewest digits that give the same number of their type; NaN is an empty cell.
    """
    columns = [column for part in parts for column in part.values()]
    yield csv_header([name for part in parts for name in part])
    for start in range(0, len(columns[0]), _BLOCK):
        yield csv_rows([column[start : start + _BLOCK] for column in columns])


def csv_header(names: Sequence[str]) -> bytes:
    """Return the first line of a CSV file."""
    return (",".join(_quoted(pa.array(names, pa.string())).to_pylist()) + "\n").encode()


def csv_rows(columns: Sequence[TextColumn | NDArray[Any]]) -> bytes:
    """Return rows of a CSV file, of columns of the same length, as :func:`csv_blocks` yields."""
    lines = pc.binary_join_element_wise(*map(_cells, columns), ",")
    lines = pc.binary_join_element_wise(lines, "", "\n")
    return b"".join(_bytes(chunk) for chunk in getattr(lines, "chunks", [lines]))


def packed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield blocks packed by gzip, the same bytes at any time of day."""
    packer = zlib.compressobj(wbits=31)
    for block in blocks:
        yield packer.compress(block)
    yield packer.flush()


def _cells(column: TextColumn | NDArray[Any]) -> Any:
    if isinstance(column, TextColumn):
        return _quoted(column.text())
    numbers = np.ascontiguousarray(column)
    return pc.fill_null(pa.array(numbers, mask=np.isnan(numbers)).cast(pa.string()), "")


def _quoted(cells: Any) -> Any:
    """Return cells in quotation marks where a reader would not take them for one cell otherwise."""
    needs = pc.match_substring_regex(cells, '[,"\r\n]')
    if not pc.any(needs).as_py():
        return cells
    doubled = pc.replace_substring(cells, '"', '""')
    return pc.if_else(needs, pc.binary_join_element_wise('"', doubled, '"', ""), cells)


def _bytes(lines: Any) -> bytes:
    """Return the bytes of an array of text, one after the other."""
    _, offsets, data = lines.buffers()
    ends = np.frombuffer(offsets, np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return bytes(data[int(ends[0]) : int(ends[-1])]) if len(lines) else b""
