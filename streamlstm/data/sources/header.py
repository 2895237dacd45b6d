"""Finds the delimiter and the header of a CSV file in its first lines."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import DataError
from ..numbers import parse_float
from ..table import list_names

DELIMITERS = "\t|;,"  # of two that fit alike the earlier: commas are in numbers and texts too
_LOOKED_AT = 50  # lines


@dataclass(frozen=True)
class Header:
    """The first lines of a file.

    Attributes
    ----------
    names : tuple of str
        Names of all columns.
    delimiter : str
        The character between cells.
    line : int
        The line that the header ends on, from 1.
    offset : int
        The first byte after the header.
    """

    names: tuple[str, ...]
    delimiter: str
    line: int
    offset: int


def read_header(path: str, head: bytes) -> Header:
    """Find the header in the first bytes of a file, in UTF-8.

    Raises
    ------
    DataError
        If there is no header that names the columns.
    """
    lines = head.split(b"\n")
    first = next((n for n, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise DataError(
            f"{path}: the file is empty; expected a header that names the columns, then rows"
        )
    text = [line.decode("utf-8", "replace") for line in lines[first : first + _LOOKED_AT]]
    delimiter = _find_delimiter(text)
    reader = csv.reader((line + "\n" for line in text), delimiter=delimiter)
    names = tuple(name.strip() for name in next(reader))
    end = first + reader.line_num
    offset = sum(len(line) + 1 for line in lines[:end])
    _check_names(path, end, names)
    return Header(names, delimiter, end, min(offset, len(head)))


def _find_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that splits the most rows into as many cells as the header."""

    def fit(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row and row != [""]]
        if not widths or widths[0] < 2:
            return 0.0, 0
        return sum(width == widths[0] for width in widths) / len(widths), 0

    best = max(DELIMITERS, key=fit)
    return best if fit(best)[0] > 0 else ","


def _check_names(path: str, line: int, names: tuple[str, ...]) -> None:
    for k, name in enumerate(names):
        if not name:
            raise DataError(
                f"{path}:{line}: expected a name for column {k + 1}, got none; complete the header"
            )
        if name in names[:k]:
            raise DataError(
                f"{path}:{line}: column {name!r} occurs twice in the header; rename one of them"
            )
    if all(parse_float(name) is not None for name in names):
        raise DataError(
            f"{path}:{line}: expected a header that names the columns, got numbers: "
            f"{list_names(names)}; put a line of names first"
        )
