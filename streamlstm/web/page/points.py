"""Makes arrays of what a worker has published: of a batch of events, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import wire
from ...client.observing import Published
from ...network.online import KINDS

Array = NDArray[Any]


@dataclass(frozen=True)
class Points:
    """A batch of B predictions and of the observations that they answer.

    Attributes
    ----------
    streams : list of str or int
    times : float64[B]
        Event times, NaN where an observation had none.
    X, Y : float32[B, F], float32[B, O]
        What came and what was predicted; float64 where they have offsets.
    low, high, error : float[B, O]
        Bounds of the widest interval, and what came less what had been predicted; NaN if unknown.
    score, p_value : float[B]
        NaN without the anomaly stage.
    alarm : bool[B]
    kind : uint8[B]
        Places in ``streamlstm.network.online.KINDS``.
    filled : int[B]
    """

    streams: list[wire.StreamId]
    times: NDArray[np.float64]
    X: Array
    Y: Array
    low: Array
    high: Array
    error: Array
    score: Array
    p_value: Array
    alarm: NDArray[np.bool_]
    kind: NDArray[np.uint8]
    filled: NDArray[np.int64]


def points_of(events: Sequence[Published]) -> Points:
    """Return the arrays of predictions of one model.

    Raises
    ------
    ValueError, KeyError
        If they are of several models.
    """
    B = len(events)
    Y = _matrix([event.y for event in events], B)
    said = [event.extra or {} for event in events]
    has = said[0].keys()

    def vectors(key: str) -> Array:
        """Return the last O numbers of each: of bounds those of the widest interval."""
        if key not in has:
            return np.full(Y.shape, np.nan, np.float32)
        return _matrix([each[key] for each in said], B)[:, -Y.shape[1] :]

    def numbers(key: str, missing: float) -> Array:
        return np.array([each.get(key, missing) for each in said], float)

    return Points(
        [event.stream for event in events],
        np.array([np.nan if event.time is None else event.time for event in events]),
        _matrix([event.x or b"" for event in events], B),
        Y,
        vectors("low"),
        vectors("high"),
        vectors("error"),
        numbers("score", np.nan),
        numbers("p", np.nan),
        numbers("alarm", 0) > 0,
        np.array([_kind(each.get("kind", "")) for each in said], np.uint8),
        numbers("filled", 0).astype(np.int64),
    )


def _kind(word: str) -> int:
    return KINDS.index(word) if word in KINDS else 0


def _matrix(vectors: Sequence[Any], rows: int) -> Array:
    """Return vectors of equal length as rows: bins of float32, or what came in full precision."""
    if all(type(vector) is bytes for vector in vectors):
        return wire.from_floats(b"".join(vectors)).reshape(rows, -1)
    full = [np.array(v, float) if isinstance(v, list) else wire.from_vector(v) for v in vectors]
    return np.stack(full).astype(np.float64)
