"""Draws lines in a terminal: every character is two by four dots of Braille."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from streamlstm.cli.said import digits
from streamlstm.plots.axes import are_dates
from streamlstm.plots.strip import Strip

_EMPTY = 0x2800  # the character without dots
# The bit of each dot of a character, by row and column.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
_STYLES = ("cyan", "magenta", "yellow", "green", "blue", "white")
_BAND = len(_STYLES)  # in place of the number of a style
_BARS = " ▁▂▃▄▅▆▇█"
_MOST_SCORE = 10.0

Numbers = NDArray[np.float64]


def draw_dots(strip: Strip, title: str, width: int, height: int) -> Text:
    """Return a drawing of a stretch of a stream that fits so many columns and lines.

    What each colour is stands in the first lines; alarms are marked below the drawing, scores are
    a line of bars. The last line has the times at both ends.
    """
    alarmed = strip.alarms is not None and bool(strip.alarms.any())
    below = (strip.score is not None) + alarmed + 1
    names = [Text(title, "bold"), _legend(strip, alarmed)]
    for line in names:
        line.truncate(width, overflow="ellipsis")
    low, high = _range(strip)
    labels = [digits(high), digits(low / 2 + high / 2), digits(low)]
    margin = max(map(len, labels)) + 1
    columns, rows = max(width - margin, 8), max(height - below - len(names), 4)
    beside = dict(zip((0, rows // 2, rows - 1), labels, strict=True))
    lines = [
        (beside.get(place, ""), line)
        for place, line in enumerate(_plot(strip, columns, rows, low, high))
    ]
    if strip.score is not None:
        lines.append(("score"[: margin - 1], _scores(strip, columns)))
    if alarmed:
        lines.append(("", _alarms(strip, columns)))
    lines.append(("", _ends(strip, columns)))
    labelled = [Text(f"{label:>{margin - 1}} ", "dim") + line for label, line in lines]
    return Text("\n", no_wrap=True).join([*names, *labelled])


def _legend(strip: Strip, alarmed: bool) -> Text:
    parts = [Text(f"━ {name}", _STYLES[n % len(_STYLES)]) for n, name in enumerate(strip.lines)]
    if strip.band is not None:
        parts.append(Text("┄ interval", "dim"))
    if alarmed:
        parts.append(Text("▲ alarm", "bold red"))
    return Text("  ").join(parts)


def _range(strip: Strip) -> tuple[float, float]:
    """Return the least and the greatest of all lines, not of bounds that are far away."""
    values = np.concatenate([values[np.isfinite(values)] for values in strip.lines.values()])
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if strip.band is not None:
        reach = (high - low) or abs(high) or 1.0  # bounds that are farther away are left out
        bounds = np.concatenate([b[np.isfinite(b)] for b in strip.band])
        near = bounds[(bounds > low - reach / 2) & (bounds < high + reach / 2)]
        low, high = min([low, *near.tolist()]), max([high, *near.tolist()])
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _places(strip: Strip, count: int) -> Numbers:
    """Return the place of each row on an axis from 0 to ``count`` columns."""
    at = strip.at - strip.at[0]
    return np.asarray(at / (at[-1] or 1.0) * (count - 1))


def _plot(strip: Strip, columns: int, rows: int, low: float, high: float) -> list[Text]:
    """Return the lines of the drawing; what is drawn later covers what is there."""
    cells = np.zeros((rows, columns), np.uint8)
    styles = np.full((rows, columns), -1, np.int8)
    drawn = [(values, n % len(_STYLES)) for n, values in enumerate(strip.lines.values())][::-1]
    drawn = [(bound, _BAND) for bound in strip.band or ()] + drawn
    places = _places(strip, 2 * columns)
    for values, style in drawn:
        first, last = _strokes(places, values, 2 * columns)
        for x in np.flatnonzero(first <= last):
            if style == _BAND and (x % 2 or first[x] > high or last[x] < low):
                continue  # dotted, and drawn only as far as there is room
            top, bottom = (
                round((4 * rows - 1) * (high - min(max(value, low), high)) / (high - low))
                for value in (last[x], first[x])
            )
            for y in range(top, bottom + 1):
                cells[y // 4, x // 2] |= _BITS[y % 4, x % 2]
                styles[y // 4, x // 2] = style
    return [_line(*pair) for pair in zip(cells, styles, strict=True)]


def _strokes(places: Numbers, values: Numbers, count: int) -> tuple[Numbers, Numbers]:
    """Return the least and the greatest value of a line in each column of dots.

    Where no row falls into a column, the line leads from the row before to the row after; where
    there is no line, the least is greater than the greatest.
    """
    least, greatest = np.full(count, np.inf), np.full(count, -np.inf)
    known, across = np.isfinite(values), np.rint(places).astype(np.intp)
    np.minimum.at(least, across[known], values[known])
    np.maximum.at(greatest, across[known], values[known])
    empty = np.ones(count, bool)
    empty[across] = False
    between = np.interp(np.flatnonzero(empty), places, values)
    least[empty] = np.where(np.isnan(between), np.inf, between)
    greatest[empty] = np.where(np.isnan(between), -np.inf, between)
    joined = np.flatnonzero((least <= greatest)[1:] & (least <= greatest)[:-1]) + 1
    above, below = least[joined] > greatest[joined - 1], greatest[joined] < least[joined - 1]
    least[joined[above]] = greatest[joined[above] - 1]
    greatest[joined[below]] = least[joined[below] - 1]
    return least, greatest


def _line(cells: NDArray[np.uint8], styles: NDArray[np.int8]) -> Text:
    text = Text()
    for cell, style in zip(cells.tolist(), styles.tolist(), strict=True):
        name = "" if style < 0 else "dim" if style == _BAND else _STYLES[style]
        text.append(chr(_EMPTY + cell) if cell else " ", name)
    return text


def _greatest(strip: Strip, values: Numbers, columns: int) -> Numbers:
    """Return the greatest of the values in each column, 0 where there is none."""
    found = np.zeros(columns)
    across = np.rint(_places(strip, columns)).astype(np.intp)
    np.maximum.at(found, across, np.nan_to_num(values))
    return found


def _scores(strip: Strip, columns: int) -> Text:
    assert strip.score is not None
    levels = np.ceil(np.clip(_greatest(strip, strip.score, columns) / _MOST_SCORE, 0, 1) * 8)
    return Text("".join(_BARS[int(level)] for level in levels), "yellow")


def _alarms(strip: Strip, columns: int) -> Text:
    assert strip.alarms is not None
    raised: Sequence[float] = _greatest(strip, strip.alarms.astype(float), columns).tolist()
    return Text("".join("▲" if each else " " for each in raised), "bold red")


def _ends(strip: Strip, columns: int) -> Text:
    """Return the first and the last time, at both ends of a line."""
    first, last = float(strip.at[0]), float(strip.at[-1])
    if are_dates(strip.at):
        zone = ZoneInfo(strip.zone)
        begin, end = (datetime.fromtimestamp(each, zone) for each in (first, last))
        form = "%H:%M:%S" if last - first < 3600 else "%H:%M"
        day = "%Y-%m-%d " if columns >= 40 else ""
        left = begin.strftime(day + form)
        right = end.strftime(form if begin.date() == end.date() else day + form)
    else:
        left, right = digits(first), digits(last)
    if len(left) + len(right) >= columns:
        return Text(right.rjust(columns)[:columns], "dim")
    return Text(left + right.rjust(columns - len(left)), "dim")
