"""Publisher: observations go out to a worker, together where they pile up."""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Callable, Sequence

import zmq
from numpy.typing import ArrayLike

from .. import wire
from ..errors import StreamLSTMError
from .batching import Backlog, Pending, lost, messages
from .connection import (
    LINGER,
    TIMEOUT,
    Connection,
    KeyPath,
    check_seconds,
    closed,
    milliseconds,
    observation,
    observations,
    unsent,
)


class Publisher(Connection):
    """Feeds a worker: observations go out, predictions appear at its subscribers.

    Nothing comes back, so nothing tells whether a worker applied an observation; use
    :class:`Client` where that matters. Threads may share a publisher.

    Observations leave in the order of the calls. What piles up while the socket is busy, or for as
    long as ``delay`` allows, goes out together in one message; at the worker each
    observation still stands for itself. One with an event time goes alone.

    Parameters
    ----------
    pull : str
        Endpoint of the worker's PULL.
    timeout : float
        Seconds to wait while no worker is there or its queue is full.
    linger : float
        Seconds for which :meth:`close` lets observations still go out.
    delay : float
        Seconds for which an observation may wait for others to go with it. 0: none ever waits, and
        a failure is raised by the call itself. Above 0 calls return at once, and what could not be
        sent is told by the next call of any method.
    max_message_bytes : int
        What the worker takes; larger messages are refused here.
    key, server : path-like, optional
        As for :class:`Client`.
    context : zmq.Context, optional
        Needed for ``inproc://`` endpoints only; one of its own if left out.

    Raises
    ------
    EndpointError
        If the endpoint is malformed.
    KeyFileError
        If only one of key and server is given, or a file holds no such key.
    BadValueError
        If a time to wait is no number of seconds.
    """

    _kind = zmq.PUSH
    _what = "publisher"

    def __init__(
        self,
        pull: str = wire.PULL,
        *,
        timeout: float = TIMEOUT,
        linger: float = LINGER,
        delay: float = 0.0,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        key: KeyPath = None,
        server: KeyPath = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        linger = check_seconds("linger", linger)
        self._delay = check_seconds("delay", delay)
        super().__init__(
            pull, context, linger, key, server, IMMEDIATE=1, SNDTIMEO=milliseconds(timeout)
        )
        self._limit = max_message_bytes
        self._backlog = Backlog(max_message_bytes)
        self._waits = threading.Condition()  # for the backlog and what follows
        self._due = 0.0
        self._lost = 0
        self._closing = False
        self._thread: threading.Thread | None = None

    def send(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> None:
        """Send one observation; parameters as for :meth:`Client.step`.

        Raises
        ------
        WorkerTimeoutError
            If no worker took it in time. It was not sent. With a delay: if earlier ones, or those
            that waited with it, were not sent; it says how many.
        """
        self._send(observation(stream, x, seq, time))

    def send_many(
        self, streams: Sequence[wire.StreamId], X: ArrayLike, *, seqs: Sequence[int] | None = None
    ) -> None:
        """Send observations of many streams; parameters as for :meth:`Client.step_many`."""
        self._send(observations(streams, X, seqs))

    def flush(self) -> None:
        """Send all that waits.

        Raises
        ------
        WorkerTimeoutError
            If something was not sent, now or since the last call that told.
        """
        with self._lock:
            self._open()
            self._drain(None)
        self._tell()

    def close(self) -> None:
        """Send what waits, then close the connection. Closing twice is harmless.

        Raises
        ------
        WorkerTimeoutError
            As :meth:`flush`; the connection is closed all the same.
        """
        with self._waits:
            self._closing = True
            self._waits.notify_all()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            if self._socket is not None and self._delay:
                self._drain(None)
            self._end()
        self._tell()

    def _send(self, message: wire.Step | wire.Steps) -> None:
        pending = Pending(message, self._limit)
        with self._waits:
            if self._closing:
                raise closed(self._what)
            self._tell(also=True)
            if self._delay:
                self._set_alarm()
            self._backlog.append(pending)
            full = self._backlog.full
        if self._delay and not full:
            return
        with self._lock:
            if not pending.done:  # else another thread has taken it along
                self._drain(pending)
        if pending.error is not None and not self._delay:
            raise pending.error
        self._tell()

    def _drain(self, mine: Pending | None) -> None:
        """Send all that waits; what a timeout leaves is given up. Only with the lock held."""
        with self._waits:
            taken = self._backlog.take()
        try:
            for frame, group in messages(taken, self._limit):
                self._open().send(frame)
                for pending in group:
                    pending.done = True
        except zmq.Again:
            why = self._handshake.why()
            self._give_up(taken, lambda: unsent(self.endpoint, self.timeout, "pull", why))
        except (zmq.ZMQError, StreamLSTMError) as error:  # its context was ended, or it is closed
            told = error
            self._give_up(taken, lambda: told)
        except BaseException:  # Ctrl-C: what is not of this call goes with the next
            with self._waits:
                self._backlog.put_back([p for p in taken if not p.done and p is not mine])
                self._waits.notify_all()
            raise

    def _give_up(self, taken: Sequence[Pending], error: Callable[[], Exception]) -> None:
        for pending in taken:
            if not pending.done:
                pending.error, pending.done = error(), True
                if self._delay:
                    with self._waits:
                        self._lost += pending.rows

    def _tell(self, also: bool = False) -> None:
        """Raise what nobody was told yet."""
        with self._waits:
            count, self._lost = self._lost, 0
        if count:
            raise lost(self.endpoint, self.timeout, count, also)

    # --- with a delay ---

    def _set_alarm(self) -> None:
        if self._backlog:
            return
        self._due = clock.monotonic() + self._delay
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="streamlstm-publisher", daemon=True
            )
            self._thread.start()
        self._waits.notify_all()

    def _run(self) -> None:
        """Send what waits when the first of it has waited long enough, until the end."""
        while True:
            with self._waits:
                while not self._closing:
                    left = self._due - clock.monotonic() if self._backlog else None
                    if left is not None and left <= 0:
                        break
                    self._waits.wait(left)
                if self._closing:
                    return
            with self._lock:
                self._drain(None)
