"""The protocol of a replaying publisher: what it sends next, and what a reply means.

There are three phases. On a new connection, and whenever anything went wrong, it is HALTED: it
sends nothing until every request has its reply. Then it requests the last numbers of the streams
(SYNCING), continues every stream after the worker's number, and is RUNNING.
"""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, TypeAlias

from ... import wire
from ...engine.validation import Float32Array
from ...errors import StreamLSTMError
from ..requests import id_chunks
from .connection import ConnectionBrokenError, ReplayConnection
from .failures import fed_elsewhere, left_out, not_applied, refused
from .journal import Journal
from .outbox import BATCH, Entry, Outbox

_WINDOW = 16  # requests in flight
_BARRIER_SECONDS = 0.05  # between two barriers
_LARGER_AFTER = 1_000  # messages that fit until they may be twice as large again
_INVALID = frozenset(("bad-frame", "bad-shape", "bad-value", "too-large"))

_Phase = Enum("_Phase", ["HALTED", "SYNCING", "RUNNING"])


class Delivery(NamedTuple):
    """A prediction for ``on_prediction``; ``y`` is float32[O]."""

    stream: wire.StreamId
    seq: int
    y: Float32Array


Deliver: TypeAlias = Callable[[list[Delivery]], None]


class _Barrier(NamedTuple):
    """A barrier, and how many messages and observations were sent before it."""

    message: int
    rows: int


class _LastSeqs(NamedTuple):
    """Request of the last numbers of streams: new ones, or all that have observations here."""

    streams: list[wire.StreamId]
    new: bool


Request: TypeAlias = list[Entry] | _Barrier | _LastSeqs


class ReplayProtocol:
    """Sends the outbox over one connection after another. Used by the sending thread.

    Parameters
    ----------
    outbox : Outbox
    journal : Journal or None
    changed : threading.Condition
        Its lock guards the outbox, the journal and the attributes below.
    deliver : callable or None
        Gets the predictions of a message.
    limit : int
        Maximum bytes of a message.
    leave_out : bool
        Whether what the worker refuses is left out; else it stops the publisher.

    Attributes
    ----------
    unknown : set
        New streams; their numbers are requested and come to ``outbox.last_seqs``.
    hurry : bool
        Whether to request confirmation as soon as there is anything to confirm.
    left_out : list of str
        Messages for observations that were left out.
    replayed : int
        Observations that were sent again.
    blocked : bool
        Whether the connection takes no message at the moment.
    """

    def __init__(
        self,
        outbox: Outbox,
        journal: Journal | None,
        changed: threading.Condition,
        deliver: Deliver | None,
        limit: int,
        leave_out: bool,
    ) -> None:
        self._outbox, self._journal, self._changed = outbox, journal, changed
        self._deliver, self._limit, self._leaves_out = deliver, limit, leave_out
        self.unknown: set[wire.StreamId] = set()
        self.hurry = False
        self.left_out: list[str] = []
        self.replayed = 0
        self._is_first = True  # nothing was sent yet
        self._batch, self._fitted = BATCH, 0  # observations of a message; messages since it shrank

    def begin(self, connection: ReplayConnection[Request]) -> None:
        """Start over on a new connection."""
        self._connection = connection
        self._phase, self._not_before = _Phase.HALTED, 0.0
        self._worker_seqs: dict[wire.StreamId, int] = {}
        self._requested: set[wire.StreamId] = set()  # of the unknown
        self._barrier_in_flight, self._last_barrier = False, 0.0
        self.blocked = False

    def next_moment(self) -> float:
        """Return when there is something to do without a reply or a call, in monotonic seconds."""
        if self.blocked:
            return float("inf")
        if self._phase is _Phase.HALTED and not self._connection.in_flight:
            return max(self._not_before, clock.monotonic())
        may_send = self._phase is _Phase.RUNNING and len(self._connection.in_flight) < _WINDOW
        if may_send and self._outbox.applied and not self._barrier_in_flight:
            return self._last_barrier + _BARRIER_SECONDS
        return float("inf")

    def _halt(self, seconds: float = 0.0) -> None:
        self._phase, self._not_before = _Phase.HALTED, clock.monotonic() + seconds

    # --- requests ---

    def send(self) -> bool:
        """Send everything that may be sent; return whether anything was."""
        before = self._connection.messages
        self.blocked = False
        if self._phase is _Phase.HALTED:
            return self._synchronize()
        while self._phase is _Phase.RUNNING and len(self._connection.in_flight) < _WINDOW:
            if not self._connection.can_send():
                self.blocked = True
                break
            if not (self._send_barrier() or self._request_unknown() or self._send_observations()):
                break
        return self._connection.messages > before

    def _synchronize(self) -> bool:
        if self._connection.in_flight or clock.monotonic() < self._not_before:
            return False
        if not self._connection.can_send():
            self.blocked = True
            return False
        with self._changed:
            streams = list(self._outbox.last_seqs) if self._is_first else self._outbox.streams()
        self._worker_seqs = {}
        self._phase = _Phase.SYNCING
        self._request_last_seqs(streams, new=False)
        if not streams:
            self._resume()
        return True

    def _request_unknown(self) -> bool:
        with self._changed:
            streams = [stream for stream in self.unknown if stream not in self._requested]
        self._requested.update(streams)
        self._request_last_seqs(streams, new=True)
        return bool(streams)

    def _request_last_seqs(self, streams: list[wire.StreamId], new: bool) -> None:
        for ids in id_chunks(streams):
            self._connection.send(wire.encode(wire.Last(ids)), _LastSeqs(ids, new))

    def _send_observations(self) -> bool:
        with self._changed:
            entries = self._outbox.next_message(self._limit, self._batch)
        if not entries:
            return False
        if self._journal is not None:
            self._journal.sync()
        for entry in entries:
            entry.message = self._connection.messages + 1
            self.replayed += entry.tries > 0
            entry.tries += 1
        self._connection.send(wire.encode(_message(entries)), entries, len(entries))
        return True

    def _send_barrier(self) -> bool:
        now = clock.monotonic()
        is_due = self.hurry or now >= self._last_barrier + _BARRIER_SECONDS
        if self._barrier_in_flight or not is_due or not self._outbox.applied:
            return False
        barrier = _Barrier(self._connection.messages, self._connection.rows)
        self._connection.send(wire.encode(wire.Barrier(*barrier)), barrier)
        self._barrier_in_flight, self._last_barrier = True, now
        return True

    # --- replies ---

    def handle(self, request: Request, reply: wire.Reply) -> None:
        """Process a reply.

        Raises
        ------
        ConnectionBrokenError
            If something was lost with the connection.
        StreamLSTMError
            If the publisher cannot continue.
        """
        if isinstance(reply, wire.Error):
            self._handle_error(request, reply)
        elif isinstance(request, _LastSeqs) and isinstance(reply, wire.Done):
            self._handle_last_seqs(request, dict(zip(request.streams, reply.value, strict=True)))
        elif isinstance(request, _Barrier) and isinstance(reply, wire.Done):
            self._handle_barrier(request, int(reply.value[1]))
        elif isinstance(request, list) and isinstance(reply, wire.Prediction):
            self._handle_predictions(request, reply.values[None])
        elif isinstance(request, list) and isinstance(reply, wire.Predictions):
            self._handle_predictions(request, reply.values)
        else:
            raise StreamLSTMError(f"expected the reply to a request, got {type(reply).__name__}")

    def _handle_last_seqs(self, request: _LastSeqs, last_seqs: dict[wire.StreamId, int]) -> None:
        if request.new:
            with self._changed:
                for stream, seq in last_seqs.items():
                    self._outbox.last_seqs.setdefault(stream, seq)
                self.unknown.difference_update(request.streams)
                self._requested.difference_update(request.streams)
                self._changed.notify_all()
            return
        self._worker_seqs |= last_seqs
        if self._phase is _Phase.SYNCING and not self._connection.in_flight:
            self._resume()

    def _resume(self) -> None:
        with self._changed:
            rows = self._outbox.rows
            self._outbox.resume(self._worker_seqs, self._is_first)
            if self._journal is not None and self._outbox.rows < rows:  # numbers have changed
                self._compact(self._journal)
            self._is_first, self._phase = False, _Phase.RUNNING
            self._changed.notify_all()

    def _handle_barrier(self, barrier: _Barrier, received: int) -> None:
        self._barrier_in_flight = False
        if received != barrier.rows:
            raise ConnectionBrokenError  # ZeroMQ has reconnected by itself, and something was lost
        with self._changed:
            ends = self._outbox.confirm(barrier.message)
            if self._journal is not None and ends:
                self._journal.confirm(ends)
                if self._journal.needs_compaction:
                    self._compact(self._journal)
            self.hurry = self.hurry and self._outbox.rows > 0
            self._changed.notify_all()

    def _compact(self, journal: Journal) -> None:
        journal.compact(self._outbox.last_seqs, (entry.step for entry in self._outbox))

    def _handle_predictions(self, entries: list[Entry], Y: Float32Array) -> None:
        self._fitted += 1
        if self._fitted >= _LARGER_AFTER:
            self._batch, self._fitted = min(2 * self._batch, BATCH), 0
        if self._deliver is not None:
            pairs = zip(entries, Y, strict=True)
            deliveries = [Delivery(e.stream, e.seq, y) for e, y in pairs if not e.delivered]
            if deliveries:
                self._deliver(deliveries)
        for entry in entries:
            entry.delivered = True
        with self._changed:
            self._outbox.mark_applied(entries)

    def _handle_error(self, request: Request, error: wire.Error) -> None:
        if error.code == "busy":
            if isinstance(request, list):
                self._connection.rows -= len(request)
            self._barrier_in_flight = self._barrier_in_flight and not isinstance(request, _Barrier)
            self._requested.clear()
            self._halt((error.wait or 10) / 1000)
        elif not isinstance(request, list):
            raise StreamLSTMError(f"the worker refused {type(request).__name__}: {error.message}")
        elif error.code == "duplicate" and len(request) == 1:
            self._handle_duplicate(request, error)
        elif error.code in ("gap", "duplicate"):
            self._halt()
        elif error.code == "capacity" and len(request) > 1:
            # It names more streams than the worker has slots for: send it again in halves.
            self._batch, self._fitted = min(self._batch, len(request) // 2), 0
            self._halt()
        elif error.code in _INVALID and self._leaves_out:
            self._leave_out(request, error)
        else:
            raise _stop_error(request[0], error)

    def _handle_duplicate(self, request: list[Entry], error: wire.Error) -> None:
        entry = request[0]
        if entry.tries == 1:
            raise fed_elsewhere(entry.stream, error.last_seq or entry.seq, entry.seq - 1)
        if error.y is not None:
            self._handle_predictions(request, wire.from_floats(error.y)[None])
            return
        with self._changed:
            self._outbox.mark_applied(request)

    def _leave_out(self, request: list[Entry], error: wire.Error) -> None:
        """Leave out what the worker will never apply; the stream's next entry gets its number."""
        named = [e for e in request if (e.stream, e.seq) == (error.stream, error.seq)]
        with self._changed:
            for entry in named or request:
                entry.refused = True
                self.left_out.append(left_out(entry.stream, error))
        self._halt()


def _message(entries: list[Entry]) -> wire.Step | wire.Steps:
    if len(entries) == 1:
        return entries[0].step
    X = b"".join(entry.x for entry in entries)
    return wire.Steps([entry.stream for entry in entries], [entry.seq for entry in entries], X)


def _stop_error(first: Entry, error: wire.Error) -> StreamLSTMError:
    stream, seq = error.stream, error.seq
    if stream is None or seq is None:  # an error of the whole message: name its first observation
        stream, seq = first.stream, first.seq
    return (refused if error.code in _INVALID else not_applied)(stream, seq, error)
