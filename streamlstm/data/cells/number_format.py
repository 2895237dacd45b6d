"""NumberFormat: how the numbers of a column are written."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# A number with its marks, whatever they mean; then what may stand around it.
_NUMBER = r"[+-]?[\d.,](?:[\d.,' ]*[\d.,])?(?:[eE][+-]?\d+)?"
_BEFORE = r"[€$£¥]|[A-Z]{3} "
_UNIT = r"(?:[a-zA-Z][23]|[^\d\s.,'+\-:])(?:[a-zA-Z][23]|[^\d:])*"
PARTS = rf"^(?P<before>{_BEFORE})? ?(?P<number>{_NUMBER}) ?(?P<unit>{_UNIT})?$"
"""A cell in normal form: a sign of money, the number, a unit."""

# What other programs and people write for the same character.
_SAME = (
    ("[\u00a0\u2007\u2008\u2009\u202f]", " "),
    ("[\u2212\u2013\ufe63\uff0d]", "-"),
    ("[\u2019\u02bc`\u00b4]", "'"),
)


@dataclass(frozen=True)
class NumberFormat:
    """How numbers are written.

    Attributes
    ----------
    decimal : str
        The decimal mark: ``.`` or ``,``.
    thousands : str
        The mark between thousands: empty, ``,``, ``.``, ``'`` or a space, which stands for no-break
        and thin spaces too.
    before, unit : str
        What stands before and after each number, such as ``$`` and ``°C``.
    """

    decimal: str = "."
    thousands: str = ""
    before: str = ""
    unit: str = ""

    @property
    def is_plain(self) -> bool:
        """Return whether programs write numbers so."""
        return self == NumberFormat()

    @property
    def pattern(self) -> str:
        """A regular expression for the number alone."""
        whole = rf"{_groups(self.thousands)}|\d+" if self.thousands else r"\d+"
        point = re.escape(self.decimal)
        return rf"^[+-]?(?:(?:{whole})(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?$"

    @property
    def grouped(self) -> str:
        """A regular expression for a number with thousands."""
        return rf"^[+-]?{_groups(self.thousands)}(?:{re.escape(self.decimal)}\d*)?$"

    def parse(self, cell: str) -> float | None:
        """Return the number in a cell; None if it holds none written so."""
        text = cell.strip()
        if not text.isascii():
            for found, same in _SAME:
                text = re.sub(found, same, text)
        if self.is_plain:
            return _parse_plain(text)
        if not (text.startswith(self.before) and text.endswith(self.unit)):
            return None
        text = text[len(self.before) : len(text) - len(self.unit)].strip()
        if re.fullmatch(self.pattern, text, re.ASCII) is None:
            return None
        if self.thousands:
            text = text.replace(self.thousands, "")
        return float(text.replace(self.decimal, "."))

    def convert(self, cells: Any) -> Any:
        """Return the numbers of an Arrow array of text, float64 with null where there is none."""
        if isinstance(cells, pa.ChunkedArray):  # in parts, which stay in cache, on all cores
            with ThreadPoolExecutor(pa.cpu_count()) as pool:
                return pa.chunked_array(list(pool.map(self.convert, cells.chunks)), pa.float64())
        try:  # a column without marks between thousands and units is read at once
            if self.decimal == ".":
                return pc.cast(cells, pa.float64())
            if not pc.any(pc.match_substring(cells, ".")).as_py():
                return pc.cast(pc.replace_substring(cells, ",", "."), pa.float64())
            if not self.unit.startswith(("e", "E")):  # which may be part of a number too
                whole = pc.match_substring_regex(cells, self._whole)
                if pc.all(whole).as_py() is not False:
                    return self._convert_whole(cells)
        except pa.ArrowInvalid:
            pass
        return self._convert_marked(normal(cells))

    @property
    def _whole(self) -> str:
        """A regular expression for a cell that is spelled in the usual way."""
        around = (re.escape(part) for part in (self.before, self.unit))
        before, unit = (f"(?:{part})" if part else "" for part in around)
        return rf"^{before} ?{self.pattern[1:-1]} ?{unit}$"

    def _convert_whole(self, cells: Any) -> Any:
        """Return the numbers of cells that are all as ``_whole`` says."""
        for around in (self.unit, self.before):
            if around:
                cells = pc.utf8_trim_whitespace(pc.replace_substring(cells, around, ""))
        if self.thousands:
            cells = pc.replace_substring(cells, self.thousands, "")
        if self.decimal != ".":
            cells = pc.replace_substring(cells, self.decimal, ".")
        return pc.cast(cells, pa.float64())

    def _convert_marked(self, cells: Any) -> Any:
        parts = pc.extract_regex(cells, PARTS)
        text = pc.struct_field(parts, "number")
        right = pc.and_(
            pc.equal(pc.utf8_trim_whitespace(pc.struct_field(parts, "before")), self.before),
            pc.equal(pc.utf8_trim_whitespace(pc.struct_field(parts, "unit")), self.unit),
        )
        right = pc.and_(right, pc.match_substring_regex(text, self.pattern))
        text = pc.if_else(pc.fill_null(right, False), text, pa.scalar(None, pa.string()))
        if self.thousands:
            text = pc.replace_substring(text, self.thousands, "")
        if self.decimal != ".":
            text = pc.replace_substring(text, self.decimal, ".")
        return pc.cast(text, pa.float64())

    def __str__(self) -> str:
        words = []
        if self.decimal == "," or self.thousands or not (self.before or self.unit):
            words.append("decimal comma" if self.decimal == "," else "decimal point")
        if self.thousands:
            names = {",": "commas", ".": "points", " ": "spaces", "'": "apostrophes"}
            words.append(f"{names[self.thousands]} between thousands")
        if self.before or self.unit:
            words.append(f"the unit {self.before or self.unit!r}")
        return ", ".join(words)


def _groups(mark: str) -> str:
    return rf"[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+"


def normal(cells: Any) -> Any:
    """Return text without spaces at its ends, with one spelling of spaces, minus and apostrophe."""
    cells = pc.utf8_trim_whitespace(cells)
    if pc.all(pc.string_is_ascii(cells)).as_py() is not False:
        return cells
    for found, same in _SAME:
        cells = pc.replace_substring_regex(cells, found, same)
    return cells


def to_float64(numbers: Any) -> NDArray[np.float64]:
    """Return an Arrow array of numbers as float64[n], NaN for null."""
    filled = pc.fill_null(numbers, np.nan) if numbers.null_count else numbers
    values: NDArray[np.float64] = filled.to_numpy(zero_copy_only=False)
    return values


def _parse_plain(cell: str) -> float | None:
    if "_" in cell or not cell.isascii():
        return None
    try:
        return float(cell)
    except ValueError:
        return None
