"""Observations of a batch: stepped together, or one by one where one of them is bad."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..engine.engine import Engine
from ..errors import StreamLSTMError
from .access.stream_quota import Shares
from .native.counters import Counters
from .reply import Answer, Publication, Refusals
from .residency import Presence
from .sessions import Session

Float32Array: TypeAlias = NDArray[np.float32]
Observations: TypeAlias = wire.Step | wire.Steps


class Observing:
    """Steps the observations of a batch and answers each message.

    Parameters
    ----------
    engine : Engine
    counters : Counters
    refusals : Refusals
    presence : Presence
    shares : Shares or None
        Of memory, for each client.
    """

    def __init__(
        self,
        engine: Engine,
        counters: Counters,
        refusals: Refusals,
        presence: Presence,
        shares: Shares | None,
    ) -> None:
        self._engine, self._counters, self._refusals = engine, counters, refusals
        self._presence, self._shares = presence, shares

    def bar(self, session: Session | None, stream: wire.StreamId) -> Answer | None:
        """Refuse a stream that would be brought here otherwise; None if it may come.

        It belongs to the client once :meth:`came` is called.
        """
        if self._shares is None or session is None or session.account is None:
            return None
        if self._shares.admit(session.account, [stream])[0]:
            return None
        return self._refusals.refuse(self._shares.refusal(session.account, stream), stream, None)

    def came(self) -> None:
        """Note whose the streams are that were let come."""
        if self._shares is not None:
            self._shares.note()

    def step(
        self,
        waiting: Sequence[tuple[int, Observations]],
        answers: list[Answer | None],
        fed: Container[int],
        publish: bool,
        sessions: Sequence[Session | None],
    ) -> None:
        """Step all observations, as far as their clients may have these streams."""
        if self._shares is None:
            self._step_all(waiting, answers, fed, publish)
            return
        barred: dict[int, Answer] = {}
        waiting = self._admitted(self._shares, waiting, answers, barred, fed, sessions)
        self._step_all(waiting, answers, fed, publish)
        for position, refused in barred.items():
            answers[position] = cast(Answer, answers[position])._replace(error=refused.error)
        self._shares.note()

    def _step_all(
        self,
        waiting: Sequence[tuple[int, Observations]],
        answers: list[Answer | None],
        fed: Container[int],
        publish: bool,
    ) -> None:
        """Step all observations as one block; if one of them is bad, find out which."""
        if self._crowded(waiting, fed, publish):
            self._step_halves(waiting, answers, fed, publish)
            return
        waiting = self._recalled(waiting, answers, publish)
        if not waiting:
            return
        messages = [message for _, message in waiting]
        try:
            replies = self._together(messages, publish)
        except StreamLSTMError:
            replies = []
            for whole, run in _runs(waiting, fed):
                replies += [self._whole(run[0], publish)] if whole else self._apart(run, publish)
        except Exception as error:
            replies = [self._refusals.refuse(error, None, None) for _ in messages]
        for (position, _), answer in zip(waiting, replies, strict=True):
            answers[position] = self._presence.told(answer)

    def _crowded(
        self,
        waiting: Sequence[tuple[int, Observations]],
        fed: Container[int],
        publish: bool,
    ) -> bool:
        """Tell whether these observations name more streams than find room, and can be divided."""
        if self._presence.eviction is None or not self._presence.eviction.when_full or not waiting:
            return False
        position, first = waiting[0]
        if len(waiting) == 1 and not (position in fed and count_rows(first) > 1):
            return False
        try:
            self._presence.eviction.make_room(_all_streams(waiting), publish)
        except StreamLSTMError:
            return True
        return False

    def _admitted(
        self,
        shares: Shares,
        waiting: Sequence[tuple[int, Observations]],
        answers: list[Answer | None],
        barred: dict[int, Answer],
        fed: Container[int],
        sessions: Sequence[Session | None],
    ) -> Sequence[tuple[int, Observations]]:
        """Refuse what would bring more streams here than its client may have.

        What was fed keeps its other rows; ``barred`` tells what their messages lost.
        """
        good: list[tuple[int, Observations]] = []
        for position, message in waiting:
            session = sessions[position] if sessions else None
            streams = _streams(message)
            if session is None or session.account is None:
                good.append((position, message))
                continue
            may = shares.admit(session.account, streams)
            if all(may):
                good.append((position, message))
                continue
            row = may.index(False)
            error = shares.refusal(session.account, streams[row])
            seq = message.seq if isinstance(message, wire.Step) else _seq_of(message, row)
            refused = self._refusals.refuse(error, streams[row], seq)
            if position in fed:
                self._counters.errors[error.code] += may.count(False) - 1
            if position in fed and any(may):
                barred[position] = refused
                good.append((position, _rows_of(cast(wire.Steps, message), may)))
            else:
                shares.withdraw()
                answers[position] = refused
        return good

    def _step_halves(
        self,
        waiting: Sequence[tuple[int, Observations]],
        answers: list[Answer | None],
        fed: Container[int],
        publish: bool,
    ) -> None:
        """Step one half after the other: what one brings back may leave for the other."""
        if len(waiting) > 1:
            half = len(waiting) // 2
            self._step_all(waiting[:half], answers, fed, publish)
            self._step_all(waiting[half:], answers, fed, publish)
            return
        position, steps = waiting[0]
        assert isinstance(steps, wire.Steps)
        of_halves: list[Answer | None] = [None, None]
        for n, half_of_rows in enumerate(_halves(steps)):
            self._step_all([(n, half_of_rows)], of_halves, (0, 1), publish)
        first, second = cast(list[Answer], of_halves)
        both = [*first.publications, *second.publications]
        refused = first if first.error is not None else second
        answers[position] = refused._replace(publications=both)

    def _recalled(
        self,
        waiting: Sequence[tuple[int, Observations]],
        answers: list[Answer | None],
        publish: bool,
    ) -> Sequence[tuple[int, Observations]]:
        """Bring streams back from the store; refuse messages whose streams it does not give."""
        if self._presence.keeper is None:
            return waiting
        if len(waiting) > 1:
            with suppress(StreamLSTMError):
                self._presence.recall(_all_streams(waiting), publish)
                return waiting
        good = []
        for position, message in waiting:
            try:
                self._presence.recall(_streams(message), publish)
                good.append((position, message))
            except StreamLSTMError as error:
                step = message if isinstance(message, wire.Step) else None
                named = (step.stream, step.seq) if step is not None else (None, None)
                answers[position] = self._refusals.refuse(error, *named)
        return good

    def _together(self, messages: Sequence[Observations], publish: bool) -> list[Answer]:
        """Apply all of the messages, or none and raise."""
        streams, seqs, X, times = _gather(messages, self._engine.model.input_size)
        start = time.perf_counter_ns()
        Y = self._engine.step_many(streams, X, seqs=seqs if any(seqs) else None, times=times)
        self._counters.stepped(len(streams), time.perf_counter_ns() - start)
        frames = wire.encode_predictions(streams, seqs, Y)
        answers = []
        start = 0
        for message in messages:
            if isinstance(message, wire.Step):
                stop = start + 1
                reply = frames[start]
            else:
                stop = start + len(message.streams)
                reply = _predictions(message, Y[start:stop])
            published = _publications(streams[start:stop], frames[start:stop]) if publish else []
            answers.append(Answer(reply, published))
            start = stop
        return answers

    def _apart(self, run: Sequence[Observations], publish: bool) -> list[Answer]:
        """Apply each observation that is good, and refuse each other one by itself."""
        streams, seqs, X, times = _gather(run, self._engine.model.input_size)
        begin = time.perf_counter_ns()
        try:
            Y, errors = self._engine.step_each(streams, X, seqs=seqs, times=times)
        except Exception as error:
            return [self._refusals.refuse(error, None, None) for _ in run]
        if len(errors) < len(streams):
            self._counters.stepped(len(streams) - len(errors), time.perf_counter_ns() - begin)
        frames = wire.encode_predictions(streams, seqs, Y)
        answers = []
        start = 0
        for message in run:
            rows = range(start, start + count_rows(message))
            start = rows.stop
            refused = [
                self._refusals.refuse(errors[n], streams[n], seqs[n]) for n in rows if n in errors
            ]
            good = [n for n in rows if n not in errors] if refused else rows
            published = [Publication(wire.topic(streams[n]), frames[n]) for n in good]
            # what answers a STEPS that was fed is sent to nobody, so its frame is not made
            first = refused[0] if refused else Answer(frames[rows[0]], [])
            answers.append(first._replace(publications=published if publish else []))
        return answers

    def _whole(self, steps: Observations, publish: bool) -> Answer:
        """Apply a STEPS, or say which of its rows stands in the way."""
        assert isinstance(steps, wire.Steps)
        try:
            return self._together([steps], publish)[0]
        except Exception as error:
            row = error.position if isinstance(error, StreamLSTMError) else None
            if row is None:
                return self._refusals.refuse(error, None, None)
            seq = _seq_of(steps, row)
            return self._refusals.refuse(error, steps.streams[row], seq)


def _predictions(steps: wire.Steps, Y: Float32Array) -> bytes:
    return wire.encode(wire.Predictions(steps.streams, steps.seqs, wire.to_floats(Y)))


def _publications(streams: Sequence[wire.StreamId], frames: Sequence[bytes]) -> list[Publication]:
    return [
        Publication(wire.topic(stream), frame)
        for stream, frame in zip(streams, frames, strict=True)
    ]


def _streams(message: Observations) -> Sequence[wire.StreamId]:
    return [message.stream] if isinstance(message, wire.Step) else message.streams


def _all_streams(waiting: Sequence[tuple[int, Observations]]) -> list[wire.StreamId]:
    return [stream for _, message in waiting for stream in _streams(message)]


def _halves(steps: wire.Steps) -> tuple[wire.Steps, wire.Steps]:
    half, size = len(steps.streams) // 2, len(steps.X) // len(steps.streams)
    first, second = (
        wire.Steps(steps.streams[rows], steps.seqs and steps.seqs[rows], X)
        for rows, X in (
            (slice(0, half), steps.X[: half * size]),
            (slice(half, None), steps.X[half * size :]),
        )
    )
    return first, second


def count_rows(message: Observations) -> int:
    """Return how many observations a message has."""
    return 1 if isinstance(message, wire.Step) else len(message.streams)


def _seq_of(steps: wire.Steps, row: int) -> int | None:
    return None if steps.seqs is None else steps.seqs[row]


def _rows_of(steps: wire.Steps, wanted: Sequence[bool]) -> wire.Steps:
    """Return a STEPS with only those rows."""
    size = len(steps.X) // len(wanted)
    rows = [n for n, want in enumerate(wanted) if want]
    return wire.Steps(
        [steps.streams[n] for n in rows],
        None if steps.seqs is None else [steps.seqs[n] for n in rows],
        b"".join(steps.X[size * n : size * (n + 1)] for n in rows),
    )


def _runs(
    waiting: Sequence[tuple[int, Observations]], fed: Container[int]
) -> Iterator[tuple[bool, list[Observations]]]:
    """Tell each STEPS that is applied as a whole from runs of observations that are not."""

    def is_whole(arrived: tuple[int, Observations]) -> bool:
        position, message = arrived
        return isinstance(message, wire.Steps) and position not in fed

    for whole, run in groupby(waiting, is_whole):
        messages = [message for _, message in run]
        if whole:
            yield from ((True, [message]) for message in messages)
        else:
            yield False, messages


def _gather(
    messages: Sequence[Observations], inputs: int
) -> tuple[list[wire.StreamId], list[int], Float32Array, list[float | None] | None]:
    """Join messages to streams, numbers, X[B, F] and times (None if there are none)."""
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
            times += [None] * rows
            vectors.append(message.X)
    # a bytearray, since an array over bytes is read-only, which for a kernel is another type
    X = np.frombuffer(bytearray().join(vectors), "<f4").reshape(len(streams), inputs)
    return streams, seqs, X, None if all(t is None for t in times) else times
