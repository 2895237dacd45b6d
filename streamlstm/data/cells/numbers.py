"""Recognises how the numbers of a column are written, from all of its cells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .number_format import PARTS, NumberFormat, normal

MAX_FLOAT32 = float(np.finfo(np.float32).max)

# Where all cells are like this, a mark stands between thousands or before three decimals.
_UNDECIDED = r"(?i)^(?:[+-]?(?:[1-9]\d{0,2}[.,]\d{3}|\d{1,3})|-?nan)$"
_EITHER = r"^[+-]?[1-9]\d{0,2}[.,]\d{3}$"
_UNGROUPED = r"^[+-]?\d{4}"
_SAMPLE = 1000
_MANY = 10_000  # cells that mostly tell how the others are written
_LEAST = 0.5  # share of the different cells that hold numbers, from which on the column does

_SEPARATORS = {".": (",", " ", "'"), ",": (".", " ", "'")}  # of thousands, by decimal mark


@dataclass(frozen=True)
class NumberReading:
    """What the numbers of a column may be.

    Attributes
    ----------
    formats : tuple of NumberFormat
        None where the column holds text; two where it can be read in two ways.
    example : str
        A cell that can be read in two ways.
    numbers : pyarrow array of float64, or None
        The cells, none of them null, where they were converted to see whether they can be.
    """

    formats: tuple[NumberFormat, ...]
    example: str = ""
    numbers: Any = field(default=None, compare=False, repr=False)


def recognise_numbers(
    cells: Any, decimal: str | None = None, thousands: str | None = None
) -> NumberReading:
    """Return how the numbers of a column are written.

    Parameters
    ----------
    cells : pyarrow array of text, or sequence of str
        The column. Missing cells are null.
    decimal, thousands : str, optional
        The marks, if they are known.
    """
    if not isinstance(cells, pa.Array | pa.ChunkedArray):
        cells = pa.array(cells, pa.string())
    if len(cells) == cells.null_count:
        return NumberReading(())
    present = cells.drop_null() if cells.null_count else cells
    quick = recognise_quickly(present, decimal, thousands)
    if quick is not None:
        return replace(quick, numbers=None) if cells.null_count else quick
    return _recognise(normal(present.unique()), decimal, thousands)


def recognise_quickly(
    cells: Any, decimal: str | None = None, thousands: str | None = None
) -> NumberReading | None:
    """Return how the numbers of a column are written, if that is seen without all of its cells.

    None where it is not, or where a cell is none of these numbers.

    Parameters
    ----------
    cells, decimal, thousands
        As for :func:`recognise_numbers`; no cell is null.
    """
    if decimal in (None, ".") and not thousands and _is_plain(cells, decimal):
        return NumberReading((NumberFormat(),))
    if len(cells) <= _MANY:
        return None
    sample = normal(cells.slice(0, _MANY).unique())
    reading = _recognise(sample, decimal, thousands)
    if len(reading.formats) != 1 or not _any(sample, "[.,]"):
        return None
    numbers = reading.formats[0].convert(cells)
    return None if numbers.null_count else NumberReading(reading.formats, numbers=numbers)


def shows_plain_numbers(cells: Any) -> bool:
    """Return whether cells are numbers as programs write them, that cannot be read otherwise."""
    try:
        pc.cast(cells, pa.float64())
    except pa.ArrowInvalid:
        return False
    return not _all(cells, _UNDECIDED)


def evidence(cells: Any, number_format: NumberFormat) -> tuple[str, bool]:
    """Return what a column tells of others in the same table.

    Returns
    -------
    str
        The decimal mark that its cells show; empty if they have none.
    bool
        Whether it has thousands without a mark between them.
    """
    if pa.types.is_floating(cells.type):
        if not number_format.is_plain:  # recognised with its marks, then converted
            return number_format.decimal, False
        fractions = pc.any(pc.not_equal(cells, pc.trunc(cells))).as_py()
        return "." if fractions else "", bool(pc.any(pc.greater(cells, 999)).as_py())
    cells = normal(cells.unique().drop_null())
    marked = _any(cells, "[.,]")
    return number_format.decimal if marked else "", _any(cells, _UNGROUPED)


def _is_plain(cells: Any, decimal: str | None) -> bool:
    """Return whether programs wrote the column, so that it can be read in one way."""
    try:
        pc.cast(cells, pa.float64())
    except pa.ArrowInvalid:
        return False
    if decimal is not None or not _all(cells.slice(0, _SAMPLE), _UNDECIDED):
        return True
    return not (_all(cells, _UNDECIDED) and _any(cells, _EITHER))


def _recognise(cells: Any, decimal: str | None, thousands: str | None) -> NumberReading:
    """Return the reading of a column of different cells in normal form."""
    parts = pc.extract_regex(cells, PARTS)
    parts = parts.filter(pc.is_valid(parts))
    if len(parts) < _LEAST * len(cells):
        return NumberReading(())
    before, unit = _usual_unit(parts)
    numbers = pc.struct_field(parts, "number")
    found = {}
    for mark in _SEPARATORS if decimal is None else (decimal,):
        separator = thousands or _separator(numbers, mark)
        if separator != mark:
            candidate = NumberFormat(mark, separator, before, unit)
            matches = pc.match_substring_regex(numbers, candidate.pattern)
            found[candidate] = int(pc.sum(matches).as_py())
    most = max(found.values(), default=0)
    if most < _LEAST * len(cells):
        return NumberReading(())
    formats = tuple(f for f, count in found.items() if count == most)
    return _decide(formats, numbers)


def _decide(formats: tuple[NumberFormat, ...], numbers: Any) -> NumberReading:
    """Return the reading of numbers that several formats match."""
    marked = pc.match_substring_regex(numbers, "[.,]")
    if len(formats) == 1 or not pc.any(marked).as_py():
        return NumberReading(formats[:1])
    ungrouped = _any(numbers, _UNGROUPED)  # then a mark stands before decimals
    if ungrouped:
        formats = tuple(f for f in formats if f.thousands not in (".", ","))[:1] or formats
    if len(formats) == 1:
        return NumberReading(formats)
    return NumberReading(formats, numbers.filter(marked)[0].as_py())


def _separator(numbers: Any, decimal: str) -> str:
    """Return the mark that stands between thousands, empty if none does."""
    for mark in _SEPARATORS[decimal]:
        if _any(numbers, NumberFormat(decimal, mark).grouped):
            return mark
    return ""


def _usual_unit(parts: Any) -> tuple[str, str]:
    """Return what stands before and after most numbers."""
    around = pc.binary_join_element_wise(
        pc.utf8_trim_whitespace(pc.struct_field(parts, "before")),
        pc.utf8_trim_whitespace(pc.struct_field(parts, "unit")),
        "\n",
    )
    counts = around.value_counts()
    most = counts.field("values")[pc.index(counts.field("counts"), pc.max(counts.field("counts")))]
    before, unit = most.as_py().split("\n")
    return before, unit


def _any(cells: Any, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(cells, pattern)).as_py())


def _all(cells: Any, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(cells, pattern)).as_py() is not False
