"""Decodes requests, and checks the shape of observations."""

from __future__ import annotations

from .. import wire
from ..errors import PrecisionError, ProtocolError
from ..network.model import Model


def read_request(
    frame: bytes | ProtocolError, model: Model, max_bytes: int, pulled: bool
) -> wire.Request:
    """Return the message of a frame.

    Parameters
    ----------
    frame : bytes or ProtocolError
        An error stands for a message that the socket has already refused.
    model : Model
        Whose inputs observations must match.
    max_bytes : int
    pulled : bool
        Whether it came through the PULL socket, which takes only STEP and STEPS.

    Raises
    ------
    ProtocolError
    """
    if isinstance(frame, ProtocolError):
        raise frame
    message = wire.decode_request(frame, max_bytes)
    if isinstance(message, wire.Step):
        if len(message.x) != 4 * model.input_size:
            got = len(message.x) // 4
            raise _bad_shape("STEP: x", model, got, message.stream, message.seq)
        if model.input_offsets is not None and not isinstance(message.x, wire.Doubles):
            raise _imprecise("STEP: x", model, message.stream, message.seq)
    elif isinstance(message, wire.Steps):
        if len(message.X) != 4 * model.input_size * len(message.streams):
            raise _bad_shape("STEPS: X", model, len(message.X) // (4 * len(message.streams)))
        if model.input_offsets is not None and not isinstance(message.X, wire.Doubles):
            raise _imprecise("STEPS: X", model)
    elif pulled:
        raise ProtocolError(
            f"{type(message).__name__.upper()}: expected STEP or STEPS at the pull socket; send it "
            "to the router",
            "unknown-kind",
        )
    return message


def _bad_shape(
    where: str,
    model: Model,
    got: int,
    stream: wire.StreamId | None = None,
    seq: int | None = None,
) -> ProtocolError:
    names = ", ".join(model.inputs)
    return ProtocolError(
        f"{where}: expected {model.input_size} features a stream ({names}), got {got}",
        "bad-shape",
        stream,
        seq,
    )


def _imprecise(
    where: str, model: Model, stream: wire.StreamId | None = None, seq: int | None = None
) -> ProtocolError:
    names = ", ".join(model.large_inputs)
    return ProtocolError(
        f"{where}: expected an array of numbers, got a bin of float32, which has lost the digits "
        f"that the model needs of {names}",
        PrecisionError.code,
        stream,
        seq,
    )
