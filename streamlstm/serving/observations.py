"""Observations of messages: counted, selected, split and joined to blocks."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import wire

Float32Array: TypeAlias = NDArray[np.float32]
Observations: TypeAlias = wire.Step | wire.Steps
Positioned: TypeAlias = tuple[int, Observations]  # a message and its position in a batch


def count_rows(message: Observations) -> int:
    """Return how many observations a message has."""
    return 1 if isinstance(message, wire.Step) else len(message.streams)


def streams_of(message: Observations) -> Sequence[wire.StreamId]:
    """Return the stream of each observation of a message."""
    return [message.stream] if isinstance(message, wire.Step) else message.streams


def all_streams(batch: Sequence[Positioned]) -> list[wire.StreamId]:
    """Return the stream of each observation of some messages."""
    return [stream for _, message in batch for stream in streams_of(message)]


def seq_of(message: Observations, row: int) -> int | None:
    """Return the sequence number of a row of a message; None if it is not numbered."""
    if isinstance(message, wire.Step):
        return message.seq
    return None if message.seqs is None else message.seqs[row]


def senders_of(batch: Sequence[Positioned], producers: Mapping[int, int]) -> list[int] | None:
    """Return the producer of each observation, 0 where there is none; None if there is none at all.

    Parameters
    ----------
    batch : sequence of (int, Step or Steps)
    producers : dict of int to int
        Those of messages, by position.
    """
    if not any(position in producers for position, _ in batch):
        return None
    senders: list[int] = []
    for position, message in batch:
        senders += [producers.get(position, 0)] * count_rows(message)
    return senders


def select_rows(steps: wire.Steps, wanted: Sequence[bool]) -> wire.Steps:
    """Return a STEPS with only those rows."""
    rows = [n for n, want in enumerate(wanted) if want]
    return wire.Steps(
        [steps.streams[n] for n in rows],
        None if steps.seqs is None else [steps.seqs[n] for n in rows],
        wire.rows_of(steps.X, rows, len(wanted)),
        None if steps.times is None else [steps.times[n] for n in rows],
    )


def halve(steps: wire.Steps) -> tuple[wire.Steps, wire.Steps]:
    """Return the first and the second half of a STEPS."""
    half = len(steps.streams) // 2
    first = [n < half for n in range(len(steps.streams))]
    return select_rows(steps, first), select_rows(steps, [not here for here in first])


def split_runs(
    batch: Sequence[Positioned], pulled: Container[int], fenced: Container[int]
) -> Iterator[tuple[bool, list[Positioned]]]:
    """Separate each message that is applied as a whole from runs of observations that are not.

    Parameters
    ----------
    batch : sequence of (int, Step or Steps)
    pulled : container of int
        Positions of messages whose rows are applied or refused one by one.
    fenced : container of int
        Positions of messages of a producer: whether its rows may be applied depends on what was
        applied before.

    Yields
    ------
    atomic : bool
        Whether it is a single message that is applied as a whole.
    run : list of (int, Step or Steps)
    """

    def is_atomic(positioned: Positioned) -> bool:
        position, message = positioned
        return position in fenced or (isinstance(message, wire.Steps) and position not in pulled)

    for atomic, run in groupby(batch, is_atomic):
        if atomic:
            yield from ((True, [positioned]) for positioned in run)
        else:
            yield False, list(run)


def join(
    messages: Sequence[Observations], inputs: int, full: bool
) -> tuple[list[wire.StreamId], list[int], NDArray[Any], list[float | None] | None]:
    """Join messages to streams, sequence numbers, X[B, F] and times (None if there are none).

    X is float32, or float64 if the vectors are wanted in ``full`` precision.
    """
    streams: list[wire.StreamId] = []
    seqs: list[int] = []
    times: list[float | None] = []
    vectors: list[bytes] = []
    for message in messages:
        if isinstance(message, wire.Step):
            stream, seq, x, event_time = message
            streams.append(stream)
            seqs.append(seq)
            times.append(event_time)
            vectors.append(x)
        else:
            rows = len(message.streams)
            streams += message.streams
            seqs += message.seqs or [0] * rows
            times += message.times or [None] * rows
            vectors.append(message.X)
    if full:
        X = np.concatenate([wire.from_vector(vector).astype(np.float64) for vector in vectors])
        return streams, seqs, X.reshape(len(streams), inputs), _times(times)
    # a bytearray, since an array over bytes is read-only, which for a kernel is another type
    X = np.frombuffer(bytearray().join(vectors), "<f4").reshape(len(streams), inputs)
    return streams, seqs, X, _times(times)


def _times(times: list[float | None]) -> list[float | None] | None:
    return None if all(time is None for time in times) else times
