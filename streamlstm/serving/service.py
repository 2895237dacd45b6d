"""What a worker answers: raw frames in, answers out. No sockets, no processes.

A batch is everything that was ready in one turn of the worker. Its observations are stepped
together; a message that touches the state in another way (RESET, EXPORT, IMPORT) divides the batch,
so that messages take effect in the order in which they arrived.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from .. import __version__, wire
from ..changes import stream_of
from ..engine import Engine
from ..errors import DuplicateError, GapError, ProtocolError, StreamLSTMError
from .counters import Counters
from .eviction import Eviction
from .keeper import Keeper
from .limits import Account, Limits
from .memory import resident_memory
from .native import layout
from .reloading import Reloading, told
from .sessions import Commits, Session
from .shares import Shares

_LOG = logging.getLogger(__name__)

Float32Array: TypeAlias = NDArray[np.float32]
Observations: TypeAlias = wire.Step | wire.Steps


class Publication(NamedTuple):
    """The two frames that subscribers of one stream receive."""

    topic: bytes
    frame: bytes


class Answer(NamedTuple):
    """What one message leads to.

    Attributes
    ----------
    reply : bytes
        The frame for the sender.
    publications : list of Publication
        For subscribers.
    error : wire.Error or None
        Why the message was refused, for the log of a door that sends no replies; of a STEPS that
        came through such a door, why the first bad row was.
    ticket : int
        The commit of the store that has to be safe before the reply is sent; 0 for none.
    reloads : bool
        Whether it began a change of the model, which :meth:`Service.reload` will answer; there is
        no reply yet.
    """

    reply: bytes
    publications: list[Publication]
    error: wire.Error | None = None
    ticket: int = 0
    reloads: bool = False


class Service:
    """Answers frames out of an engine.

    Parameters
    ----------
    engine : Engine
        What is served.
    max_message_bytes : int
        Above this a message is answered with ``too-large``.
    keeper : Keeper, optional
        Keeps the engine's streams in a store as well, and brings them back.
    commits : Commits, optional
        Of the store, which answers to BARRIER wait for; without one what is applied is safe.
    limits : Limits
        Of what one client may take; how quick it is is the worker's to watch.
    eviction : Eviction, optional
        Lets idle streams leave memory.
    model_file : Path, optional
        Where RELOAD finds the model; without one it is refused.

    Attributes
    ----------
    counters : Counters
        Those of messages, answers and publications are kept by who takes and sends them.
    """

    def __init__(
        self,
        engine: Engine,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        keeper: Keeper | None = None,
        commits: Commits | None = None,
        limits: Limits = Limits(),  # noqa: B008 - it cannot change
        eviction: Eviction | None = None,
        model_file: Path | None = None,
    ) -> None:
        self.engine = engine
        self.limits = limits
        share = limits.streams
        self._shares = None if share is None else Shares(engine.owners(), share)
        self.keeper, self.eviction = keeper, eviction
        self._commits: Commits | None = keeper if commits is None else commits
        self.max_message_bytes = max_message_bytes
        self.counters = Counters()
        self._reloading = Reloading(engine, model_file, keeper)
        self._started = time.monotonic()

    def handle(
        self,
        frames: Sequence[bytes | ProtocolError],
        fed: Container[int] = (),
        publish: bool = True,
        sessions: Sequence[Session | None] = (),
    ) -> list[Answer]:
        """Apply a batch of messages in its order.

        Parameters
        ----------
        frames : sequence of bytes or ProtocolError
            The messages; an error stands for one that the door itself has refused.
        fed : container of int
            Positions of messages that came through a door for observations only, where nobody
            hears an error: each row of a STEPS among them is applied or refused by itself.
        publish : bool
            Whether anyone listens; publications are left out otherwise.
        sessions : sequence of Session or None
            The connection that each frame came over, for those that were asked; left out where
            nobody asks for a BARRIER.

        Returns
        -------
        list of Answer
            One for each frame, in the same order.
        """
        answers: list[Answer | None] = [None] * len(frames)
        waiting: list[tuple[int, Observations]] = []
        for position, frame in enumerate(frames):
            try:
                message = self._read(frame, position in fed)
            except ProtocolError as error:
                answers[position] = self._refuse(error, error.stream, error.seq)
                continue
            session = sessions[position] if sessions else None
            if isinstance(message, wire.Step | wire.Steps):
                waiting.append((position, message))
                if session is not None:
                    session.received += _rows(message)
                continue
            if not isinstance(message, wire.Info | wire.Ping):
                self._step(waiting, answers, fed, publish, sessions)
                waiting.clear()
            if isinstance(message, wire.Barrier):
                answers[position] = self._barrier(message, session or Session())
            elif isinstance(message, wire.Import) and self._shares is not None:
                account = session.account if session is not None else None
                answer = self._import_within(self._shares, message, account, publish)
                answers[position] = self._told(answer)
            else:
                answers[position] = self._told(self._control(message, publish))
        self._step(waiting, answers, fed, publish, sessions)
        return cast(list[Answer], answers)

    @property
    def _inputs(self) -> int:
        return self.engine.model.input_size

    # --- reading ---

    def _read(self, frame: bytes | ProtocolError, fed: bool) -> wire.Request:
        if isinstance(frame, ProtocolError):
            raise frame
        message = wire.decode_request(frame, self.max_message_bytes)
        if isinstance(message, wire.Step):
            if len(message.x) != 4 * self._inputs:
                self._refuse_shape(len(message.x) // 4, "STEP: x", message.stream, message.seq)
        elif isinstance(message, wire.Steps):
            if len(message.X) != 4 * self._inputs * len(message.streams):
                self._refuse_shape(len(message.X) // (4 * len(message.streams)), "STEPS: X")
        elif fed:
            raise ProtocolError(
                f"{type(message).__name__.upper()}: expected STEP or STEPS at this door; "
                "ask at the router",
                "unknown-kind",
            )
        return message

    def _refuse_shape(
        self, got: int, where: str, stream: wire.StreamId | None = None, seq: int | None = None
    ) -> None:
        names = ", ".join(self.engine.model.inputs)
        raise ProtocolError(
            f"{where}: expected {self._inputs} features a stream ({names}), got {got}",
            "bad-shape",
            stream,
            seq,
        )

    # --- observations ---

    def _step(
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
            replies = [self._refuse(error, None, None) for _ in messages]
        for (position, _), answer in zip(waiting, replies, strict=True):
            answers[position] = self._told(answer)

    def _crowded(
        self,
        waiting: Sequence[tuple[int, Observations]],
        fed: Container[int],
        publish: bool,
    ) -> bool:
        """Tell whether these observations name more streams than find room, and can be divided."""
        if self.eviction is None or not self.eviction.when_full or not waiting:
            return False
        position, first = waiting[0]
        if len(waiting) == 1 and not (position in fed and _rows(first) > 1):
            return False
        try:
            self.eviction.make_room(_all_streams(waiting), publish)
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
            refused = self._refuse(error, streams[row], seq)
            if position in fed:
                self.counters.errors[error.code] += may.count(False) - 1
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
        if self.keeper is None:
            return waiting
        if len(waiting) > 1:
            with suppress(StreamLSTMError):
                self._recall(_all_streams(waiting), publish)
                return waiting
        good = []
        for position, message in waiting:
            try:
                self._recall(_streams(message), publish)
                good.append((position, message))
            except StreamLSTMError as error:
                step = message if isinstance(message, wire.Step) else None
                named = (step.stream, step.seq) if step is not None else (None, None)
                answers[position] = self._refuse(error, *named)
        return good

    def _together(self, messages: Sequence[Observations], publish: bool) -> list[Answer]:
        """Apply all of the messages, or none and raise."""
        streams, seqs, X, times = _gather(messages, self._inputs)
        start = time.perf_counter_ns()
        Y = self.engine.step_many(streams, X, seqs=seqs if any(seqs) else None, times=times)
        self.counters.stepped(len(streams), time.perf_counter_ns() - start)
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
        streams, seqs, X, times = _gather(run, self._inputs)
        begin = time.perf_counter_ns()
        try:
            Y, errors = self.engine.step_each(streams, X, seqs=seqs, times=times)
        except Exception as error:
            return [self._refuse(error, None, None) for _ in run]
        if len(errors) < len(streams):
            self.counters.stepped(len(streams) - len(errors), time.perf_counter_ns() - begin)
        frames = wire.encode_predictions(streams, seqs, Y)
        answers = []
        start = 0
        for message in run:
            rows = range(start, start + _rows(message))
            start = rows.stop
            refused = [self._refuse(errors[n], streams[n], seqs[n]) for n in rows if n in errors]
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
                return self._refuse(error, None, None)
            seq = _seq_of(steps, row)
            return self._refuse(error, steps.streams[row], seq)

    # --- everything else ---

    def _control(self, message: wire.Request, publish: bool) -> Answer:
        match message:
            case wire.Reset(stream):
                return self._guard(lambda: self._reset(stream, publish), stream, None)
            case wire.Export(stream):
                return self._guard(lambda: self._export(stream, publish), stream, None)
            case wire.Import(stream, blob):
                return self._guard(lambda: self._import(stream, blob, publish), stream, None)
            case wire.Forget(stream):
                return self._guard(lambda: self._forget(stream, publish), stream, None)
            case wire.List(prefix, after, count):
                return self._guard(lambda: self._list(prefix, after, count), None, None)
            case wire.Last(streams):
                return self._guard(lambda: self._last(streams), None, None)
            case wire.Reload(anew):
                return self._guard(lambda: self._begin_reload(anew), None, None)
            case wire.Ping(nonce):
                return _done(wire.Kind.PING, None, nonce)
            case _:
                return _done(wire.Kind.INFO, None, self.info())

    def _reset(self, stream: wire.StreamId, publish: bool) -> Answer:
        self._recall([stream], publish)
        self.engine.reset(stream)
        return _happened(wire.Kind.RESET, stream, publish)

    def _recall(self, streams: Sequence[wire.StreamId], publish: bool) -> None:
        """Have room for streams, and bring back those of them that are in the store."""
        if self.eviction is not None:
            self.eviction.make_room(streams, publish)
        if self.keeper is not None:
            self.keeper.recall(streams)

    def _told(self, answer: Answer) -> Answer:
        """Let subscribers hear first of the streams that left to make room for a message."""
        if self.eviction is None or not self.eviction.left:
            return answer
        return answer._replace(publications=[*self.departures(), *answer.publications])

    def departures(self) -> list[Publication]:
        """Return what tells subscribers of the streams that have left memory, once."""
        if self.eviction is None or not self.eviction.left:
            return []
        keys, kept = self.eviction.left, self.eviction.keeps
        self.eviction.left = []
        return [
            Publication(key, wire.encode(wire.Done(wire.EVICTED, stream_of(key), kept)))
            for key in keys
        ]

    def _export(self, stream: wire.StreamId, publish: bool) -> Answer:
        self._recall([stream], publish)
        return _done(wire.Kind.EXPORT, stream, self.engine.export_stream(stream))

    def _import(self, stream: wire.StreamId, blob: bytes, publish: bool) -> Answer:
        # What the store has of it comes back first, so that it is known not to be there only.
        self._recall([stream], publish)
        self.engine.import_stream(stream, blob)
        return _happened(wire.Kind.IMPORT, stream, publish)

    def _import_within(
        self, shares: Shares, message: wire.Import, account: Account | None, publish: bool
    ) -> Answer:
        stream = message.stream
        if account is not None and not shares.admit(account, [stream])[0]:
            return self._refuse(shares.refusal(account, stream), stream, None)
        answer = self._control(message, publish)
        shares.note()
        return answer

    def _barrier(self, barrier: wire.Barrier, session: Session) -> Answer:
        """Answer how much came before it; the answer waits until that is safe."""
        done = _done(wire.Kind.BARRIER, None, [barrier.token, session.received])
        return done if self._commits is None else done._replace(ticket=self._commits.ticket())

    def is_safe(self, answer: Answer) -> bool:
        """Tell whether an answer may be sent: what it waits for is committed."""
        return self._commits is None or answer.ticket <= self._commits.committed

    def _last(self, streams: list[wire.StreamId]) -> Answer:
        """Tell where streams stand; those that are in the store stay there."""
        numbers = self.engine.last_seqs(streams)
        if self.keeper is not None:
            stored = self.keeper.last_seqs(streams)
            numbers = [stored.get(s, seq) for s, seq in zip(streams, numbers, strict=True)]
        return _done(wire.Kind.LAST, None, numbers)

    def _list(self, prefix: str | None, after: wire.StreamId | None, count: int) -> Answer:
        """List streams in memory and in the store, in one order."""
        count = min(count, wire.MAX_LISTED)
        listed = self.engine.list_streams(prefix, after, count)
        if self.keeper is not None:
            listed += self.keeper.listed(prefix, after, count)
            listed.sort(key=lambda entry: wire.topic(entry[0]))
        return _done(wire.Kind.LIST, None, listed[:count])

    def _forget(self, stream: wire.StreamId, publish: bool) -> Answer:
        self._recall([stream], publish)
        self.engine.forget(stream)
        return _happened(wire.Kind.FORGET, stream, publish)

    @property
    def evicted(self) -> int:
        """How many streams have left memory because they were idle."""
        return 0 if self.eviction is None else self.eviction.evicted

    @property
    def returned(self) -> int:
        """How many streams came back from the store because they were asked for."""
        return 0 if self.keeper is None else self.keeper.returned

    # --- another model ---

    @property
    def reloads(self) -> int:
        """How often the model was changed."""
        return self._reloading.count

    def _begin_reload(self, anew: bool) -> Answer:
        self._reloading.begin(anew)
        return Answer(b"", [], reloads=True)

    def reload(self) -> Answer | None:
        """Change the model if one is ready, between two batches; return what RELOAD is answered.

        None if there is nothing to tell (yet).
        """
        outcome = self._reloading.turn()
        if outcome is None:
            return None
        if isinstance(outcome, StreamLSTMError):
            _LOG.warning("%s", outcome)
            return self._refuse(outcome, None, None)
        what = outcome[0]
        _LOG.info(
            "reloaded: the model %s follows %s, %s",
            what.model[:8],
            what.before[:8],
            "all streams begin anew" if what.anew else "streams go on",
        )
        return _done(wire.Kind.RELOAD, None, told(outcome))

    def stop_reloading(self) -> Answer | None:
        """Give up a change of the model; return what is to be answered, None if there is none."""
        error = self._reloading.stop()
        return None if error is None else self._refuse(error, None, None)

    @property
    def uptime(self) -> float:
        """Seconds since this service was made."""
        return time.monotonic() - self._started

    def info(self) -> dict[str, Any]:
        """Return what INFO answers; docs/protocol.md lists the keys."""
        engine, model = self.engine, self.engine.model
        return {
            "protocol": wire.VERSION,
            "version": __version__,
            "pid": os.getpid(),
            "uptime": self.uptime,
            "model": {
                "inputs": list(model.inputs),
                "outputs": list(model.outputs),
                "horizon": model.horizon,
                "fingerprint": model.fingerprint,
            },
            "backend": engine.backend,
            "streams": len(engine),
            "capacity": engine.capacity,
            "limits": {
                "message_bytes": self.max_message_bytes,
                "streams": wire.MAX_STREAMS,
                "rate": self.limits.rate,
                "streams_per_client": self.limits.streams,
            },
            "counters": {
                **self.counters.as_map(),
                "steps": engine.steps,
                "evicted": self.evicted,
                "returned": self.returned,
                "reloads": self.reloads,
            },
            "queue": self.counters.queue(),
            "subscriptions": self.counters[layout.SUBSCRIPTIONS],
            "store": self.keeper.status() if self.keeper is not None else None,
            "memory": resident_memory(),
            "cpu": time.process_time(),
            "histograms": self.counters.histograms(),
        }

    # --- errors ---

    def _guard(
        self, action: Callable[[], Answer], stream: wire.StreamId | None, seq: int | None
    ) -> Answer:
        """Do it, or answer why it cannot be done: a worker outlives every message."""
        try:
            return action()
        except Exception as error:
            return self._refuse(error, stream, seq)

    def _refuse(self, error: Exception, stream: wire.StreamId | None, seq: int | None) -> Answer:
        if isinstance(error, StreamLSTMError):
            refusal = wire.Error(
                stream, seq, error.code, str(error), *self._standing(error, stream, seq)
            )
        else:
            _LOG.error("a message could not be answered", exc_info=error)
            sentence = f"the worker failed with {type(error).__name__}; its log says where"
            refusal = wire.Error(stream, seq, "error", sentence)
        self.counters.errors[refusal.code] += 1
        return Answer(wire.encode(refusal), [], refusal)

    def _standing(
        self, error: StreamLSTMError, stream: wire.StreamId | None, seq: int | None
    ) -> tuple[int | None, bytes | None]:
        """Say where the stream of a refused number stands, and what it was answered before."""
        if isinstance(error, GapError):
            return error.expected - 1, None
        if not isinstance(error, DuplicateError):
            return None, None
        y = None if stream is None or seq is None else self.engine.last_prediction(stream, seq)
        return error.last, None if y is None else wire.to_floats(y)


def _done(kind: wire.Kind, stream: wire.StreamId | None, value: Any) -> Answer:
    return Answer(wire.encode(wire.Done(kind, stream, value)), [])


def _happened(kind: wire.Kind, stream: wire.StreamId, publish: bool) -> Answer:
    """Answer that something was done to a stream, which its subscribers hear too."""
    done = _done(kind, stream, None)
    if not publish:
        return done
    return done._replace(publications=[Publication(wire.topic(stream), done.reply)])


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


def _rows(message: Observations) -> int:
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
