"""The response to one message: a reply to its sender, and publications to subscribers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..engine.engine import Engine
from ..errors import (
    ArrivingError,
    DamagedRecordError,
    DuplicateError,
    FencedError,
    GapError,
    MovedError,
    StreamLSTMError,
)
from ..network.model import Model
from .counters import Counters
from .extras import model_extras
from .line_limit import LineLimit

_LOG = logging.getLogger(__name__)


class Publication(NamedTuple):
    """The two frames that subscribers of one stream receive."""

    topic: bytes
    frame: bytes


class Response(NamedTuple):
    """The response to one message.

    Attributes
    ----------
    reply : bytes
        The frame for the sender.
    publications : list of Publication
        For subscribers.
    error : wire.Error or None
        Why the message was refused, for the log of the pull socket, which sends no replies; of a
        STEPS that came there, why its first bad row was.
    ticket : int
        The commit of the store that has to be safe before the reply is sent; 0 for none.
    reloads : bool
        Whether it began a reload, which :meth:`Service.reload` will answer; there is no reply yet.
    """

    reply: bytes
    publications: list[Publication]
    error: wire.Error | None = None
    ticket: int = 0
    reloads: bool = False


def done(kind: wire.Kind, stream: wire.StreamId | None, value: Any) -> Response:
    """Return the response that a request was executed, with its result."""
    return Response(wire.encode(wire.Done(kind, stream, value)), [])


class Refusals:
    """Makes responses of errors, and counts them.

    Parameters
    ----------
    engine : Engine
    counters : Counters
    lines : LineLimit
        Of the log.
    """

    def __init__(self, engine: Engine, counters: Counters, lines: LineLimit) -> None:
        self._engine, self._counters, self._lines = engine, counters, lines

    def guard(self, action: Callable[[], Response], stream: wire.StreamId | None) -> Response:
        """Call an action; refuse the message if it raises: a worker outlives every message."""
        try:
            return action()
        except Exception as error:
            return self.refuse(error, stream, None)

    def refuse(self, error: Exception, stream: wire.StreamId | None, seq: int | None) -> Response:
        """Return the response that an observation or a request was refused."""
        if isinstance(error, DamagedRecordError) and stream is None:
            stream = error.stream  # one of many that the message names
        if isinstance(error, StreamLSTMError):
            known = self._last_of(error, stream, seq)
            refusal = wire.Error(stream, seq, error.code, str(error), *known)
            if isinstance(error, MovedError):
                refusal = refusal._replace(owner=wire.Owner(error.epoch, error.router))
        else:
            said = "a message could not be answered"
            self._lines.write(_LOG, logging.ERROR, said, kind="failed", error=error)
            sentence = f"the worker failed with {type(error).__name__}; its log says where"
            refusal = wire.Error(stream, seq, "error", sentence)
        self._counters.errors[refusal.code] += 1
        return Response(wire.encode(refusal), [], refusal)

    def _last_of(
        self, error: StreamLSTMError, stream: wire.StreamId | None, seq: int | None
    ) -> tuple[int | None, bytes | None, dict[str, Any] | None]:
        """Return the stream's last sequence number for a refused one, and the prediction for it."""
        if isinstance(error, GapError):
            return error.expected - 1, None, None
        if isinstance(error, FencedError):
            return error.last, None, None
        if isinstance(error, MovedError):
            return error.partition, None, None
        if isinstance(error, ArrivingError):
            return error.wait, None, None
        if not isinstance(error, DuplicateError):
            return None, None, None
        result = error.result
        if result is None and stream is not None and seq is not None:
            result = self._engine.last_result(stream, seq)
        return error.last, *_prediction_of(self._engine.model, result)


def _prediction_of(
    model: Model, result: NDArray[np.float32] | None
) -> tuple[bytes | None, dict[str, Any] | None]:
    """Return y and the map of a result, float32[W], as a PREDICTION has them."""
    if result is None:
        return None, None
    extras = model_extras(model)
    if extras is None:
        return wire.to_floats(result), None
    outputs, said = result[: extras.outputs], result[extras.outputs :]
    y = wire.Doubles.of(extras.wide(result[None], 0)) if extras.offsets else wire.to_floats(outputs)
    # Nothing but zeros stands beside the outputs of a stream that restarted with another model: of
    # a result the p-value is NaN, or no 0 without an error.
    return y, extras.of_row(result) if extras.has_map and said.any() else None
