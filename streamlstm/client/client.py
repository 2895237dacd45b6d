"""Talking to a worker: Client asks, Publisher (publisher.py) feeds, Subscriber listens.

The asyncio twins stand in aio.py. Programs in other languages follow docs/protocol.md.
"""

from __future__ import annotations

import math
import time as clock
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import zmq
from numpy.typing import ArrayLike

from .. import wire
from ..engine.state_table import check_stream_id
from .connection import (
    TIMEOUT,
    Connection,
    Float32Array,
    KeyPath,
    check_seconds,
    done,
    milliseconds,
    observation,
    observations,
    pack,
    parts,
    prediction,
    predictions,
    published,
    silent,
    subscriptions,
    unanswered,
    unsent,
)
from .pipeline import WINDOW, Pipeline, Read, Result, check_window
from .publisher import Publisher

__all__ = ["Client", "Publisher", "Subscriber"]


class Client(Connection):
    """Asks a worker: one question, one answer; or, with :meth:`submit`, many at once.

    Threads may share a client. Their questions are asked one after another, each when the one
    before it was answered, until the first :meth:`submit`; from then on a thread of the client's
    own keeps all of them under way.

    Parameters
    ----------
    router : str
        Endpoint of the worker's ROUTER.
    timeout : float
        Seconds to wait for an answer.
    max_message_bytes : int
        What the worker takes; larger messages are refused here.
    window : int
        How many submitted questions may be without an answer; below 1,000, which is as many answers
        as a worker keeps for a client.
    key, server : path-like, optional
        For a worker that speaks with keys: this client's ``NAME.key`` and the worker's
        ``NAME.pub``, of ``streamlstm keys new``.
    context : zmq.Context, optional
        Needed for ``inproc://`` endpoints only; one of its own if left out.

    Raises
    ------
    EndpointError
        If the endpoint is malformed.
    KeyFileError
        If only one of key and server is given, or a file holds no such key.
    BadValueError
        If a time to wait is no number of seconds, or the window is out of range.

    Notes
    -----
    A question that times out is not asked again, and its answer, should it still come, is thrown
    away. Closing does not wait.

    Examples
    --------
    >>> with Client() as client:  # doctest: +SKIP
    ...     y = client.step("pump-7", [21.3, 0.82])
    ...     futures = [client.submit(f"pump-{n}", x) for n, x in enumerate(X)]
    ...     Y = [future.result() for future in futures]
    """

    _kind = zmq.DEALER
    _what = "client"

    def __init__(
        self,
        router: str = wire.ROUTER,
        *,
        timeout: float = TIMEOUT,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        window: int = WINDOW,
        key: KeyPath = None,
        server: KeyPath = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        self._window = check_window(window)
        self._pipeline: Pipeline | None = None
        # IMMEDIATE: a question waits here, not in a queue from which it would still be sent after
        # its asker gave up.
        super().__init__(router, context, key=key, server=server, IMMEDIATE=1)
        self._limit = max_message_bytes
        self._number = 0

    def step(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> Float32Array:
        """Advance a stream by one observation.

        Parameters
        ----------
        stream : str or int
            The stream's id; a new one begins with an empty memory.
        x : float32[F]
            The observation, in the unit of the series.
        seq : int
            Its number in the stream, rising by one from 1; 0 if observations are not numbered.
        time : float, optional
            Event time in seconds.

        Returns
        -------
        float32[O]
            The prediction, in the unit of the series.

        Raises
        ------
        RemoteError
            If the worker refused it; ``code`` says why, and the stream has not changed.
        WorkerTimeoutError
            If no answer came in time.
        """
        return self._ask(observation(stream, x, seq, time), prediction)

    def step_many(
        self, streams: Sequence[wire.StreamId], X: ArrayLike, *, seqs: Sequence[int] | None = None
    ) -> Float32Array:
        """Advance many streams in one message; all of them or, if it is refused, none.

        Parameters
        ----------
        streams : sequence of str or int, length B
        X : float32[B, F]
        seqs : sequence of int, length B, optional

        Returns
        -------
        float32[B, O]

        Raises
        ------
        RemoteError, WorkerTimeoutError
            As for :meth:`step`; ``stream`` and ``seq`` of the first tell the row at fault.
        """
        return self._ask(observations(streams, X, seqs), predictions)

    def submit(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> Future[Float32Array]:
        """Ask as :meth:`step` does, without waiting for the answer.

        Questions of one thread leave, and are applied, in the order in which they were asked, also
        those of the other methods.

        Parameters
        ----------
        stream, x, seq, time
            As for :meth:`step`.

        Returns
        -------
        Future of float32[O]
            Its ``result()`` waits for the prediction, or raises what :meth:`step` would have
            raised, no later than ``timeout`` after this call. ``cancel()`` says whether the
            question was left out: once it has been sent it cannot be cancelled. Callbacks run in
            the client's thread; they may submit, but not wait.

        Raises
        ------
        WorkerTimeoutError
            If ``window`` questions were under way, and none was answered in time. It was not sent.
        """
        return self._submit(observation(stream, x, seq, time), prediction)

    def submit_many(
        self, streams: Sequence[wire.StreamId], X: ArrayLike, *, seqs: Sequence[int] | None = None
    ) -> Future[Float32Array]:
        """Ask as :meth:`step_many` does, without waiting; a future of float32[B, O].

        It counts as one question. As for :meth:`submit`.
        """
        return self._submit(observations(streams, X, seqs), predictions)

    def reset(self, stream: wire.StreamId) -> None:
        """Empty a stream's memory."""
        self._ask(wire.Reset(check_stream_id(stream)), done)

    def export_stream(self, stream: wire.StreamId) -> bytes:
        """Return all that is remembered of a stream."""
        blob: bytes = self._ask(wire.Export(check_stream_id(stream)), done)
        return blob

    def import_stream(self, stream: wire.StreamId, blob: bytes) -> None:
        """Give a stream the state that :meth:`export_stream` returned."""
        self._ask(wire.Import(check_stream_id(stream), blob), done)

    def forget(self, stream: wire.StreamId) -> None:
        """Drop a stream; should it come again, it is a new one."""
        self._ask(wire.Forget(check_stream_id(stream)), done)

    def reload(self, anew: bool = False) -> dict[str, Any]:
        """Let the worker take its model file anew, and go on with what stands there now.

        Parameters
        ----------
        anew : bool
            Let all streams begin anew, with any model; their numbers stay.

        Returns
        -------
        dict
            ``model`` and ``before``, fingerprints; ``anew``; ``changed``, a list of what is another
            in words; ``paused``, the seconds for which no message was answered.

        Raises
        ------
        RemoteError
            If the file cannot be taken (``bad-model``) or streams cannot go on with it
            (``model-mismatch``), or the worker is at it or cannot write its store (``busy``). The
            model that runs goes on.

        Notes
        -----
        The first model with a kind of layer that was never used on this machine is compiled for,
        which takes some seconds; the client's ``timeout`` has to be longer.
        """
        done_with: dict[str, Any] = self._ask(wire.Reload(bool(anew)), done)
        return done_with

    def list_streams(self, prefix: str | None = None) -> Iterator[tuple[wire.StreamId, int]]:
        """Yield all streams of the worker and their last numbers, in the order of their ids.

        Parameters
        ----------
        prefix : str, optional
            Only texts that begin so.

        Notes
        -----
        They are asked for 1,000 at a time. A stream that lives all the while comes exactly once.
        """
        after: wire.StreamId | None = None
        while page := self._ask(wire.List(prefix, after, wire.MAX_LISTED), done):
            yield from ((stream, seq) for stream, seq in page)
            after = page[-1][0]

    def last_seqs(self, streams: Sequence[wire.StreamId]) -> list[int]:
        """Return the last number of each stream, 0 for one that is unknown or never counted."""
        seqs: list[int] = []
        for part in parts(streams):
            seqs += self._ask(wire.Last(part), done)
        return seqs

    def info(self) -> dict[str, Any]:
        """Return what the worker runs and what it has done; docs/protocol.md lists the keys."""
        info: dict[str, Any] = self._ask(wire.Info(), done)
        return info

    def ping(self) -> float:
        """Return the seconds that a question and its answer take."""
        start = clock.perf_counter()
        self._ask(wire.Ping(0), done)
        return clock.perf_counter() - start

    def close(self) -> None:
        """Close the connection; questions under way get an error. Closing twice is harmless."""
        with self._lock:
            pipeline = self._pipeline
            if pipeline is None:
                self._end()
        if pipeline is not None:
            pipeline.close()  # not under the lock, which a callback may be waiting for
            super().close()

    def _ask(self, message: wire.Request, read: Read[Result]) -> Result:
        frame = pack(message, self._limit)
        with self._lock:
            socket = self._open()
            if self._pipeline is None:
                return read(self._exchange(socket, frame))
        return self._pipeline.ask(frame, read, self.timeout)

    def _submit(self, message: wire.Request, read: Read[Result]) -> Future[Result]:
        frame = pack(message, self._limit)
        with self._lock:
            socket = self._open()
            if self._pipeline is None:
                self._pipeline = Pipeline(
                    socket, self.endpoint, self._window, self._number, self._handshake.why
                )
        return self._pipeline.submit(frame, read, self.timeout)

    def _exchange(self, socket: zmq.Socket[bytes], frame: bytes) -> bytes:
        """Send a question with a number in its envelope; wait for the answer with that number."""
        self._number += 1
        number = self._number.to_bytes(8, "big")
        deadline = clock.monotonic() + self.timeout
        socket.set(zmq.SNDTIMEO, milliseconds(self.timeout))
        try:
            socket.send_multipart([number, frame])
        except zmq.Again:
            raise unsent(self.endpoint, self.timeout, "router", self._handshake.why()) from None
        while True:
            socket.set(zmq.RCVTIMEO, milliseconds(deadline - clock.monotonic()))
            try:
                parts = socket.recv_multipart()
            except zmq.Again:
                raise unanswered(self.endpoint, self.timeout) from None
            if parts[0] == number:
                return parts[-1]


class Subscriber(Connection):
    """Listens to the predictions of a worker, whoever asked for them.

    Parameters
    ----------
    xpub : str
        Endpoint of the worker's XPUB.
    streams : sequence of str or int
        What to listen to: prefixes of text ids (``"pump-"`` brings every pump) and integer ids.
        Left out, everything.
    timeout : float, optional
        Seconds to wait for a prediction; for ever if left out.
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

    Notes
    -----
    Predictions made before the connection stands, or while a subscriber does not keep up, are
    not delivered. One thread listens; others wait for it.

    Examples
    --------
    >>> with Subscriber(streams=["pump-"]) as subscriber:  # doctest: +SKIP
    ...     for prediction in subscriber:
    ...         print(prediction.stream, prediction.values)
    """

    _kind = zmq.SUB
    _what = "subscriber"

    def __init__(
        self,
        xpub: str = wire.XPUB,
        streams: Sequence[wire.StreamId] = ("",),
        *,
        timeout: float | None = None,
        key: KeyPath = None,
        server: KeyPath = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self.timeout = None if timeout is None else check_seconds("timeout", timeout)
        topics = subscriptions(streams)
        super().__init__(xpub, context, key=key, server=server)
        for topic in topics:
            self._open().subscribe(topic)

    def receive(self) -> wire.Prediction:
        """Return the next prediction; its ``stream``, ``seq`` and ``values``, float32[O].

        What else is published is passed over; :meth:`receive_event` tells of it.

        Raises
        ------
        WorkerTimeoutError
            If none came in time.
        ProtocolError
            If what came is no message of the protocol.
        """
        end = self._deadline()
        while not isinstance(heard := self._receive(end), wire.Prediction):
            pass
        return heard

    def receive_event(self) -> wire.Prediction | wire.Done:
        """Return the next prediction, or what else was done to a stream.

        Returns
        -------
        Prediction or Done
            A Done has ``stream``, and as ``kind`` ``wire.Kind.RESET``, ``IMPORT`` or ``FORGET``, or
            ``wire.EVICTED`` when the stream has left memory: then ``value`` is True if it comes
            back with its next observation, False if it begins anew.

        Raises
        ------
        WorkerTimeoutError, ProtocolError
            As for :meth:`receive`.
        """
        return self._receive(self._deadline())

    def _deadline(self) -> float:
        return math.inf if self.timeout is None else clock.monotonic() + self.timeout

    def _receive(self, end: float) -> wire.Prediction | wire.Done:
        """Return what is published next, up to a moment of the clock."""
        heard = None
        with self._lock:
            socket = self._open()
            while heard is None:
                left = None if end == math.inf else max(0.0, end - clock.monotonic())
                socket.set(zmq.RCVTIMEO, milliseconds(left))
                try:
                    frames = socket.recv_multipart()
                except zmq.Again:
                    raise silent(
                        self.endpoint, self.timeout or 0.0, self._handshake.why()
                    ) from None
                heard = published(frames[-1])
        return heard

    def __iter__(self) -> Iterator[wire.Prediction]:
        """Yield predictions for ever; raises WorkerTimeoutError if none came in time."""
        while True:
            yield self.receive()
