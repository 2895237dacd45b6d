"""Talking to a worker: Client asks, Publisher feeds, Subscriber listens.

The asyncio twins stand in aio.py. Programs in other languages follow docs/protocol.md.
"""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Iterator, Sequence
from operator import index
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np
import zmq
from numpy.typing import ArrayLike, NDArray

from . import wire
from .errors import (
    BadValueError,
    EndpointError,
    ProtocolError,
    RemoteError,
    ShapeError,
    StreamLSTMError,
    WorkerTimeoutError,
)
from .observations import to_float32
from .state import check_stream_id

Float32Array: TypeAlias = NDArray[np.float32]
ReplyType = TypeVar("ReplyType", bound=wire.Reply)

TIMEOUT = 5.0  # seconds
LINGER = 1.0  # seconds
MAX_SECONDS = 2_000_000  # 23 days: as many milliseconds as ZeroMQ can count


# --- what the blocking clients and their asyncio twins have in common ----------------------------


def observation(
    stream: wire.StreamId, x: ArrayLike, seq: int = 0, time: float | None = None
) -> wire.Step:
    """Return the message for one observation.

    Raises
    ------
    ShapeError, BadValueError, StreamIdError
        If ``x`` is not one row of numbers, or ``stream`` no id.
    """
    row = to_float32(x, "x")
    if row.ndim != 1:
        raise ShapeError(f"x: expected one observation, float32[F], got shape {row.shape}")
    return wire.Step(check_stream_id(stream), index(seq), wire.to_floats(row), time)


def observations(
    streams: Sequence[wire.StreamId], X: ArrayLike, seqs: Sequence[int] | None = None
) -> wire.Steps:
    """Return the message for observations of many streams.

    Raises
    ------
    ShapeError, BadValueError, StreamIdError
        If ``X`` is not one row of numbers for each stream, or a stream no id.
    """
    rows = to_float32(X, "X")
    if rows.ndim != 2 or len(rows) != len(streams):
        raise ShapeError(
            f"X: expected one row for each of {len(streams)} streams, got shape {rows.shape}"
        )
    numbers = None if seqs is None else [index(seq) for seq in seqs]
    return wire.Steps([check_stream_id(s) for s in streams], numbers, wire.to_floats(rows))


def pack(message: wire.Request, limit: int) -> bytes:
    """Return a message as bytes; what a worker would not even receive is refused here."""
    frame = wire.encode(message)
    if len(frame) > limit:
        raise ProtocolError(
            f"expected a message of at most {limit} bytes, got {len(frame)}; send smaller ones, "
            "or raise max_message_bytes here and at the worker",
            "too-large",
        )
    return frame


def unpack(frame: bytes, expected: type[ReplyType]) -> ReplyType:
    """Return the answer, or raise what the worker said is wrong.

    Raises
    ------
    RemoteError
        If the worker refused the question.
    ProtocolError
        If it is no answer to the question.
    """
    reply = wire.decode_reply(frame)
    if isinstance(reply, wire.Error):
        wait = None if reply.wait is None else reply.wait / 1000
        raise RemoteError(reply.message, reply.code, reply.stream, reply.seq, wait)
    if not isinstance(reply, expected):
        raise ProtocolError(f"expected {expected.__name__}, got {type(reply).__name__}")
    return reply


def connect(socket: Any, endpoint: str, **options: int) -> None:
    """Set options of a socket and connect it; the socket is closed where that fails.

    Raises
    ------
    EndpointError
        If the endpoint is none.
    """
    try:
        _check_endpoint(endpoint)
        for name, value in options.items():
            socket.set(getattr(zmq, name), value)
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close(linger=0)
        raise EndpointError(
            f"{endpoint}: expected an endpoint such as {wire.ROUTER}, "
            f"got one that cannot be used ({error.strerror})"
        ) from None
    except EndpointError:
        socket.close(linger=0)
        raise


def _check_endpoint(endpoint: object) -> None:
    if not isinstance(endpoint, str):
        raise EndpointError(
            f"expected an endpoint such as {wire.ROUTER}, got {endpoint!r} "
            f"({type(endpoint).__name__})"
        )
    if not wire.is_port(endpoint):
        raise EndpointError(f"{endpoint}: port must be 1 to {wire.MAX_PORT}")


def unsent(endpoint: str, timeout: float, option: str) -> WorkerTimeoutError:
    """Return the error for a message that found no worker."""
    return WorkerTimeoutError(
        f"{endpoint}: no worker took the message within {timeout:g} s; it was not sent. "
        f"{_check(endpoint, option)}"
    )


def unanswered(endpoint: str, timeout: float) -> WorkerTimeoutError:
    """Return the error for a message that got no answer."""
    return WorkerTimeoutError(
        f"{endpoint}: no answer within {timeout:g} s; what was asked may have been done all the "
        f"same. {_check(endpoint, 'router')}"
    )


def silent(endpoint: str, timeout: float) -> WorkerTimeoutError:
    """Return the error for a subscriber that heard nothing."""
    return WorkerTimeoutError(
        f"{endpoint}: no prediction within {timeout:g} s. {_check(endpoint, 'xpub')}"
    )


def closed(what: str) -> StreamLSTMError:
    """Return the error for a client that is used after its end."""
    return StreamLSTMError(f"this {what} is closed; make a new one")


def subscription(prefix: wire.StreamId) -> bytes:
    """Return what to subscribe to: a prefix of text ids, or one integer id."""
    return wire.topic(check_stream_id(prefix)) if prefix != "" else b""


def check_seconds(what: str, value: Any) -> float:
    """Return a time to wait, in seconds.

    Raises
    ------
    BadValueError
        If it is no number, negative or not finite.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 <= value <= MAX_SECONDS:
        raise BadValueError(
            f"{what}: expected a number of seconds from 0 to {MAX_SECONDS}, got {value!r}"
        )
    return float(value)


def milliseconds(seconds: float | None) -> int:
    """Return a timeout as ZeroMQ takes it: -1 for none."""
    return -1 if seconds is None else max(0, round(1000 * seconds))


def _check(endpoint: str, option: str) -> str:
    command = "streamlstm info" if option == "router" else "streamlstm serve MODEL"
    return f"Check that a worker runs there: {command} --{option} {endpoint}"


class _Connection:
    """A socket that one thread uses at a time, and its end."""

    _kind: int
    _what: str

    def __init__(
        self,
        endpoint: str,
        context: zmq.Context[zmq.Socket[bytes]] | None,
        linger: float = 0.0,
        **options: int,
    ) -> None:
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._own_context = context is None
        self._context: zmq.Context[zmq.Socket[bytes]] = context or zmq.Context()
        self._socket: zmq.Socket[bytes] | None = self._context.socket(self._kind)
        try:
            connect(self._socket, endpoint, LINGER=milliseconds(linger), **options)
        except EndpointError:
            self._socket = None
            self._end_context()
            raise

    def _open(self) -> zmq.Socket[bytes]:
        if self._socket is None:
            raise closed(self._what)
        return self._socket

    def close(self) -> None:
        """Close the connection. Closing twice is harmless."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
                self._end_context()

    def _end_context(self) -> None:
        if self._own_context:
            self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


# --- the clients ---------------------------------------------------------------------------------


class Client(_Connection):
    """Asks a worker: one question, one answer.

    Threads may share a client; their questions are asked one after another.

    Parameters
    ----------
    router : str
        Endpoint of the worker's ROUTER.
    timeout : float
        Seconds to wait for an answer.
    max_message_bytes : int
        What the worker takes; larger messages are refused here.
    context : zmq.Context, optional
        Needed for ``inproc://`` endpoints only; one of its own if left out.

    Raises
    ------
    EndpointError
        If the endpoint is malformed.
    BadValueError
        If a time to wait is no number of seconds.

    Notes
    -----
    A question that times out is not asked again, and its answer, should it still come, is thrown
    away. Closing does not wait.

    Examples
    --------
    >>> with Client() as client:  # doctest: +SKIP
    ...     y = client.step("pump-7", [21.3, 0.82])
    """

    _kind = zmq.DEALER
    _what = "client"

    def __init__(
        self,
        router: str = wire.ROUTER,
        *,
        timeout: float = TIMEOUT,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        # IMMEDIATE: a question waits here, not in a queue from which it would still be sent after
        # its asker gave up.
        super().__init__(router, context, IMMEDIATE=1)
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
        return self._ask(observation(stream, x, seq, time), wire.Prediction).values

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
        return self._ask(observations(streams, X, seqs), wire.Predictions).values

    def reset(self, stream: wire.StreamId) -> None:
        """Empty a stream's memory."""
        self._ask(wire.Reset(check_stream_id(stream)), wire.Done)

    def export_stream(self, stream: wire.StreamId) -> bytes:
        """Return all that is remembered of a stream."""
        blob: bytes = self._ask(wire.Export(check_stream_id(stream)), wire.Done).value
        return blob

    def import_stream(self, stream: wire.StreamId, blob: bytes) -> None:
        """Give a stream the state that :meth:`export_stream` returned."""
        self._ask(wire.Import(check_stream_id(stream), blob), wire.Done)

    def info(self) -> dict[str, Any]:
        """Return what the worker runs and what it has done; docs/protocol.md lists the keys."""
        info: dict[str, Any] = self._ask(wire.Info(), wire.Done).value
        return info

    def ping(self) -> float:
        """Return the seconds that a question and its answer take."""
        start = clock.perf_counter()
        self._ask(wire.Ping(0), wire.Done)
        return clock.perf_counter() - start

    def _ask(self, message: wire.Request, expected: type[ReplyType]) -> ReplyType:
        frame = pack(message, self._limit)
        with self._lock:
            return unpack(self._exchange(self._open(), frame), expected)

    def _exchange(self, socket: zmq.Socket[bytes], frame: bytes) -> bytes:
        """Send a question with a number in its envelope; wait for the answer with that number."""
        self._number += 1
        number = self._number.to_bytes(8, "big")
        deadline = clock.monotonic() + self.timeout
        socket.set(zmq.SNDTIMEO, milliseconds(self.timeout))
        try:
            socket.send_multipart([number, frame])
        except zmq.Again:
            raise unsent(self.endpoint, self.timeout, "router") from None
        while True:
            socket.set(zmq.RCVTIMEO, milliseconds(deadline - clock.monotonic()))
            try:
                parts = socket.recv_multipart()
            except zmq.Again:
                raise unanswered(self.endpoint, self.timeout) from None
            if parts[0] == number:
                return parts[-1]


class Publisher(_Connection):
    """Feeds a worker: observations go out, predictions appear at its subscribers.

    Nothing comes back, so nothing tells whether a worker applied an observation; use
    :class:`Client` where that matters. Threads may share a publisher.

    Parameters
    ----------
    pull : str
        Endpoint of the worker's PULL.
    timeout : float
        Seconds to wait while no worker is there or its queue is full.
    linger : float
        Seconds for which :meth:`close` lets observations still go out.
    max_message_bytes : int
        What the worker takes; larger messages are refused here.
    context : zmq.Context, optional
        Needed for ``inproc://`` endpoints only; one of its own if left out.

    Raises
    ------
    EndpointError
        If the endpoint is malformed.
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
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        linger = check_seconds("linger", linger)
        super().__init__(pull, context, linger, IMMEDIATE=1, SNDTIMEO=milliseconds(timeout))
        self._limit = max_message_bytes

    def send(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> None:
        """Send one observation; parameters as for :meth:`Client.step`.

        Raises
        ------
        WorkerTimeoutError
            If no worker took it in time. It was not sent.
        """
        self._send(observation(stream, x, seq, time))

    def send_many(
        self, streams: Sequence[wire.StreamId], X: ArrayLike, *, seqs: Sequence[int] | None = None
    ) -> None:
        """Send observations of many streams; parameters as for :meth:`Client.step_many`."""
        self._send(observations(streams, X, seqs))

    def _send(self, message: wire.Request) -> None:
        frame = pack(message, self._limit)
        with self._lock:
            try:
                self._open().send(frame)
            except zmq.Again:
                raise unsent(self.endpoint, self.timeout, "pull") from None


class Subscriber(_Connection):
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
    context : zmq.Context, optional
        Needed for ``inproc://`` endpoints only; one of its own if left out.

    Raises
    ------
    EndpointError
        If the endpoint is malformed.
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
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self.timeout = None if timeout is None else check_seconds("timeout", timeout)
        super().__init__(xpub, context)
        for stream in streams:
            self._open().subscribe(subscription(stream))

    def receive(self) -> wire.Prediction:
        """Return the next prediction; its ``stream``, ``seq`` and ``values``, float32[O].

        Raises
        ------
        WorkerTimeoutError
            If none came in time.
        ProtocolError
            If something else came.
        """
        with self._lock:
            socket = self._open()
            socket.set(zmq.RCVTIMEO, milliseconds(self.timeout))
            try:
                frames = socket.recv_multipart()
            except zmq.Again:
                raise silent(self.endpoint, self.timeout or 0.0) from None
        return unpack(frames[-1], wire.Prediction)

    def __iter__(self) -> Iterator[wire.Prediction]:
        """Yield predictions for ever, or until none came in time."""
        while True:
            yield self.receive()
