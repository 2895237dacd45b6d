"""LiveTimes: understands the times of rows as they come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa

from ..cells.times import ISO, TimeFormat
from ..columns import Columns
from ..options import ReadOptions
from ..time_columns import TimeNotation
from ..time_parts import join
from ..zones import RepeatedHour

_NAIVE_EPOCH = datetime(1970, 1, 1)


class LiveTimes:
    """The format of the time of a source, found from its first rows.

    Parameters
    ----------
    names : sequence of str
        The columns of the time.
    notation : TimeNotation
        How the first rows write it.
    options : ReadOptions
        Its time zone is that of times that name none.
    """

    def __init__(self, names: Sequence[str], notation: TimeNotation, options: ReadOptions) -> None:
        self._names = list(names)
        self._notation = notation
        self._zone = None
        if options.timezone is not None and notation.is_local:
            self._zone = ZoneInfo(options.timezone)
        self._twice: dict[str | None, RepeatedHour] = {}

    def parse(self, cells: Sequence[str], stream: str | None) -> float | None:
        """Return the time of a row of a stream in seconds since 1970; None if there is none.

        In an hour that comes twice the order of a stream's rows says which of them it is.
        """
        seconds = self._parse(cells[0] if len(cells) == 1 else self._join(cells))
        if seconds is None or self._zone is None:
            return seconds
        return self._to_utc(seconds, stream, self._zone)

    @property
    def expected(self) -> str:
        """What a cell should have held."""
        if self._notation.time_format.notation in (ISO, "s"):
            return "a time (seconds since 1970, or a time stamp like 2024-05-31 12:30:00)"
        return f"a time written as {self._notation.shown}, as others in this column"

    def _join(self, cells: Sequence[str]) -> str:
        row = Columns("", self._names, [pa.array([cell]) for cell in cells], _NO_LINES)
        return str(join(row, self._names)[0].as_py())

    def _parse(self, cell: str) -> float | None:
        number_format, time_format = self._notation.number_format, self._notation.time_format
        if number_format is not None and not number_format.is_plain:
            number = number_format.parse(cell)
            return None if number is None else time_format.parse(repr(number))
        if not time_format.digits and time_format.notation != ISO:
            seconds = _strptime(cell, time_format)
            if seconds is not None:
                return seconds
        return time_format.parse(cell)

    def _to_utc(self, local: float, stream: str | None, zone: ZoneInfo) -> float | None:
        moment = (_NAIVE_EPOCH + timedelta(seconds=local)).replace(tzinfo=zone)
        first, second = (_seconds(moment.replace(fold=fold)) for fold in (0, 1))
        if first == second:
            return first
        if first > second:  # the clock was set forward over it
            return None
        hour = self._twice.setdefault(stream, RepeatedHour())
        return second if hour.is_second(local) else first


_NO_LINES = pa.array([0]).to_numpy()


def _seconds(moment: datetime) -> float:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def _strptime(cell: str, time_format: TimeFormat) -> float | None:
    """Return what the standard library reads, which is quicker than Arrow for one cell."""
    try:
        moment = datetime.strptime(cell.strip(), time_format.notation)
    except ValueError:
        return None
    return _seconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
