"""Queues the observations of a publisher and merges them into as few messages as possible."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from .. import wire
from .failures import backlog_not_sent, lost_in_fleet
from .requests import encode

Observations: TypeAlias = wire.Step | wire.Steps

_ENVELOPE = 32  # bytes of a STEPS beside its rows, at most


class Pending:
    """The observations of one call, until they are sent or have failed.

    Attributes
    ----------
    frame : bytes
        Its own message, if it is not merged; no row takes more room in a STEPS.
    rows : int
        Number of observations.
    width : int
        Bytes of the features of each, other ones for other precisions; -1 if it has times, and is
        not merged.
    done : bool
        Whether it was sent or has failed.
    error : Exception or None
        Why it failed.
    """

    __slots__ = ("done", "error", "frame", "message", "rows", "width")

    def __init__(self, message: Observations, limit: int) -> None:
        self.message = message
        self.frame = encode(message, limit)  # refuses an invalid message before it is queued
        self.done = False
        self.error: Exception | None = None
        if isinstance(message, wire.Steps):
            self.rows = len(message.streams)
            self.width = wire.size_of(message.X) // self.rows if message.times is None else -1
        else:
            self.rows = 1
            self.width = wire.size_of(message.x) if message.time is None else -1


class Backlog:
    """The observations that wait to be sent, in order, and the count of those that were lost.

    Parameters
    ----------
    limit : int
        Maximum bytes of a message.
    is_delayed : bool
        Whether the calls return before their observations are sent.

    Attributes
    ----------
    lost_rows : int
        Delayed observations that failed since the last error for them.
    """

    def __init__(self, limit: int, is_delayed: bool) -> None:
        self._limit, self._is_delayed = limit, is_delayed
        self._pending: deque[Pending] = deque()
        self._rows = self._bytes = 0
        self.lost_rows = 0
        self._reason: BaseException | None = None  # why the first ones were lost, at a fleet

    def __bool__(self) -> bool:
        """Return whether anything waits."""
        return bool(self._pending)

    @property
    def is_full(self) -> bool:
        """True if one message is full: another call like the last would not fit into it."""
        another = len(self._pending[-1].frame) if self._pending else 0
        return self._rows >= wire.MAX_STREAMS or self._bytes + another + _ENVELOPE > self._limit

    def append(self, pending: Pending) -> None:
        """Add one at the end."""
        self._pending.append(pending)
        self._count([pending], 1)

    def take(self) -> list[Pending]:
        """Remove and return everything."""
        taken = list(self._pending)
        self._pending.clear()
        self._rows = self._bytes = 0
        return taken

    def put_back(self, pending: Sequence[Pending]) -> None:
        """Add at the front what was taken and not sent."""
        self._pending.extendleft(reversed(pending))
        self._count(pending, 1)

    def remove(self, pending: Pending) -> None:
        """Remove one, unless it was taken."""
        if pending in self._pending:
            self._pending.remove(pending)
            self._count([pending], -1)

    def fail(self, taken: Iterable[Pending], error: Callable[[], Exception]) -> None:
        """Fail those that were not sent, each with an error of its own, for its call to raise.

        The calls of delayed ones have returned: their rows are counted for :meth:`raise_lost`.
        """
        for each in taken:
            if not each.done:
                each.error, each.done = error(), True
                self.lost_rows += each.rows if self._is_delayed else 0

    def note_lost(self, rows: int, reason: BaseException) -> None:
        """Count observations that were sent to a fleet, and not answered."""
        self._reason = self._reason or reason
        self.lost_rows += rows

    def raise_lost(self, endpoint: str, timeout: float, includes_call: bool = False) -> None:
        """Raise WorkerTimeoutError if observations were lost since it was last raised."""
        rows, self.lost_rows = self.lost_rows, 0
        reason, self._reason = self._reason, None
        if rows and reason is not None:
            raise lost_in_fleet(endpoint, rows, includes_call, reason)
        if rows:
            raise backlog_not_sent(endpoint, timeout, rows, includes_call)

    def _count(self, pending: Iterable[Pending], sign: int) -> None:
        for each in pending:
            self._rows += sign * each.rows
            self._bytes += sign * len(each.frame)


def merged(
    pending: Sequence[Pending], limit: int
) -> Iterator[tuple[Observations, bytes, list[Pending]]]:
    """Yield as few messages as possible, in order, each encoded, and the calls that it contains."""
    group: list[Pending] = []
    rows = size = 0
    for each in pending:
        fits = (
            group
            and each.width >= 0
            and each.width == group[0].width
            and rows + each.rows <= wire.MAX_STREAMS
            and size + len(each.frame) + _ENVELOPE <= limit
        )
        if group and not fits:
            yield *_encode_group(group), group
        if not fits:
            group, rows, size = [], 0, 0
        group.append(each)
        rows += each.rows
        size += len(each.frame)
    if group:
        yield *_encode_group(group), group


def _encode_group(group: Sequence[Pending]) -> tuple[Observations, bytes]:
    if len(group) == 1:
        return group[0].message, group[0].frame
    streams: list[wire.StreamId] = []
    seqs: list[int] = []
    vectors: list[bytes] = []
    for each in group:
        message = each.message
        if isinstance(message, wire.Step):
            streams.append(message.stream)
            seqs.append(message.seq)
            vectors.append(message.x)
        else:
            streams += message.streams
            seqs += message.seqs or [0] * each.rows
            vectors.append(message.X)
    X = wire.join_vectors(vectors)
    message = wire.Steps(streams, seqs if any(seqs) else None, X)
    return message, wire.encode(message)
