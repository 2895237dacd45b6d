"""Joins what several workers of a fleet reply to one request."""

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


def join_listed(values: Sequence[Any], count: int) -> list[Any]:
    """Return the first streams of several replies to LIST; one that two have is moving."""
    last: dict[wire.StreamId, int] = {}
    for stream, seq in (pair for value in values for pair in value):
        last[stream] = max(seq, last.get(stream, 0))

    def place(stream: wire.StreamId) -> tuple[bool, int, bytes]:
        is_text = isinstance(stream, str)
        return is_text, 0 if isinstance(stream, str) else stream, _bytes_of(stream)

    return [[stream, last[stream]] for stream in sorted(last, key=place)[:count]]


def _bytes_of(stream: wire.StreamId) -> bytes:
    return stream.encode() if isinstance(stream, str) else b""


# Of INFO: what workers have in common; all other numbers are added.
_COMMON = {"protocol", "version", "model", "backend", "limits", "uptime", "bounds", "peak"}


def join_info(values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the INFO of a fleet from those of its workers."""
    joined = dict(values[0])
    for value in values[1:]:
        joined = _add(joined, value)
    return joined


def _add(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {key: _sum(key, value, other.get(key)) for key, value in one.items()} | {
        key: value for key, value in other.items() if key not in one
    }


def _sum(key: str, one: Any, other: Any) -> Any:
    if key in _COMMON or other is None or isinstance(one, str | bool):
        return one
    if isinstance(one, dict) and isinstance(other, dict):
        return _add(one, other)
    if isinstance(one, list):
        return [a + b for a, b in zip(one, other, strict=False)]
    return other if one is None else one + other
