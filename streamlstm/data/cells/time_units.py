"""Recognises what numbers in a time column count."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .time_pattern import convert_pattern

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "days": 86_400.0}
"""Seconds of each unit."""
EXCEL = "excel"
_EXCEL_1970 = 25_569  # the serial number of 1970-01-01
_EXCEL_RANGE = (20_000, 80_000)  # 1954 to 2119
_SINCE = (("s", 1e8, 1e11), ("ms", 1e11, 1e14), ("us", 1e14, 1e17), ("ns", 1e17, 1e20))
# Digits that are a date, which no count since 1970 is likely to be in every row.
_DIGITS = (
    ("%Y%m%d", 19_000_101, 22_001_231),
    ("%Y%m%d%H", 1_900_010_100, 2_200_123_124),
    ("%Y%m%d%H%M", 190_001_010_000, 220_012_312_400),
    ("%Y%m%d%H%M%S", 19_000_101_000_000, 22_001_231_240_000),
    ("%Y%m", 190_001, 220_012),
)
_YEARS = (1600, 2200)

NAMES = {
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
    "min": "minutes",
    "h": "hours",
    "days": "days since 1970",
    EXCEL: "days as spreadsheets count them",
    "%Y%m%d": "dates such as 20230131",
    "%Y%m%d%H": "hours such as 2023013112",
    "%Y%m%d%H%M": "times such as 202301311200",
    "%Y%m%d%H%M%S": "times such as 20230131120000",
    "%Y%m": "months such as 202301",
    "%Y": "years",
}
"""What each notation of numbers means."""


def recognise_unit(numbers: NDArray[np.float64]) -> str:
    """Return what numbers count: a name of `UNITS`, ``excel``, or a pattern of their digits.

    Parameters
    ----------
    numbers : float64[n]
        The time column; NaN is ignored.
    """
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return "s"
    low, high = float(numbers.min()), float(numbers.max())
    whole = bool((numbers == np.trunc(numbers)).all())
    if whole:
        for pattern, first, last in _DIGITS:
            if first <= low and high <= last and _are_dates(numbers, pattern):
                return pattern
        if _YEARS[0] <= low and high <= _YEARS[1] and (np.abs(np.diff(numbers)) <= 1).all():
            return "%Y"
    for unit, since, until in _SINCE:
        if since <= low and high < until:
            return unit
    steps = np.abs(np.diff(numbers))
    days = bool(len(steps) == 0 or np.median(steps) <= 1)
    if _EXCEL_RANGE[0] <= low and high < _EXCEL_RANGE[1] and days:
        return EXCEL
    return "s"


def to_seconds(numbers: NDArray[np.float64], unit: str) -> NDArray[np.float64]:
    """Return numbers in a unit as seconds since 1970, float64[n], NaN where they are no time."""
    if unit in UNITS:
        per_second = 1 / UNITS[unit]
        return numbers / per_second if per_second >= 1 else numbers * UNITS[unit]
    if unit == EXCEL:  # a millisecond is what their fractions of a day can tell
        days: NDArray[np.float64] = np.round((numbers - _EXCEL_1970) * 86_400, 3)
        return days
    times = convert_pattern(_digits(numbers), unit)
    seconds: NDArray[np.float64] = times.fill_null(np.nan).to_numpy(zero_copy_only=False)
    return seconds


def _digits(numbers: NDArray[np.float64]) -> pa.Array:
    missing = ~np.isfinite(numbers)
    return pa.array(np.where(missing, 0, numbers).astype(np.int64), mask=missing).cast(pa.string())


def _are_dates(numbers: NDArray[np.float64], pattern: str) -> bool:
    return bool(convert_pattern(_digits(numbers), pattern).null_count == 0)
