"""The thread of a ReplayingPublisher: it sends what is kept, and again what was not applied.

There are three stages. After a connection was made, or anything went wrong, it is HALTED: it sends
nothing until every question has its answer. Then it asks where the streams stand (ASKING), puts
every stream where the worker is, and is RUNNING. A question without an answer ends the connection.
"""

from __future__ import annotations

import os
import threading
import time as clock
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import NamedTuple, TypeAlias

import zmq

from ... import wire
from ...errors import EndpointError, StreamLSTMError
from ..connection import Float32Array, parts
from ..keys import Credentials
from .connection import BrokenLinkError, Link
from .journal import Journal
from .outbox import BATCH, Entry, Kept, shared

_WINDOW = 16  # questions under way
_BARRIER_SECONDS = 0.05  # between two barriers
_LONGEST = 60.0  # seconds of one wait
_LARGER_AFTER = 1_000  # messages that fit until they are twice as large again
_REFUSED = frozenset(("bad-frame", "bad-shape", "bad-value", "too-large"))

_Stage = Enum("_Stage", ["HALTED", "ASKING", "RUNNING"])


class Told(NamedTuple):
    """A prediction that is to be delivered; ``y`` is float32[O]."""

    stream: wire.StreamId
    seq: int
    y: Float32Array


Deliver: TypeAlias = Callable[[list[Told]], None]
Find: TypeAlias = Callable[[], str]


class _Barrier(NamedTuple):
    """A barrier behind so many messages, with so many observations."""

    message: int
    rows: int


class _Stand(NamedTuple):
    """Where streams stand; those that are new here, or all that something is kept of."""

    streams: list[wire.StreamId]
    new: bool


_Asked: TypeAlias = list[Entry] | _Barrier | _Stand


class Replay:
    """Owns the connection; shares what is kept with the threads that send.

    Parameters
    ----------
    context : zmq.Context
    router : str or callable
        The worker's endpoint, or what tells it; that is asked again while there is no connection.
    kept : Kept
    journal : Journal or None
    changed : threading.Condition
        Its lock guards ``kept``, the journal and every method here but :meth:`close`.
    deliver : callable or None
        Gets the predictions of a message.
    retry : float
        Seconds to wait for an answer.
    limit : int
        Bytes that a message may have.
    keys : Credentials, optional
        For a worker that has a key.
    leave_out : bool
        Whether what the worker refuses is left out; else it ends the publisher.

    Attributes
    ----------
    wanted : set
        New streams; their numbers come to ``kept.given``.
    replayed : int
        Observations that were sent again.
    endpoint : str
        Where the worker is.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        router: str | Find,
        kept: Kept,
        journal: Journal | None,
        changed: threading.Condition,
        deliver: Deliver | None,
        retry: float,
        limit: int,
        keys: Credentials | None = None,
        leave_out: bool = True,
    ) -> None:
        self._left_out = leave_out
        self._find = None if isinstance(router, str) else router
        self.endpoint = router if isinstance(router, str) else router()
        self._context, self._retry, self._keys = context, retry, keys
        self._link = self._connected()
        self._find_again = 0.0
        self._kept, self._journal, self._changed = kept, journal, changed
        self._deliver, self._limit = deliver, limit
        self.wanted: set[wire.StreamId] = set()
        self.replayed = 0
        self._failed: BaseException | None = None
        self._refused: list[str] = []
        self._closing = self._hurry = False
        self._first = True  # nothing was sent yet
        self._batch, self._fitted = BATCH, 0  # observations of a message; messages since it shrank
        self._begin()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="streamlstm-replay", daemon=True)
        self._thread.start()

    # --- for the threads that send, with the lock held ---

    def check(self) -> None:
        """Raise what went wrong for good, or what was refused since the last call."""
        if self._failed is not None:
            raise self._failed
        if self._refused:
            first, more = self._refused[0], len(self._refused) - 1
            self._refused.clear()
            others = f" ({more} more were left out likewise)" if more else ""
            raise StreamLSTMError(first + others)

    def wake(self) -> None:
        """Let the thread look at what there is to do."""
        os.eventfd_write(self._wakeup, 1)

    def hurry(self) -> None:
        """Ask for confirmation as soon as there is anything to confirm."""
        self._hurry = True
        self.wake()

    def close(self) -> None:
        """End the thread; without the lock."""
        self._closing = True
        self.wake()
        self._thread.join()
        os.close(self._wakeup)

    # --- the thread ---

    def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    self._converse()
                except BrokenLinkError:
                    self._link.close()
                    self._link = self._connected()
                    self._begin()
        except BaseException as error:  # told by the next call of the publisher
            with self._changed:
                self._failed = error
                self._changed.notify_all()
        finally:
            self._link.close()

    def _connected(self) -> Link[_Asked]:
        return Link(self._context, self.endpoint, self._retry, self._keys)

    def _has_moved(self) -> bool:
        """Look, not too often, whether the worker is elsewhere by now."""
        now = clock.monotonic()
        if self._find is None or now < self._find_again:
            return False
        self._find_again = now + self._retry
        before = self.endpoint
        with suppress(EndpointError):  # it is away, and does not say yet where it will be
            self.endpoint = self._find()
        return self.endpoint != before

    def _begin(self) -> None:
        """Begin with a new connection."""
        self._stage, self._not_before = _Stage.HALTED, 0.0
        self._standing: dict[wire.StreamId, int] = {}
        self._pending: set[wire.StreamId] = set()  # of the wanted, those that were asked for
        self._barrier_asked, self._last_barrier = False, 0.0
        self._blocked = False

    def _converse(self) -> None:
        while not self._closing:
            moved = self._send()
            if self._blocked and self._has_moved():
                raise BrokenLinkError
            for asked, frame in self._link.take():
                moved = True
                self._heard(asked, wire.decode_reply(frame))
            if self._link.is_broken or self._link.deadline <= clock.monotonic():
                raise BrokenLinkError
            if not moved:
                self._link.wait(self._wakeup, self._next_moment(), self._blocked)
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wakeup)

    def _next_moment(self) -> float:
        longest = self._retry if self._blocked and self._find is not None else _LONGEST
        moments = [self._link.deadline, clock.monotonic() + longest]
        if self._stage is _Stage.HALTED and not self._link.asked:
            moments.append(max(self._not_before, clock.monotonic()))
        if self._stage is _Stage.RUNNING and len(self._link.asked) < _WINDOW:
            due = self._kept.applied and not self._barrier_asked
            moments += [self._last_barrier + _BARRIER_SECONDS] if due else []
        return min(moments[:2] if self._blocked else moments)

    def _halt(self, seconds: float = 0.0) -> None:
        self._stage, self._not_before = _Stage.HALTED, clock.monotonic() + seconds

    # --- asking ---

    def _send(self) -> bool:
        """Send all that may be sent; return whether anything was."""
        before = self._link.messages
        self._blocked = False
        if self._stage is _Stage.HALTED:
            return self._ask_where_all_stand()
        while self._stage is _Stage.RUNNING and len(self._link.asked) < _WINDOW:
            if not self._link.can_send():
                self._blocked = True
                break
            if not (
                self._send_barrier()
                or self._ask_where_new_ones_stand()
                or self._send_observations()
            ):
                break
        return self._link.messages > before

    def _ask_where_all_stand(self) -> bool:
        if self._link.asked or clock.monotonic() < self._not_before:
            return False
        if not self._link.can_send():
            self._blocked = True
            return False
        with self._changed:
            streams = list(self._kept.given) if self._first else self._kept.streams()
        self._standing = {}
        self._stage = _Stage.ASKING
        for part in parts(streams):
            self._link.send(wire.encode(wire.Last(part)), _Stand(part, new=False))
        if not streams:
            self._stand()
        return True

    def _ask_where_new_ones_stand(self) -> bool:
        with self._changed:
            streams = [stream for stream in self.wanted if stream not in self._pending]
        for part in parts(streams):
            self._pending.update(part)
            self._link.send(wire.encode(wire.Last(part)), _Stand(part, new=True))
        return bool(streams)

    def _send_observations(self) -> bool:
        with self._changed:
            entries = self._kept.take(self._limit, self._batch)
        if not entries:
            return False
        if self._journal is not None:
            self._journal.sync()
        for entry in entries:
            entry.sent = self._link.messages + 1
            self.replayed += entry.tries > 0
            entry.tries += 1
        self._link.send(wire.encode(_message(entries)), entries, len(entries))
        return True

    def _send_barrier(self) -> bool:
        now = clock.monotonic()
        due = self._hurry or now >= self._last_barrier + _BARRIER_SECONDS
        if self._barrier_asked or not due or not self._kept.applied:
            return False
        message, rows = self._link.messages, self._link.rows
        barrier = wire.Barrier(message, rows)
        self._link.send(wire.encode(barrier), _Barrier(message, rows))
        self._barrier_asked, self._last_barrier = True, now
        return True

    # --- hearing ---

    def _heard(self, asked: _Asked, reply: wire.Reply) -> None:
        if isinstance(reply, wire.Error):
            self._refusal(asked, reply)
        elif isinstance(asked, _Stand) and isinstance(reply, wire.Done):
            self._heard_stand(asked, dict(zip(asked.streams, reply.value, strict=True)))
        elif isinstance(asked, _Barrier) and isinstance(reply, wire.Done):
            self._heard_barrier(asked, int(reply.value[1]))
        elif isinstance(asked, list) and isinstance(reply, wire.Prediction):
            self._applied(asked, reply.values[None])
        elif isinstance(asked, list) and isinstance(reply, wire.Predictions):
            self._applied(asked, reply.values)
        else:
            raise StreamLSTMError(f"expected the answer to a question, got {type(reply).__name__}")

    def _heard_stand(self, asked: _Stand, last: dict[wire.StreamId, int]) -> None:
        if asked.new:
            with self._changed:
                for stream, number in last.items():
                    self._kept.given.setdefault(stream, number)
                self.wanted.difference_update(asked.streams)
                self._pending.difference_update(asked.streams)
                self._changed.notify_all()
            return
        self._standing |= last
        if self._stage is _Stage.ASKING and not self._link.asked:
            self._stand()

    def _stand(self) -> None:
        with self._changed:
            rows = self._kept.rows
            self._kept.stand(self._standing, self._first)
            if self._journal is not None and self._kept.rows < rows:  # numbers have changed
                self._rewrite(self._journal)
            self._first, self._stage = False, _Stage.RUNNING
            self._changed.notify_all()

    def _heard_barrier(self, barrier: _Barrier, received: int) -> None:
        self._barrier_asked = False
        if received != barrier.rows:
            raise BrokenLinkError  # something was lost with a connection that ZeroMQ made anew
        with self._changed:
            ends = self._kept.confirm(barrier.message)
            if self._journal is not None and ends:
                self._journal.confirm(ends)
                if self._journal.is_large:
                    self._rewrite(self._journal)
            self._hurry = self._hurry and self._kept.rows > 0
            self._changed.notify_all()

    def _rewrite(self, journal: Journal) -> None:
        journal.rewrite(self._kept.given, (entry.step for entry in self._kept))

    def _applied(self, entries: list[Entry], Y: Float32Array) -> None:
        self._fitted += 1
        if self._fitted >= _LARGER_AFTER:
            self._batch, self._fitted = min(2 * self._batch, BATCH), 0
        if self._deliver is not None:
            pairs = zip(entries, Y, strict=True)
            news = [Told(e.stream, e.seq, y) for e, y in pairs if not e.told]
            if news:
                self._deliver(news)
        for entry in entries:
            entry.told = True
        with self._changed:
            self._kept.answered(entries)

    def _refusal(self, asked: _Asked, error: wire.Error) -> None:
        if error.code == "busy":
            if isinstance(asked, list):
                self._link.rows -= len(asked)
            self._barrier_asked = self._barrier_asked and not isinstance(asked, _Barrier)
            self._pending.clear()
            self._halt((error.wait or 10) / 1000)
        elif not isinstance(asked, list):
            raise StreamLSTMError(f"the worker refused {type(asked).__name__}: {error.message}")
        elif error.code == "duplicate" and len(asked) == 1:
            self._duplicate(asked, error)
        elif error.code in ("gap", "duplicate"):
            self._halt()
        elif error.code == "capacity" and len(asked) > 1:
            self._divide(asked)
        elif error.code in _REFUSED and self._left_out:
            self._leave_out(asked, error)
        else:
            raise self._ended_by(asked, error)

    def _divide(self, asked: list[Entry]) -> None:
        """Send it again in halves: it names more streams than the worker has places for."""
        self._batch = min(self._batch, len(asked) // 2)
        self._fitted = 0
        self._halt()

    def _ended_by(self, asked: list[Entry], error: wire.Error) -> StreamLSTMError:
        # An error that is of a whole message names no observation: then it is the first of it.
        named = error.stream is not None and error.seq is not None
        stream, seq = (error.stream, error.seq) if named else (asked[0].stream, asked[0].seq)
        if error.code in _REFUSED:
            return StreamLSTMError(
                f"stream {stream!r}: the worker refused observation {seq} "
                f"({error.code}: {error.message}); it and all behind it are not applied, and "
                "nothing more is sent. Correct it and begin again, without a journal that keeps it "
                "as it was"
            )
        return StreamLSTMError(
            f"stream {stream!r}: the worker does not apply observation {seq} "
            f"({error.code}: {error.message}); nothing more is sent. When that is mended, "
            "begin again: what a journal keeps is sent then"
        )

    def _duplicate(self, asked: list[Entry], error: wire.Error) -> None:
        entry = asked[0]
        if entry.tries == 1:
            raise shared(entry.stream, error.last_seq or entry.seq, entry.seq - 1)
        if error.y is not None:
            self._applied(asked, wire.from_floats(error.y)[None])
            return
        with self._changed:
            self._kept.answered(asked)

    def _leave_out(self, asked: list[Entry], error: wire.Error) -> None:
        """Drop what the worker will never apply; the number goes to the next of its stream."""
        named = [entry for entry in asked if (entry.stream, entry.seq) == (error.stream, error.seq)]
        with self._changed:
            for entry in named or asked:
                entry.refused = True
                self._refused.append(
                    f"stream {entry.stream!r}: the worker refused an observation, which was left "
                    f"out ({error.code}: {error.message})"
                )
        self._halt()


def _message(entries: list[Entry]) -> wire.Step | wire.Steps:
    if len(entries) == 1:
        return entries[0].step
    X = b"".join(entry.x for entry in entries)
    return wire.Steps([entry.stream for entry in entries], [entry.seq for entry in entries], X)
