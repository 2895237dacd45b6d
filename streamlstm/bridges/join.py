"""Join: values of several messages as one observation.

Time is cut into windows. What came last of each input in a window of a stream is its observation,
which is missing the inputs that did not come. The window's place since 1970 is its number, so an
observation that is joined again of messages that came again is applied once.
"""

from __future__ import annotations

import logging
import math
import time as clock
from collections.abc import Callable
from datetime import UTC, datetime

from ..engine.numbers import sparse_seq
from ..errors import DataError
from .log import OncePerSecond
from .mapping import Part
from .messages import Message

_LOG = logging.getLogger(__name__)
_AHEAD = 86_400.0  # seconds that a time may be ahead: time zones that nobody named are within them


class _Window:
    __slots__ = ("due", "messages", "time", "values")

    def __init__(self, due: float, size: int) -> None:
        self.due, self.messages, self.time = due, list[Message](), -math.inf
        self.values = [math.nan] * size

    def add(self, part: Part) -> None:
        """Take values, unless later ones are there."""
        assert part.time is not None
        is_later = part.time >= self.time
        for n, value in enumerate(part.values):
            if value == value and (is_later or math.isnan(self.values[n])):
                self.values[n] = value
        self.time = max(self.time, part.time)
        self.messages.append(part.message)

    @property
    def is_complete(self) -> bool:
        return not any(map(math.isnan, self.values))


class Joined:
    """An observation, and all its messages."""

    __slots__ = ("messages", "number", "stream", "time", "values")

    def __init__(
        self,
        stream: str,
        values: list[float],
        number: int,
        time: float | None,
        messages: list[Message],
    ) -> None:
        self.stream, self.values, self.number = stream, values, number
        self.time, self.messages = time, messages


class Join:
    """Collects parts until a window is complete, or has waited for as long as it is.

    Parameters
    ----------
    seconds : float
        Length of a window.
    generation : int
    now : callable
        Returns monotonic seconds.
    """

    def __init__(
        self, seconds: float, generation: int, now: Callable[[], float] = clock.monotonic
    ) -> None:
        self._seconds, self._generation, self._now = seconds, generation, now
        self._open: dict[str, dict[int, _Window]] = {}
        self._last: dict[str, int] = {}  # the last window of each stream that was told
        self._late = OncePerSecond(_LOG)

    @property
    def late(self) -> int:
        """Messages that came too late for their window."""
        return self._late.count

    def add(self, part: Part) -> list[Joined] | None:
        """Take a part; return what is complete now. None if the part came too late for its window.

        A part without a time belongs to now.

        Raises
        ------
        DataError
            If its time is before 1970, or more than a day ahead of this machine's clock: windows
            up to then would all be too late.
        """
        if part.time is None:
            part = part._replace(time=clock.time())
        assert part.time is not None
        _check_time(part.time, part.has_own_time)
        place = math.floor(part.time / self._seconds)
        last = self._last.get(part.stream, -1)
        if place <= last:
            behind = (last + 1) * self._seconds - part.time
            self._late.note(
                f"left out: late: stream {part.stream}: {behind:.6g} s before the end of the last "
                "window that was applied"
            )
            return None
        windows = self._open.setdefault(part.stream, {})
        window = windows.get(place)
        if window is None:
            window = windows[place] = _Window(self._now() + self._seconds, len(part.values))
        window.add(part)
        return self._take(part.stream, windows, self._now()) if window.is_complete else []

    def due(self) -> list[Joined]:
        """Return the observations of windows that have waited long enough."""
        now = self._now()
        found: list[Joined] = []
        for stream, windows in list(self._open.items()):
            found += self._take(stream, windows, now)
        return found

    def _take(self, stream: str, windows: dict[int, _Window], now: float) -> list[Joined]:
        """Take windows in their order, until one has to wait."""
        found: list[Joined] = []
        for place in sorted(windows):
            window = windows[place]
            if not window.is_complete and window.due > now:
                break
            del windows[place]
            self._last[stream] = place
            number = sparse_seq(place, self._generation)
            found.append(Joined(stream, window.values, number, window.time, window.messages))
        if not windows:
            del self._open[stream]
        return found


def _check_time(time: float, is_own: bool) -> None:
    latest = clock.time() + _AHEAD
    if not 0 <= time <= latest:
        until = datetime.fromtimestamp(latest, UTC).isoformat(timespec="seconds")
        what = "--time and --time-unit" if is_own else "the clock of who wrote the message"
        raise DataError(
            f"time: expected one since 1970, at most a day ahead of this machine's clock (until "
            f"{until}), got {time:.15g} seconds since 1970. Check {what}"
        )
