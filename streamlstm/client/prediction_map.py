"""Makes what ``observe`` returns of outputs and the map of a reply."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..engine.prediction import Prediction, ResultLayout
from ..errors import ProtocolError
from ..network.online import KINDS

_DIGITS = 6  # of a level, which is sent as a float32


def prediction_of(y: NDArray[Any], extra: dict[str, Any] | None) -> Prediction:
    """Return outputs y[O] and the map of a PREDICTION as ``observe`` returns them.

    Raises
    ------
    ProtocolError
        If the map has other than the documented values.
    """
    rows, layout = results_of(y[None], extra)
    return Prediction(rows[0], layout)


def results_of(Y: NDArray[Any], extra: dict[str, Any] | None) -> tuple[NDArray[Any], ResultLayout]:
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
