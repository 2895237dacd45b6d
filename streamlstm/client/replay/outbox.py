"""Numbered observations that may have to be sent again, stream by stream. No sockets here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from ... import wire
from ...engine.numbers import SPARSE

BATCH = 256  # observations of a message: as many as a worker steps as one block
_ENTRY_BYTES = 100  # about what an observation takes here besides its features
_HEAD = 300  # and in a message, at most


class Entry:
    """An unconfirmed observation.

    Attributes
    ----------
    stream, seq, x, time
        As in :class:`streamlstm.wire.Step`.
    message : int
        Number of the last message of the connection that contained it; 0 if none.
    tries : int
        How often it was sent; one that an earlier process may have sent counts as sent.
    applied : bool
        Whether the worker replied that it has applied it.
    delivered : bool
        Whether its prediction was delivered.
    single : bool
        Whether it must not share a message: with a time, or to be answered ``duplicate``.
    refused : bool
        Whether the worker will never apply it.
    source : object
        What it came from, if its number is from there too: a sparse one, which may come again.
        None if the publisher numbers it.
    """

    __slots__ = (
        "applied", "delivered", "message", "refused", "seq",
        "single", "source", "stream", "time", "tries", "x",
    )  # fmt: skip

    def __init__(self, step: wire.Step, tries: int = 0, source: object = None) -> None:
        self.stream, self.seq, self.x, self.time = step
        self.message, self.tries, self.source = 0, tries, source
        self.applied = self.delivered = self.refused = False
        self.single = step.time is not None and source is None

    @property
    def is_given(self) -> bool:
        """Whether its number came with it."""
        return self.seq >= SPARSE and self.source is not None

    @property
    def step(self) -> wire.Step:
        """Its own message."""
        return wire.Step(self.stream, self.seq, self.x, self.time)

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return wire.size_of(self.x) + _ENTRY_BYTES


class _StreamQueue:
    """The entries of a stream, in order; everything before ``next`` was sent.

    While it is ``held``, before its stream is claimed, nothing of it is sent or confirmed.
    """

    __slots__ = ("entries", "held", "next", "scheduled")

    def __init__(self, held: bool) -> None:
        self.entries: deque[Entry] = deque()
        self.next = 0
        self.scheduled, self.held = False, held


class Outbox:
    """The unconfirmed observations of all streams.

    Parameters
    ----------
    one_in_flight : bool
        Whether a stream may have only one observation in flight: a worker keeps the last
        prediction of a stream, so that none is lost with a reply that does not arrive.
    last_seqs, confirmed : dict, optional
        Shared with other outboxes of the publisher.

    Attributes
    ----------
    last_seqs : dict of stream to int
        The last number that is known of each stream, here or at the worker.
    confirmed : dict of stream to int
        The last number that the worker has confirmed of each stream whose numbers are given.
    wanted : dict with streams as keys
        Streams to be claimed, in this order; the values are None.
    full : bool or None
        Whether the worker needs numbers of full precision; None before it has said so.
    rows, size : int
        Number of unconfirmed observations, and their bytes.
    applied : int
        How many of them the worker has applied, and a barrier may confirm.
    """

    def __init__(
        self,
        one_in_flight: bool,
        last_seqs: dict[wire.StreamId, int] | None = None,
        confirmed: dict[wire.StreamId, int] | None = None,
    ) -> None:
        self._one_in_flight = one_in_flight
        self._queues: dict[wire.StreamId, _StreamQueue] = {}
        self._sendable: deque[_StreamQueue] = deque()
        self._confirmable: set[wire.StreamId] = set()  # of which something was applied
        self._ready: set[wire.StreamId] = set()  # claimed on the present connection
        self.wanted: dict[wire.StreamId, None] = {}
        self.last_seqs: dict[wire.StreamId, int] = {} if last_seqs is None else last_seqs
        self.confirmed: dict[wire.StreamId, int] = {} if confirmed is None else confirmed
        self._claimed_at = 0  # messages of the connection when a stream was claimed last
        self.full: bool | None = None
        self.rows = self.size = self.applied = 0

    def __iter__(self) -> Iterator[Entry]:
        """Yield all entries, each stream in its order."""
        for queue in self._queues.values():
            yield from queue.entries

    def is_ready(self, stream: wire.StreamId) -> bool:
        """Return whether a stream is claimed on the present connection."""
        return stream in self._ready

    def entries_of(self, stream: wire.StreamId) -> Sequence[Entry]:
        """Return the entries of a stream, in order."""
        queue = self._queues.get(stream)
        return () if queue is None else queue.entries

    def add(self, entry: Entry) -> None:
        """Add an observation that has the next number of its stream.

        One whose number was given may come again. The worker has it already, or will have it from
        before; only if it is the last that the worker has, its prediction may be missing.
        """
        last = self.last_seqs.get(entry.stream, 0)
        came_again = entry.is_given and entry.seq <= last
        self.last_seqs[entry.stream] = last if came_again else entry.seq
        queue = self._queues.get(entry.stream)
        if queue is None:
            queue = self._queues[entry.stream] = _StreamQueue(entry.stream not in self._ready)
            if queue.held:
                self.wanted[entry.stream] = None
        if came_again:
            entry.applied = entry.seq < last or any(each.seq == last for each in queue.entries)
            entry.single, entry.message = not entry.applied, self._claimed_at
            if entry.applied:
                self._confirmable.add(entry.stream)
        queue.entries.append(entry)
        self._count(entry, 1)
        self._schedule(queue)

    def _count(self, entry: Entry, sign: int) -> None:
        self.rows += sign
        self.size += sign * entry.size
        self.applied += sign * entry.applied

    def _schedule(self, queue: _StreamQueue) -> None:
        """Append a stream to those that have something to send, if it may send."""
        entries = queue.entries
        before = queue.next == 0 or entries[queue.next - 1].applied
        while before and queue.next < len(entries) and entries[queue.next].applied:
            queue.next += 1  # it came again
        is_idle = queue.next >= len(entries) or (self._one_in_flight and not before)
        if queue.scheduled or queue.held or is_idle:
            return
        queue.scheduled = True
        self._sendable.append(queue)

    def next_message(self, limit: int, rows: int) -> list[Entry]:
        """Return the entries of the next message, of at most ``limit`` bytes and ``rows``."""
        taken: list[Entry] = []
        size = _HEAD
        while self._sendable and len(taken) < rows:
            queue = self._sendable[0]
            if queue.next >= len(queue.entries):  # what it had was released since
                self._sendable.popleft()
                queue.scheduled = False
                continue
            entry = queue.entries[queue.next]
            width = wire.size_of(entry.x)
            size += width + _HEAD
            if taken and (entry.single or width != wire.size_of(taken[0].x) or size > limit):
                break
            self._sendable.popleft()
            queue.scheduled = False
            queue.next += 1
            taken.append(entry)
            self._schedule(queue)
            if entry.single:
                break
        return taken

    def mark_applied(self, entries: list[Entry]) -> None:
        """Record that the worker has applied these."""
        for entry in entries:
            if not entry.applied:
                entry.applied = True
                self.applied += 1
                self._confirmable.add(entry.stream)
            self._schedule(self._queues[entry.stream])

    def release(self, entry: Entry) -> None:
        """Record that one is applied whose prediction was held; it may be confirmed already."""
        queue = self._queues.get(entry.stream)
        if queue is not None and not queue.held and entry in queue.entries:
            self.mark_applied([entry])

    def confirm(self, message: int) -> list[Entry]:
        """Remove what was applied and sent up to this message; return it, in order by stream."""
        removed: list[Entry] = []
        for stream in list(self._confirmable):
            queue = self._queues[stream]
            entries = queue.entries
            while entries and entries[0].applied and entries[0].message <= message:
                entry = entries.popleft()
                self._count(entry, -1)
                queue.next = max(queue.next - 1, 0)
                removed.append(entry)
                if entry.is_given:
                    self.confirmed[stream] = max(entry.seq, self.confirmed.get(stream, 0))
            if not entries:
                del self._queues[stream]
            if not entries or not entries[0].applied:
                self._confirmable.discard(stream)
        return removed

    def suspend(self, everything: bool) -> None:
        """Hold all streams that have entries until they are claimed; nothing is in flight.

        ``everything``: hold what comes later of the others as well.
        """
        self._sendable.clear()
        self._confirmable.clear()
        self.applied = 0
        self._ready = set() if everything else self._ready.difference(self._queues)
        self.wanted = dict.fromkeys(self._queues)
        for queue in self._queues.values():
            queue.held, queue.scheduled = True, False

    @property
    def streams(self) -> list[wire.StreamId]:
        """The streams that have entries."""
        return list(self._queues)

    def give_away(self, stream: wire.StreamId) -> deque[Entry]:
        """Remove a stream of which nothing is in flight; return its entries."""
        queue = self._queues.pop(stream)
        if queue.scheduled:
            self._sendable.remove(queue)
        self._confirmable.discard(stream)
        self.wanted.pop(stream, None)
        for entry in queue.entries:
            if queue.held:  # it was not counted as applied since
                entry.applied = False
            self._count(entry, -1)
            entry.applied = False
        return queue.entries

    def take_over(self, stream: wire.StreamId, entries: deque[Entry]) -> None:
        """Add a stream that another outbox has given away; it has to be claimed."""
        self._ready.discard(stream)
        queue = self._queues[stream] = _StreamQueue(held=True)
        queue.entries = entries
        for entry in entries:
            self._count(entry, 1)
        self.wanted[stream] = None

    def resume(self, stream: wire.StreamId, worker_seq: int, message: int = 0) -> None:
        """Continue a stream that is claimed after the last number of the worker.

        What is applied already counts as sent with the number ``message``: a barrier before that
        may know nothing of a stream that came from another worker.
        """
        self._ready.add(stream)
        self._claimed_at = message
        self.last_seqs[stream] = worker_seq
        queue = self._queues.get(stream)
        if queue is None:
            return
        queue.held = False
        self._resume_entries(queue, worker_seq, message)
        if not queue.entries:
            del self._queues[stream]
            return
        self.last_seqs[stream] = max(worker_seq, max(entry.seq for entry in queue.entries))
        if queue.next:
            self._confirmable.add(stream)
        self._schedule(queue)

    def _resume_entries(self, queue: _StreamQueue, worker_seq: int, message: int) -> None:
        """Continue after a number; refused entries are removed, the numbers of others close up."""
        for entry in [entry for entry in queue.entries if entry.refused]:
            queue.entries.remove(entry)
            self._count(entry, -1)
        seq, queue.next = worker_seq, 0
        for n, entry in enumerate(queue.entries):
            done = entry.seq <= worker_seq
            again = self._one_in_flight and entry.seq == worker_seq and not entry.delivered
            entry.applied, entry.message = done and not again, message
            self.applied += entry.applied
            entry.single = again or (entry.time is not None and entry.source is None)
            queue.next += entry.applied and queue.next == n
            if not done and not entry.is_given:
                seq += 1
                entry.seq = seq


def message_of(entries: Sequence[Entry]) -> wire.Step | wire.Steps:
    """Return the message that sends these observations."""
    if len(entries) == 1:
        return entries[0].step
    X = wire.join_vectors(entry.x for entry in entries)
    streams, seqs = [entry.stream for entry in entries], [entry.seq for entry in entries]
    times = [entry.time for entry in entries]
    return wire.Steps(streams, seqs, X, None if all(t is None for t in times) else times)
