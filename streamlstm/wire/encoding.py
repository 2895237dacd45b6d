"""Encodes messages into bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from . import elements
from .extras import Extras
from .messages import (
    MAX_TEXT,
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
    Ping,
    Prediction,
    Predictions,
    Reload,
    Reply,
    Request,
    Reset,
    Step,
    Steps,
    StreamId,
    Table,
)
from .vectors import Doubles


def encode(message: Request | Reply) -> bytes:
    """Encode a request or a reply.

    Raises
    ------
    ProtocolError
        If an element exceeds the limits of the protocol.
    """
    return _ENCODERS[type(message)](message)


def encode_predictions(
    streams: Sequence[StreamId],
    seqs: Sequence[int],
    results: NDArray[np.float32],
    extras: Extras | None = None,
) -> list[bytes]:
    """Encode one PREDICTION for each row of ``results``, float32[B, W].

    Without ``extras`` W is the number of outputs.
    """
    if extras is not None and extras.offsets:
        return _encode_wide(streams, seqs, results, extras)
    pack = msgpack.Packer(use_single_float=True).pack  # made once: it is half of the cost
    kind = int(Kind.PREDICTION)
    if extras is not None:
        outputs = 4 * extras.outputs
        return [
            pack((kind, stream, seq, row.tobytes()[:outputs], extras.of_row(row)))
            for stream, seq, row in zip(streams, seqs, results, strict=True)
        ]
    size = 4 * results.shape[1]
    data = results.astype("<f4", copy=False).tobytes()
    return [
        pack((kind, stream, seq, data[start : start + size]))
        for stream, seq, start in zip(streams, seqs, range(0, len(data), size), strict=True)
    ]


def _encode_wide(
    streams: Sequence[StreamId],
    seqs: Sequence[int],
    results: NDArray[np.float32],
    extras: Extras,
) -> list[bytes]:
    """Encode as :func:`encode_predictions` the results of a model whose outputs have offsets.

    They are float64; other numbers of the map stay float32, as compiled code writes them.
    """
    single = msgpack.Packer(use_single_float=True)
    pack, wide = single.pack, msgpack.Packer().pack
    Y = extras.wide(results, 0)
    frames = []
    for n, (stream, seq, y) in enumerate(zip(streams, seqs, Y, strict=True)):
        map_of = extras.of_row(results[n]) if extras.has_map else {}
        parts = [single.pack_array_header(5 if extras.has_map else 4), pack(int(Kind.PREDICTION))]
        parts += [pack(stream), pack(seq), wide(y)]
        parts += [single.pack_map_header(len(map_of))] if extras.has_map else []
        for key, value in map_of.items():
            parts += [pack(key), (wide if type(value) is list else pack)(value)]
        frames.append(b"".join(parts))
    return frames


def with_values(prediction: bytes, x: bytes, time: float | None) -> bytes:
    """Return an encoded PREDICTION with what came, behind its map or a nil in the place of it."""
    came: bytes = msgpack.packb(_vector(x)) + msgpack.packb(time)
    nil = b"\xc0" if prediction[0] == 0x94 else b""
    return b"\x97" + prediction[1:] + nil + came


def encode_words(code: str, message: str) -> bytes:
    """Encode the code and the message of an ERROR that compiled code assembles."""
    packed: bytes = msgpack.packb(code) + msgpack.packb(message)
    return packed


def _pack(*parts: Any) -> bytes:
    packed: bytes = msgpack.packb(parts, unicode_errors="replace")
    return packed


def _vector(value: bytes, where: str = "x") -> Any:
    """Return a vector as it is packed: a bin, or an array if it is of full precision."""
    return value.numbers() if isinstance(value, Doubles) else elements.vector(value, where)


def _matrix(value: bytes, rows: int, where: str = "X") -> Any:
    """Return a matrix as it is packed: a bin, or an array of arrays."""
    if not isinstance(value, Doubles):
        return elements.matrix(value, rows, where)
    numbers, width = value.numbers(), len(value) // 4 // rows
    if width * rows != len(numbers):
        elements.refuse(where, f"{rows} equal rows of numbers", numbers, "bad-shape")
    return [numbers[n * width : (n + 1) * width] for n in range(rows)]


def _encode_step(step: Step) -> bytes:
    parts: list[Any] = [
        Kind.STEP,
        elements.stream(step.stream),
        elements.seq(step.seq),
        _vector(step.x),
    ]
    if step.time is not None:
        parts.append(elements.time(step.time))
    return _pack(*parts)


def _encode_steps(steps: Steps) -> bytes:
    streams = elements.streams(steps.streams)
    rows = len(streams)
    parts = [Kind.STEPS, streams, elements.seqs(steps.seqs, rows), _matrix(steps.X, rows)]
    if steps.times is not None:
        parts.append(elements.times(steps.times, rows))
    return _pack(*parts)


def _encode_list(message: List) -> bytes:
    prefix, after, limit = message
    return _pack(
        Kind.LIST,
        None if prefix is None else elements.prefix(prefix),
        None if after is None else elements.stream(after),
        elements.unsigned(limit, "count", ""),
    )


def _encode_prediction(prediction: Prediction) -> bytes:
    stream, seq, y, extra, x, time = prediction
    parts = [
        Kind.PREDICTION,
        elements.stream(stream),
        elements.seq(seq),
        _vector(y, "y"),
    ]
    packed = _pack(*parts) if extra is None else _pack(*parts, extra)
    return packed if x is None else with_values(packed, x, time)


def _encode_predictions(predictions: Predictions) -> bytes:
    streams = elements.streams(predictions.streams)
    rows = len(streams)
    seqs = elements.seqs(predictions.seqs, rows)
    parts = (Kind.PREDICTIONS, streams, seqs, _matrix(predictions.Y, rows, "Y"))
    return _pack(*parts) if predictions.extra is None else _pack(*parts, predictions.extra)


def _encode_error(error: Error) -> bytes:
    stream, seq, code, text, number, y, extra, owner = error
    parts: list[Any] = [Kind.ERROR, stream, seq, code, text[:MAX_TEXT]]
    if number is not None:
        parts.append(elements.unsigned(number, *elements.NUMBERED.get(code, ("number", ""))))
        parts += [] if y is None else [_vector(y, "y")]
        parts += [] if y is None or extra is None else [extra]
        parts += [] if owner is None else [*owner]
    return _pack(*parts)


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    Step: _encode_step,
    Steps: _encode_steps,
    Reset: lambda message: _pack(Kind.RESET, elements.stream(message.stream)),
    Export: lambda message: _pack(Kind.EXPORT, elements.stream(message.stream)),
    Import: lambda message: _pack(
        Kind.IMPORT, elements.stream(message.stream), elements.binary(message.blob, "blob")
    ),
    Info: lambda _: _pack(Kind.INFO),
    Ping: lambda message: _pack(Kind.PING, elements.nonce(message.nonce)),
    Barrier: lambda message: _pack(
        Kind.BARRIER,
        elements.nonce(message.token, "token"),
        elements.unsigned(message.sent, "count", ""),
    ),
    List: _encode_list,
    Last: lambda message: _pack(Kind.LAST, elements.streams(message.streams)),
    Forget: lambda message: _pack(Kind.FORGET, elements.stream(message.stream)),
    Reload: lambda message: _pack(Kind.RELOAD, elements.boolean(message.anew, "anew")),
    Label: lambda message: _pack(
        Kind.LABEL,
        elements.stream(message.stream),
        elements.seq(message.seq),
        _vector(message.y, "y"),
    ),
    Claim: lambda message: _pack(
        Kind.CLAIM, elements.streams(message.streams), elements.before(message.before)
    ),
    Table: lambda _: _pack(Kind.TABLE),
    Prediction: _encode_prediction,
    Predictions: _encode_predictions,
    Done: lambda done: _pack(Kind.DONE, *done[:3], *([True] if done.full else [])),
    Error: _encode_error,
}
