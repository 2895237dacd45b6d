"""Reads Parquet, Feather and JSON lines with Arrow."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import DataError
from ..columns import Columns
from .arrow import from_arrow
from .content import Content, to_utf8

_PARQUET, _FEATHER, _ZIP = b"PAR1", b"ARROW1", b"PK\x03\x04"
_OLD_FEATHER, _OLE = b"FEA1", b"\xd0\xcf\x11\xe0"


def read_binary(content: Content) -> Columns | None:
    """Read a file that begins like one of these formats; None if it does not.

    Raises
    ------
    DataError
        If the file is damaged, or of a format that is not read.
    """
    head = content.head(8)
    path = content.path
    if head.startswith((_ZIP, _OLE)):
        raise DataError(
            f"{path}: expected a table as CSV, Parquet, Feather or JSON lines, got an archive or a "
            "spreadsheet; save the sheet as CSV"
        )
    try:
        if head.startswith(_PARQUET):
            from pyarrow import parquet

            return from_arrow(path, parquet.read_table(content.open()))
        if head.startswith((_FEATHER, _OLD_FEATHER)):
            from pyarrow import feather

            return from_arrow(path, feather.read_table(content.open()))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if head.lstrip().startswith((b"{", b"[{")) or head.lstrip() == b"[":
        return _read_json(content)
    return None


def _read_json(content: Content) -> Columns:
    """Read objects, one a line or in a list."""
    from pyarrow import json as json_lines

    content, scan, _ = to_utf8(content)
    path = content.path
    try:
        if content.head(64).lstrip().startswith(b"["):
            rows = json.loads(content.whole())
            return from_arrow(path, pa.Table.from_pylist(rows))
        table = json_lines.read_json(content.open())
    except (pa.ArrowException, ValueError, AttributeError) as error:
        raise DataError(f"{path}: expected an object in JSON on each line: {error}") from error
    lines: Any = None
    if scan.lines == len(table):
        lines = np.arange(1, len(table) + 1)
    return from_arrow(path, table, lines)
