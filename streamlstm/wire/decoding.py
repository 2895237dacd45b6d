"""Decodes bytes into messages; any bytes give a message or a :class:`ProtocolError`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import msgpack

from ..errors import ProtocolError
from . import elements
from .messages import (
    MAX_MESSAGE_BYTES,
    MAX_STREAMS,
    VERSION,
    Barrier,
    Claim,
    Done,
    Error,
    Export,
    Forget,
    Import,
    Info,
    Kind,
    Label,
    Last,
    List,
    Owner,
    Ping,
    Prediction,
    Predictions,
    Reload,
    Reply,
    Request,
    Reset,
    Step,
    Steps,
    Table,
)


def _take(message: list[Any], *lengths: int) -> list[Any]:
    """Return the elements after the kind of a request, which has an exact number of them."""
    if len(message) not in lengths:
        counts = " or ".join(map(str, lengths))
        raise ProtocolError(f"expected {counts} elements, got {len(message)}")
    return message[1:]


def _take_at_least(message: list[Any], length: int) -> list[Any]:
    """Return the elements after the kind of a reply; later versions may append more."""
    if len(message) < length:
        raise ProtocolError(f"expected at least {length} elements, got {len(message)}")
    return message[1:length]


def _decode_step(message: list[Any]) -> Step:
    if len(message) == 4:
        return Step(
            elements.stream(message[1]), elements.seq(message[2]), elements.vector(message[3])
        )
    stream, seq, x, time = _take(message, 4, 5)
    return Step(elements.stream(stream), elements.seq(seq), elements.vector(x), elements.time(time))


def _decode_steps(message: list[Any]) -> Steps:
    streams, seqs, X, *times = _take(message, 4, 5)
    rows = len(elements.streams(streams))
    return Steps(
        streams,
        elements.seqs(seqs, rows),
        elements.matrix(X, rows),
        elements.times(times[0], rows) if times else None,
    )


def _decode_import(message: list[Any]) -> Import:
    stream, blob = _take(message, 3)
    return Import(elements.stream(stream), elements.binary(blob, "blob"))


def _decode_barrier(message: list[Any]) -> Barrier:
    token, count = _take(message, 3)
    return Barrier(elements.nonce(token, "token"), elements.unsigned(count, "count", ""))


def _decode_list(message: list[Any]) -> List:
    prefix, after, count = _take(message, 4)
    return List(
        None if prefix is None else elements.prefix(prefix),
        None if after is None else elements.stream(after),
        elements.unsigned(count, "count", ""),
    )


def _decode_label(message: list[Any]) -> Label:
    stream, seq, y = _take(message, 4)
    return Label(elements.stream(stream), elements.seq(seq), elements.vector(y, "y"))


def _decode_claim(message: list[Any]) -> Claim:
    streams, before = _take(message, 3)
    return Claim(elements.streams(streams), elements.before(before))


def _decode_info(message: list[Any]) -> Info:
    _take(message, 1)
    return Info()


def _decode_prediction(message: list[Any]) -> Prediction:
    stream, seq, y = _take_at_least(message, 4)
    extra = _extra_of(message, 4)
    x = elements.vector(message[5]) if len(message) > 5 else None
    time = message[6] if len(message) > 6 else None
    return Prediction(
        elements.stream(stream),
        elements.seq(seq),
        elements.vector(y, "y"),
        extra,
        x,
        None if time is None else elements.time(time),
    )


def _extra_of(message: list[Any], place: int) -> dict[str, Any] | None:
    """Return the map of a prediction that a message has at a place, None if it has none."""
    extra = message[place] if len(message) > place else None
    if extra is not None and type(extra) is not dict:
        elements.refuse("extra", "a map or nil", extra)
    return extra


def _decode_predictions(message: list[Any]) -> Predictions:
    streams, seqs, Y = _take_at_least(message, 4)
    streams = elements.streams(streams)
    rows = len(streams)
    return Predictions(
        streams, elements.seqs(seqs, rows), elements.matrix(Y, rows, "Y"), _extra_of(message, 4)
    )


def _decode_done(message: list[Any]) -> Done:
    kind, stream, value = _take_at_least(message, 4)
    if type(kind) is not int:
        elements.refuse("kind", "the kind of the request, an integer", kind)
    full = kind == Kind.CLAIM and len(message) > 4 and message[4] is True
    return Done(kind, None if stream is None else elements.stream(stream), value, full)


def _decode_error(message: list[Any]) -> Error:
    stream, seq, code, text = _take_at_least(message, 5)
    if type(code) is not str or type(text) is not str:
        raise ProtocolError("expected a code and a sentence, both text")
    where, what = elements.NUMBERED.get(code, ("", ""))
    number = message[5] if len(message) > 5 and where else None
    y = message[6] if len(message) > 6 and code == "duplicate" else None
    owner = _owner_of(message[6], message[7]) if code == "moved" and len(message) > 7 else None
    return Error(
        None if stream is None else elements.stream(stream),
        None if seq is None else elements.seq(seq),
        elements.text(code),
        elements.text(text),
        None if number is None else elements.unsigned(number, where, what),
        None if y is None else elements.vector(y, "y"),
        None if y is None else _extra_of(message, 7),
        owner,
    )


def _owner_of(epoch: Any, router: Any) -> Owner:
    """Return the owner of a partition that a ``moved`` names."""
    if router is not None and type(router) is not str:
        elements.refuse("router", "an endpoint, text, or nil", router)
    return Owner(elements.unsigned(epoch, "epoch", ""), router and elements.text(router))


def _decode_table(message: list[Any]) -> Table:
    _take(message, 1)
    return Table()


_REQUEST_DECODERS: dict[int, Callable[[list[Any]], Request]] = {
    Kind.STEP: _decode_step,
    Kind.STEPS: _decode_steps,
    Kind.RESET: lambda message: Reset(elements.stream(_take(message, 2)[0])),
    Kind.EXPORT: lambda message: Export(elements.stream(_take(message, 2)[0])),
    Kind.IMPORT: _decode_import,
    Kind.INFO: _decode_info,
    Kind.PING: lambda message: Ping(elements.nonce(_take(message, 2)[0])),
    Kind.BARRIER: _decode_barrier,
    Kind.LIST: _decode_list,
    Kind.LAST: lambda message: Last(elements.streams(_take(message, 2)[0])),
    Kind.FORGET: lambda message: Forget(elements.stream(_take(message, 2)[0])),
    Kind.RELOAD: lambda message: Reload(elements.boolean(_take(message, 2)[0], "anew")),
    Kind.LABEL: _decode_label,
    Kind.CLAIM: _decode_claim,
    Kind.TABLE: _decode_table,
}
_KINDS = ", ".join(str(int(kind)) for kind in _REQUEST_DECODERS)
_REPLY_DECODERS: dict[int, Callable[[list[Any]], Reply]] = {
    Kind.PREDICTION: _decode_prediction,
    Kind.PREDICTIONS: _decode_predictions,
    Kind.DONE: _decode_done,
    Kind.ERROR: _decode_error,
}
_ONE_STREAM_KINDS = frozenset(
    (Kind.STEP, Kind.RESET, Kind.EXPORT, Kind.IMPORT, Kind.FORGET, Kind.LABEL)
)


def decode_request(frame: bytes, limit: int = MAX_MESSAGE_BYTES) -> Request:
    """Decode a request of a client.

    Parameters
    ----------
    frame : bytes
        One message.
    limit : int
        Maximum size of a message in bytes.

    Raises
    ------
    ProtocolError
        If the request is malformed; ``stream`` and ``seq`` are set where they could be decoded.
    """
    if len(frame) > limit:
        raise too_large(len(frame), limit)
    message = _unpack(frame)
    kind = message[0]
    try:
        decoder = _REQUEST_DECODERS.get(kind) if type(kind) is int else None
        if decoder is None:
            _refuse_kind(kind, _KINDS)
        return decoder(message)
    except ProtocolError as error:
        _add_context(error, message)
        raise


def too_large(size: int, limit: int) -> ProtocolError:
    """Return the error for a message of ``size`` bytes where ``limit`` are allowed."""
    return ProtocolError(
        f"expected a message of at most {limit} bytes, got {size}; send smaller ones", "too-large"
    )


def decode_reply(frame: bytes) -> Reply:
    """Decode a reply or a published message of a worker.

    Raises
    ------
    ProtocolError
        If the reply is malformed.
    """
    message = _unpack(frame)
    kind = message[0]
    decoder = _REPLY_DECODERS.get(kind) if type(kind) is int else None
    if decoder is None:
        _refuse_kind(kind, "129, 130, 131 or 255")
    return decoder(message)


def count_observations(frame: object) -> int:
    """Return the number of observations that a message declares; 1 if it declares none."""
    if not isinstance(frame, bytes):
        return 1
    decoder = msgpack.Unpacker()
    decoder.feed(frame)
    try:
        if decoder.read_array_header() < 2 or decoder.unpack() != Kind.STEPS:
            return 1
        rows: int = decoder.read_array_header()
    except (ValueError, msgpack.UnpackException):
        return 1
    return min(max(rows, 1), MAX_STREAMS)


def _unpack(frame: bytes) -> list[Any]:
    # msgpack allocates a list of the length in its header before it reads the elements, at each
    # level of nesting: without a bound on that length a few bytes cost gigabytes.
    longest = min(len(frame), MAX_STREAMS)
    try:
        # surrogateescape lets invalid UTF-8 pass, so that the error can name the element
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


def _add_context(error: ProtocolError, message: list[Any]) -> None:
    """Add the kind, the stream and the sequence number to an error, where they are valid."""
    kind = message[0]
    if type(kind) is not int or kind not in _REQUEST_DECODERS:
        return
    error.args = (f"{Kind(kind).name}: {error}",)
    if kind in _ONE_STREAM_KINDS and len(message) > 1:
        error.stream = _valid_or_none(elements.stream, message[1])
    if kind == Kind.STEP and len(message) > 2:
        error.seq = _valid_or_none(elements.seq, message[2])


def _valid_or_none(check: Callable[[Any], Any], value: object) -> Any:
    try:
        return check(value)
    except ProtocolError:
        return None
