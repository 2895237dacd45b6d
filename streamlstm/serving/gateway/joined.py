"""Joins the predictions of several workers for the rows of one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import wire


def join_predictions(
    request: wire.Steps, parts: Sequence[tuple[list[int], wire.Predictions]]
) -> wire.Predictions:
    """Return the reply to a STEPS from replies to parts of it, each with its rows."""
    count = len(request.streams)
    order = np.argsort(np.concatenate([rows for rows, _ in parts])).tolist()
    Y = wire.rows_of(wire.join_vectors([reply.Y for _, reply in parts]), order, count)
    extra = None
    if all(reply.extra is not None for _, reply in parts):
        extra = _join_maps([reply.extra or {} for _, reply in parts], order, count)
    return wire.Predictions(request.streams, request.seqs, Y, extra)


def _join_maps(maps: list[dict[str, Any]], order: list[int], count: int) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for key in maps[0]:
        values: list[Any] = [part.get(key) for part in maps]
        if key == "levels":
            joined[key] = values[0]
        elif all(isinstance(value, bytes) for value in values):
            joined[key] = wire.rows_of(b"".join(values), order, count)
        elif all(isinstance(value, list) for value in values):
            rows = [row for value in values for row in value]
            joined[key] = [rows[n] for n in order]
    return joined
