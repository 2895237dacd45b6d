"""Makes what ``observe`` returns of the replies to STEP and STEPS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..engine.prediction import Prediction, Predictions, ResultLayout
from ..errors import ProtocolError
from ..network.online import KINDS
from .replies import decode_as

_DIGITS = 6  # of a level, which is sent as a float32


class Published(wire.Prediction):
    """A published PREDICTION: ``stream``, ``seq`` and ``values``, float32[O]."""

    @property
    def observed(self) -> Prediction:
        """The prediction and how sure it is, as :meth:`Client.observe` returns it."""
        return prediction_of(self)


def decode_observed(frame: bytes) -> Prediction:
    """Return the prediction in the reply to a STEP; raises as :func:`.replies.decode_as`."""
    return prediction_of(decode_as(frame, wire.Prediction))


def prediction_of(reply: wire.Prediction) -> Prediction:
    """Return the outputs and the map of a PREDICTION as ``observe`` returns them.

    Raises
    ------
    ProtocolError
        If the map has other than the documented values.
    """
    rows, layout = _results(reply.values[None], reply.extra)
    return Prediction(rows[0], layout)


def decode_all_observed(frame: bytes) -> Predictions:
    """Return the predictions in the reply to a STEPS; raises as :func:`.replies.decode_as`."""
    reply = decode_as(frame, wire.Predictions)
    return Predictions(*_results(reply.values, reply.extra))


def _results(Y: NDArray[Any], extra: dict[str, Any] | None) -> tuple[NDArray[Any], ResultLayout]:
    """Put outputs Y[B, O] and the values of a map into results[B, W], of the type of Y."""
    rows, outputs = Y.shape
    if extra is None:
        return Y, ResultLayout(outputs, (), False)
    try:
        levels = wire.from_floats(extra.get("levels", b""))
        layout = ResultLayout(outputs, [round(float(level), _DIGITS) for level in levels], True)
        places = layout.places
        results = np.full((rows, places.size), np.nan, Y.dtype)
        results[:, :outputs] = Y
        results[:, [places.alarm, places.kind, places.filled, places.drift]] = 0
        for key, start, stop in (
            ("low", places.low, places.high),
            ("high", places.high, places.error),
            ("error", places.error, places.score),
            ("score", places.score, places.p_value),
            ("p", places.p_value, places.alarm),
            ("alarm", places.alarm, places.kind),
            ("kind", places.kind, places.filled),
            ("filled", places.filled, places.drift),
            ("drift", places.drift, places.covered),
        ):
            if key in extra:
                results[:, start:stop] = _numbers(extra[key]).reshape(rows, -1)
    except (TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"extra: expected the values of docs/protocol.md ({error})") from None
    return results, layout


def _numbers(value: Any) -> NDArray[Any]:
    if isinstance(value, bytes):
        return wire.from_floats(value)
    if isinstance(value, list):
        return np.array(value, np.float64)
    number = KINDS.index(value) if isinstance(value, str) else value
    return np.array([number], np.float32)


def decode_published(frame: bytes) -> Published | wire.Done | None:
    """Return a published message; None if its kind is newer than this version.

    Raises
    ------
    ProtocolError
        If it is no message of the protocol.
    """
    try:
        reply = wire.decode_reply(frame)
    except ProtocolError as error:
        if error.code == "unknown-kind":
            return None
        raise
    if isinstance(reply, wire.Prediction):
        return Published(*reply)
    return reply if isinstance(reply, wire.Done) else None
