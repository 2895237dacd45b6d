"""What a gateway makes of the replies of workers."""

from __future__ import annotations

from ... import wire
from .tables import IN_DOUBT

PAUSE = 0.005  # seconds after which a message is sent again that was not taken


def error_of(reply: bytes) -> wire.Error | None:
    """Return what a reply says if it is an ERROR."""
    answer = wire.decode_reply(reply)
    return answer if isinstance(answer, wire.Error) else None


def doubt(stream: wire.StreamId | None, seq: int | None) -> wire.Error:
    """Return the error of a request that was lost with its worker."""
    return wire.Error(stream, seq, "error", IN_DOUBT)


def in_doubt(stream: wire.StreamId | None, seq: int | None) -> bytes:
    """Return it as a reply."""
    return wire.encode(doubt(stream, seq))


def as_applied(answer: wire.Reply, reply: bytes) -> bytes:
    """Return the reply to an observation that was sent again since its worker had died.

    If that one had applied it, it is a duplicate now, with the prediction that nobody has got.
    """
    if not isinstance(answer, wire.Error) or answer.y is None or answer.stream is None:
        return reply
    prediction = wire.Prediction(answer.stream, answer.seq or 0, answer.y, answer.extra)
    return wire.encode(prediction) if answer.seq == answer.number else reply
