"""ReplayingPublisher: every observation is applied exactly once, whatever fails on the way."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from typing import Self, TypeAlias

from numpy.typing import ArrayLike

from ... import wire
from ...engine.ids import check_stream_id
from ...engine.validation import Float32Array
from ..connection import check_seconds
from ..requests import observation, single_observations
from .base import Attempt, BaseReplayingPublisher, Result, WouldBlock
from .failures import noting
from .protocol import Delivery

OnPrediction: TypeAlias = Callable[[wire.StreamId, int, Float32Array], None]


class ReplayingPublisher(BaseReplayingPublisher[OnPrediction]):
    """Sends observations so that each is applied exactly once, in the order of the calls.

    It numbers the observations of each stream, continuing from the worker's last number, stores
    them until the worker has confirmed them (docs/protocol.md, Barriers), and sends them again if a
    reply is missing, a connection breaks, or a worker comes back with older state. Each stream has
    one publisher: the first :meth:`send` or :meth:`last_seq` of a stream takes it over, and one
    that fed it before is stopped with an error at its next observation. Threads may share it.

    Parameters
    ----------
    router : str or callable
        Endpoint of the worker's ROUTER; or a function that returns it, which is called, in the
        publisher's own thread, again while there is no connection, and may raise EndpointError if
        it is not known.
    on_prediction : callable, optional
        Called as ``on_prediction(stream, seq, y)`` with each prediction, float32[O], in the order
        of each stream, at least once; if again, with the same bits. It is called in the publisher's
        own thread, where calls that would have to wait raise an error: it may :meth:`send` to
        streams that this publisher has sent to before, while there is room. With it a stream has
        one observation in flight at a time, without it many.
    journal : path, optional
        A file of the unconfirmed observations: a process that is killed continues from it. Without
        one they are in memory only.
    sync : bool
        Whether an observation is on disk, and not only with the system, before it is sent.
    max_rows, max_bytes : int
        How much may be unconfirmed; beyond that :meth:`send` waits.
    timeout : float
        Seconds for which :meth:`send` waits for room or, if the stream is new to this publisher,
        for the worker's last number; also if the journal knows the stream.
    retry : float
        Seconds without a reply after which it reconnects.
    linger : float
        Seconds for which :meth:`close` waits until everything is confirmed.
    max_message_bytes : int
        The worker's limit.
    leave_out : bool
        Whether an observation that the worker refuses (a NaN, say) is reported and left out, its
        number going to the next one of its stream. Otherwise the publisher stops before it.
    key, server : path-like, optional
        This client's secret key and the worker's public key, if it has one (docs/security.md).
    context : zmq.Context, optional
        Needed for ``inproc://`` endpoints only; one of its own if left out.

    Raises
    ------
    EndpointError, BadValueError
        If the endpoint is malformed, or a duration or bound is invalid.
    DataError
        If the file cannot be opened, is not a journal, is damaged, or is in use.

    Examples
    --------
    >>> with ReplayingPublisher(journal="pump-7.journal") as publisher:  # doctest: +SKIP
    ...     for x in observations[publisher.last_seq("pump-7") :]:
    ...         publisher.send("pump-7", x)
    """

    def last_seq(self, stream: wire.StreamId) -> int:
        """Return the number of a stream's last observation, here or at the worker.

        It is how many observations of the stream were accepted so far; the next one has this number
        plus one.

        Raises
        ------
        WorkerTimeoutError
            If the stream is new here, and the worker does not reply.
        """
        stream = check_stream_id(stream)
        return self._wait(lambda: self._try_last_seq(stream), self.timeout, "last_seq")

    def send(self, stream: wire.StreamId, x: ArrayLike, *, time: float | None = None) -> int:
        """Accept an observation; it will be applied, or a later call raises an error.

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
            If too much is unconfirmed, or the stream is new and the worker does not say which
            number it has reached. The observation was not accepted.
        StreamLSTMError
            If, since the last call, the worker has refused an observation, which was left out, or
            was found to have lost state that cannot be sent again, or somebody else was found to
            feed the stream; the message says which observations are in doubt. The observation of
            this call was not accepted.
        DataError
            If the journal cannot be written. The observation was not accepted.
        """
        return self._accept([observation(stream, x, 0, time, self._full)])[0]

    def send_many(
        self,
        streams: Sequence[wire.StreamId],
        X: ArrayLike,
        *,
        times: Sequence[float | None] | None = None,
    ) -> list[int]:
        """Accept observations of many streams, X[B, F]; return their numbers. As :meth:`send`."""
        return self._accept(single_observations(streams, X, times, self._full))

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything is confirmed.

        Raises
        ------
        WorkerTimeoutError
            If that takes longer than ``timeout``, the publisher's if left out.
        StreamLSTMError
            As for :meth:`send`.
        """
        seconds = self.timeout if timeout is None else check_seconds("timeout", timeout)
        self._wait(self._try_flush, seconds, "flush")

    def close(self) -> None:
        """Flush, for ``linger`` at most, and close. Closing twice is harmless.

        Raises
        ------
        StreamLSTMError
            As for :meth:`flush`. The publisher is closed nevertheless.
        """
        if self._forked is not None:
            return  # the parent has what waits, and its journal
        self._check_may_wait("close")
        with self._changed:
            if not self._stop_accepting():
                return
            self._changed.notify_all()  # threads that wait for room find that it is closed
        try:
            self.flush(self._linger)
        finally:
            self._end()

    def _accept(self, steps: list[wire.Step]) -> list[int]:
        self._check_size(steps)
        return self._wait(lambda: self._try_accept(steps), self.timeout, "send") if steps else []

    def _in_callback(self) -> bool:
        return self._sender.is_own_thread

    def _wait(self, attempt: Attempt[Result], seconds: float, call: str) -> Result:
        """Repeat an attempt whenever something has changed, until it succeeds."""
        deadline = clock.monotonic() + seconds
        self._check_process()
        with self._changed:
            while isinstance(result := attempt(), WouldBlock):
                self._check_may_wait(call)
                left = deadline - clock.monotonic()
                if left <= 0:
                    raise result.error(seconds)
                self._changed.wait(left)
        return result

    def _deliver(self, deliveries: list[Delivery]) -> None:
        assert self._on_prediction is not None
        for delivery in deliveries:
            self._on_prediction(*delivery)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        with noting(error):
            self.close()
