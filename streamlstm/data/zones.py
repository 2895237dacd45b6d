"""Converts local times to UTC, over the changes of daylight saving."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import DataError

_DAY = 86_400.0
_HOUR = 3600.0


class SkippedHourError(DataError):
    """A local time that does not exist; ``row`` is its row."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row}")
        self.row = row


def check_zone(name: str) -> None:
    """Raise DataError if there is no such time zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise DataError(
            f"--timezone {name}: expected the name of a time zone, such as Europe/Berlin or UTC"
        ) from None


class RepeatedHour:
    """Tells apart the two hours that one is where the clock is set back, by the order of rows."""

    def __init__(self) -> None:
        self._before, self._is_second = -np.inf, False

    def is_second(self, local: float) -> bool:
        """Return whether the next local time of a stream in such an hour is in the second one."""
        if abs(local - self._before) > _DAY:
            self._is_second = False  # another year
        elif local <= self._before:
            self._is_second = True
        self._before = local
        return self._is_second


def to_utc(
    local: NDArray[np.float64], zone: str, streams: Iterable[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], int]:
    """Return local times in UTC; in an hour that comes twice the order of rows says which it is.

    Parameters
    ----------
    local : float64[n]
        Seconds since 1970, as if the clock on the wall showed UTC.
    zone : str
        Name of the zone.
    streams : iterable of int[k]
        The rows of each stream, in order.

    Returns
    -------
    float64[n]
        Seconds since 1970.
    int
        Number of rows in hours that come twice.

    Raises
    ------
    SkippedHourError
        At a time in an hour that is left out.
    """
    stamps = pa.array(np.round(local * 1e6).astype(np.int64)).cast(pa.timestamp("us"))
    earlier, later = (_assume(stamps, zone, which) for which in ("earliest", "latest"))
    shown = pc.local_timestamp(earlier.cast(pa.timestamp("us", zone)))
    skipped = pc.index(pc.equal(shown, stamps), False).as_py()
    if skipped >= 0:
        raise SkippedHourError(int(skipped))
    first, second = (_shift(local, stamps, moments) for moments in (earlier, later))
    twice = first != second
    if twice.any():
        for rows in streams:
            _choose(local, first, second, twice, rows)
    return first, int(twice.sum())


def _assume(stamps: Any, zone: str, which: str) -> Any:
    return pc.assume_timezone(stamps, zone, ambiguous=which, nonexistent=which)


def _shift(local: NDArray[np.float64], stamps: Any, moments: Any) -> NDArray[np.float64]:
    """Return the times with the offset of the zone taken off, which keeps their fractions."""
    offset = pc.subtract(moments.cast(pa.int64()), stamps.cast(pa.int64()))
    shifted: NDArray[np.float64] = local + offset.to_numpy() / 1e6
    return shifted


def _choose(
    local: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    twice: NDArray[np.bool_],
    rows: NDArray[np.intp],
) -> None:
    """Set the times of one stream in hours that come twice, in ``first``."""
    if len(rows) > 1 and np.median(np.diff(local[rows])) < 0:
        rows = rows[::-1]  # the newest first
    hour = RepeatedHour()
    for row in rows[twice[rows]]:
        if hour.is_second(float(local[row])):
            first[row] = second[row]


def find_daylight_saving(
    local: NDArray[np.float64], streams: Iterable[NDArray[np.intp]]
) -> int | None:
    """Return a row where the clock goes back as at the end of daylight saving, if there is one.

    That is a Sunday night in autumn where evenly spaced times go back by one hour.
    """
    for rows in streams:
        times = local[rows]
        steps = np.diff(times)
        if not len(steps) or steps.min() > 0:
            continue
        usual = float(np.median(steps))
        back = np.flatnonzero(np.abs(steps - (usual - _HOUR)) < 1e-3)
        for n in back if 0 < usual <= _HOUR else ():
            moment = np.datetime64(int(times[n + 1]), "s").astype(object)
            if moment.weekday() == 6 and moment.month in (3, 4, 9, 10, 11) and moment.hour <= 3:
                return int(rows[n + 1])
    return None
