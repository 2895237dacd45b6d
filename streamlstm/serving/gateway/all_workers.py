"""Requests that all workers of a fleet answer together."""

from __future__ import annotations

import os
from typing import Any

from ... import wire
from ...client.fleet.whole import whole_info, whole_page
from .replies import PAUSE, error_of, in_doubt
from .tasks import Message, Replies, Task
from .workers import Workers


def _all(workers: Workers, frame: bytes) -> list[Message]:
    return [Message(number, frame) for number in workers.numbers]


def barrier(workers: Workers, request: wire.Barrier, received: int) -> Task:
    """Let every worker commit what it has applied.

    Where one is gone, what it had applied may be lost: then nothing counts as received.
    """
    replies: Replies = yield _all(workers, wire.encode(request._replace(sent=0)))
    for reply in replies:
        if reply is None:
            received = 0
        elif error_of(reply) is not None:
            return reply
    return wire.encode(wire.Done(wire.Kind.BARRIER, None, [request.token, received]))


def info(workers: Workers, frame: bytes, about: dict[str, Any]) -> Task:
    """Return what all workers say, with what the gateway says of itself."""
    numbers = workers.numbers
    replies = yield [Message(number, frame) for number in numbers]
    values = {
        workers.names.get(number, ""): answer.value
        for number, reply in zip(numbers, replies, strict=True)
        if reply is not None and isinstance(answer := wire.decode_reply(reply), wire.Done)
    }
    if not values:
        yield PAUSE
        return (yield from info(workers, frame, about))
    joined = whole_info(values) | about | {"pid": os.getpid()}
    return wire.encode(wire.Done(wire.Kind.INFO, None, joined))


def list_streams(workers: Workers, request: wire.List, frame: bytes) -> Task:
    """Return the first streams of all that the workers have."""
    replies = yield _all(workers, frame)
    values = []
    for reply in replies:
        if reply is None:  # its streams are on their way to others
            yield PAUSE
            return (yield from list_streams(workers, request, frame))
        if error_of(reply) is not None:
            return reply
        answer = wire.decode_reply(reply)
        assert isinstance(answer, wire.Done)
        values.append(answer.value)
    count = min(request.limit, wire.MAX_LISTED)
    return wire.encode(wire.Done(wire.Kind.LIST, None, whole_page(values)[:count]))


def reload(workers: Workers, frame: bytes) -> Task:
    """Pass a RELOAD to one worker: it is one for the whole fleet."""
    while not workers.numbers:
        yield PAUSE
    (reply,) = yield [Message(workers.numbers[0], frame)]
    return in_doubt(None, None) if reply is None else reply
