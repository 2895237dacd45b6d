"""Converts times that are written by a pattern in the notation of ``strptime``."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...errors import DataError

_MONTHS = (
    "jan jän janvier enero gennaio ene gen",
    "feb fév fevrier fev",
    "mar mär mrz maa maart",
    "apr avr abr",
    "may mai mag mei maj",
    "jun juin giu",
    "jul juil lug",
    "aug aoû ago aou",
    "sep set",
    "oct okt ott",
    "nov",
    "dec dez déc dic",
)
_DIRECTIVES = {
    "%Y": r"(?P<Y>\d{4})",
    "%y": r"(?P<y>\d{2})",
    "%m": r"(?P<m>\d{1,2})",
    "%d": r"(?P<d>\d{1,2})",
    "%H": r"(?P<H>\d{1,2})",
    "%I": r"(?P<H>\d{1,2})",
    "%M": r"(?P<M>\d{1,2})",
    "%S": r"(?P<S>\d{1,2})(?:[.,](?P<f>\d{1,9}))?",
    "%b": r"(?P<b>\pL+)\.?",
    "%B": r"(?P<b>\pL+)\.?",
    "%a": r"\pL+\.?",
    "%A": r"\pL+\.?",
    "%p": r"(?P<p>[AaPp])\.?[Mm]\.?",
    "%z": r"(?P<z>Z|UTC|[+-]\d{2}:?\d{2})",
    "%%": "%",
}
_FIXED = {d: p.replace("{1,2}", "{2}", 1) for d, p in _DIRECTIVES.items()}  # between digits
_DIGITS = {"%Y": 4, **dict.fromkeys(("%y", "%m", "%d", "%H", "%M", "%S"), 2)}
_ZERO = np.uint8(ord("0"))
_CLOCK = re.compile(r"[ T,]*%[HI]")


def convert_pattern(cells: Any, pattern: str) -> Any:
    """Return the times of an Arrow array of text, in seconds; null where there is none.

    Parameters
    ----------
    cells : pyarrow array of text
    pattern : str
        As for ``strptime``. Seconds may have decimals, names of months may be cut and in several
        languages, and the time of day may be left out: then it is midnight.

    Raises
    ------
    DataError
        If the pattern holds a directive that is not known.
    """
    if isinstance(cells, pa.ChunkedArray):  # in parts, which stay in cache
        converted = [convert_pattern(part, pattern) for part in cells.chunks]
        return pa.chunked_array(converted, pa.float64())
    regex = _regex(pattern)
    parts = _fixed_parts(cells, pattern)
    found = pc.extract_regex(pc.utf8_trim_whitespace(cells), regex) if parts is None else None
    seconds, valid = _seconds(parts or _Parts(found))
    return pa.array(seconds, pa.float64(), mask=~valid)


class _FixedParts:
    """The named parts of times whose digits stand at the same places in all cells."""

    def __init__(self, cells: NDArray[np.uint8], places: dict[str, range]) -> None:
        self.names, self._cells, self._places = places.keys(), cells, places
        self.valid = np.ones(len(cells), np.bool_)

    def number(self, name: str, default: int) -> NDArray[np.int64]:
        """Return a part as numbers, the default where there is none."""
        found = np.full(len(self._cells), 0 if name in self.names else default, np.int64)
        for place in self._places.get(name, ()):
            found = 10 * found + (self._cells[:, place] - _ZERO)
        return found

    def text(self, name: str) -> Any:
        """Raise: these parts are all numbers."""
        raise KeyError(name)


class _Parts:
    """The named parts of times that a regular expression has found."""

    def __init__(self, parts: Any) -> None:
        self.names, self._parts = {field.name for field in parts.type}, parts
        self.valid = parts.is_valid().to_numpy(zero_copy_only=False)

    def number(self, name: str, default: int) -> NDArray[np.int64]:
        """Return a part as numbers, the default where there is none."""
        if name not in self.names:
            return np.full(len(self._parts), default)
        text = self.text(name)
        text = pc.if_else(pc.equal(pc.fill_null(text, ""), ""), str(default), text)
        return np.asarray(pc.cast(text, pa.int64()).to_numpy(zero_copy_only=False))

    def text(self, name: str) -> Any:
        """Return a part as Arrow has it."""
        return pc.struct_field(self._parts, name)


def _fixed_parts(cells: Any, pattern: str) -> _FixedParts | None:
    """Return the parts of times that are all written with the same digits; None if not all are."""
    width, places, signs = 0, {}, {}
    for part in re.findall("%.|.", pattern, re.DOTALL):
        digits = _DIGITS.get(part, 0)
        if digits:
            places[part[1]] = range(width, width + digits)
        elif len(part) > 1 or not part.isascii():
            return None
        else:
            signs[width] = ord(part)
        width += digits or 1
    if cells.null_count or not len(cells) or not pa.types.is_string(cells.type):
        return None
    ends = np.frombuffer(cells.buffers()[1], np.int32)[cells.offset : cells.offset + len(cells) + 1]
    if not (np.diff(ends) == width).all():
        return None
    text = np.frombuffer(cells.buffers()[2], np.uint8)[ends[0] : ends[-1]].reshape(-1, width)
    if not all((text[:, place] == sign).all() for place, sign in signs.items()):
        return None
    digits_at = [place for span in places.values() for place in span]
    if not all((text[:, place] - _ZERO <= 9).all() for place in digits_at):
        return None
    return _FixedParts(text, places)


@cache
def _regex(pattern: str) -> str:
    """Return the regular expression of a pattern, with a named group for each part."""
    pattern = re.sub(r"%S[.,]%f", "%S", pattern)
    clock = _CLOCK.search(pattern)
    optional = clock.start() if clock and clock.start() > 0 else -1
    regex, place = "", 0
    while place < len(pattern):
        if place == optional:
            regex += "(?:"
        if pattern[place] == "%":
            directive = pattern[place : place + 2]
            if directive not in _DIRECTIVES:
                known = " ".join(sorted(_DIRECTIVES))
                raise DataError(f"--time-format {pattern!r}: expected {known}, got {directive!r}")
            dense = pattern[place + 2 : place + 3] == "%" or (
                place > 1 and pattern[place - 2] == "%"
            )
            regex += (_FIXED if dense else _DIRECTIVES)[directive]
            place += 2
        else:
            regex += " +" if pattern[place] == " " else re.escape(pattern[place])
            place += 1
    return f"^{regex}{')?' if optional >= 0 else ''}$"


def _seconds(parts: _Parts | _FixedParts) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return seconds since 1970, and where they are valid, of the named parts of times."""
    valid, names, number = parts.valid, parts.names, parts.number
    year = number("Y", 1970)
    if "y" in names:
        year = number("y", 70)
        year = year + np.where(year < 69, 2000, 1900)
    month = _months(parts.text("b")) if "b" in names else number("m", 1)
    day, hour, minute, second = (number(*p) for p in (("d", 1), ("H", 0), ("M", 0), ("S", 0)))
    if "p" in names:
        valid &= (hour >= 1) & (hour <= 12)
        after = np.isin(parts.text("p").to_numpy(zero_copy_only=False), ("P", "p"))
        hour = hour % 12 + 12 * after
    valid &= (month >= 1) & (month <= 12) & (minute < 60) & (second <= 60)
    valid &= (hour < 24) | ((hour == 24) & (minute == 0) & (second == 0))  # the end of a day
    months = (year - 1970) * 12 + np.clip(month, 1, 12) - 1
    first = months.astype("datetime64[M]")
    days = first.astype("datetime64[D]").astype(np.int64) + day - 1
    following = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    valid &= (day >= 1) & (days < following)
    seconds = (days * 86_400 + hour * 3600 + minute * 60 + second).astype(np.float64)
    if "f" in names:
        fraction = pc.binary_join_element_wise("0.", parts.text("f"), "0", "")
        seconds += pc.cast(pc.fill_null(fraction, "0"), pa.float64()).to_numpy()
    if "z" in names:
        seconds -= _offsets(parts.text("z"))
    return seconds, valid


def _months(names: Any) -> NDArray[np.int64]:
    """Return the numbers of months by their names, 0 where there is none of that name."""
    coded = names.dictionary_encode()
    numbers = [_month(name) for name in coded.dictionary.to_pylist()]
    places: NDArray[np.intp] = pc.fill_null(coded.indices, len(numbers)).to_numpy()
    return np.array([*numbers, 0], np.int64)[places]


def _month(name: str) -> int:
    text = name.lower()
    for number, starts in enumerate(_MONTHS, 1):
        if len(text) >= 3 and any(text.startswith(start) for start in starts.split()):
            return number
    return 0


def _offsets(zones: Any) -> NDArray[np.float64]:
    """Return the seconds that zones such as +01:00 are ahead of UTC."""
    coded = zones.dictionary_encode()
    seconds = []
    for zone in coded.dictionary.to_pylist():
        digits = re.sub(r"\D", "", zone)
        sign = -1.0 if zone.startswith("-") else 1.0
        seconds.append(sign * (int(digits[:2]) * 3600 + int(digits[2:]) * 60) if digits else 0.0)
    places: NDArray[np.intp] = pc.fill_null(coded.indices, len(seconds)).to_numpy()
    return np.array([*seconds, 0.0])[places]
