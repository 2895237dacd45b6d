"""ReplayingPublisher: every observation is applied exactly once, whatever breaks on the way."""

from __future__ import annotations

import os
import threading
import time as clock
from collections.abc import Callable, Sequence
from os import PathLike
from types import TracebackType
from typing import Self

import zmq
from numpy.typing import ArrayLike

from . import wire
from .connection import (
    LINGER,
    TIMEOUT,
    Float32Array,
    check_seconds,
    closed,
    observation,
    observations,
    pack,
    worker_check,
)
from .errors import BadValueError, StreamLSTMError, WorkerTimeoutError
from .keys import credentials
from .replay.journal import Journal
from .replay.kept import Entry, Kept
from .replay.thread import Replay
from .state import check_stream_id

Deliver = Callable[[wire.StreamId, int, Float32Array], None]


class ReplayingPublisher:
    """Feeds a worker so that every observation is applied exactly once, in the order of the calls.

    It numbers the observations of each stream, going on from where the worker says that the stream
    stands, keeps them until the worker has confirmed them (docs/protocol.md, Barriers), and sends
    them again where an answer does not come, a connection breaks, or a worker comes back with older
    state. Each stream has one publisher. Threads may share it.

    Parameters
    ----------
    router : str
        Endpoint of the worker's ROUTER.
    on_prediction : callable, optional
        Called as ``on_prediction(stream, seq, y)`` with each prediction, float32[O], in the order
        of each stream, at least once; if again, with the same bits. It is called in the publisher's
        own thread. With it a stream has one observation under way at a time, without it many.
    journal : path, optional
        A file that keeps what is not confirmed: a process that is killed goes on from it. Without
        one this is kept in memory only.
    sync : bool
        Whether an observation is on disk, and not only with the system, before it is sent.
    max_rows, max_bytes : int
        How much may be kept; beyond that :meth:`send` waits.
    timeout : float
        Seconds for which :meth:`send` waits, for the worker's word on a new stream or for room.
    retry : float
        Seconds without an answer after which the connection is made anew.
    linger : float
        Seconds for which :meth:`close` waits until all is confirmed.
    max_message_bytes : int
        What the worker takes.
    key, server : path-like, optional
        This client's secret key and the worker's public key, if it has one (docs/security.md).
    context : zmq.Context, optional
        Needed for ``inproc://`` endpoints only; one of its own if left out.

    Raises
    ------
    EndpointError, BadValueError
        If the endpoint is malformed, or a time or bound is none.
    DataError
        If the journal is none, damaged, or in use.

    Examples
    --------
    >>> with ReplayingPublisher(journal="pump-7.journal") as publisher:  # doctest: +SKIP
    ...     for x in observations[publisher.last_seq("pump-7") :]:
    ...         publisher.send("pump-7", x)
    """

    def __init__(
        self,
        router: str = wire.ROUTER,
        *,
        on_prediction: Deliver | None = None,
        journal: str | PathLike[str] | None = None,
        sync: bool = False,
        max_rows: int = 100_000,
        max_bytes: int = 64 * 2**20,
        timeout: float = TIMEOUT,
        retry: float = 1.0,
        linger: float = LINGER,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        key: str | os.PathLike[str] | None = None,
        server: str | os.PathLike[str] | None = None,
    ) -> None:
        self.endpoint = router
        keys = credentials(key, server)
        self.timeout = check_seconds("timeout", timeout)
        self._linger = check_seconds("linger", linger)
        for name, bound in (("max_rows", max_rows), ("max_bytes", max_bytes)):
            if type(bound) is not int or bound < 1:
                raise BadValueError(f"{name}: expected an integer of 1 or more, got {bound!r}")
        self._max_rows, self._max_bytes, self._limit = max_rows, max_bytes, max_message_bytes
        self._kept = Kept(one_each=on_prediction is not None)
        self._journal = None if journal is None else Journal(journal, sync)
        if self._journal is not None:
            self._kept.given.update(self._journal.given)
            for step in self._journal.steps:
                self._kept.add(Entry(step, tries=1))
            self._journal.steps.clear()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._ended = False
        self._own_context = context is None
        self._context = context or zmq.Context()
        try:
            self._replay = Replay(
                self._context,
                router,
                self._kept,
                self._journal,
                self._changed,
                on_prediction,
                check_seconds("retry", retry),
                max_message_bytes,
                keys,
            )
        except BaseException:
            self._end()
            raise

    @property
    def unconfirmed(self) -> int:
        """How many observations are kept, since the worker has not confirmed them."""
        with self._lock:
            return self._kept.rows

    @property
    def replayed(self) -> int:
        """How many observations were sent again, those too that a journal kept."""
        return self._replay.replayed

    def last_seq(self, stream: wire.StreamId) -> int:
        """Return the number of a stream's last observation, here or at the worker.

        It is how many observations of the stream were taken so far; one that is to be the next has
        this number plus one.

        Raises
        ------
        WorkerTimeoutError
            If nothing is known of the stream here, and the worker does not answer.
        """
        stream = check_stream_id(stream)
        with self._lock:
            self._replay.check()
            self._ask({stream}, clock.monotonic() + self.timeout)
            return self._kept.given[stream]

    def send(self, stream: wire.StreamId, x: ArrayLike, *, time: float | None = None) -> int:
        """Take an observation; when this returns, it will be applied, or an error will be raised.

        Parameters
        ----------
        stream, x, time
            As for :meth:`streamlstm.Client.step`.

        Returns
        -------
        int
            Its number.

        Raises
        ------
        WorkerTimeoutError
            If as much is kept as may be, or the stream is new and the worker does not say where it
            stands. The observation was not taken.
        StreamLSTMError
            What was found since the last call: that the worker has refused an observation, which
            was left out, or that it has lost state that cannot be sent again. The observation of
            this call was not taken.
        DataError
            If the journal cannot be written. The observation was not taken.
        """
        return self._take([observation(stream, x, 0, time)])[0]

    def send_many(self, streams: Sequence[wire.StreamId], X: ArrayLike) -> list[int]:
        """Take observations of many streams, X[B, F]; return their numbers. As :meth:`send`."""
        ids, _, data = observations(streams, X)
        if not ids:
            return []
        width = len(data) // len(ids)
        rows = (data[n * width : (n + 1) * width] for n in range(len(ids)))
        return self._take([wire.Step(s, 0, x) for s, x in zip(ids, rows, strict=True)])

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all is confirmed.

        Raises
        ------
        WorkerTimeoutError
            If that takes longer than ``timeout``, the publisher's if left out.
        StreamLSTMError
            As for :meth:`send`.
        """
        seconds = self.timeout if timeout is None else check_seconds("timeout", timeout)
        with self._lock:
            self._replay.hurry()
            self._wait(lambda: not self._kept.rows, clock.monotonic() + seconds, self._unconfirmed)
            self._replay.check()

    def close(self) -> None:
        """Wait for what is not confirmed, ``linger`` at most, and end. Closing twice is harmless.

        Raises
        ------
        StreamLSTMError
            As :meth:`flush`: what was not confirmed then. It is closed all the same.
        """
        with self._lock:
            if self._ended:
                return
            self._ended = True
        try:
            self.flush(self._linger)
        finally:
            self._replay.close()
            self._end()

    def _end(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._own_context:
            self._context.term()

    def _take(self, steps: list[wire.Step]) -> list[int]:
        for step in steps:
            pack(step, self._limit)  # refuses what is no message, before anything is kept
        size = sum(Entry(step).size for step in steps)
        if len(steps) > self._max_rows or size > self._max_bytes:
            raise BadValueError(
                f"expected at most {self._max_rows} observations and {self._max_bytes} bytes in a "
                f"call, got {len(steps)} and {size}; send fewer at a time, or raise max_rows and "
                "max_bytes"
            )
        deadline = clock.monotonic() + self.timeout
        kept = self._kept

        def has_room() -> bool:
            return kept.rows + len(steps) <= self._max_rows and kept.size + size <= self._max_bytes

        with self._lock:
            if self._ended:
                raise closed("publisher")
            self._replay.check()
            self._ask({step.stream for step in steps}, deadline)
            if not has_room():
                self._replay.hurry()
            self._wait(has_room, deadline, self._full)
            numbered = self._number(steps)
            if self._journal is not None:
                self._journal.add(numbered)
            for step in numbered:
                kept.add(Entry(step))
            self._replay.wake()
        return [step.seq for step in numbered]

    def _number(self, steps: list[wire.Step]) -> list[wire.Step]:
        """Give each the number behind its stream's last one."""
        last: dict[wire.StreamId, int] = {}
        numbered = []
        for step in steps:
            seq = last[step.stream] = last.get(step.stream, self._kept.given[step.stream]) + 1
            numbered.append(step._replace(seq=seq))
        return numbered

    def _ask(self, streams: set[wire.StreamId], deadline: float) -> None:
        """Wait until the worker has said where these streams stand."""
        unknown = {stream for stream in streams if stream not in self._kept.given}
        if unknown:
            self._replay.wanted |= unknown
            self._replay.wake()
            known = self._kept.given
            self._wait(lambda: all(s in known for s in unknown), deadline, self._unknown)

    def _wait(
        self, ready: Callable[[], bool], deadline: float, late: Callable[[], StreamLSTMError]
    ) -> None:
        while not ready():
            self._replay.check()
            left = deadline - clock.monotonic()
            if left <= 0:
                raise late()
            self._replay.wake()
            self._changed.wait(left)

    def _unknown(self) -> StreamLSTMError:
        return WorkerTimeoutError(
            f"{self.endpoint}: the worker did not say within {self.timeout:g} s where a new stream "
            f"stands; the observation was not taken. {worker_check(self.endpoint, 'router')}"
        )

    def _full(self) -> StreamLSTMError:
        return WorkerTimeoutError(
            f"{self.endpoint}: {self._kept.rows} observations are not confirmed, as many as are "
            f"kept, and no room came within {self.timeout:g} s; the observation was not taken. "
            "Send it again later, or raise max_rows and max_bytes. "
            f"{worker_check(self.endpoint, 'router')}"
        )

    def _unconfirmed(self) -> StreamLSTMError:
        where = "gone with this process" if self._journal is None else "still in the journal"
        return WorkerTimeoutError(
            f"{self.endpoint}: {self._kept.rows} observations were not confirmed in time; when the "
            f"publisher ends they are {where}. {worker_check(self.endpoint, 'router')}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
