"""What all clients have in common: messages, sockets, errors; and the blocking ones' connection."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np
import zmq
from numpy.typing import ArrayLike, NDArray

from .. import wire
from ..engine.state_table import check_stream_id
from ..engine.validation import check_time, to_float32
from ..errors import (
    BadValueError,
    EndpointError,
    HandshakeError,
    ProtocolError,
    RemoteError,
    ShapeError,
    StreamLSTMError,
    WorkerTimeoutError,
)
from .handshake import Handshake, Why
from .keys import Credentials, credentials

Float32Array: TypeAlias = NDArray[np.float32]
KeyPath: TypeAlias = str | os.PathLike[str] | None
ReplyType = TypeVar("ReplyType", bound=wire.Reply)

TIMEOUT = 5.0  # seconds
LINGER = 1.0  # seconds
_UNKNOWN = Why()
_ASKED = 4_000  # ids of 257 bytes as they are written: just below the limit of a message
MAX_SECONDS = 2_000_000  # 23 days: as many milliseconds as ZeroMQ can count


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
    if time is not None:
        time = check_time(stream, time)
    return wire.Step(check_stream_id(stream), _number(seq), wire.to_floats(row), time)


def observations(
    streams: Sequence[wire.StreamId], X: ArrayLike, seqs: Sequence[int] | None = None
) -> wire.Steps:
    """Return the message for observations of many streams.

    Raises
    ------
    ShapeError, BadValueError, StreamIdError
        If ``X`` is not one row of numbers for each stream, or a stream no id.
    """
    if isinstance(streams, str | bytes):
        raise ShapeError(f"streams: expected a sequence of ids, got the single {streams!r}")
    rows = to_float32(X, "X")
    if rows.ndim != 2 or len(rows) != len(streams):
        raise ShapeError(
            f"X: expected one row for each of {len(streams)} streams, got shape {rows.shape}"
        )
    numbers = None if seqs is None else [_number(seq) for seq in seqs]
    return wire.Steps([check_stream_id(s) for s in streams], numbers, wire.to_floats(rows))


def one_a_step(streams: Sequence[wire.StreamId], X: ArrayLike) -> list[wire.Step]:
    """Return a message for each of many observations; raises as :func:`observations`."""
    ids, _, data = observations(streams, X)
    width = len(data) // max(len(ids), 1)
    return [wire.Step(s, 0, data[n * width : (n + 1) * width]) for n, s in enumerate(ids)]


def _number(seq: Any) -> int:
    if isinstance(seq, int | np.integer) and not isinstance(seq, bool):
        return int(seq)
    raise BadValueError(
        f"seq: expected an integer from 0 to 2**64 - 1 (0: not counted), got {seq!r} "
        f"({type(seq).__name__})"
    )


def parts(streams: Sequence[wire.StreamId]) -> list[list[wire.StreamId]]:
    """Return ids in lists of as many as one question may have, and that fit into a message."""
    ids = [check_stream_id(stream) for stream in streams]
    return [ids[n : n + _ASKED] for n in range(0, len(ids), _ASKED)]


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


def published(frame: bytes) -> wire.Prediction | wire.Done | None:
    """Read what a worker published; None for a kind of message that came after this version.

    Raises
    ------
    ProtocolError
        If it is no message of the protocol.
    """
    try:
        reply = wire.decode_reply(frame)
    except ProtocolError as error:
        if error.code == "unknown-kind":
            return None
        raise
    return reply if isinstance(reply, wire.Prediction | wire.Done) else None


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
        raise RemoteError(
            reply.message,
            reply.code,
            reply.stream,
            reply.seq,
            wait,
            reply.last_seq,
            None if reply.y is None else wire.from_floats(reply.y),
        )
    if not isinstance(reply, expected):
        raise ProtocolError(f"expected {expected.__name__}, got {type(reply).__name__}")
    return reply


def prediction(frame: bytes) -> Float32Array:
    """Return the outputs of the answer to a STEP, float32[O]; raises as :func:`unpack`."""
    return unpack(frame, wire.Prediction).values


def predictions(frame: bytes) -> Float32Array:
    """Return the outputs of the answer to a STEPS, float32[B, O]; raises as :func:`unpack`."""
    return unpack(frame, wire.Predictions).values


def done(frame: bytes) -> Any:
    """Return the value of the answer to everything else; raises as :func:`unpack`."""
    return unpack(frame, wire.Done).value


def connect(
    context: zmq.Context[Any],
    socket: Any,
    endpoint: str,
    keys: Credentials | None,
    **options: int,
) -> Handshake:
    """Set options of a socket and connect it; the socket is closed where that fails.

    Returns
    -------
    Handshake
        To be closed with the socket.

    Raises
    ------
    EndpointError
        If the endpoint is none.
    """
    handshake = Handshake(context, socket, keys)
    try:
        _check_endpoint(endpoint)
        for name, value in options.items():
            socket.set(getattr(zmq, name), value)
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        handshake.close()
        socket.close(linger=0)
        raise EndpointError(
            f"{endpoint}: expected an endpoint such as {wire.ROUTER}, "
            f"got one that cannot be used ({error.strerror})"
        ) from None
    except EndpointError:
        handshake.close()
        socket.close(linger=0)
        raise
    return handshake


def _check_endpoint(endpoint: object) -> None:
    if not isinstance(endpoint, str):
        raise EndpointError(
            f"expected an endpoint such as {wire.ROUTER}, got {endpoint!r} "
            f"({type(endpoint).__name__})"
        )
    if not wire.is_port(endpoint):
        raise EndpointError(f"{endpoint}: port must be 1 to {wire.MAX_PORT}")


def unsent(endpoint: str, timeout: float, option: str, why: Why = _UNKNOWN) -> WorkerTimeoutError:
    """Return the error for a message that found no worker, and why that may be."""
    kind = HandshakeError if why.certain else WorkerTimeoutError
    return kind(
        f"{endpoint}: no worker took the message within {timeout:g} s; it was not sent. "
        f"{why.said}{worker_check(endpoint, option)}"
    )


def crowded(endpoint: str, timeout: float, window: int) -> WorkerTimeoutError:
    """Return the error for a question that found no room among those under way."""
    return WorkerTimeoutError(
        f"{endpoint}: {window} questions were under way, as many as may be, and there was no room "
        f"for another within {timeout:g} s; it was not sent. Ask more slowly, or check the worker: "
        f"streamlstm info --router {endpoint}"
    )


def unanswered(endpoint: str, timeout: float) -> WorkerTimeoutError:
    """Return the error for a message that got no answer."""
    return WorkerTimeoutError(
        f"{endpoint}: no answer within {timeout:g} s; what was asked may have been done all the "
        f"same. {worker_check(endpoint, 'router')}"
    )


def silent(endpoint: str, timeout: float, why: Why = _UNKNOWN) -> WorkerTimeoutError:
    """Return the error for a subscriber that heard nothing, and why that may be."""
    kind = HandshakeError if why.certain else WorkerTimeoutError
    return kind(
        f"{endpoint}: no prediction within {timeout:g} s. {why.said}"
        f"{worker_check(endpoint, 'xpub')}"
    )


def closed(what: str) -> StreamLSTMError:
    """Return the error for a client that is used after its end."""
    return StreamLSTMError(f"this {what} is closed; make a new one")


def subscriptions(streams: Sequence[wire.StreamId]) -> list[bytes]:
    """Return what to subscribe to: prefixes of text ids, and integer ids.

    Raises
    ------
    BadValueError
        If it is a single id, or nothing at all.
    StreamIdError
        If one of them is no id.
    """
    if isinstance(streams, str | bytes | int) or not isinstance(streams, Iterable):
        raise BadValueError(
            f"streams: expected a sequence of prefixes and integer ids, got {streams!r}; "
            f"write [{streams!r}] for one"
        )
    topics = [wire.topic(check_stream_id(stream)) if stream != "" else b"" for stream in streams]
    if not topics:
        raise BadValueError("streams: expected at least one; leave it out to hear everything")
    return topics


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


def worker_check(endpoint: str, option: str) -> str:
    """Say how to find out whether a worker is there."""
    command = "streamlstm info" if option == "router" else "streamlstm serve MODEL"
    return f"Check that a worker runs there: {command} --{option} {endpoint}"


class Connection:
    """A socket that one thread uses at a time, and its end."""

    _kind: int
    _what: str

    def __init__(
        self,
        endpoint: str,
        context: zmq.Context[zmq.Socket[bytes]] | None,
        linger: float = 0.0,
        key: KeyPath = None,
        server: KeyPath = None,
        **options: int,
    ) -> None:
        self.endpoint = endpoint
        keys = credentials(key, server)
        self._lock = threading.Lock()
        self._own_context = context is None
        self._context: zmq.Context[zmq.Socket[bytes]] = context or zmq.Context()
        self._socket: zmq.Socket[bytes] | None = self._context.socket(self._kind)
        try:
            self._handshake = connect(
                self._context, self._socket, endpoint, keys, LINGER=milliseconds(linger), **options
            )
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
            self._end()

    def _end(self) -> None:
        if self._socket is not None:
            self._handshake.close()
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
