"""Checks the arguments of the clients and builds the messages that they send."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import wire
from ..engine.ids import check_stream_id, check_stream_ids
from ..engine.validation import MAX_SEQ, check_column, check_time, to_numbers
from ..errors import BadValueError, ProtocolError, ShapeError, shown

# Beyond this float32 has a number every 0.125, or fewer.
LARGE = float(2**20)
_MAX_IDS = 4_000  # ids of 257 encoded bytes: just below the limit of a message


def encode(message: wire.Request, limit: int) -> bytes:
    """Return the bytes of a message; raise ProtocolError if they are more than ``limit``."""
    frame = wire.encode(message)
    if len(frame) > limit:
        raise ProtocolError(
            f"expected a message of at most {limit} bytes, got {len(frame)}; send smaller ones, "
            "or raise max_message_bytes here and at the worker",
            "too-large",
        )
    return frame


def check_blob(blob: Any) -> bytes:
    """Return what ``export_stream`` returned as bytes; raise BadValueError if it is none."""
    if not isinstance(blob, bytes | bytearray | memoryview):
        raise BadValueError(f"state: expected bytes, got {type(blob).__name__}")
    return bytes(blob)


def _vector(numbers: NDArray[Any], full: bool | None) -> bytes:
    """Return numbers as a message has them: a bin of float32, or an array of full precision.

    Parameters
    ----------
    numbers : array
        What came as float32 stays so.
    full : bool or None
        Whether the worker needs full precision. None: this is not known, and it is used where
        float32 keeps less than a tenth of 1.
    """
    if full is not False and not (numbers.dtype.kind == "f" and numbers.dtype.itemsize < 8):
        wide = numbers.astype(np.float64)
        if full or ((wide >= LARGE) | (wide <= -LARGE)).any():
            return wire.Doubles.of(wide)
    return wire.to_floats(numbers)


def observation(
    stream: wire.StreamId,
    x: ArrayLike,
    seq: int = 0,
    time: float | None = None,
    full: bool | None = None,
) -> wire.Step:
    """Return the STEP of one observation, of full precision if that is wanted or seems needed.

    Raises
    ------
    ShapeError, BadValueError, StreamIdError
        If ``x`` is not one row of numbers, or ``stream`` no id.
    """
    row = to_numbers(x, "x")
    if row.ndim != 1:
        raise ShapeError(f"x: expected one observation, float32[F], got shape {row.shape}")
    if time is not None:
        time = check_time(stream, time)
    return wire.Step(check_stream_id(stream), _check_seq(seq), _vector(row, full), time)


def label(stream: wire.StreamId, seq: int, y: ArrayLike, full: bool | None = None) -> wire.Label:
    """Return the LABEL of one observation; raises as :func:`observation`."""
    values = np.atleast_1d(to_numbers(y, "y"))
    if values.ndim != 1:
        raise ShapeError(f"y: expected one label for each output, got shape {values.shape}")
    return wire.Label(check_stream_id(stream), _check_seq(seq), _vector(values, full))


def observations(
    streams: Sequence[wire.StreamId],
    X: ArrayLike,
    seqs: Sequence[int] | None = None,
    times: Sequence[float | None] | None = None,
    full: bool | None = None,
) -> wire.Steps:
    """Return the STEPS of observations of many streams.

    Raises
    ------
    ShapeError, BadValueError, StreamIdError
        If ``X`` is not one row of numbers for each stream, or a stream no id.
    """
    ids = check_stream_ids(streams)
    seqs = check_column("seqs", seqs, len(ids))
    rows = to_numbers(X, "X")
    if rows.ndim != 2 or len(rows) != len(ids):
        raise ShapeError(
            f"X: expected one row for each of {len(ids)} streams, got shape {rows.shape}"
        )
    numbers = None if seqs is None else [_check_seq(seq) for seq in seqs]
    return wire.Steps(ids, numbers, _vector(rows, full), _check_times(ids, times))


def single_observations(
    streams: Sequence[wire.StreamId],
    X: ArrayLike,
    times: Sequence[float | None] | None = None,
    full: bool | None = None,
) -> list[wire.Step]:
    """Return a STEP for each of many observations; raises as :func:`observations`."""
    ids, _, data, moments = observations(streams, X, None, times, full)
    moments = moments or [None] * len(ids)
    return [
        wire.Step(stream, 0, wire.rows_of(data, [n], len(ids)), moments[n])
        for n, stream in enumerate(ids)
    ]


def _check_times(
    ids: Sequence[wire.StreamId], times: Sequence[float | None] | None
) -> list[float | None] | None:
    """Return event times as a message has them; None if no observation has one."""
    column = check_column("times", times, len(ids))
    if column is None:
        return None
    checked = [
        None if time is None else check_time(stream, time)
        for stream, time in zip(ids, column, strict=True)
    ]
    return None if all(time is None for time in checked) else checked


def _check_seq(seq: Any) -> int:
    if isinstance(seq, int | np.integer) and not isinstance(seq, bool) and 0 <= seq <= MAX_SEQ:
        return int(seq)
    raise BadValueError(
        f"seq: expected an integer from 0 to 2**64 - 1 (0: not numbered), got {shown(seq)} "
        f"({type(seq).__name__})"
    )


def id_size(stream: wire.StreamId) -> int:
    """Return the bytes that an id takes in a message, at most."""
    return 9 if isinstance(stream, int) else 5 + len(stream.encode())


def id_chunks(streams: Sequence[wire.StreamId]) -> list[list[wire.StreamId]]:
    """Return ids in lists that each fit into one request.

    Raises
    ------
    ShapeError, StreamIdError
        If it is no sequence, or one of them is no id.
    """
    ids = check_stream_ids(streams)
    return [ids[n : n + _MAX_IDS] for n in range(0, len(ids), _MAX_IDS)]


def topic_before(alarms: bool, values: bool) -> bytes:
    """Return what stands before a stream's topic where alarms alone, or values too, are wanted."""
    return wire.ALARM_TOPIC if alarms else wire.VALUE_TOPIC if values else b""


def topics(
    streams: Sequence[wire.StreamId], alarms: bool = False, values: bool = False
) -> list[bytes]:
    """Return the subscriptions for prefixes of text ids and for integer ids.

    With ``alarms`` to their alarms alone, with ``values`` to predictions with what came.

    Raises
    ------
    BadValueError
        If ``streams`` is a single id, or empty; or if both are wanted.
    StreamIdError
        If one of them is no id.
    """
    if alarms and values:
        raise BadValueError("expected only one of alarms and values: alarms come with values")
    if isinstance(streams, str | bytes | int) or not isinstance(streams, Iterable):
        raise BadValueError(
            f"streams: expected a sequence of prefixes and integer ids, got {shown(streams)}; "
            f"write [{shown(streams)}] for one"
        )
    try:
        streams = list(streams)
    except TypeError:  # an array without dimensions
        raise BadValueError(f"streams: expected a sequence, got {shown(streams)}") from None
    found = [
        b"" if type(stream) is str and not stream else wire.topic(check_stream_id(stream))
        for stream in streams
    ]
    if not found:
        raise BadValueError("streams: expected at least one; leave it out to receive everything")
    before = topic_before(alarms, values)
    return [before + topic for topic in found]
