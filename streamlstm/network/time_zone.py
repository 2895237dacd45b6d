"""The offsets of a time zone as a table, which a model file can hold."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..errors import ModelError, shown

EVER = -1e15  # seconds, before any time
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_SCAN = timedelta(hours=6)  # no zone has had two transitions that were closer


@lru_cache(maxsize=16)  # the search takes a tenth of a second
def transitions(zone: str, start: int = 1970, end: int = 2100) -> tuple[tuple[float, float], ...]:
    """Return the offsets of a time zone from UTC, and since when each holds.

    Parameters
    ----------
    zone : str
        An IANA name such as "Europe/Zurich".
    start, end : int
        First year, and the year before which the table ends; its last offset then stays.

    Returns
    -------
    tuple of (float, float)
        Seconds since 1970 (the first one before any time), and seconds to add to UTC from then on.

    Raises
    ------
    ModelError
        If there is no such zone, or its data are not installed.
    """
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ModelError(
            f"zone: expected a time zone such as Europe/Zurich, got {shown(zone)}; if the name is "
            "right, this machine lacks its data: pip install tzdata."
        ) from None

    def offset(moment: datetime) -> float:
        there = moment.astimezone(place).utcoffset()
        return there.total_seconds() if there is not None else 0.0

    moment, last = datetime(start, 1, 1, tzinfo=UTC), datetime(end, 1, 1, tzinfo=UTC)
    table = [(EVER, offset(moment))]
    while moment < last:
        before = table[-1][1]
        if offset(moment + _SCAN) != before:
            low, high = 0, int(_SCAN.total_seconds())
            while high - low > 1:
                middle = (low + high) // 2
                if offset(moment + timedelta(seconds=middle)) == before:
                    low = middle
                else:
                    high = middle
            since = moment + timedelta(seconds=high)
            table.append(((since - _UNIX).total_seconds(), offset(since)))
        moment += _SCAN
    return tuple(table)
