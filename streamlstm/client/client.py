"""Client: sends requests to a worker and waits for the replies, or pipelines them.

The asyncio clients are in ``client/aio``. Programs in other languages follow docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from numpy.typing import ArrayLike, NDArray

from .. import wire
from ..engine.prediction import Prediction, Predictions
from ..errors import RemoteError
from .administration import Administration
from .exchange import exchange
from .fleet.queue import FleetQueue
from .fleet.seeds import Seeds
from .observing import decode_all_observed, decode_observed
from .pipeline import Pipeline, ThreadSafeQueue
from .precision import Message
from .replies import Decoder, Result, decode_done, decode_prediction, decode_predictions
from .requests import encode, label, observation, observations


class Client(Administration):
    """Sends requests to a worker: one at a time or, with :meth:`submit`, pipelined.

    Threads may share a client. It sends their requests one after another, each after the reply to
    the one before, until the first :meth:`submit`; from then on a thread of the client keeps all of
    them in flight.

    Parameters
    ----------
    router : str
        Endpoint of the worker's ROUTER.
    endpoints : path-like or str, optional
        Instead of it: the file that ``streamlstm serve`` or ``streamlstm fleet`` wrote with
        ``--endpoints``, or the ROUTER of any worker of a fleet. Then each request goes to the
        worker that has its stream (docs/fleet.md).
    timeout : float
        Seconds to wait for a reply.
    max_message_bytes : int
        The worker's limit; larger messages are refused here.
    window : int
        How many submitted requests may be in flight; below 1,000, which is as many replies as a
        worker queues for a client.
    precision : {"auto", "float64"}
        Whether all numbers are sent as float64. A model with offsets needs that (INFO has them):
        by itself a client begins with it where float32 keeps less than a tenth of 1, or when the
        worker has asked for it, and sends that observation once more.
    key, server : path-like, optional
        For a worker that requires keys: this client's ``NAME.key`` and the worker's ``NAME.pub``,
        of ``streamlstm keys new``.
    context : zmq.Context, optional
        Needed for ``inproc://`` endpoints only; one of its own if left out.

    Raises
    ------
    EndpointError
        If the endpoint is malformed.
    KeyFileError
        If only one of key and server is given, or a file holds no such key.
    BadValueError
        If ``timeout`` is no number of seconds, or the window is out of range.

    Notes
    -----
    A request that times out is not sent again, and its reply is discarded should it still come.
    Closing does not wait.

    Examples
    --------
    >>> with Client() as client:  # doctest: +SKIP
    ...     y = client.step("pump-7", [21.3, 0.82])
    ...     futures = [client.submit(f"pump-{n}", x) for n, x in enumerate(X)]
    ...     Y = [future.result() for future in futures]
    """

    _pipeline: Pipeline | None = None
    _number = 0  # of the last request before the pipeline

    def step(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> NDArray[Any]:
        """Advance a stream by one observation.

        Parameters
        ----------
        stream : str or int
            The stream's id; a new stream begins with an empty state.
        x : float32[F]
            The observation, in the unit of the series; float64 for a model with offsets.
        seq : int
            Its sequence number in the stream, rising by one from 1; 0 if observations are not
            numbered.
        time : float, optional
            Event time in seconds.

        Returns
        -------
        float32[O]
            The prediction, in the unit of the series; float64 where outputs have offsets.

        Raises
        ------
        RemoteError
            If the worker refused it; ``code`` says why, and the stream has not changed.
        WorkerTimeoutError
            If no reply came in time.
        """
        return self._observed(decode_prediction, observation, stream, x, seq, time)

    def observe(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> Prediction:
        """Advance a stream by one observation; return the prediction and how sure it is.

        Parameters
        ----------
        stream, x, seq, time
            As for :meth:`step`; a missing value of a model that fills it is None or NaN.

        Returns
        -------
        Prediction
            As :meth:`streamlstm.Engine.observe` returns it.

        Raises
        ------
        RemoteError, WorkerTimeoutError
            As for :meth:`step`.
        """
        return self._observed(decode_observed, observation, stream, x, seq, time)

    def observe_many(
        self,
        streams: Sequence[wire.StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> Predictions:
        """Advance many streams in one message; return predictions and how sure they are.

        As for :meth:`step_many` and :meth:`observe`.
        """
        return self._observed(decode_all_observed, observations, streams, X, seqs, times)

    def step_many(
        self,
        streams: Sequence[wire.StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> NDArray[Any]:
        """Advance many streams in one message; all of them or, if it is refused, none.

        Parameters
        ----------
        streams : sequence of str or int, length B
        X : float32[B, F]
        seqs : sequence of int, length B, optional
        times : sequence of float or None, length B, optional
            Event times in seconds; a model that computes inputs from the time needs one for each.

        Returns
        -------
        float32[B, O]

        Raises
        ------
        RemoteError, WorkerTimeoutError
            As for :meth:`step`; ``stream`` and ``seq`` of the first name the row at fault.
        """
        return self._observed(decode_predictions, observations, streams, X, seqs, times)

    def submit(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> Future[NDArray[Any]]:
        """Send the request of :meth:`step` without waiting for the reply.

        Requests of one thread are sent, and applied, in the order of its calls, also those of the
        other methods.

        Parameters
        ----------
        stream, x, seq, time
            As for :meth:`step`.

        Returns
        -------
        Future of float32[O]
            Its ``result()`` waits for the prediction, or raises what :meth:`step` would have
            raised, no later than ``timeout`` after this call. ``cancel()`` returns whether the
            request was left out: it cannot be cancelled once it is sent. Callbacks run in the
            client's thread; they may submit, but not wait.

        Raises
        ------
        RemoteError
            By its ``result()``, too: with the code ``precision`` if the worker needs float64, and
            that was not known before; submit it once more.
        WorkerTimeoutError
            If ``window`` requests were in flight, and there was no room in time. It was not sent.
        """
        message = self._precision.build(observation, stream, x, seq, time)
        return self._submit(message, decode_prediction)

    def submit_many(
        self,
        streams: Sequence[wire.StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> Future[NDArray[Any]]:
        """Send the request of :meth:`step_many` without waiting; return a future of float32[B, O].

        It counts as one request. As for :meth:`submit`.
        """
        message = self._precision.build(observations, streams, X, seqs, times)
        return self._submit(message, decode_predictions)

    def learn(self, stream: wire.StreamId, seq: int, y: ArrayLike) -> None:
        """Let a stream learn from labels; as :meth:`streamlstm.Engine.learn`.

        Raises
        ------
        RemoteError, WorkerTimeoutError
            As for :meth:`step`; the code is ``label`` if the observation has not come yet, is not
            kept any more, or has got these labels before.
        """
        self._observed(decode_done, label, stream, seq, y)

    def close(self) -> None:
        """Close the connection; requests in flight fail. Closing twice is harmless."""
        if self._forked is not None:
            return
        with self._lock:
            pipeline = self._pipeline
            if pipeline is None:
                self._end()
        if pipeline is not None:
            pipeline.close()  # not under the lock, which a callback may be waiting for
            super().close()

    def _observed(
        self, decode: Decoder[Result], make: Callable[..., Message], *arguments: Any
    ) -> Result:
        """Send observations or labels; once more where the worker needs them as float64."""
        message = self._precision.build(make, *arguments)
        try:
            return self._call(message, decode)
        except RemoteError as error:
            again = self._precision.again(error, message, make, *arguments)
            if again is None:
                raise
        return self._call(again, decode)

    def _call(self, message: wire.Request, decode: Decoder[Result]) -> Result:
        frame = encode(message, self._limit)
        self._check_process()
        with self._lock:
            socket = self._open()
            if self._pipeline is None and self._seeds is not None:
                queue = self._queue_of(self._seeds)
                future: Future[Result] = Future()
                queue.call(queue.make(future, message, frame, decode, self.timeout))
                return future.result()
            if self._pipeline is None:
                self._number += 1
                failure = self._handshake.failure
                return decode(
                    exchange(socket, self.endpoint, self._number, frame, self.timeout, failure)
                )
        return self._pipeline.call(message, frame, decode, self.timeout)

    def _submit(self, message: wire.Request, decode: Decoder[Result]) -> Future[Result]:
        frame = encode(message, self._limit)
        self._check_process()
        with self._lock:
            socket = self._open()
            if self._pipeline is None:
                seeds, failure = self._seeds, self._handshake.failure
                self._pipeline = Pipeline(
                    ThreadSafeQueue(socket, self.endpoint, self._window, self._number, failure)
                    if seeds is None
                    else self._queue_of(seeds)
                )
        return self._pipeline.submit(message, frame, decode, self.timeout)

    def _queue_of(self, seeds: Seeds) -> FleetQueue:
        """Return the requests to a fleet, used by one thread at a time."""
        if self._fleet is None:
            starts = Future[Any].set_running_or_notify_cancel
            self._fleet = FleetQueue(self._context, seeds, self._keys, self._window, starts)
        return self._fleet
