"""Finds the patterns in which the text of a time may be read."""

from __future__ import annotations

import re

_CLOCK = re.compile(
    r"(?P<between>^|T| +|, *| +at +|-)(?P<hour>\d{1,2})(?P<mark>[:.h])\d{2}"
    r"(?:(?P<second>(?P=mark)\d{2})(?:[.,]\d{1,9})?)?"
    r"(?P<space> ?)(?P<half>[AaPp]\.?[Mm]\.?)?(?P<gap> ?)(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?$"
)
_NUMBERS = re.compile(r"^(\d{1,4})([./\- ])(\d{1,2})([./\- ])(\d{1,4})$")
_MONTH = re.compile(r"^(\d{1,4})([./\-])(\d{1,4})$")
_WEEKDAY = re.compile(r"[^\W\d_]{2,}\.?(?P<after>,? +)")
_NAMED = re.compile(
    r"^(?P<first>\d{1,4}|[^\W\d_]{3,}\.?)(?P<a>[,. \-/]+)"
    r"(?P<second>\d{1,4}|[^\W\d_]{3,}\.?)(?:(?P<b>[,. \-/]+)(?P<third>\d{2,4}))?$"
)


def patterns_of(cell: str) -> tuple[str, ...]:
    """Return the patterns, in the notation of ``strptime``, in which a cell may be a time.

    Several where the order of day, month and year may be another.
    """
    text = cell.strip()
    clock = _CLOCK.search(text)
    date, time = (text[: clock.start()], _clock_pattern(clock)) if clock else (text, "")
    if clock and not date and ":" in time:
        return (time,)
    found = _date_patterns(date)
    if not found and clock:  # a dot or hyphen belongs to the date
        time, found = "", _date_patterns(text)
    return tuple(pattern + time for pattern in found)


def _clock_pattern(clock: re.Match[str]) -> str:
    mark, half = clock["mark"], clock["half"]
    pattern = f"{clock['between']}%{'I' if half else 'H'}{mark}%M"
    if clock["second"]:
        pattern += f"{mark}%S"
    if half:
        pattern += f"{clock['space']}%p"
    if clock["zone"]:
        pattern += f"{clock['gap'] or ('' if half else clock['space'])}%z"
    return pattern


def _date_patterns(date: str) -> tuple[str, ...]:
    if numbers := _NUMBERS.match(date):
        first, a, _, b, last = numbers.groups()
        if a != b:
            return ()
        if len(first) == 4:
            orders: tuple[str, ...] = ("Ymd",)
        elif len(last) == 4:
            orders = ("dmY", "mdY")
        elif len(first) <= 2 and len(last) == 2:
            orders = ("dmy", "mdy", "ymd")
        else:
            return ()
        return tuple(a.join(f"%{part}" for part in order) for order in orders)
    if month := _MONTH.match(date):
        first, mark, last = month.groups()
        if len(first) == 4 and len(last) <= 2:
            return (f"%Y{mark}%m",)
        return (f"%m{mark}%Y",) if len(last) == 4 and len(first) <= 2 else ()
    if re.fullmatch(r"\d{8}", date):
        return ("%Y%m%d",)
    if found := _named_patterns(_NAMED.match(date)):
        return found
    weekday = _WEEKDAY.match(date)  # Mon, Jan 1 2000
    found = _named_patterns(_NAMED.match(date[weekday.end() :])) if weekday else ()
    return tuple(f"%a{weekday['after']}{pattern}" for pattern in found) if weekday else ()


def _named_patterns(named: re.Match[str] | None) -> tuple[str, ...]:
    """Return the patterns of a date with the name of its month."""
    if named is None:
        return ()
    words = [named[part] for part in ("first", "second", "third") if named[part]]
    names = [not word[0].isdigit() for word in words]
    if sum(names) != 1:
        return ()
    numbers = [word for word in words if word[0].isdigit()]
    years = [k for k, word in enumerate(numbers) if len(word) == 4]
    if len(numbers) == 1:
        kinds = [["Y" if years else "y"]]
    elif len(years) == 1:
        kinds = [["Y" if k in years else "d" for k in range(2)]]
    else:
        kinds = [["d", "y"]]
    found = []
    for kind in kinds:
        left = iter(kind)
        parts = ["%b" if name else f"%{next(left)}" for name in names]
        pattern = parts[0] + _after(words[0], named["a"]) + parts[1]
        if named["third"]:
            pattern += _after(words[1], named["b"]) + parts[2]
        found.append(pattern)
    return tuple(found)


def _after(word: str, mark: str) -> str:
    """Return the text between two parts; the dot of a short name belongs to the name."""
    return mark.lstrip(".") if not word[0].isdigit() else mark
