"""What the publishers that replay have in common: taking observations, without ever waiting.

An attempt returns what was wanted, or :class:`NotYet`. A publisher waits in its own way, a thread
on a condition and a coroutine on its event loop, and tries again when something has changed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias, TypeVar

import zmq

from ... import wire
from ...errors import BadValueError, StreamLSTMError, WorkerTimeoutError
from ..connection import KeyPath, check_seconds, closed, pack, worker_check
from ..keys import credentials
from .journal import Journal
from .outbox import Entry, Kept
from .sender import Deliver, Find, Replay

Result = TypeVar("Result")


class NotYet(NamedTuple):
    """It has to be waited for; and the error for who has waited long enough."""

    late: Callable[[float], StreamLSTMError]


Attempt: TypeAlias = Callable[[], Result | NotYet]


class Desk:
    """Numbers observations, keeps them, and owns the thread that sends them.

    Parameters
    ----------
    changed : threading.Condition
        Its lock is held in every call but :meth:`check`, :meth:`close`; it is notified when an
        attempt that was not successful may be.
    deliver : callable or None
        Gets predictions, in the replaying thread.
    router, journal, sync, max_rows, max_bytes, retry, max_message_bytes, leave_out, context,
    key, server
        As of :class:`streamlstm.ReplayingPublisher`.

    Raises
    ------
    EndpointError, BadValueError, DataError
        As there.
    """

    def __init__(
        self,
        changed: threading.Condition,
        deliver: Deliver | None,
        router: str | Find,
        journal: str | os.PathLike[str] | None,
        sync: bool,
        max_rows: int,
        max_bytes: int,
        retry: float,
        max_message_bytes: int,
        leave_out: bool,
        context: zmq.Context[zmq.Socket[bytes]] | None,
        key: KeyPath,
        server: KeyPath,
    ) -> None:
        keys = credentials(key, server)
        check_seconds("retry", retry)
        for name, bound in (("max_rows", max_rows), ("max_bytes", max_bytes)):
            if type(bound) is not int or bound < 1:
                raise BadValueError(f"{name}: expected an integer of 1 or more, got {bound!r}")
        self._max_rows, self._max_bytes, self._limit = max_rows, max_bytes, max_message_bytes
        self._kept = Kept(one_each=deliver is not None)
        self._journal = None if journal is None else Journal(journal, sync)
        if self._journal is not None:
            self._kept.given.update(self._journal.given)
            for step in self._journal.steps:
                self._kept.add(Entry(step, tries=1))
            self._journal.steps.clear()
        self._ended = self._closed = False
        self._own_context = context is None
        self._context = context or zmq.Context()
        try:
            self._replay = Replay(
                self._context,
                router,
                self._kept,
                self._journal,
                changed,
                deliver,
                retry,
                max_message_bytes,
                keys,
                leave_out,
            )
        except BaseException:
            self._end()
            raise

    @property
    def endpoint(self) -> str:
        """Where the worker is."""
        return self._replay.endpoint

    @property
    def rows(self) -> int:
        """Observations that are not confirmed."""
        return self._kept.rows

    @property
    def replayed(self) -> int:
        """Observations that were sent again."""
        return self._replay.replayed

    def check(self, steps: list[wire.Step]) -> None:
        """Refuse what is no message, or too much for one call, before anything is kept."""
        for step in steps:
            pack(step, self._limit)
        size = _size(steps)
        if len(steps) > self._max_rows or size > self._max_bytes:
            raise BadValueError(
                f"expected at most {self._max_rows} observations and {self._max_bytes} bytes in a "
                f"call, got {len(steps)} and {size}; send fewer at a time, or raise max_rows and "
                "max_bytes"
            )

    def last_seq(self, stream: wire.StreamId) -> int | NotYet:
        """Attempt to tell the number of a stream's last observation."""
        self._open()
        self._replay.check()
        return self._unknown([stream]) or self._kept.given[stream]

    def take(self, steps: list[wire.Step]) -> list[int] | NotYet:
        """Attempt to keep observations, all of them or none; return their numbers."""
        if self._ended:
            raise closed("publisher")
        self._replay.check()
        if unknown := self._unknown(step.stream for step in steps):
            return unknown
        kept = self._kept
        if kept.rows + len(steps) > self._max_rows or kept.size + _size(steps) > self._max_bytes:
            self._replay.hurry()
            return NotYet(self._full)
        numbered = self._number(steps)
        if self._journal is not None:
            self._journal.add(numbered)
        for step in numbered:
            kept.add(Entry(step))
        self._replay.wake()
        return [step.seq for step in numbered]

    def flush(self) -> NotYet | None:
        """Attempt to find everything confirmed."""
        self._open()
        self._replay.hurry()
        self._replay.check()
        return NotYet(self._unconfirmed) if self._kept.rows else None

    def end(self) -> bool:
        """Take nothing more; return False if it was called before."""
        first, self._ended = not self._ended, True
        return first

    def close(self) -> None:
        """End the thread and close everything; it may take a moment."""
        self._closed = True
        self._replay.close()
        self._end()

    def _open(self) -> None:
        if self._closed:
            raise closed("publisher")

    def _end(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._own_context:
            self._context.term()

    def _unknown(self, streams: Iterable[wire.StreamId]) -> NotYet | None:
        """Have the worker asked where those streams stand of which that is not known."""
        unknown = {stream for stream in streams if stream not in self._kept.given}
        if not unknown:
            return None
        self._replay.wanted |= unknown
        self._replay.wake()
        return NotYet(self._silent)

    def _number(self, steps: list[wire.Step]) -> list[wire.Step]:
        """Give each the number behind its stream's last one."""
        last: dict[wire.StreamId, int] = {}
        numbered = []
        for step in steps:
            seq = last[step.stream] = last.get(step.stream, self._kept.given[step.stream]) + 1
            numbered.append(step._replace(seq=seq))
        return numbered

    def _silent(self, seconds: float) -> StreamLSTMError:
        return WorkerTimeoutError(
            f"{self.endpoint}: the worker did not say within {seconds:g} s where a new stream "
            "stands; the observation was not taken. " + worker_check(self.endpoint, "router")
        )

    def _full(self, seconds: float) -> StreamLSTMError:
        return WorkerTimeoutError(
            f"{self.endpoint}: {self._kept.rows} observations are not confirmed, as many as are "
            f"kept, and no room came within {seconds:g} s; the observation was not taken. Send it "
            "again later, or raise max_rows and max_bytes. " + worker_check(self.endpoint, "router")
        )

    def _unconfirmed(self, _seconds: float) -> StreamLSTMError:
        where = "gone with this process" if self._journal is None else "still in the journal"
        return WorkerTimeoutError(
            f"{self.endpoint}: {self._kept.rows} observations were not confirmed in time; when "
            f"the publisher ends they are {where}. {worker_check(self.endpoint, 'router')}"
        )


def _size(steps: list[wire.Step]) -> int:
    return sum(Entry(step).size for step in steps)
