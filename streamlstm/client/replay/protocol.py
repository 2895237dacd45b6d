"""The protocol of a replaying publisher: what it sends next, and what a reply means.

On a new connection, and whenever anything went wrong, it is halted: it sends nothing until every
request has its reply. Then it claims its streams again (claims.py), and continues each after the
worker's number.
"""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from ... import wire
from ...errors import RemoteError, StreamLSTMError
from .claims import Claims
from .connection import ConnectionBrokenError, ReplayConnection
from .failures import (
    fed_elsewhere,
    left_out,
    not_applied,
    not_claimed,
    old_worker,
    refused,
)
from .journal import Journal
from .outbox import BATCH, Entry, Outbox, message_of
from .replies import received_of, standings_of

_WINDOW = 16  # requests in flight
_LARGER_AFTER = 1_000  # messages that fit until they may be twice as large again
_INVALID = frozenset(("bad-frame", "bad-shape", "bad-value", "precision", "too-large"))


class Delivery(NamedTuple):
    """A prediction for ``on_prediction``; ``y`` is float32[O], float64 with offsets."""

    stream: wire.StreamId
    seq: int
    y: NDArray[Any]


OnMoved: TypeAlias = Callable[[wire.Error], float]


class Callbacks(NamedTuple):
    """What a publisher is told, in the sending thread and without its lock.

    Attributes
    ----------
    deliver : callable or None
        Gets the entries of a message, their outputs[B, O] and the map of the reply.
    confirmed : callable or None
        Gets entries that the worker has committed, in the order of each stream.
    refused : callable or None
        Gets an entry that the worker will never apply, and why; if None, the next call raises that.
    barrier_seconds : float
        Least time between two barriers.
    holds : bool
        Whether what was delivered counts as applied only when the publisher says so: until then
        nothing more of its stream is sent.
    """

    deliver: Callable[[list[Entry], NDArray[Any], dict[str, Any] | None], None] | None = None
    confirmed: Callable[[list[Entry]], None] | None = None
    refused: Callable[[Entry, RemoteError], None] | None = None
    barrier_seconds: float = 0.05
    holds: bool = False


class _Barrier(NamedTuple):
    """A barrier, and how many messages and observations were sent before it."""

    message: int
    rows: int


Request: TypeAlias = list[Entry] | _Barrier | wire.Claim


class ReplayProtocol:
    """Sends the outbox over one connection after another. Used by the sending thread.

    Parameters
    ----------
    outbox : Outbox
    claims : Claims
    journal : Journal or None
    changed : threading.Condition
        Its lock guards outbox, claims, journal and the attributes below.
    callbacks : Callbacks
    limit : int
        Maximum bytes of a message.
    leave_out : bool
        Whether what the worker refuses is left out; else it stops the publisher.
    on_moved : callable, optional
        Of a fleet: told a refusal that says who has a stream; returns for how long to send nothing.

    Attributes
    ----------
    hurry : bool
        Whether to request confirmation as soon as there is anything to confirm.
    left_out : list of RemoteError
        Of observations that were left out, not yet raised.
    replayed : int
        Observations that were sent again.
    blocked : bool
        Whether the connection takes no message at the moment.
    """

    def __init__(
        self,
        outbox: Outbox,
        claims: Claims,
        journal: Journal | None,
        changed: threading.Condition,
        callbacks: Callbacks,
        limit: int,
        leave_out: bool,
        on_moved: OnMoved | None = None,
    ) -> None:
        self._outbox, self._claims, self._on_moved = outbox, claims, on_moved
        self._everything: Iterable[Entry] = outbox
        self._journal, self._changed = journal, changed
        self._callbacks, self._limit, self._leaves_out = callbacks, limit, leave_out
        self._halted = True
        self.hurry = self.blocked = False
        self.left_out: list[RemoteError] = []
        self.replayed = 0
        self._batch, self._fitted = BATCH, 0  # observations of a message; messages since it shrank

    def share(self, everything: Iterable[Entry], left_out: list[RemoteError]) -> None:
        """Share a journal with the protocols of other workers, and what is left out."""
        self._everything, self.left_out = everything, left_out

    @property
    def is_halted(self) -> bool:
        """Whether nothing is in flight, and nothing is sent before streams are claimed again."""
        return self._halted and not self._connection.in_flight

    @property
    def is_cut(self) -> bool:
        """Whether the connection takes no message any more, after it was there."""
        return self.blocked and not self._halted

    def begin(self, connection: ReplayConnection[Request]) -> None:
        """Start over on a new connection."""
        self._connection = connection
        self._halted, self._not_before, self._is_new = True, 0.0, True
        self._barrier_in_flight, self._last_barrier = False, 0.0
        self.blocked = False

    def next_moment(self) -> float:
        """Return when there is something to do without a reply or a call, in monotonic seconds."""
        if self.blocked:
            return float("inf")
        if self._halted and not self._connection.in_flight:
            return max(self._not_before, clock.monotonic())
        may_send = not self._halted and len(self._connection.in_flight) < _WINDOW
        if may_send and self._outbox.applied and not self._barrier_in_flight:
            return self._last_barrier + self._callbacks.barrier_seconds
        return float("inf")

    def _halt(self, seconds: float = 0.0) -> None:
        self._halted, self._not_before = True, clock.monotonic() + seconds

    # --- requests ---

    def send(self) -> bool:
        """Send everything that may be sent; return whether anything was."""
        before = self._connection.messages
        self.blocked = False
        if self._halted and not self._restart():
            return False
        while len(self._connection.in_flight) < _WINDOW:
            if not self._connection.can_send():
                self.blocked = True
                break
            if not (self._send_barrier() or self._send_claim() or self._send_observations()):
                break
        return self._connection.messages > before

    def _restart(self) -> bool:
        """Continue after a halt, if every request has its reply and it is time."""
        if self._connection.in_flight or clock.monotonic() < self._not_before:
            return False
        if not self._connection.can_send():
            self.blocked = True
            return False
        with self._changed:
            self._claims.restart(everything=self._is_new)
        self._halted = self._is_new = False
        return True

    def _send_claim(self) -> bool:
        with self._changed:
            claim = self._claims.next()
        if claim is None:
            return False
        if self._journal is not None:
            self._journal.sync()  # the next publisher has to know of this one
        self._connection.send(wire.encode(claim), claim)
        return True

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
        self._connection.send(wire.encode(message_of(entries)), entries, len(entries))
        return True

    def _send_barrier(self) -> bool:
        now = clock.monotonic()
        is_due = self.hurry or now >= self._last_barrier + self._callbacks.barrier_seconds
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
        elif isinstance(request, wire.Claim) and isinstance(reply, wire.Done):
            self._handle_claim(request, standings_of(reply.value, len(request.streams)), reply.full)
        elif isinstance(request, _Barrier) and isinstance(reply, wire.Done):
            self._handle_barrier(request, received_of(reply.value))
        elif isinstance(request, list) and isinstance(reply, wire.Prediction):
            self._handle_predictions(request, reply.values[None], reply.extra)
        elif isinstance(request, list) and isinstance(reply, wire.Predictions):
            self._handle_predictions(request, reply.values, reply.extra)
        else:
            raise StreamLSTMError(f"expected the reply to a request, got {type(reply).__name__}")

    def _handle_claim(
        self, claim: wire.Claim, standings: list[tuple[int, int]], full: bool
    ) -> None:
        with self._changed:
            rows, self._outbox.full = self._outbox.rows, full
            self._claims.handle(claim, standings, self._connection.messages)
            if self._journal is not None and self._outbox.rows < rows:  # numbers have changed
                self._compact(self._journal)
            self._changed.notify_all()

    def _handle_barrier(self, barrier: _Barrier, received: int) -> None:
        self._barrier_in_flight = False
        # What a claim has found is not counted; what came too early is, by a worker of a fleet.
        is_other = self._connection.is_another or received < barrier.rows
        if is_other or (received > barrier.rows and self._on_moved is None):
            raise ConnectionBrokenError  # ZeroMQ has reconnected by itself, and something was lost
        with self._changed:
            confirmed = self._outbox.confirm(barrier.message)
            ends = list({entry.stream: entry.seq for entry in confirmed}.items())
            self._claims.confirm(ends)
            if self._journal is not None and ends:
                self._journal.confirm(ends)
                if self._journal.needs_compaction:
                    self._compact(self._journal)
            self.hurry = self.hurry and self._outbox.rows > 0
            self._changed.notify_all()
        if confirmed and self._callbacks.confirmed is not None:
            self._callbacks.confirmed(confirmed)

    def _compact(self, journal: Journal) -> None:
        journal.compact(self._outbox.last_seqs, (entry.step for entry in self._everything))

    def _handle_predictions(
        self, entries: list[Entry], Y: NDArray[Any], extra: dict[str, Any] | None
    ) -> None:
        self._fitted += 1
        if self._fitted >= _LARGER_AFTER:
            self._batch, self._fitted = min(2 * self._batch, BATCH), 0
        if self._callbacks.deliver is not None:
            self._callbacks.deliver(entries, Y, extra)
        if self._callbacks.holds:  # but for what was delivered before, and nobody will release
            entries = [entry for entry in entries if entry.delivered]
        for entry in entries:
            entry.delivered = True
        with self._changed:
            self._outbox.mark_applied(entries)

    def _handle_error(self, request: Request, error: wire.Error) -> None:
        is_damaged = error.code == "busy" and error.wait is None
        if isinstance(request, wire.Claim) and is_damaged and error.stream is not None:
            raise not_claimed(error.stream, error)  # its record is damaged: to wait is no use
        if error.code == "busy":
            if isinstance(request, list):
                self._connection.rows -= len(request)
            self._barrier_in_flight = self._barrier_in_flight and not isinstance(request, _Barrier)
            self._halt((error.wait or 10) / 1000)
        elif error.code == "moved" and self._on_moved is not None:
            with self._changed:
                self._halt(self._on_moved(error))
        elif isinstance(request, wire.Claim):
            self._handle_unclaimed(request, error)
        elif not isinstance(request, list):
            raise StreamLSTMError(f"the worker refused a barrier ({error.code}: {error.message})")
        elif error.code == "duplicate" and len(request) == 1:
            self._handle_duplicate(request, error)
        elif error.code in ("gap", "duplicate", "fenced"):
            self._halt()  # the claim that follows finds out why
        elif error.code == "capacity" and len(request) > 1:
            # It names more streams than the worker has slots for: send it again in halves.
            self._batch, self._fitted = min(self._batch, len(request) // 2), 0
            self._halt()
        elif error.code in _INVALID and self._leaves_out:
            self._leave_out(request, error)
        else:
            raise _stop_error(request[0], error)

    def _handle_unclaimed(self, claim: wire.Claim, error: wire.Error) -> None:
        if error.code == "unknown-kind":
            raise old_worker(self._connection.endpoint)
        if error.code != "capacity" or len(claim.streams) == 1:
            raise not_claimed(claim.streams[0], error)
        with self._changed:
            self._claims.divide(claim)

    def _handle_duplicate(self, request: list[Entry], error: wire.Error) -> None:
        entry = request[0]
        if entry.tries == 1 and not entry.is_given:
            with self._changed:
                entries = list(self._outbox.entries_of(entry.stream))
            raise fed_elsewhere(entry.stream, error.last_seq or entry.seq, entries)
        if error.y is not None:
            self._handle_predictions(request, wire.from_vector(error.y)[None], error.extra)
            return
        with self._changed:
            self._outbox.mark_applied(request)

    def _leave_out(self, request: list[Entry], error: wire.Error) -> None:
        """Leave out what the worker will never apply; the stream's next entry gets its number."""
        named = [e for e in request if (e.stream, e.seq) == (error.stream, error.seq)]
        for entry in named or request:
            with self._changed:
                entry.refused = True
                if self._callbacks.refused is None:
                    self.left_out.append(left_out(entry.stream, error))
            if self._callbacks.refused is not None:
                self._callbacks.refused(entry, left_out(entry.stream, error))
        self._halt()


def _stop_error(first: Entry, error: wire.Error) -> RemoteError:
    stream, seq = error.stream, error.seq
    if stream is None or seq is None:  # an error of the whole message: name its first observation
        stream, seq = first.stream, first.seq
    return (refused if error.code in _INVALID else not_applied)(stream, seq, error)
