"""The marks of a horizontal axis: dates or numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

DAY = 86_400.0
"""Seconds of a day, in which matplotlib counts."""
_FIRST_DATE = 1e8  # seconds; smaller times are not since 1970


def are_dates(seconds: ArrayLike) -> bool:
    """Tell whether times, in seconds, are since 1970, and not since some other moment."""
    times = np.abs(np.asarray(seconds))
    return bool(times.size) and bool(times.max() >= _FIRST_DATE)


def mark_dates(axes: Any, least: int, most: int) -> None:
    """Mark an axis in days since 1970 with so many dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=least, maxticks=most)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def mark_numbers(axes: Any, most: int, whole: bool) -> None:
    """Mark an axis with round numbers, only whole ones if so told."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most, integer=whole))
