"""Opens a source of live rows: CSV, JSON lines, Parquet or Feather, told by how it begins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...errors import DataError
from ..columns import Columns
from ..sources.content import open_content
from ..sources.files import read_binary
from ..text_column import TextColumn
from .cells import Cells, Splitter
from .lines import Source, open_lines

_BLOCK = 10_000  # rows that are text at the same time
_BINARY = (b"PAR1", b"ARROW1", b"FEA1")


@contextmanager
def open_rows(source: Source) -> Iterator[tuple[str, Splitter | JsonRows | TableRows]]:
    """Open a source; yield its name in messages, and its rows, the header first.

    Raises
    ------
    DataError
        Here or while it is read, if it cannot be opened or read.
    """
    if is_file(source) and _begins(source).startswith(_BINARY):
        columns = read_binary(open_content(source))
        assert columns is not None
        yield columns.path, TableRows(columns)
        return
    with open_lines(source) as (path, lines):
        head = []
        for number, line in lines:
            head.append((number, line))
            if line.strip():
                break
        rest = chain(head, lines)
        is_json = bool(head) and head[-1][1].lstrip().startswith("{")
        yield path, JsonRows(rest) if is_json else Splitter(rest)


def is_file(source: Source) -> bool:
    """Tell whether a source can be read twice."""
    return isinstance(source, str | Path) and str(source) != "-" and Path(source).is_file()


def _begins(source: Source) -> bytes:
    path = str(source)
    try:
        with open(path, "rb") as file:
            return file.read(8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


class JsonRows:
    """Objects in JSON, one a line; the keys of the first are the header.

    A key that is left out is a missing cell, one that the header lacks is passed over.

    Attributes
    ----------
    width : int
        Cells of a row, set by who reads them.
    """

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self.width = 0

    def __iter__(self) -> Iterator[Cells]:
        names: list[str] = []
        for number, line in self._lines:
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield Cells(number, [], f"expected an object in JSON: {error}")
                continue
            if not isinstance(found, dict):
                yield Cells(number, [], f"expected an object in JSON, got {line.strip()[:40]!r}")
                continue
            if not names:
                names = list(found)
                yield Cells(number, names)
            yield Cells(number, [_as_text(found.get(name)) for name in names])


class TableRows:
    """The rows of a file that was read whole.

    Attributes
    ----------
    width : int
        Cells of a row, set by who reads them.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self.width = 0

    def __iter__(self) -> Iterator[Cells]:
        columns = self._columns
        yield Cells(0, list(columns.names))
        texts = [TextColumn(_countable(array)) for array in columns.arrays]
        for start in range(0, len(columns.lines), _BLOCK):
            block = [text.text(start, start + _BLOCK).to_pylist() for text in texts]
            lines = columns.lines[start : start + _BLOCK].tolist()
            for line, cells in zip(lines, zip(*block, strict=True), strict=True):
                yield Cells(line, list(cells))


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def _countable(array: Any) -> Any:
    """Return booleans as the numbers that they are read as."""
    return array.cast(pa.uint8()) if pa.types.is_boolean(array.type) else array
