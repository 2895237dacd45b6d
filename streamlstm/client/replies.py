"""Decodes what a worker replies and publishes; its errors become exceptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from numpy.typing import NDArray

from .. import wire
from ..errors import ProtocolError, RemoteError
from .prediction_map import prediction_of

Result = TypeVar("Result")
Decoder: TypeAlias = Callable[[bytes], Result]
ReplyType = TypeVar("ReplyType", bound=wire.Reply)


def decode_prediction(frame: bytes) -> NDArray[Any]:
    """Return the outputs in the reply to a STEP, [O]; raises as :func:`decode_as`."""
    return decode_as(frame, wire.Prediction).values


def decode_predictions(frame: bytes) -> NDArray[Any]:
    """Return the outputs in the reply to a STEPS, [B, O]; raises as :func:`decode_as`."""
    return decode_as(frame, wire.Predictions).values


def decode_nothing(frame: bytes) -> None:
    """Raise what a worker refused; raises as :func:`decode_as`."""
    if frame[1:3] == b"\xcc\xff":  # an ERROR: nobody looks at what else there is
        decode_as(frame, wire.Prediction)


def decode_done(frame: bytes) -> Any:
    """Return the value in the reply to any other request; raises as :func:`decode_as`."""
    return decode_as(frame, wire.Done).value


def decode_as(frame: bytes, expected: type[ReplyType]) -> ReplyType:
    """Return a reply of the expected kind.

    Raises
    ------
    RemoteError
        If the worker refused the request.
    ProtocolError
        If it is no reply, or one to another kind of request.
    """
    reply = wire.decode_reply(frame)
    if isinstance(reply, wire.Error):
        wait = None if reply.wait is None else reply.wait / 1000
        y = None if reply.y is None else wire.from_vector(reply.y)
        raise RemoteError(
            reply.message,
            reply.code,
            reply.stream,
            reply.seq,
            wait,
            reply.last_seq,
            y,
            None if y is None else prediction_of(y, reply.extra),
        )
    if not isinstance(reply, expected):
        raise ProtocolError(f"expected {expected.__name__}, got {type(reply).__name__}")
    return reply
