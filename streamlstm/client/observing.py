"""Makes what ``observe`` returns of the replies to STEP and STEPS."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import wire
from ..engine.prediction import Prediction, Predictions
from ..errors import ProtocolError
from .prediction_map import prediction_of, results_of
from .replies import decode_as


class Published(wire.Prediction):
    """A published PREDICTION: ``stream``, ``seq`` and ``values``, float32[O].

    With ``values`` subscribed to also ``time``, the event time in seconds or None, and ``came``.
    """

    @property
    def came(self) -> NDArray[Any] | None:
        """The observation that it answers, float32[F], NaN where a value was missing."""
        return None if self.x is None else wire.from_vector(self.x)

    @property
    def observed(self) -> Prediction:
        """The prediction and how sure it is, as :meth:`Client.observe` returns it."""
        return prediction_of(self.values, self.extra)


def decode_observed(frame: bytes) -> Prediction:
    """Return the prediction in the reply to a STEP; raises as :func:`.replies.decode_as`."""
    reply = decode_as(frame, wire.Prediction)
    return prediction_of(reply.values, reply.extra)


def decode_all_observed(frame: bytes) -> Predictions:
    """Return the predictions in the reply to a STEPS; raises as :func:`.replies.decode_as`."""
    reply = decode_as(frame, wire.Predictions)
    return Predictions(*results_of(reply.values, reply.extra))


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
