"""Steps the observations of a batch: as one block, or one by one where one of them is bad."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..engine.engine import Engine
from ..errors import StreamLSTMError
from ..network.result_places import ResultPlaces
from .access.stream_quota import StreamQuota
from .counters import Counters
from .extras import model_extras
from .native import layout
from .observations import (
    Float32Array,
    Observations,
    Positioned,
    all_streams,
    count_rows,
    halve,
    join,
    select_rows,
    senders_of,
    seq_of,
    split_runs,
    streams_of,
)
from .partitions import Partitions
from .residency import Residency
from .response import Publication, Refusals, Response
from .results import count_results
from .sessions import Session


class BatchStepper:
    """Steps the observations of a batch and makes a response to each message.

    Parameters
    ----------
    engine : Engine
    counters : Counters
    refusals : Refusals
    residency : Residency
    quota : StreamQuota or None
        Of streams in memory, for each client.
    partitions : Partitions or None
        Of a worker of a fleet.
    """

    def __init__(
        self,
        engine: Engine,
        counters: Counters,
        refusals: Refusals,
        residency: Residency,
        quota: StreamQuota | None,
        partitions: Partitions | None,
    ) -> None:
        self._engine, self._counters, self._refusals = engine, counters, refusals
        self._residency, self._quota, self._partitions = residency, quota, partitions
        self._producers = engine.stream_producers()
        self._follow_model()

    def step(
        self,
        batch: Sequence[Positioned],
        responses: list[Response | None],
        pulled: Container[int],
        publish: bool,
        sessions: Sequence[Session | None],
        producers: Mapping[int, int],
    ) -> None:
        """Step all observations, as far as their clients' quotas allow.

        Parameters
        ----------
        batch : sequence of (int, Step or Steps)
            Messages and their positions.
        responses : list of Response or None
            Gets the responses, at the messages' positions.
        pulled, publish, sessions, producers
            As for :meth:`.service.Service.handle`.
        """
        if self._partitions is not None:
            batch = self._leave_out(self._partitions, batch, responses, pulled)
        if self._quota is None:
            self._step_all(batch, responses, pulled, publish, producers)
            return
        refused: dict[int, Response] = {}
        batch = self._admit(self._quota, batch, responses, refused, pulled, sessions)
        self._step_all(batch, responses, pulled, publish, producers)
        for position, refusal in refused.items():
            responses[position] = cast(Response, responses[position])._replace(error=refusal.error)
        self._quota.assign()

    def _leave_out(
        self,
        partitions: Partitions,
        batch: Sequence[Positioned],
        responses: list[Response | None],
        pulled: Container[int],
    ) -> Sequence[Positioned]:
        """Refuse observations of streams that other workers of the fleet have."""
        mine: list[Positioned] = []
        for position, message in batch:
            streams = streams_of(message)
            error = partitions.error(streams)
            if error is not None:
                row = error.position or 0
                refusal = self._refusals.refuse(error, streams[row], seq_of(message, row))
                responses[position] = refusal
                here = partitions.are_here(streams)
                if position not in pulled or not any(here):
                    continue
                self._counters.errors[error.code] += here.count(False) - 1
                message = select_rows(cast(wire.Steps, message), here)
            partitions.count(streams_of(message))
            mine.append((position, message))
        return mine

    def _admit(
        self,
        quota: StreamQuota,
        batch: Sequence[Positioned],
        responses: list[Response | None],
        refused: dict[int, Response],
        pulled: Container[int],
        sessions: Sequence[Session | None],
    ) -> Sequence[Positioned]:
        """Refuse what would bring more streams into memory than its client may have there.

        Messages of the PULL socket keep their other rows; ``refused`` gets why some were taken out.
        """
        admitted: list[Positioned] = []
        for position, message in batch:
            session = sessions[position] if sessions else None
            streams = streams_of(message)
            if session is None or session.account is None:
                admitted.append((position, message))
                continue
            may = quota.admit(session.account, streams)
            if all(may):
                admitted.append((position, message))
                continue
            row = may.index(False)
            error = quota.error(session.account, streams[row])
            refusal = self._refusals.refuse(error, streams[row], seq_of(message, row))
            if position in pulled:
                self._counters.errors[error.code] += may.count(False) - 1
            if position in pulled and any(may):
                refused[position] = refusal
                admitted.append((position, select_rows(cast(wire.Steps, message), may)))
            else:
                quota.revoke()
                responses[position] = refusal
        return admitted

    def _step_all(
        self,
        batch: Sequence[Positioned],
        responses: list[Response | None],
        pulled: Container[int],
        publish: bool,
        producers: Mapping[int, int],
    ) -> None:
        """Step all observations as one block; if one of them is bad, find out which."""
        if self._exceeds_memory(batch, pulled, publish):
            self._step_halves(batch, responses, pulled, publish, producers)
            return
        batch = self._load(batch, responses, publish)
        if not batch:
            return
        try:
            made = self._step_together(batch, publish, producers)
        except StreamLSTMError as error:
            made = []
            for atomic, run in split_runs(batch, pulled, producers):
                if atomic and len(batch) == 1:  # to try again would take as long once more
                    made.append(self._refuse_atomic(run[0][1], error))
                    continue
                if atomic:
                    made.append(self._step_atomic(run[0], publish, producers))
                else:
                    made += self._step_each([message for _, message in run], publish)
        except Exception as error:
            made = [self._refusals.refuse(error, None, None) for _ in batch]
        for (position, _), response in zip(batch, made, strict=True):
            responses[position] = self._residency.with_evictions(response)

    def _exceeds_memory(
        self, batch: Sequence[Positioned], pulled: Container[int], publish: bool
    ) -> bool:
        """Return whether observations name more streams than find room, and can be divided."""
        eviction = self._residency.eviction
        if eviction is None or not eviction.when_full or not batch:
            return False
        position, first = batch[0]
        if len(batch) == 1 and not (position in pulled and count_rows(first) > 1):
            return False
        try:
            eviction.make_room(all_streams(batch), publish)
        except StreamLSTMError:
            return True
        return False

    def _step_halves(
        self,
        batch: Sequence[Positioned],
        responses: list[Response | None],
        pulled: Container[int],
        publish: bool,
        producers: Mapping[int, int],
    ) -> None:
        """Step one half after the other: streams of the first may be evicted for the second."""
        if len(batch) > 1:
            half = len(batch) // 2
            self._step_all(batch[:half], responses, pulled, publish, producers)
            self._step_all(batch[half:], responses, pulled, publish, producers)
            return
        position, steps = batch[0]
        assert isinstance(steps, wire.Steps)
        of_halves: list[Response | None] = [None, None]
        for n, half_of_rows in enumerate(halve(steps)):
            self._step_all([(n, half_of_rows)], of_halves, (0, 1), publish, {})
        first, second = cast(list[Response], of_halves)
        both = [*first.publications, *second.publications]
        response = first if first.error is not None else second
        responses[position] = response._replace(publications=both)

    def _load(
        self, batch: Sequence[Positioned], responses: list[Response | None], publish: bool
    ) -> Sequence[Positioned]:
        """Restore streams from the store; refuse messages whose streams cannot be restored."""
        if self._residency.stored is None:
            return batch
        if len(batch) > 1:
            with suppress(StreamLSTMError):
                self._residency.load(all_streams(batch), publish)
                return batch
        loaded = []
        for position, message in batch:
            try:
                self._residency.load(streams_of(message), publish)
                loaded.append((position, message))
            except StreamLSTMError as error:
                step = message if isinstance(message, wire.Step) else None
                named = (step.stream, step.seq) if step is not None else (None, None)
                responses[position] = self._refusals.refuse(error, *named)
        return loaded

    def _step_together(
        self, batch: Sequence[Positioned], publish: bool, producers: Mapping[int, int]
    ) -> list[Response]:
        """Apply all of the messages, or none and raise."""
        messages = [message for _, message in batch]
        streams, seqs, X, times = self._join(messages)
        senders = senders_of(batch, producers)
        if senders is not None:
            self._producers.check(streams, seqs, senders)
        start = time.perf_counter_ns()
        results = self._engine.result_many(streams, X, seqs if any(seqs) else None, times)
        if senders is not None:
            self._producers.assign(streams, seqs, senders)
        self._counters.stepped(len(streams), time.perf_counter_ns() - start)
        extras = self._extras()
        self._count(results)
        frames = wire.encode_predictions(streams, seqs, results, extras)
        publications = self._publications(streams, frames, results, publish)
        self._add_values(publications, X, times)
        responses = []
        start = 0
        for message in messages:
            if isinstance(message, wire.Step):
                stop = start + 1
                reply = frames[start]
            else:
                stop = start + len(message.streams)
                reply = _predictions(message, results[start:stop], extras)
            published = [publication for n in range(start, stop) for publication in publications[n]]
            responses.append(Response(reply, published))
            start = stop
        return responses

    def _step_each(self, run: Sequence[Observations], publish: bool) -> list[Response]:
        """Apply each observation that is good, and refuse each other one by itself."""
        streams, seqs, X, times = self._join(run)
        begin = time.perf_counter_ns()
        try:
            results, errors = self._engine.result_each(streams, X, seqs, times)
        except Exception as error:
            return [self._refusals.refuse(error, None, None) for _ in run]
        if len(errors) < len(streams):
            self._counters.stepped(len(streams) - len(errors), time.perf_counter_ns() - begin)
        frames = wire.encode_predictions(streams, seqs, results, self._extras())
        self._count(np.delete(results, list(errors), axis=0))
        publications = self._publications(streams, frames, results, publish)
        self._add_values(publications, X, times)
        responses = []
        start = 0
        for message in run:
            rows = range(start, start + count_rows(message))
            start = rows.stop
            refused = [
                self._refusals.refuse(errors[n], streams[n], seqs[n]) for n in rows if n in errors
            ]
            good = [n for n in rows if n not in errors] if refused else rows
            published = [publication for n in good for publication in publications[n]]
            # the reply to a STEPS of the PULL socket is sent to nobody, so it is not encoded
            first = refused[0] if refused else Response(frames[rows[0]], [])
            responses.append(first._replace(publications=published))
        return responses

    def _join(
        self, messages: Sequence[Observations]
    ) -> tuple[list[wire.StreamId], list[int], NDArray[Any], list[float | None] | None]:
        model = self._engine.model
        return join(messages, model.input_size, model.input_offsets is not None)

    def _extras(self) -> wire.Extras | None:
        """Return what predictions of the running model have besides outputs."""
        if self._engine.model is not self._model:
            self._follow_model()
        return self._of_model

    def _follow_model(self) -> None:
        self._model = model = self._engine.model
        self._of_model = model_extras(model)
        self._places: ResultPlaces | None = None
        if model.online is not None:
            self._places = model.result_places

    def _count(self, results: Float32Array) -> None:
        """Count what the online stage says of observations that were applied."""
        if self._places is not None:
            count_results(self._counters, results, self._places)

    def _publications(
        self,
        streams: Sequence[wire.StreamId],
        frames: Sequence[bytes],
        results: Float32Array,
        publish: bool,
    ) -> list[list[Publication]]:
        """Return what is published of each observation: one with an alarm twice, if one listens."""
        if not publish:
            return [[] for _ in streams]
        found = [
            [Publication(wire.topic(stream), frame)]
            for stream, frame in zip(streams, frames, strict=True)
        ]
        if self._places is not None and self._counters[layout.ALARM_TOPICS]:
            for n in np.flatnonzero(results[:, self._places.alarm] > 0).tolist():
                found[n].append(Publication(wire.alarm_topic(streams[n]), frames[n]))
        return found

    def _add_values(
        self,
        publications: list[list[Publication]],
        X: NDArray[Any],
        times: list[float | None] | None,
    ) -> None:
        """Add predictions with what came, where somebody subscribes to them."""
        if not self._counters[layout.VALUE_TOPICS]:
            return
        for n, published in enumerate(publications):
            if published:
                topic, frame = published[0]
                time = None if times is None else times[n]
                frame = wire.with_values(frame, wire.to_vector(X[n]), time)
                published.append(Publication(wire.VALUE_TOPIC + topic, frame))

    def _step_atomic(
        self, positioned: Positioned, publish: bool, producers: Mapping[int, int]
    ) -> Response:
        """Apply all of a message, or refuse it for the first row that is bad."""
        message = positioned[1]
        try:
            return self._step_together([positioned], publish, producers)[0]
        except Exception as error:
            return self._refuse_atomic(message, error)

    def _refuse_atomic(self, message: Observations, error: Exception) -> Response:
        """Refuse a message for the row that is bad, if it is known which."""
        row = error.position if isinstance(error, StreamLSTMError) else None
        if row is None and isinstance(message, wire.Step):
            row = 0
        if row is None:
            return self._refusals.refuse(error, None, None)
        return self._refusals.refuse(error, streams_of(message)[row], seq_of(message, row))


def _predictions(steps: wire.Steps, results: Float32Array, extras: wire.Extras | None) -> bytes:
    if extras is not None and extras.offsets:
        Y: bytes = wire.Doubles.of(extras.wide(results, 0))
    else:
        Y = wire.to_floats(results if extras is None else results[:, : extras.outputs])
    extra = None if extras is None or not extras.has_map else extras.of_rows(results)
    return wire.encode(wire.Predictions(steps.streams, steps.seqs, Y, extra))
