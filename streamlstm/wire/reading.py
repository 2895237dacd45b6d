"""From bytes to messages: whatever the bytes, a message or a :class:`ProtocolError`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import msgpack  # type: ignore[import-untyped]

from ..errors import ProtocolError
from . import elements
from .messages import (
    MAX_MESSAGE_BYTES,
    MAX_STREAMS,
    VERSION,
    Barrier,
    Done,
    Error,
    Export,
    Forget,
    Import,
    Info,
    Kind,
    Last,
    List,
    Ping,
    Prediction,
    Predictions,
    Reload,
    Reply,
    Request,
    Reset,
    Step,
    Steps,
)


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
        return Step(
            elements.stream(message[1]), elements.seq(message[2]), elements.vector(message[3])
        )
    stream, seq, x, time = _take(message, 4, 5)
    return Step(elements.stream(stream), elements.seq(seq), elements.vector(x), elements.time(time))


def _read_steps(message: list[Any]) -> Steps:
    streams, seqs, X = _take(message, 4)
    streams = elements.streams(streams)
    return Steps(streams, elements.seqs(seqs, len(streams)), elements.matrix(X, len(streams)))


def _read_import(message: list[Any]) -> Import:
    stream, blob = _take(message, 3)
    return Import(elements.stream(stream), elements.binary(blob, "blob"))


def _read_barrier(message: list[Any]) -> Barrier:
    token, count = _take(message, 3)
    return Barrier(elements.nonce(token, "token"), elements.unsigned(count, "count", ""))


def _read_list(message: list[Any]) -> List:
    prefix, after, count = _take(message, 4)
    return List(
        None if prefix is None else elements.prefix(prefix),
        None if after is None else elements.stream(after),
        elements.unsigned(count, "count", ""),
    )


def _read_info(message: list[Any]) -> Info:
    _take(message, 1)
    return Info()


def _read_prediction(message: list[Any]) -> Prediction:
    stream, seq, y = _at_least(message, 4)
    extra = message[4] if len(message) > 4 else None
    if extra is not None and type(extra) is not dict:
        elements.refuse("extra", "a map or nil", extra)
    return Prediction(elements.stream(stream), elements.seq(seq), elements.vector(y, "y"), extra)


def _read_predictions(message: list[Any]) -> Predictions:
    streams, seqs, Y = _at_least(message, 4)
    streams = elements.streams(streams)
    return Predictions(
        streams, elements.seqs(seqs, len(streams)), elements.matrix(Y, len(streams), "Y")
    )


def _read_done(message: list[Any]) -> Done:
    kind, stream, value = _at_least(message, 4)
    if type(kind) is not int:
        elements.refuse("kind", "the kind of the question, an integer", kind)
    return Done(kind, None if stream is None else elements.stream(stream), value)


def _read_error(message: list[Any]) -> Error:
    stream, seq, code, text = _at_least(message, 5)
    if type(code) is not str or type(text) is not str:
        raise ProtocolError("expected a code and a sentence, both text")
    where, what = elements.NUMBERED.get(code, ("", ""))
    number = message[5] if len(message) > 5 and where else None
    y = message[6] if len(message) > 6 and code == "duplicate" else None
    return Error(
        None if stream is None else elements.stream(stream),
        None if seq is None else elements.seq(seq),
        elements.text(code),
        elements.text(text),
        None if number is None else elements.unsigned(number, where, what),
        None if y is None else elements.vector(y, "y"),
    )


_REQUESTS: dict[int, Callable[[list[Any]], Request]] = {
    Kind.STEP: _read_step,
    Kind.STEPS: _read_steps,
    Kind.RESET: lambda message: Reset(elements.stream(_take(message, 2)[0])),
    Kind.EXPORT: lambda message: Export(elements.stream(_take(message, 2)[0])),
    Kind.IMPORT: _read_import,
    Kind.INFO: _read_info,
    Kind.PING: lambda message: Ping(elements.nonce(_take(message, 2)[0])),
    Kind.BARRIER: _read_barrier,
    Kind.LIST: _read_list,
    Kind.LAST: lambda message: Last(elements.streams(_take(message, 2)[0])),
    Kind.FORGET: lambda message: Forget(elements.stream(_take(message, 2)[0])),
    Kind.RELOAD: lambda message: Reload(elements.boolean(_take(message, 2)[0], "anew")),
}
_KINDS = ", ".join(str(int(kind)) for kind in _REQUESTS)
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
            _refuse_kind(kind, _KINDS)
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
        elements.refuse("message", "an array that begins with its kind", message)
    return message


def _refuse_kind(kind: object, known: str) -> NoReturn:
    if type(kind) is not int:
        elements.refuse("kind", f"an integer, {known}", kind)
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
        error.stream = _legible(elements.stream, message[1])
    if kind == Kind.STEP and len(message) > 2:
        error.seq = _legible(elements.seq, message[2])


def _legible(check: Callable[[Any], Any], value: object) -> Any:
    try:
        return check(value)
    except ProtocolError:
        return None
