"""Durations in words: ``1min``, ``90 s``, ``2 h``."""

from __future__ import annotations

import re

UNITS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
"""Seconds of each unit."""

_ALSO = {
    "msec": "ms", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "m": "min",
    "mins": "min", "minute": "min", "minutes": "min", "hr": "h", "hour": "h", "hours": "h",
    "day": "d", "days": "d", "t": "min",
}  # fmt: skip
_DURATION = re.compile(r"(\d*\.?\d*)\s*([a-z]+)")


def parse_duration(text: str) -> float | None:
    """Return a duration in seconds; None if it is none above 0."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        return None
    number, unit = found.groups()
    unit = _ALSO.get(unit, unit)
    if unit not in UNITS or number == ".":
        return None
    return float(number or 1) * UNITS[unit] or None


def in_words(seconds: float) -> str:
    """Format a duration in the largest unit that it has one of: ``1.5 h``, ``60 s``, ``250 ms``."""
    unit = "ms"
    for name, size in UNITS.items():
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            unit = name
    return f"{seconds / UNITS[unit]:.4g} {unit}"


def rounded(seconds: float) -> str:
    """Return a usual duration near this one, as `parse_duration` reads it: ``1min``, ``15s``."""
    usual = [n * UNITS["ms"] for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)]
    usual += [n * UNITS[unit] for unit in ("s", "min") for n in (1, 2, 5, 10, 15, 20, 30)]
    usual += [n * UNITS["h"] for n in (1, 2, 3, 4, 6, 8, 12)] + [n * UNITS["d"] for n in (1, 7, 30)]
    best = min(usual, key=lambda step: abs(step / seconds - 1))
    unit = max((name for name, size in UNITS.items() if best >= size), key=UNITS.__getitem__)
    return f"{best / UNITS[unit]:.0f}{unit}"
