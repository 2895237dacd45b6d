"""Numbers and shares as a person would say them."""

from __future__ import annotations

import math
import re

from ...data.durations import in_words
from ...data.spacing import usual_spacing
from ...data.table import Table

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_UNIT = re.compile(r"[\[(]([^\])]{1,12})[\])]\s*$")


def number(value: float | None) -> str:
    """Format a number in four digits; a dash if it is unknown."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    return f"{value:,.0f}" if 9999.5 <= abs(value) < 1e9 else f"{value:.4g}"


def share(part: float) -> str:
    """Return a share in words: "nine of ten", "99 of 100"."""
    if not math.isfinite(part):
        return "an unknown share"
    if part > 0.975 or part < 0.025:
        return f"{100 * part:.3g} of 100"
    return f"{_WORDS[round(10 * part)]} of ten"


def percent(part: float) -> str:
    """Return a share in percent."""
    return f"{100 * part:.1f} %" if math.isfinite(part) else "\N{EN DASH}"


def counted(many: float, noun: str) -> str:
    """Return a number with its noun: "1 row", "2,000 rows"."""
    said = f"{many:,.0f}" if float(many).is_integer() else f"{many:.3g}"
    return f"{said} {noun}{'s' * (many != 1)}"


def ahead(table: Table, horizon: int) -> str:
    """Return how far ahead a forecast is: "24 rows (1 d) ahead"."""
    if horizon == 0:
        return "of the same row"
    spacing = usual_spacing(table)
    time = f" ({in_words(horizon * spacing)})" if spacing else ""
    return f"{counted(horizon, 'row')}{time} ahead"


def unit(column: str) -> str:
    """Return the unit that a column's name ends with, in brackets: "°C" of "oil [°C]"; else ""."""
    found = _UNIT.search(column)
    return found[1] if found else ""
