"""From messages to bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from . import elements
from .messages import (
    MAX_TEXT,
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
    StreamId,
)


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


def busy_words(sentence: str) -> bytes:
    """Write the code and the sentence of a ``busy`` answer, which compiled code puts together."""
    code: bytes = msgpack.packb("busy")
    return code + msgpack.packb(sentence)  # type: ignore[no-any-return]


def _pack(*parts: Any) -> bytes:
    packed: bytes = msgpack.packb(parts, unicode_errors="replace")
    return packed


def _write_step(step: Step) -> bytes:
    parts: list[Any] = [
        Kind.STEP,
        elements.stream(step.stream),
        elements.seq(step.seq),
        elements.vector(step.x),
    ]
    if step.time is not None:
        parts.append(elements.time(step.time))
    return _pack(*parts)


def _write_steps(steps: Steps) -> bytes:
    streams = elements.streams(steps.streams)
    rows = len(streams)
    return _pack(
        Kind.STEPS, streams, elements.seqs(steps.seqs, rows), elements.matrix(steps.X, rows)
    )


def _write_list(message: List) -> bytes:
    prefix, after, limit = message
    return _pack(
        Kind.LIST,
        None if prefix is None else elements.prefix(prefix),
        None if after is None else elements.stream(after),
        elements.unsigned(limit, "count", ""),
    )


def _write_prediction(prediction: Prediction) -> bytes:
    stream, seq, y, extra = prediction
    parts = [
        Kind.PREDICTION,
        elements.stream(stream),
        elements.seq(seq),
        elements.vector(y, "y"),
    ]
    return _pack(*parts) if extra is None else _pack(*parts, extra)


def _write_predictions(predictions: Predictions) -> bytes:
    streams = elements.streams(predictions.streams)
    rows = len(streams)
    seqs = elements.seqs(predictions.seqs, rows)
    return _pack(Kind.PREDICTIONS, streams, seqs, elements.matrix(predictions.Y, rows, "Y"))


def _write_error(error: Error) -> bytes:
    stream, seq, code, text, number, y = error
    parts: list[Any] = [Kind.ERROR, stream, seq, code, text[:MAX_TEXT]]
    if number is not None:
        parts.append(elements.unsigned(number, *elements.NUMBERED.get(code, ("number", ""))))
        parts += [] if y is None else [elements.vector(y, "y")]
    return _pack(*parts)


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    Step: _write_step,
    Steps: _write_steps,
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
    List: _write_list,
    Last: lambda message: _pack(Kind.LAST, elements.streams(message.streams)),
    Forget: lambda message: _pack(Kind.FORGET, elements.stream(message.stream)),
    Reload: lambda message: _pack(Kind.RELOAD, elements.boolean(message.anew, "anew")),
    Prediction: _write_prediction,
    Predictions: _write_predictions,
    Done: lambda done: _pack(Kind.DONE, done.kind, done.stream, done.value),
    Error: _write_error,
}
