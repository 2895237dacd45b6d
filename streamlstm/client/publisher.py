"""Publisher: sends observations to a worker, merged into one message where they queue."""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Callable, Sequence
from functools import partial

import zmq
from numpy.typing import ArrayLike

from .. import wire
from ..errors import StreamLSTMError, WorkerTimeoutError
from .base import BasePublisher
from .batching import Pending, merged
from .connection import Connection
from .failures import closed, not_sent
from .requests import observation, observations


class Publisher(BasePublisher, Connection[zmq.Socket[bytes]]):
    """Sends observations to a worker, without replies; predictions go to its subscribers.

    A publisher does not learn whether the worker applied an observation; use :class:`Client` where
    that matters. Threads may share a publisher.

    Observations are sent in the order of the calls. Those that queue while the socket is busy, or
    for as long as ``delay`` allows, are merged into one message; the worker applies or refuses each
    by itself. An observation with an event time is sent alone.

    Parameters
    ----------
    pull : str
        Endpoint of the worker's PULL.
    endpoints : path-like or str, optional
        Instead of it, as for :class:`Client`. To a fleet a publisher sends so that it learns where
        streams have moved: a call returns when there is room for the observations among those on
        their way, and the next call of any method raises the error for what was not answered.
    timeout : float
        Seconds to wait while no worker is there or its queue is full.
    linger : float
        Seconds for which observations may still be sent after :meth:`close`; to a fleet longer, up
        to the timeout, as long as answers come.
    delay : float
        Seconds for which an observation may wait to be merged with others. 0: it is sent at once,
        and the call itself raises a failure. Above 0 calls return at once, and the next call of any
        method raises the error for what could not be sent.
    max_message_bytes : int
        The worker's limit; larger messages are refused here.
    precision : {"auto", "float64"}
        Whether all numbers are sent as float64, which a model with offsets needs: a publisher
        cannot learn that from the worker. By itself it begins with it where float32 keeps less than
        a tenth of 1; a worker that needs it refuses all others, and says so in its log.
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
        If a duration is no number of seconds.
    """

    def _setup(self) -> None:
        super()._setup()
        self._changed = threading.Condition()  # guards the backlog and what follows
        self._due = 0.0
        self._thread: threading.Thread | None = None

    def send(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> None:
        """Send one observation; parameters as for :meth:`Client.step`.

        Raises
        ------
        WorkerTimeoutError
            If no worker took it in time. It was not sent. With a delay: if earlier observations, or
            those that waited with it, were not sent; the message says how many.
        """
        self._send(self._precision.build(observation, stream, x, seq, time))

    def send_many(
        self,
        streams: Sequence[wire.StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> None:
        """Send observations of many streams; parameters as for :meth:`Client.step_many`."""
        self._send(self._precision.build(observations, streams, X, seqs, times))

    def flush(self) -> None:
        """Send everything that waits; to a fleet, wait until all that was sent is answered.

        Raises
        ------
        WorkerTimeoutError
            If something was not sent, or a fleet did not answer it, now or since the last call that
            raised this.
        """
        self._check_process()
        with self._lock:
            self._open()
            self._drain(None)
        self._flush_feed()
        self._raise_lost()

    def close(self) -> None:
        """Send everything that waits, then close the connection. Closing twice is harmless.

        To a fleet, call :meth:`flush` before: it waits for every answer, this one not for long.

        Raises
        ------
        WorkerTimeoutError
            As for :meth:`flush`; the connection is closed nevertheless.
        """
        if self._forked is not None:
            return  # what waits is sent by the parent
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            if self._socket is not None and self._delay:
                self._drain(None)
            self._end_feed()
            self._end()
        self._raise_lost()

    def _send(self, message: wire.Step | wire.Steps) -> None:
        pending = Pending(message, self._limit)
        self._check_process()
        with self._changed:
            if self._closing:
                raise closed(self._name)
            self._raise_lost(includes_call=True)
            if self._delay:
                self._set_alarm()
            self._backlog.append(pending)
            is_full = self._backlog.is_full
        if self._delay and not is_full:
            return
        with self._lock:
            if not pending.done:  # else another thread has sent it
                self._drain(pending)
        if pending.error is not None and not self._delay:
            raise pending.error
        self._raise_lost()

    def _drain(self, own: Pending | None) -> None:
        """Send everything that waits; after a timeout the rest fails. Only with the lock held."""
        with self._changed:
            taken = self._backlog.take()
        try:
            for message, frame, group in merged(taken, self._limit):
                socket = self._open()
                if self._seeds is None:
                    socket.send(frame)
                else:
                    self._feed_of(self._seeds).send(message, frame)
                for pending in group:
                    pending.done = True
        except zmq.Again:
            failure = self._handshake.failure()
            self._fail(taken, partial(not_sent, self.endpoint, self.timeout, "pull", failure))
        except WorkerTimeoutError as error:  # of a fleet
            late = error
            self._fail(taken, lambda: late)
        except (zmq.ZMQError, StreamLSTMError) as error:  # its context was terminated, or closed
            raised = error
            self._fail(taken, lambda: raised)
        except BaseException:  # Ctrl-C: the observations of other calls go with the next
            with self._changed:
                self._backlog.put_back([p for p in taken if not p.done and p is not own])
                self._changed.notify_all()
            raise

    def _fail(self, taken: list[Pending], error: Callable[[], Exception]) -> None:
        with self._changed:
            self._backlog.fail(taken, error)

    def _raise_lost(self, includes_call: bool = False) -> None:
        if self._backlog.lost_rows:
            with self._changed:
                super()._raise_lost(includes_call)

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
        self._changed.notify_all()

    def _run(self) -> None:
        """Send everything when the first observation has waited for the delay, until the end."""
        while True:
            with self._changed:
                while not self._closing:
                    left = self._due - clock.monotonic() if self._backlog else None
                    if left is not None and left <= 0:
                        break
                    self._changed.wait(left)
                if self._closing:
                    return
            with self._lock:
                self._drain(None)
