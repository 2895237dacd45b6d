"""The wire protocol, version 1: messages to bytes and back. docs/protocol.md is its specification.

This is the only module that knows msgpack, and the one place where the limits of the protocol are
enforced. Whatever the bytes, reading them gives a message or a :class:`ProtocolError`.

Vectors stay what they are on the wire, runs of little-endian float32 in ``bytes``: a worker joins
the vectors of a batch into one array without ever making an array for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, NoReturn, TypeAlias

import msgpack  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ProtocolError

VERSION = 1
ROUTER = "tcp://127.0.0.1:7450"  # where a worker is asked,
PULL = "tcp://127.0.0.1:7451"  # fed,
XPUB = "tcp://127.0.0.1:7452"  # and listened to, unless it is told otherwise
MAX_PORT = 2**16 - 1
MAX_ID_BYTES = 255
MAX_UINT = 2**64 - 1
MAX_STREAMS = 16_384  # in one STEPS message, and elements in any array
MAX_NONCE_BYTES = 255
MAX_LISTED = 1_000  # streams in one answer to LIST
MAX_ENVELOPE = 8  # frames before the message
MAX_ENVELOPE_BYTES = 255  # of each of them
MAX_MESSAGE_BYTES = 2**20  # unless a worker is told otherwise
MAX_TEXT = 1_000  # characters of the sentence in an ERROR

CODES = (
    "bad-frame",
    "bad-shape",
    "bad-value",
    "unknown-kind",
    "gap",
    "duplicate",
    "busy",
    "capacity",
    "unknown-stream",
    "moved",
    "model-mismatch",
    "too-large",
    "forbidden",
    "bad-model",
    "error",
)

StreamId: TypeAlias = str | int
Nonce: TypeAlias = int | str | bytes


class Kind(IntEnum):
    """The first element of every message."""

    STEP = 1
    STEPS = 2
    RESET = 3
    EXPORT = 4
    IMPORT = 5
    INFO = 6
    PING = 7
    BARRIER = 8
    LIST = 9
    LAST = 10
    FORGET = 11
    RELOAD = 13
    PREDICTION = 129
    PREDICTIONS = 130
    DONE = 131
    ERROR = 255


# No question has this kind: a DONE with it is published when a stream has left memory.
EVICTED = 12


class Step(NamedTuple):
    """One observation of one stream; ``x`` is float32[F], ``time`` in seconds."""

    stream: StreamId
    seq: int
    x: bytes
    time: float | None = None


class Steps(NamedTuple):
    """Observations of many streams, all or none of them applied; ``X`` is float32[B, F]."""

    streams: list[StreamId]
    seqs: list[int] | None
    X: bytes


class Reset(NamedTuple):
    """Make the memory of a stream that of a new one."""

    stream: StreamId


class Export(NamedTuple):
    """Ask for the state of a stream."""

    stream: StreamId


class Import(NamedTuple):
    """Give a stream the state that an EXPORT returned."""

    stream: StreamId
    blob: bytes


class Info(NamedTuple):
    """Ask what the worker runs and what it has done."""


class Ping(NamedTuple):
    """Ask for the nonce to be sent back."""

    nonce: Nonce


class Barrier(NamedTuple):
    """Ask to hear when the ``sent`` observations before it are applied and safe."""

    token: Nonce
    sent: int


class List(NamedTuple):
    """Ask which streams there are, from behind ``after`` on, at most ``limit`` of them."""

    prefix: str | None
    after: StreamId | None
    limit: int


class Last(NamedTuple):
    """Ask for the last number of each of these streams."""

    streams: list[StreamId]


class Forget(NamedTuple):
    """Drop a stream."""

    stream: StreamId


class Reload(NamedTuple):
    """Take the model file anew; with ``anew`` all streams begin anew, with any model."""

    anew: bool


class Prediction(NamedTuple):
    """The answer to a STEP, and what subscribers receive; ``y`` is float32[O]."""

    stream: StreamId
    seq: int
    y: bytes
    extra: dict[str, Any] | None = None

    @property
    def values(self) -> NDArray[np.float32]:
        """The outputs, float32[O]."""
        return from_floats(self.y)


class Predictions(NamedTuple):
    """The answer to a STEPS; ``Y`` is float32[B, O]."""

    streams: list[StreamId]
    seqs: list[int] | None
    Y: bytes

    @property
    def values(self) -> NDArray[np.float32]:
        """The outputs, float32[B, O], one row a stream in the order of the question."""
        return from_floats(self.Y).reshape(len(self.streams), -1)


class Done(NamedTuple):
    """The answer to everything that is not a step; ``value`` is the state for an EXPORT.

    Subscribers hear that of RESET, IMPORT and FORGET, and one with the kind ``EVICTED`` when a
    stream has left memory; its value then tells whether it is in a store and comes back.
    """

    kind: int
    stream: StreamId | None
    value: Any = None


class Error(NamedTuple):
    """Why a message changed nothing.

    What ``number`` is depends on the code: with ``busy`` the milliseconds to wait, with ``gap`` and
    ``duplicate`` the number after which the stream goes on. ``y``, float32[O], comes with
    ``duplicate`` where the prediction is still known.
    """

    stream: StreamId | None
    seq: int | None
    code: str
    message: str
    number: int | None = None
    y: bytes | None = None

    @property
    def wait(self) -> int | None:
        """With ``busy``: milliseconds until the same may be sent again."""
        return self.number if self.code == "busy" else None

    @property
    def last_seq(self) -> int | None:
        """With ``gap`` and ``duplicate``: the number after which the stream goes on."""
        return self.number if self.code in ("gap", "duplicate") else None


Request: TypeAlias = (
    Step | Steps | Reset | Export | Import | Info | Ping | Barrier | List | Last | Forget | Reload
)
Reply: TypeAlias = Prediction | Predictions | Done | Error


_LITTLE_FLOAT32 = np.dtype("<f4")


# --- floats, ports and topics --------------------------------------------------------------------


def to_floats(values: ArrayLike) -> bytes:
    """Write an array of numbers as little-endian float32, row by row."""
    if isinstance(values, np.ndarray) and values.dtype == _LITTLE_FLOAT32:
        return values.tobytes()  # three times quicker than to look for numbers that are too large
    with np.errstate(over="ignore"):  # too large for float32 becomes inf, which a worker refuses
        return np.asarray(values, dtype="<f4").tobytes()


def from_floats(data: bytes) -> NDArray[np.float32]:
    """Read a new float32 array out of little-endian float32."""
    return np.frombuffer(data, dtype="<f4").astype(np.float32)


def is_port(endpoint: str) -> bool:
    """Return whether an endpoint's port is one; true also for endpoints that have none.

    libzmq itself reads 99999 as 34463, and connects there.
    """
    scheme, _, address = endpoint.partition("://")
    _, colon, port = address.rpartition(":")
    if scheme != "tcp" or not colon:
        return True
    digits = port.isascii() and port.isdecimal() and len(port) <= len(str(MAX_PORT))
    return digits and 1 <= int(port) <= MAX_PORT


def topic(stream: StreamId) -> bytes:
    """Name a stream as subscribers do: text as it is, so that a prefix can be subscribed to.

    No text id starts with a NUL byte, so the two forms never meet.
    """
    if isinstance(stream, str):
        return stream.encode()
    return b"\0" + stream.to_bytes(8, "big")


# --- checks: every limit of the protocol ---------------------------------------------------------


def _shown(value: object) -> str:
    """Say what came in the words of msgpack: its type and size, never its content."""
    if isinstance(value, str):
        return f"text of {len(value.encode(errors='replace'))} bytes"
    if isinstance(value, bytes):
        return f"a bin of {len(value)} bytes"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "a negative integer" if value < 0 else "an integer"
    if isinstance(value, float):
        return "a float" if math.isfinite(value) else "a float that is not finite"
    return {type(None): "nil", dict: "a map"}.get(type(value), "an extension type")


def _refuse(where: str, expected: str, value: object, code: str = "bad-frame") -> NoReturn:
    raise ProtocolError(f"{where}: expected {expected}, got {_shown(value)}", code)


def _at(where: str, index: int | None) -> str:
    return where if index is None else f"{where}s[{index}]"


def _stream(value: Any, index: int | None = None) -> StreamId:
    """Hold the one definition of a stream id."""
    if type(value) is str:
        if value.isascii():
            size = len(value)
        else:
            try:
                size = len(value.encode())
            except UnicodeEncodeError:
                raise ProtocolError(
                    f"{_at('stream', index)}: expected text in UTF-8, got other bytes"
                ) from None
        if 0 < size <= MAX_ID_BYTES and value[0] != "\0":
            return value
        if size and value[0] == "\0":
            raise ProtocolError(f"{_at('stream', index)}: a text id must not start with a NUL byte")
    elif type(value) is int and 0 <= value <= MAX_UINT:
        return value
    _refuse(
        _at("stream", index),
        f"text of 1 to {MAX_ID_BYTES} bytes or an unsigned 64-bit integer",
        value,
    )


def _seq(value: Any, index: int | None = None) -> int:
    if type(value) is int and 0 <= value <= MAX_UINT:
        return value
    _refuse(_at("seq", index), "an unsigned 64-bit integer (0: not counted)", value)


_NUMBERS = frozenset((int, float, type(None)))


def _vector(value: Any, where: str = "x") -> bytes:
    if type(value) is bytes:
        if len(value) % 4:
            _refuse(where, "a bin of float32, four bytes each", value, "bad-shape")
        return value
    if type(value) is list:
        if _NUMBERS.issuperset(map(type, value)):
            return to_floats([math.nan if number is None else number for number in value])
        index = next(i for i, number in enumerate(value) if type(number) not in _NUMBERS)
        _refuse(f"{where}[{index}]", "a number, or nil for missing", value[index])
    _refuse(where, "a bin of little-endian float32 or an array of numbers", value)


def _matrix(value: Any, rows: int, where: str = "X") -> bytes:
    if type(value) is bytes:
        if len(value) % (4 * rows):
            _refuse(where, f"a bin of {rows} equal rows of float32", value, "bad-shape")
        return value
    if type(value) is not list:
        _refuse(where, "a bin of little-endian float32 or an array of arrays of numbers", value)
    if len(value) != rows:
        _refuse(where, f"one row for each of {rows} streams", value, "bad-shape")
    vectors = [_vector(row, f"{where}[{index}]") for index, row in enumerate(value)]
    for index, vector in enumerate(vectors):
        if len(vector) != len(vectors[0]):
            raise ProtocolError(
                f"{where}[{index}]: expected as many numbers as in the first row, "
                f"{len(vectors[0]) // 4}, got {len(vector) // 4}",
                "bad-shape",
            )
    return b"".join(vectors)


def _streams(value: Any) -> list[StreamId]:
    if type(value) is not list or not value:
        _refuse("streams", "an array of at least one stream id", value)
    if len(value) > MAX_STREAMS:  # when writing; what is read cannot be longer
        _refuse("streams", f"at most {MAX_STREAMS} stream ids", value, "too-large")
    for index, stream in enumerate(value):
        _stream(stream, index)
    return value


def _seqs(value: Any, rows: int) -> list[int] | None:
    if value is None:
        return None
    if type(value) is not list or len(value) != rows:
        _refuse("seqs", f"nil or an array of {rows} sequence numbers, one a stream", value)
    for index, seq in enumerate(value):
        _seq(seq, index)
    return value


def _time(value: Any) -> float:
    if type(value) is float or type(value) is int:
        if math.isfinite(value):
            return float(value)
        _refuse("time", "a finite number of seconds", value, "bad-value")
    _refuse("time", "a number of seconds", value)


def _bytes(value: Any, where: str) -> bytes:
    if type(value) is not bytes:
        _refuse(where, "a bin", value)
    return value


def _unsigned(value: Any, where: str, what: str) -> int:
    if type(value) is int and 0 <= value <= MAX_UINT:
        return value
    _refuse(where, f"an unsigned integer{what}", value)


def _boolean(value: Any, where: str) -> bool:
    if type(value) is bool or (type(value) is int and value in (0, 1)):
        return bool(value)
    _refuse(where, "a boolean, 0 or 1", value)


# What the sixth element of an ERROR is; with other codes it is something of a later version.
_NUMBERED = {
    "busy": ("wait", " of milliseconds, or nil"),
    "gap": ("last", ", or nil"),
    "duplicate": ("last", ", or nil"),
}


def _prefix(value: Any) -> str:
    if type(value) is str and (value == "" or _stream(value)):
        return value
    _refuse("prefix", "text, or nil for all streams", value)


def _nonce(value: Any, where: str = "nonce") -> Nonce:
    if type(value) is int and 0 <= value <= MAX_UINT:
        return value
    if type(value) is bytes and len(value) <= MAX_NONCE_BYTES:
        return value
    if type(value) is str and _text(value) == value and len(value.encode()) <= MAX_NONCE_BYTES:
        return value
    _refuse(where, f"an unsigned integer, UTF-8 or a bin of at most {MAX_NONCE_BYTES} bytes", value)


def _text(value: str) -> str:
    """Return text that can be written again; what was not UTF-8 becomes question marks."""
    return value.encode(errors="replace").decode()


# --- reading -------------------------------------------------------------------------------------


def _take(message: list[Any], *lengths: int) -> list[Any]:
    """Return the elements after the kind; a question has exactly as many as it should."""
    if len(message) not in lengths:
        counts = " or ".join(map(str, lengths))
        raise ProtocolError(f"expected {counts} elements, got {len(message)}")
    return message[1:]


def _at_least(message: list[Any], length: int) -> list[Any]:
    """Return the elements after the kind of an answer; later versions may append more."""
    if len(message) < length:
        raise ProtocolError(f"expected at least {length} elements, got {len(message)}")
    return message[1:length]


def _read_step(message: list[Any]) -> Step:
    if len(message) == 4:
        return Step(_stream(message[1]), _seq(message[2]), _vector(message[3]))
    stream, seq, x, time = _take(message, 4, 5)
    return Step(_stream(stream), _seq(seq), _vector(x), _time(time))


def _read_steps(message: list[Any]) -> Steps:
    streams, seqs, X = _take(message, 4)
    streams = _streams(streams)
    return Steps(streams, _seqs(seqs, len(streams)), _matrix(X, len(streams)))


def _read_import(message: list[Any]) -> Import:
    stream, blob = _take(message, 3)
    return Import(_stream(stream), _bytes(blob, "blob"))


def _read_barrier(message: list[Any]) -> Barrier:
    token, count = _take(message, 3)
    return Barrier(_nonce(token, "token"), _unsigned(count, "count", ""))


def _read_list(message: list[Any]) -> List:
    prefix, after, count = _take(message, 4)
    return List(
        None if prefix is None else _prefix(prefix),
        None if after is None else _stream(after),
        _unsigned(count, "count", ""),
    )


def _read_info(message: list[Any]) -> Info:
    _take(message, 1)
    return Info()


def _read_prediction(message: list[Any]) -> Prediction:
    stream, seq, y = _at_least(message, 4)
    extra = message[4] if len(message) > 4 else None
    if extra is not None and type(extra) is not dict:
        _refuse("extra", "a map or nil", extra)
    return Prediction(_stream(stream), _seq(seq), _vector(y, "y"), extra)


def _read_predictions(message: list[Any]) -> Predictions:
    streams, seqs, Y = _at_least(message, 4)
    streams = _streams(streams)
    return Predictions(streams, _seqs(seqs, len(streams)), _matrix(Y, len(streams), "Y"))


def _read_done(message: list[Any]) -> Done:
    kind, stream, value = _at_least(message, 4)
    if type(kind) is not int:
        _refuse("kind", "the kind of the question, an integer", kind)
    return Done(kind, None if stream is None else _stream(stream), value)


def _read_error(message: list[Any]) -> Error:
    stream, seq, code, text = _at_least(message, 5)
    if type(code) is not str or type(text) is not str:
        raise ProtocolError("expected a code and a sentence, both text")
    where, what = _NUMBERED.get(code, ("", ""))
    number = message[5] if len(message) > 5 and where else None
    y = message[6] if len(message) > 6 and code == "duplicate" else None
    return Error(
        None if stream is None else _stream(stream),
        None if seq is None else _seq(seq),
        _text(code),
        _text(text),
        None if number is None else _unsigned(number, where, what),
        None if y is None else _vector(y, "y"),
    )


_REQUESTS: dict[int, Callable[[list[Any]], Request]] = {
    Kind.STEP: _read_step,
    Kind.STEPS: _read_steps,
    Kind.RESET: lambda message: Reset(_stream(_take(message, 2)[0])),
    Kind.EXPORT: lambda message: Export(_stream(_take(message, 2)[0])),
    Kind.IMPORT: _read_import,
    Kind.INFO: _read_info,
    Kind.PING: lambda message: Ping(_nonce(_take(message, 2)[0])),
    Kind.BARRIER: _read_barrier,
    Kind.LIST: _read_list,
    Kind.LAST: lambda message: Last(_streams(_take(message, 2)[0])),
    Kind.FORGET: lambda message: Forget(_stream(_take(message, 2)[0])),
    Kind.RELOAD: lambda message: Reload(_boolean(_take(message, 2)[0], "anew")),
}
_REPLIES: dict[int, Callable[[list[Any]], Reply]] = {
    Kind.PREDICTION: _read_prediction,
    Kind.PREDICTIONS: _read_predictions,
    Kind.DONE: _read_done,
    Kind.ERROR: _read_error,
}
_ABOUT_ONE_STREAM = frozenset((Kind.STEP, Kind.RESET, Kind.EXPORT, Kind.IMPORT, Kind.FORGET))


def decode_request(frame: bytes, limit: int = MAX_MESSAGE_BYTES) -> Request:
    """Read what a client sent.

    Parameters
    ----------
    frame : bytes
        One message.
    limit : int
        Bytes that a message may have.

    Raises
    ------
    ProtocolError
        For anything but a well-formed question; ``stream`` and ``seq`` are set where they could be
        read.
    """
    if len(frame) > limit:
        raise too_large(len(frame), limit)
    message = _unpack(frame)
    kind = message[0]
    try:
        reader = _REQUESTS.get(kind) if type(kind) is int else None
        if reader is None:
            _refuse_kind(kind, f"1 to {max(_REQUESTS):d}")
        return reader(message)
    except ProtocolError as error:
        _name(error, message)
        raise


def too_large(size: int, limit: int) -> ProtocolError:
    """Return the error for a message of ``size`` bytes where ``limit`` may be sent."""
    return ProtocolError(
        f"expected a message of at most {limit} bytes, got {size}; send smaller ones", "too-large"
    )


def decode_reply(frame: bytes) -> Reply:
    """Read what a worker answered or published.

    Raises
    ------
    ProtocolError
        For anything but a well-formed answer.
    """
    message = _unpack(frame)
    kind = message[0]
    reader = _REPLIES.get(kind) if type(kind) is int else None
    if reader is None:
        _refuse_kind(kind, "129, 130, 131 or 255")
    return reader(message)


def _unpack(frame: bytes) -> list[Any]:
    # msgpack makes a list as long as its header says before it reads the elements, for each level
    # of nesting: what a header may say has to be bounded, or a few bytes cost gigabytes.
    longest = min(len(frame), MAX_STREAMS)
    try:
        # surrogateescape lets text that is not UTF-8 through to where it can be named
        message = msgpack.unpackb(frame, unicode_errors="surrogateescape", max_array_len=longest)
    except Exception as error:
        if longest == MAX_STREAMS and "max_array_len" in str(error):
            raise ProtocolError(
                f"expected arrays of at most {MAX_STREAMS} elements; send smaller messages, or "
                "vectors as bins",
                "too-large",
            ) from error
        reason = "nested too deeply" if isinstance(error, msgpack.StackError) else "not one"
        raise ProtocolError(
            f"expected one msgpack array, got {len(frame)} bytes that are {reason}"
        ) from error
    if type(message) is not list or not message:
        _refuse("message", "an array that begins with its kind", message)
    return message


def _refuse_kind(kind: object, known: str) -> NoReturn:
    if type(kind) is not int:
        _refuse("kind", f"an integer, {known}", kind)
    raise ProtocolError(
        f"kind: expected {known} (protocol version {VERSION}), got {kind}", "unknown-kind"
    )


def _name(error: ProtocolError, message: list[Any]) -> None:
    """Say which kind, stream and observation the mistake is about, where that much is legible."""
    kind = message[0]
    if type(kind) is not int or kind not in _REQUESTS:
        return
    error.args = (f"{Kind(kind).name}: {error}",)
    if kind in _ABOUT_ONE_STREAM and len(message) > 1:
        error.stream = _legible(_stream, message[1])
    if kind == Kind.STEP and len(message) > 2:
        error.seq = _legible(_seq, message[2])


def _legible(check: Callable[[Any], Any], value: object) -> Any:
    try:
        return check(value)
    except ProtocolError:
        return None


# --- writing -------------------------------------------------------------------------------------


def encode(message: Request | Reply) -> bytes:
    """Write a message of either direction.

    Raises
    ------
    ProtocolError
        If an element is not within the limits of the protocol.
    """
    return _WRITERS[type(message)](message)


def encode_predictions(
    streams: Sequence[StreamId], seqs: Sequence[int], Y: NDArray[np.float32]
) -> list[bytes]:
    """Write one PREDICTION for each row of ``Y``, float32[B, O]."""
    pack = msgpack.Packer().pack  # made once a batch: half of the cost of packing
    size = 4 * Y.shape[1]
    data = Y.astype("<f4", copy=False).tobytes()
    kind = int(Kind.PREDICTION)
    return [
        pack((kind, stream, seq, data[start : start + size]))
        for stream, seq, start in zip(streams, seqs, range(0, len(data), size), strict=True)
    ]


def count_observations(frame: object) -> int:
    """Return how many observations a message says that it has; 1 if it says nothing of it."""
    if not isinstance(frame, bytes):
        return 1
    reader = msgpack.Unpacker()
    reader.feed(frame)
    try:
        if reader.read_array_header() < 2 or reader.unpack() != Kind.STEPS:
            return 1
        rows: int = reader.read_array_header()
    except (ValueError, msgpack.UnpackException):
        return 1
    return min(max(rows, 1), MAX_STREAMS)


def busy_words(sentence: str) -> bytes:
    """Write the code and the sentence of a ``busy`` answer, which compiled code puts together."""
    code: bytes = msgpack.packb("busy")
    return code + msgpack.packb(sentence)  # type: ignore[no-any-return]


def _pack(*elements: Any) -> bytes:
    packed: bytes = msgpack.packb(elements, unicode_errors="replace")
    return packed


def _write_step(step: Step) -> bytes:
    elements: list[Any] = [Kind.STEP, _stream(step.stream), _seq(step.seq), _vector(step.x)]
    if step.time is not None:
        elements.append(_time(step.time))
    return _pack(*elements)


def _write_steps(steps: Steps) -> bytes:
    streams = _streams(steps.streams)
    rows = len(streams)
    return _pack(Kind.STEPS, streams, _seqs(steps.seqs, rows), _matrix(steps.X, rows))


def _write_list(message: List) -> bytes:
    prefix, after, limit = message
    return _pack(
        Kind.LIST,
        None if prefix is None else _prefix(prefix),
        None if after is None else _stream(after),
        _unsigned(limit, "count", ""),
    )


def _write_prediction(prediction: Prediction) -> bytes:
    stream, seq, y, extra = prediction
    elements = [Kind.PREDICTION, _stream(stream), _seq(seq), _vector(y, "y")]
    return _pack(*elements) if extra is None else _pack(*elements, extra)


def _write_predictions(predictions: Predictions) -> bytes:
    streams = _streams(predictions.streams)
    rows = len(streams)
    seqs = _seqs(predictions.seqs, rows)
    return _pack(Kind.PREDICTIONS, streams, seqs, _matrix(predictions.Y, rows, "Y"))


def _write_error(error: Error) -> bytes:
    stream, seq, code, text, number, y = error
    elements: list[Any] = [Kind.ERROR, stream, seq, code, text[:MAX_TEXT]]
    if number is not None:
        elements.append(_unsigned(number, *_NUMBERED.get(code, ("number", ""))))
        elements += [] if y is None else [_vector(y, "y")]
    return _pack(*elements)


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    Step: _write_step,
    Steps: _write_steps,
    Reset: lambda message: _pack(Kind.RESET, _stream(message.stream)),
    Export: lambda message: _pack(Kind.EXPORT, _stream(message.stream)),
    Import: lambda message: _pack(
        Kind.IMPORT, _stream(message.stream), _bytes(message.blob, "blob")
    ),
    Info: lambda _: _pack(Kind.INFO),
    Ping: lambda message: _pack(Kind.PING, _nonce(message.nonce)),
    Barrier: lambda message: _pack(
        Kind.BARRIER, _nonce(message.token, "token"), _unsigned(message.sent, "count", "")
    ),
    List: _write_list,
    Last: lambda message: _pack(Kind.LAST, _streams(message.streams)),
    Forget: lambda message: _pack(Kind.FORGET, _stream(message.stream)),
    Reload: lambda message: _pack(Kind.RELOAD, _boolean(message.anew, "anew")),
    Prediction: _write_prediction,
    Predictions: _write_predictions,
    Done: lambda done: _pack(Kind.DONE, done.kind, done.stream, done.value),
    Error: _write_error,
}
