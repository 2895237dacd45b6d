"""Finds the delimiter, the header and what is no row in the first lines of a CSV file."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import DataError
from ..cells.delimiters import BLANKS, DELIMITERS, find_delimiter
from ..cells.missing import Missing
from ..cells.number_format import NumberFormat
from ..cells.numbers import recognise_numbers
from ..cells.times import recognise_times
from ..table import Note, list_names

_LOOKED_AT = 50  # lines
_FIRST = 1000  # lines, of which the last may be many
_SAMPLE = 20  # rows
_LEAST_ROWS = 3  # with their header, from which on they show what a row is
_TOLD = re.compile(rb"^\"?sep=([,;\t|^~])\"?\r?$")  # the first line of some spreadsheets' files
_UNIT = re.compile(
    r"[\[(<{](?=.*[a-zA-Z%°])[^\[(]*[\])>}]|[%‰°$€£-]|°[CFK]|deg ?[CFK]?|[kMmµuGn]?"
    r"(?:m|g|s|A|V|W|Wh|VA|VAr|Pa|bar|Hz|J|K|C|N|l|L|h|Ohm)(?:[23²³])?"
    r"(?:/(?:s|h|min|d|m[23²³]?|kg|l))?|min|sec|rpm|ppm|1/min|yyyy.*|dd.*"
)


@dataclass(frozen=True)
class Header:
    """The first lines of a file.

    Attributes
    ----------
    names : tuple of str
        Names of all columns; a number where a column has none.
    cells : tuple of str
        The header as it is written.
    delimiter : str
        The character between cells.
    line : int
        The last line before the first row, from 1.
    offset : int
        The first byte after that line.
    unnamed : str or None
        The name that was given to a first column without one.
    notes : tuple of Note
    """

    names: tuple[str, ...]
    cells: tuple[str, ...]
    delimiter: str
    line: int
    offset: int
    unnamed: str | None = None
    notes: tuple[Note, ...] = ()


def read_header(path: str, head: bytes) -> Header:
    """Find the header in the first bytes of a file, in UTF-8.

    Raises
    ------
    DataError
        If there is no header that names the columns.
    """
    lines = head.split(b"\n", _FIRST)
    told = _TOLD.match(lines[0])
    if told:
        lines[0] = b""
    first, notes = _first_line(lines)
    if first is not None and not told:
        passed = _preamble(lines[first : first + _LOOKED_AT])
        if passed:
            count = f"{passed} lines" if passed > 1 else "a line"
            notes.append(Note(None, f"{count} before the header passed over"))
            first += passed
    if first is None:
        raise DataError(
            f"{path}: the file is empty; expected a header that names the columns, then rows"
        )
    text = [line.decode("utf-8", "replace") for line in lines[first : first + _LOOKED_AT]]
    text[0] = text[0].removeprefix("#") if _is_comment(text[0]) else text[0]
    delimiter = told[1].decode() if told else find_delimiter(text)
    between = delimiter
    if delimiter == BLANKS:
        text, between = ["\t".join(line.split()) for line in text], "\t"
    reader = csv.reader((line + "\n" for line in text), delimiter=between)
    cells = tuple(next(reader))
    end = first + reader.line_num
    rows = [row for row in reader if row][:_SAMPLE]
    names, unnamed = _names(path, end, cells, rows)
    if _is_units(rows, len(names)):
        units = zip(names, rows[0], strict=True)
        shown = ", ".join(f"{name} in {cell.strip()}" for name, cell in units if cell.strip())
        notes.append(Note(None, f"the line below the header names units; passed over: {shown}"))
        end += 1
    offset = sum(len(line) + 1 for line in lines[:end]) + (len(told[0]) if told else 0)
    return Header(names, cells, delimiter, end, min(offset, len(head)), unnamed, tuple(notes))


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _first_line(lines: Sequence[bytes]) -> tuple[int | None, list[Note]]:
    """Return the line of the header: after blank lines and comments, or the last comment."""
    filled = [n for n, line in enumerate(lines) if line.strip()]
    if not filled:
        return None, []
    comments = [n for n in filled if lines[n].lstrip().startswith(b"#")]
    leading = [n for n, filled_n in zip(comments, filled, strict=False) if n == filled_n]
    if not leading:
        return filled[0], []
    after = filled[len(leading)] if len(filled) > len(leading) else None
    if after is None:
        return filled[0], []
    row = lines[after].decode("utf-8", "replace")
    names = lines[leading[-1]].decode("utf-8", "replace")
    splits = [(row.split(d), names.split(d)) for d in DELIMITERS]
    splits.append((row.split(), names.lstrip("# ").split()))
    is_header = re.search(r"\d", row) and any(len(a) == len(b) > 1 for a, b in splits)
    first, passed = (leading[-1], len(leading) - 1) if is_header else (after, len(leading))
    note = Note(None, f"{passed} lines of comments before the header are passed over")
    return first, [note] if passed else []


def _preamble(lines: Sequence[bytes]) -> int:
    """Return how many lines stand before the header: texts of other widths than all that follow."""
    text = [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
    found = 0
    longest = _LEAST_ROWS
    for delimiter in DELIMITERS:
        rows = [next(csv.reader([line], delimiter=delimiter), []) for line in text]
        filled = [n for n, row in enumerate(rows) if any(row)]
        usual = len(rows[filled[-2 if len(filled) > 1 else -1]])  # the last may be cut off
        if len(rows[filled[0]]) == usual > 1 and _are_names([c or "x" for c in rows[filled[0]]]):
            return 0  # the first line is as wide as the rows are
        like = [n for n in filled if len(rows[n]) != usual and n != filled[-1]]
        start = like[-1] + 1 if like else 0
        while start < len(rows) and not any(rows[start]):
            start += 1
        header = rows[start] if start < len(rows) else []
        if like and usual > 1 and len(rows) - start > longest and _are_names(header):
            found, longest = start, len(rows) - start
    return found


def _are_names(cells: Sequence[str]) -> bool:
    return all(cell.strip() and not cell.strip()[0].isdigit() for cell in cells)


def _names(
    path: str, line: int, cells: tuple[str, ...], rows: Sequence[Sequence[str]]
) -> tuple[tuple[str, ...], str | None]:
    """Return the names of the columns, and the name given to a first column that has none."""
    names, unnamed = [cell.strip() for cell in cells], None
    if len(names) > 1 and not names[0]:  # as pandas writes its index
        names[0] = unnamed = _free_name(names)
    for k, name in enumerate(names):
        if not name and all(len(row) > k and not row[k].strip() for row in rows) and rows:
            names[k] = f"column {k + 1}"  # a delimiter at the end of each line
        elif not name:
            raise DataError(
                f"{path}:{line}: expected a name for column {k + 1}, got none; complete the header"
            )
        elif name in names[:k]:
            raise DataError(
                f"{path}:{line}: column {name!r} occurs twice in the header; rename one of them"
            )
    if all(NumberFormat().parse(cell) is not None for cell in cells):
        raise DataError(
            f"{path}:{line}: expected a header that names the columns, got numbers: "
            f"{list_names(names)}; put a line of names first"
        )
    return tuple(names), unnamed


def _free_name(names: Sequence[str]) -> str:
    return next(name for name in ("index", "index 1", "column 1", "unnamed") if name not in names)


def _is_units(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Return whether the first row names units: it has no values where the others do."""
    if len(rows) < 2 or len(rows[0]) != width:
        return False
    first = [cell.strip() for cell in rows[0]]
    if not all(not cell or _UNIT.fullmatch(cell) for cell in first):
        return False
    named = [k for k, cell in enumerate(first) if cell and cell != "-"]
    below = [[row[k] for row in rows[1:] if len(row) == width] for k in named]
    return bool(named) and all(_holds_values(cells) for cells in below)


def _holds_values(cells: Sequence[str]) -> bool:
    present = [cell for cell in cells if not Missing().matches(cell)]
    return bool(
        present and (recognise_numbers(present).formats or recognise_times(present).formats)
    )
