"""Parses times: numbers are seconds since 1970, text is a time stamp in ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite

from .numbers import parse_float

TIME_NAMES = ("timestamp", "datetime", "time", "date", "ts")
"""Usual names of a time column, in lower case, the most specific first."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)


def parse_time(cell: str) -> float | None:
    """Return a number or a time stamp in seconds since 1970; None if the cell holds neither."""
    seconds = parse_float(cell)
    if seconds is None:
        return parse_timestamp(cell)
    return seconds if isfinite(seconds) else None


def parse_timestamp(cell: str) -> float | None:
    """Return a time stamp in seconds since 1970; one without a zone is taken as UTC."""
    try:
        moment = datetime.fromisoformat(cell.strip().replace("/", "-"))
    except ValueError:
        return None
    return (moment - (_EPOCH if moment.tzinfo else _NAIVE_EPOCH)).total_seconds()
