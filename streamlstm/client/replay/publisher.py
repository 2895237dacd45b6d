"""ReplayingPublisher: every observation is applied exactly once, whatever breaks on the way."""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Callable, Sequence
from os import PathLike
from types import TracebackType
from typing import Self

import zmq
from numpy.typing import ArrayLike

from ... import wire
from ...engine.state_table import check_stream_id
from ..connection import LINGER, TIMEOUT, Float32Array, check_seconds, observation, one_a_step
from .core import Attempt, Desk, NotYet, Result
from .sender import Told

Deliver = Callable[[wire.StreamId, int, Float32Array], None]


class ReplayingPublisher:
    """Feeds a worker so that every observation is applied exactly once, in the order of the calls.

    It numbers the observations of each stream, going on from where the worker says that the stream
    stands, keeps them until the worker has confirmed them (docs/protocol.md, Barriers), and sends
    them again where an answer does not come, a connection breaks, or a worker comes back with older
    state. Each stream has one publisher. Threads may share it.

    Parameters
    ----------
    router : str or callable
        Endpoint of the worker's ROUTER; or what tells it, which is called, in the publisher's own
        thread, again while there is no connection, and may raise EndpointError if it is not known.
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
    leave_out : bool
        Whether an observation that the worker refuses (a NaN, say) is told and left out, its number
        going to the next one of its stream. Otherwise the publisher stops before it.
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
        router: str | Callable[[], str] = wire.ROUTER,
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
        leave_out: bool = True,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        key: str | PathLike[str] | None = None,
        server: str | PathLike[str] | None = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        self._linger = check_seconds("linger", linger)
        self._changed = threading.Condition()
        self._desk = Desk(
            self._changed,
            None if on_prediction is None else _one_by_one(on_prediction),
            router,
            journal,
            sync,
            max_rows,
            max_bytes,
            retry,
            max_message_bytes,
            leave_out,
            context,
            key,
            server,
        )

    @property
    def endpoint(self) -> str:
        """Where the worker is."""
        return self._desk.endpoint

    @property
    def unconfirmed(self) -> int:
        """How many observations are kept, since the worker has not confirmed them."""
        return self._desk.rows

    @property
    def replayed(self) -> int:
        """How many observations were sent again, those too that a journal kept."""
        return self._desk.replayed

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
        return self._wait(lambda: self._desk.last_seq(stream), self.timeout)

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
        return self._take(one_a_step(streams, X))

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
        self._wait(self._desk.flush, seconds)

    def close(self) -> None:
        """Wait for what is not confirmed, ``linger`` at most, and end. Closing twice is harmless.

        Raises
        ------
        StreamLSTMError
            As :meth:`flush`: what was not confirmed then. It is closed all the same.
        """
        with self._changed:
            if not self._desk.end():
                return
            self._changed.notify_all()  # threads that wait for room learn that it is closed
        try:
            self.flush(self._linger)
        finally:
            self._desk.close()

    def _take(self, steps: list[wire.Step]) -> list[int]:
        self._desk.check(steps)
        return self._wait(lambda: self._desk.take(steps), self.timeout) if steps else []

    def _wait(self, attempt: Attempt[Result], seconds: float) -> Result:
        """Try again whenever something has changed, until it works."""
        deadline = clock.monotonic() + seconds
        with self._changed:
            while isinstance(got := attempt(), NotYet):
                left = deadline - clock.monotonic()
                if left <= 0:
                    raise got.late(seconds)
                self._changed.wait(left)
        return got

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _one_by_one(deliver: Deliver) -> Callable[[list[Told]], None]:
    def deliver_each(predictions: list[Told]) -> None:
        for stream, seq, y in predictions:
            deliver(stream, seq, y)

    return deliver_each
