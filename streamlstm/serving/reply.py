"""What a message leads to: an answer for who asked, and what subscribers hear."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import wire
from ..engine.engine import Engine
from ..errors import DuplicateError, GapError, StreamLSTMError
from .native.counters import Counters

_LOG = logging.getLogger(__name__)


class Publication(NamedTuple):
    """The two frames that subscribers of one stream receive."""

    topic: bytes
    frame: bytes


class Answer(NamedTuple):
    """What one message leads to.

    Attributes
    ----------
    reply : bytes
        The frame for the sender.
    publications : list of Publication
        For subscribers.
    error : wire.Error or None
        Why the message was refused, for the log of a door that sends no replies; of a STEPS that
        came through such a door, why the first bad row was.
    ticket : int
        The commit of the store that has to be safe before the reply is sent; 0 for none.
    reloads : bool
        Whether it began a change of the model, which :meth:`Service.reload` will answer; there is
        no reply yet.
    """

    reply: bytes
    publications: list[Publication]
    error: wire.Error | None = None
    ticket: int = 0
    reloads: bool = False


def done(kind: wire.Kind, stream: wire.StreamId | None, value: Any) -> Answer:
    """Answer that something was done."""
    return Answer(wire.encode(wire.Done(kind, stream, value)), [])


def happened(kind: wire.Kind, stream: wire.StreamId, publish: bool) -> Answer:
    """Answer that something was done to a stream, which its subscribers hear too."""
    answer = done(kind, stream, None)
    if not publish:
        return answer
    return answer._replace(publications=[Publication(wire.topic(stream), answer.reply)])


class Refusals:
    """Answers why something was not done, and counts it.

    Parameters
    ----------
    engine : Engine
    counters : Counters
    """

    def __init__(self, engine: Engine, counters: Counters) -> None:
        self._engine, self._counters = engine, counters

    def guard(self, action: Callable[[], Answer], stream: wire.StreamId | None) -> Answer:
        """Do it, or answer why it cannot be done: a worker outlives every message."""
        try:
            return action()
        except Exception as error:
            return self.refuse(error, stream, None)

    def refuse(self, error: Exception, stream: wire.StreamId | None, seq: int | None) -> Answer:
        """Answer why an observation or a question was refused."""
        if isinstance(error, StreamLSTMError):
            refusal = wire.Error(
                stream, seq, error.code, str(error), *self._standing(error, stream, seq)
            )
        else:
            _LOG.error("a message could not be answered", exc_info=error)
            sentence = f"the worker failed with {type(error).__name__}; its log says where"
            refusal = wire.Error(stream, seq, "error", sentence)
        self._counters.errors[refusal.code] += 1
        return Answer(wire.encode(refusal), [], refusal)

    def _standing(
        self, error: StreamLSTMError, stream: wire.StreamId | None, seq: int | None
    ) -> tuple[int | None, bytes | None]:
        """Say where the stream of a refused number stands, and what it was answered before."""
        if isinstance(error, GapError):
            return error.expected - 1, None
        if not isinstance(error, DuplicateError):
            return None, None
        y = None if stream is None or seq is None else self._engine.last_prediction(stream, seq)
        return error.last, None if y is None else wire.to_floats(y)
