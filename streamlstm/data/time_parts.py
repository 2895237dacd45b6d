"""Joins a time that stands in several columns: a date and a time of day, or year, month and day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .cells.missing import Missing
from .cells.names import PART_NAMES, TIME_NAMES
from .cells.times import ISO, recognise_times
from .columns import Columns, is_text

_SAMPLE = 1000
_CLOCK = (
    r"^ *\d{1,2}[:.h]\d{2}(?:[:.]\d{2}(?:[.,]\d+)?)? *(?:[AaPp]\.?[Mm]\.?)?(?:Z| ?[+-]\d\d:?\d\d)?$"
)
_DIGIT_CLOCK = r"^(?:\d|[0-5]\d|(?:[01]?\d|2[0-4])[0-5]\d|(?:[01]\d|2[0-4])[0-5]\d[0-5]\d)(?:\.0)?$"
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_BEFORE = {"month": "-", "day": "-", "hour": " ", "minute": ":", "second": ":"}


def find_parts(columns: Columns, date: str | None, free: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are the time together; none where it stands in one column.

    Parameters
    ----------
    columns : Columns
    date : str or None
        The column that holds times or dates, if one was found.
    free : sequence of str
        Columns that may be parts.
    """
    if date is not None:
        others = [name for name in free if name != date]
        if _is_date_only(columns[date]):
            clocks = [name for name in others if _is_time_of_day(columns[name], name)]
            return (date, clocks[0]) if clocks else ()
        if _is_time_of_day(columns[date], date):
            dates = [name for name in others if _is_date_only(columns[name])]
            return (dates[0], date) if dates else ()
        return ()
    parts: list[str] = []
    for part in _PARTS:
        found = [name for name in free if part_of(name) == part and _is_small(columns[name])]
        if not found:
            break
        parts.append(found[0])
    if len(parts) == 1 and not _rises(columns[parts[0]]):
        return ()  # the years of many series, one below the other
    return tuple(parts)


def join(columns: Columns, names: Sequence[str]) -> Any:
    """Return an Arrow array of text with the cells of several columns joined to times."""
    parts = [part_of(name) for name in names]
    if parts[0] == "year":
        text = _digits(columns[names[0]], 4)
        for part, name in zip(parts[1:], names[1:], strict=True):
            mark = _BEFORE.get(part or "", " ")
            text = pc.binary_join_element_wise(text, _digits(columns[name], 2), mark)
        if len(names) == 4:  # an hour alone is no time of day
            text = pc.binary_join_element_wise(text, "00", ":")
        return text
    text = _text(columns[names[0]])
    for name in names[1:]:
        cells = columns[name]
        if _is_digit_clock(cells, name):
            cells = _with_colons(cells)
        elif part_of(name) == "hour" and not _is_clock(cells):
            cells = pc.binary_join_element_wise(_digits(cells, 2), "00", ":")
        text = pc.binary_join_element_wise(text, _text(cells), " ")
    return text


def part_of(name: str) -> str | None:
    """Return which part of a time a column is by its name."""
    return next((part for part, names in PART_NAMES.items() if name.strip().lower() in names), None)


def _is_date_only(cells: Any) -> bool:
    if not is_text(cells.type):
        return bool(pa.types.is_date(cells.type))
    sample = Missing().to_null(cells.slice(0, _SAMPLE)).drop_null()
    reading = recognise_times(sample)
    if not reading.formats:
        return False
    notation = reading.formats[0].notation
    if notation == ISO:
        return _all(sample, r"^\s*\d+[-/]\d+[-/]\d+\s*$")
    return "%d" in notation and "%H" not in notation and "%I" not in notation


def _is_clock(cells: Any) -> bool:
    if pa.types.is_time(cells.type):
        return True
    if not is_text(cells.type):
        return False
    sample = Missing().to_null(cells.slice(0, _SAMPLE)).drop_null()
    return _all(sample, _CLOCK)


def _is_time_of_day(cells: Any, name: str) -> bool:
    is_hour = part_of(name) == "hour" and _is_small(cells)
    return is_hour or _is_clock(cells) or _is_digit_clock(cells, name)


def _is_digit_clock(cells: Any, name: str) -> bool:
    """Return whether cells are times of day without colons: 0930 or 930; 093000."""
    called = part_of(name) == "clock" or name.strip().lower() in TIME_NAMES
    sample = _text(cells.slice(0, _SAMPLE)).drop_null() if called else ()
    return _all(sample, _DIGIT_CLOCK)


def _with_colons(cells: Any) -> Any:
    digits = _digits(cells, 4)
    digits = pc.replace_substring_regex(digits, r"^(\d\d)(\d\d)$", r"\1:\2")
    return pc.replace_substring_regex(digits, r"^(\d\d)(\d\d)(\d\d)$", r"\1:\2:\3")


def _is_small(cells: Any) -> bool:
    """Return whether cells are whole numbers of at most four digits."""
    sample = cells.slice(0, _SAMPLE)
    return _all(_text(sample).drop_null(), r"^ *\d{1,4}(?:\.0)?$")


def _all(cells: Any, pattern: str) -> bool:
    return len(cells) > 0 and pc.all(pc.match_substring_regex(cells, pattern)).as_py() is True


def _rises(cells: Any) -> bool:
    numbers = np.asarray(_text(cells).to_pylist(), np.float64)
    return bool((np.diff(numbers) > 0).all())


def _text(cells: Any) -> Any:
    return pc.utf8_trim_whitespace(cells.cast(pa.string()))


def _digits(cells: Any, width: int) -> Any:
    whole = pc.replace_substring_regex(_text(cells), r"\.0$", "")
    return pc.utf8_lpad(whole, width, "0")
