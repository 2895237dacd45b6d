"""Divides messages of many streams over the workers of a fleet, and puts the answers together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import wire
from ...engine.prediction import Predictions, ResultLayout
from ...errors import Divided, ProtocolError, RemoteError, StreamLSTMError
from ..observing import decode_all_observed
from ..prediction_map import results_of
from ..replies import Decoder, decode_as, decode_done, decode_nothing, decode_predictions


class Rows(NamedTuple):
    """What rows were answered: results[B, W], and what their numbers mean."""

    results: NDArray[Any]
    layout: ResultLayout


def decode_rows(frame: bytes) -> Rows:
    """Return what the rows of a STEPS were answered."""
    reply = decode_as(frame, wire.Predictions)
    return Rows(*results_of(reply.values, reply.extra))


def decode_row(frame: bytes) -> Rows:
    """Return what a STEP was answered, as a row."""
    reply = decode_as(frame, wire.Prediction)
    return Rows(*results_of(reply.values[None], reply.extra))


def groups(keys: Sequence[Any]) -> list[list[int]]:
    """Return the positions of equal keys, in the order of their first ones."""
    found: dict[Any, list[int]] = {}
    for n, key in enumerate(keys):
        found.setdefault(key, []).append(n)
    return list(found.values())


def select(message: wire.Steps | wire.Last, rows: Sequence[int]) -> wire.Steps | wire.Last:
    """Return a message with some of the streams of another."""
    streams = [message.streams[n] for n in rows]
    if isinstance(message, wire.Last):
        return wire.Last(streams)
    _, seqs, X, times = message
    return wire.Steps(
        streams,
        None if seqs is None else [seqs[n] for n in rows],
        wire.rows_of(X, rows, len(message.streams)),
        None if times is None else [times[n] for n in rows],
    )


def single(message: wire.Steps, row: int) -> wire.Step:
    """Return a row of a message as a message of its own."""
    streams, seqs, X, times = message
    return wire.Step(
        streams[row],
        0 if seqs is None else seqs[row],
        wire.rows_of(X, [row], len(streams)),
        None if times is None else times[row],
    )


def decoder_of_part(decode: Decoder[Any]) -> Decoder[Any]:
    """Return what decodes the answer to a part of a message."""
    return decode if decode in (decode_done, decode_nothing, decode_rows) else decode_rows


_RESULTS: dict[Any, Callable[[Rows], Any]] = {
    decode_predictions: lambda rows: rows.results[:, : rows.layout.outputs],
    decode_all_observed: lambda rows: Predictions(*rows),
    decode_rows: lambda rows: rows,
}


def join(
    decode: Decoder[Any],
    parts: Sequence[Sequence[int]],
    results: Sequence[Any],
    errors: Sequence[Exception | None],
) -> Any:
    """Return what a message was answered of which each part was answered.

    Parameters
    ----------
    decode : callable
        Of the whole message.
    parts : sequence of sequence of int
        The positions of the rows of each part.
    results, errors : sequence
        Of each part; None where it has the other.

    Returns
    -------
    object
        Of independent rows, which have no common answer: the number of rows and the error of each
        part that was not applied.

    Raises
    ------
    Exception
        The error of the part with the first row that was not applied. Its ``divided`` says which
        rows were applied, if any were; its ``position`` is the row that it speaks of.
    """
    if decode is decode_nothing:
        told = zip(parts, errors, strict=True)
        return [(len(rows), error) for rows, error in told if error is not None]
    if any(error is not None for error in errors):
        raise _error(parts, results, errors, decode is not decode_done)
    count = sum(map(len, parts))
    if decode is decode_done:
        values: list[Any] = [None] * count
        for rows, value in zip(parts, results, strict=True):
            for n, each in zip(rows, value, strict=True):
                values[n] = each
        return values
    return _RESULTS[decode](_together(parts, results, count))


def _together(parts: Sequence[Sequence[int]], results: Sequence[Rows], count: int) -> Rows:
    """Return rows in their order, with as many columns as all have."""
    layout = results[0].layout
    if any(each.layout.places != layout.places for each in results):
        if any(each.layout.outputs != layout.outputs for each in results):
            raise ProtocolError(
                "the workers of the fleet answered with different numbers of outputs: their models "
                "are not the same yet"
            )
        layout = ResultLayout(layout.outputs, (), False)
    width = results[0].results.shape[1] if layout.has_stage else layout.outputs
    together = np.full((count, width), np.nan, results[0].results.dtype)
    for rows, each in zip(parts, results, strict=True):
        together[list(rows)] = each.results[:, :width]
    return Rows(together, layout)


def _error(
    parts: Sequence[Sequence[int]],
    results: Sequence[Any],
    errors: Sequence[Exception | None],
    applies: bool,
) -> Exception:
    """Return the error of a message that was not answered as a whole.

    ``applies``: whether what was answered was applied.
    """
    first = min((rows[0], n) for n, rows in enumerate(parts) if errors[n] is not None)[1]
    error = errors[first]
    assert error is not None
    count = sum(map(len, parts))
    applied, doubtful = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    values: NDArray[Any] | None = None
    for rows, result, failed in zip(parts, results, errors, strict=True):
        at = list(rows)
        if failed is None:
            applied[at] = applies
            if isinstance(result, Rows):
                found = result.results[:, : result.layout.outputs]
                if values is None:
                    values = np.full((count, found.shape[1]), np.nan, found.dtype)
                values[at] = found
        elif not isinstance(failed, RemoteError):
            doubtful[at] = getattr(failed, "in_doubt", True)
    if isinstance(error, StreamLSTMError):
        if error.position is not None:
            error.position = parts[first][error.position]
        if applied.any() or (doubtful.any() and not doubtful.all()):
            error.divided = Divided(applied, doubtful, values)
    return error
