"""Observations that wait to be sent by a publisher, and which of them may share a message."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from .. import wire
from ..errors import WorkerTimeoutError
from .connection import pack, worker_check

Observations: TypeAlias = wire.Step | wire.Steps

_ENVELOPE = 32  # bytes of a STEPS beside its rows, at most


class Pending:
    """What one call of a publisher gave it, until it was sent or lost.

    Attributes
    ----------
    frame : bytes
        The message that it is if it goes alone; no row takes more room in a STEPS.
    rows : int
        Its observations.
    width : int
        Bytes of the features of each; -1 if it can only go alone, since STEPS has no times.
    done : bool
        Whether it was sent, or given up.
    error : Exception or None
        Why it was given up.
    """

    __slots__ = ("done", "error", "frame", "message", "rows", "width")

    def __init__(self, message: Observations, limit: int) -> None:
        self.message = message
        self.frame = pack(message, limit)  # refuses what is no message, before anything waits
        self.done = False
        self.error: Exception | None = None
        if isinstance(message, wire.Steps):
            self.rows = len(message.streams)
            self.width = len(message.X) // self.rows
        else:
            self.rows = 1
            self.width = len(message.x) if message.time is None else -1


class Backlog:
    """What waits to be sent, in order.

    Parameters
    ----------
    limit : int
        Bytes that a message may have.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending: deque[Pending] = deque()
        self._rows = self._bytes = 0

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._pending)

    @property
    def full(self) -> bool:
        """Whether as much waits as one message takes: another one like the last would not fit."""
        another = len(self._pending[-1].frame) if self._pending else 0
        return self._rows >= wire.MAX_STREAMS or self._bytes + another + _ENVELOPE > self._limit

    def append(self, pending: Pending) -> None:
        """Put one behind the others."""
        self._pending.append(pending)
        self._count([pending], 1)

    def take(self) -> list[Pending]:
        """Return all that waits; nothing does any more."""
        taken = list(self._pending)
        self._pending.clear()
        self._rows = self._bytes = 0
        return taken

    def put_back(self, pending: Sequence[Pending]) -> None:
        """Put before all others what was taken and not sent."""
        self._pending.extendleft(reversed(pending))
        self._count(pending, 1)

    def remove(self, pending: Pending) -> None:
        """Leave one out that was not taken yet."""
        if pending in self._pending:
            self._pending.remove(pending)
            self._count([pending], -1)

    def _count(self, pending: Iterable[Pending], sign: int) -> None:
        for each in pending:
            self._rows += sign * each.rows
            self._bytes += sign * len(each.frame)


def messages(pending: Sequence[Pending], limit: int) -> Iterator[tuple[bytes, list[Pending]]]:
    """Yield as few messages as hold all observations in their order, each with what it holds."""
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
            yield _joined(group), group
        if not fits:
            group, rows, size = [], 0, 0
        group.append(each)
        rows += each.rows
        size += len(each.frame)
    if group:
        yield _joined(group), group


def _joined(group: Sequence[Pending]) -> bytes:
    if len(group) == 1:
        return group[0].frame
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
    return wire.encode(wire.Steps(streams, seqs if any(seqs) else None, b"".join(vectors)))


def lost(endpoint: str, timeout: float, count: int, also: bool) -> WorkerTimeoutError:
    """Return the error for observations that waited in vain, ``also`` for that of this call."""
    further = "; neither is the one of this call" if also else ""
    return WorkerTimeoutError(
        f"{endpoint}: no worker took what waited within {timeout:g} s; observations that were not "
        f"sent: {count}{further}. {worker_check(endpoint, 'pull')}"
    )
