"""Splits CSV into rows one after the other: slowly, but it knows the line of each."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from ...errors import DataError


def split_rows(path: str, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of each row that is not blank, the header too.

    Raises
    ------
    DataError
        At a row that is not CSV or not as wide as the first.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width = line = 0
    try:
        for row in reader:
            line = reader.line_num
            if not row:
                continue
            width = width or len(row)
            if len(row) != width:
                raise DataError(
                    f"{path}:{line}: expected {width} cells as in the header, got {len(row)}"
                )
            yield line, row
    except csv.Error as error:
        raise DataError(f"{path}:{line + 1}: expected a row of CSV: {error}") from error
