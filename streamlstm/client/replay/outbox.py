"""Numbered observations that may have to be sent again, stream by stream. No sockets here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from ... import wire
from ...errors import StreamLSTMError

BATCH = 256  # observations of a message: as many as a worker steps as one block
_BESIDE = 100  # bytes that an observation takes here besides its features, about
_HEAD = 300  # and in a message, at most


class Entry:
    """An observation that is kept.

    Attributes
    ----------
    stream, seq, x, time
        As in :class:`streamlstm.wire.Step`.
    sent : int
        The message of the connection that it went with last; 0 if with none.
    tries : int
        How often it was sent; one that was sent by a process before this one counts as sent.
    applied : bool
        Whether the worker said that it has applied it.
    told : bool
        Whether its prediction was delivered.
    alone : bool
        Whether it must not share a message: with a time, or to be answered ``duplicate``.
    refused : bool
        Whether the worker will never apply it.
    """

    __slots__ = (
        "alone",
        "applied",
        "refused",
        "sent",
        "seq",
        "stream",
        "time",
        "told",
        "tries",
        "x",
    )

    def __init__(self, step: wire.Step, tries: int = 0) -> None:
        self.stream, self.seq, self.x, self.time = step
        self.sent, self.tries = 0, tries
        self.applied = self.told = self.refused = False
        self.alone = step.time is not None

    @property
    def step(self) -> wire.Step:
        """The message that it is by itself."""
        return wire.Step(self.stream, self.seq, self.x, self.time)

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self.x) + _BESIDE


class _Lane:
    """What is kept of a stream, in order; everything before ``next`` was sent."""

    __slots__ = ("entries", "next", "queued")

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.next = 0
        self.queued = False


class Kept:
    """What is kept of all streams.

    Parameters
    ----------
    one_each : bool
        Whether a stream may have one observation under way only: a worker knows the last
        prediction of a stream, so that none is lost with an answer that does not arrive.

    Attributes
    ----------
    given : dict of stream to int
        The last number that was given to an observation of each stream.
    rows, size : int
        Observations that are kept, and their bytes.
    applied : int
        How many of them the worker has applied.
    """

    def __init__(self, one_each: bool) -> None:
        self._one_each = one_each
        self._lanes: dict[wire.StreamId, _Lane] = {}
        self._queue: deque[_Lane] = deque()
        self._settled: set[wire.StreamId] = set()  # of which something was applied
        self.given: dict[wire.StreamId, int] = {}
        self.rows = self.size = self.applied = 0

    def __iter__(self) -> Iterator[Entry]:
        """Yield all that is kept, each stream in its order."""
        for lane in self._lanes.values():
            yield from lane.entries

    def streams(self) -> list[wire.StreamId]:
        """Return the streams of which something is kept."""
        return list(self._lanes)

    def add(self, entry: Entry) -> None:
        """Keep an observation that has the next number of its stream."""
        self.given[entry.stream] = entry.seq
        lane = self._lanes.setdefault(entry.stream, _Lane())
        lane.entries.append(entry)
        self._count(entry, 1)
        self._line_up(lane)

    def _count(self, entry: Entry, sign: int) -> None:
        self.rows += sign
        self.size += sign * entry.size
        self.applied += sign * entry.applied

    def _line_up(self, lane: _Lane) -> None:
        """Put a stream at the end of those that have something to send, if it may."""
        before = lane.next == 0 or lane.entries[lane.next - 1].applied
        if lane.queued or lane.next >= len(lane.entries) or (self._one_each and not before):
            return
        lane.queued = True
        self._queue.append(lane)

    def take(self, limit: int, rows: int) -> list[Entry]:
        """Return what goes into the next message, of at most so many bytes and observations."""
        taken: list[Entry] = []
        size = _HEAD
        while self._queue and len(taken) < rows:
            lane = self._queue[0]
            entry = lane.entries[lane.next]
            size += len(entry.x) + _HEAD
            if taken and (entry.alone or len(entry.x) != len(taken[0].x) or size > limit):
                break
            self._queue.popleft()
            lane.queued = False
            lane.next += 1
            taken.append(entry)
            self._line_up(lane)
            if entry.alone:
                break
        return taken

    def answered(self, entries: list[Entry]) -> None:
        """Note that these were applied."""
        for entry in entries:
            if not entry.applied:
                entry.applied = True
                self.applied += 1
                self._settled.add(entry.stream)
            self._line_up(self._lanes[entry.stream])

    def confirm(self, message: int) -> list[tuple[wire.StreamId, int]]:
        """Let go of what was applied and sent with this message or before; return up to where."""
        ends: list[tuple[wire.StreamId, int]] = []
        for stream in list(self._settled):
            lane = self._lanes[stream]
            entries, end = lane.entries, 0
            while entries and entries[0].applied and entries[0].sent <= message:
                entry = entries.popleft()
                self._count(entry, -1)
                lane.next -= 1
                end = entry.seq
            if end:
                ends.append((stream, end))
            if not entries:
                del self._lanes[stream]
            if not entries or not entries[0].applied:
                self._settled.discard(stream)
        return ends

    def stand(self, last: Mapping[wire.StreamId, int], first: bool) -> None:
        """Begin anew after the worker's last numbers; nothing is under way.

        Parameters
        ----------
        last : dict of stream to int
        first : bool
            Whether nothing was sent before by this process: then the worker may be further than
            what is known here.

        Raises
        ------
        StreamLSTMError
            If a stream cannot go on from there.
        """
        for stream, number in last.items():
            lane = self._lanes.get(stream)
            given = self.given.setdefault(stream, number)
            oldest = lane.entries[0].seq if lane else given + 1
            if number < oldest - 1:
                raise _lost(stream, number, oldest)
            if number > given and not first:
                raise shared(stream, number, given)
            if lane:
                self._place(lane, number)
                self._settled.discard(stream)
                if lane.next:
                    self._settled.add(stream)
            self.given[stream] = max(number, lane.entries[-1].seq if lane and lane.entries else 0)
            if lane and not lane.entries:
                del self._lanes[stream]
        self._queue.clear()
        for lane in self._lanes.values():
            lane.queued = False
            self._line_up(lane)

    def _place(self, lane: _Lane, number: int) -> None:
        """Let a stream go on behind ``number``; what was refused goes, the others close up."""
        for entry in [entry for entry in lane.entries if entry.refused]:
            lane.entries.remove(entry)
            self._count(entry, -1)
        seq, lane.next = number, 0
        for entry in lane.entries:
            done = entry.seq <= number
            again = self._one_each and entry.seq == number and not entry.told
            self.applied += (done and not again) - entry.applied
            entry.applied, entry.sent = done and not again, 0
            entry.alone = again or entry.time is not None
            lane.next += entry.applied
            if not done:
                seq += 1
                entry.seq = seq


def _lost(stream: wire.StreamId, number: int, oldest: int) -> StreamLSTMError:
    return StreamLSTMError(
        f"stream {stream!r}: the worker stands at {number}, and the oldest observation that is "
        f"kept here is number {oldest}: expected it to stand at {oldest - 1} at least, since it "
        "has confirmed all before. It has lost state (was it started again without its store?). "
        f"Give it back the state, or feed it observations {number + 1} to {oldest - 1} from "
        "elsewhere; or begin anew, with the stream forgotten and another journal"
    )


def shared(stream: wire.StreamId, number: int, given: int) -> StreamLSTMError:
    """Return the error for a stream that somebody else feeds."""
    return StreamLSTMError(
        f"stream {stream!r}: expected the worker to stand at {given} at most, the last number "
        f"given here, it stands at {number}: somebody else feeds this stream. Let each one have "
        "one publisher"
    )
