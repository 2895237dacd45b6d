"""What a worker answers: raw frames in, answers out. No sockets, no processes.

A batch is everything that was ready in one turn of the worker. Its observations are stepped
together; a message that touches the state in another way (RESET, EXPORT, IMPORT) divides the batch,
so that messages take effect in the order in which they arrived.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any, cast

from .. import __version__, wire
from ..engine.engine import Engine
from ..errors import ProtocolError, StreamLSTMError
from .access.limits import Limits
from .access.stream_quota import Shares
from .batch import Observations, Observing, count_rows
from .checkpointer import Keeper
from .eviction import Eviction
from .memory import resident_memory
from .native import layout
from .native.counters import Counters
from .reload import Reloading, told
from .reply import Answer, Publication, Refusals, done, happened
from .residency import Presence
from .sessions import Commits, Session

_LOG = logging.getLogger(__name__)


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
        self.keeper, self.eviction = keeper, eviction
        self._commits: Commits | None = keeper if commits is None else commits
        self.max_message_bytes = max_message_bytes
        self.counters = Counters()
        self._refusals = Refusals(engine, self.counters)
        self._presence = Presence(keeper, eviction)
        shares = None if limits.streams is None else Shares(engine.owners(), limits.streams)
        self._observing = Observing(engine, self.counters, self._refusals, self._presence, shares)
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
                answers[position] = self._refusals.refuse(error, error.stream, error.seq)
                continue
            session = sessions[position] if sessions else None
            if isinstance(message, wire.Step | wire.Steps):
                waiting.append((position, message))
                if session is not None:
                    session.received += count_rows(message)
                continue
            if not isinstance(message, wire.Info | wire.Ping):
                self._observing.step(waiting, answers, fed, publish, sessions)
                waiting.clear()
            if isinstance(message, wire.Barrier):
                answers[position] = self._barrier(message, session or Session())
            else:
                answers[position] = self._presence.told(self._control(message, session, publish))
        self._observing.step(waiting, answers, fed, publish, sessions)
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

    # --- everything else ---

    def _control(self, message: wire.Request, session: Session | None, publish: bool) -> Answer:
        """Do what a message asks, or answer why it cannot be done."""
        stream = getattr(message, "stream", None)
        return self._refusals.guard(lambda: self._do(message, session, publish), stream)

    def _do(self, message: wire.Request, session: Session | None, publish: bool) -> Answer:
        match message:
            case wire.Reset(stream):
                return self._reset(stream, publish)
            case wire.Export(stream):
                return self._export(stream, publish)
            case wire.Import(stream, blob):
                return self._import(stream, blob, session, publish)
            case wire.Forget(stream):
                return self._forget(stream, publish)
            case wire.List(prefix, after, count):
                return self._list(prefix, after, count)
            case wire.Last(streams):
                return self._last(streams)
            case wire.Reload(anew):
                return self._begin_reload(anew)
            case wire.Ping(nonce):
                return done(wire.Kind.PING, None, nonce)
            case _:
                return done(wire.Kind.INFO, None, self.info())

    def _reset(self, stream: wire.StreamId, publish: bool) -> Answer:
        self._presence.recall([stream], publish)
        self.engine.reset(stream)
        return happened(wire.Kind.RESET, stream, publish)

    def _export(self, stream: wire.StreamId, publish: bool) -> Answer:
        self._presence.recall([stream], publish)
        return done(wire.Kind.EXPORT, stream, self.engine.export_stream(stream))

    def _import(
        self, stream: wire.StreamId, blob: bytes, session: Session | None, publish: bool
    ) -> Answer:
        if refused := self._observing.bar(session, stream):
            return refused
        try:
            # What the store has of it comes back first, so that it is known not to be there only.
            self._presence.recall([stream], publish)
            self.engine.import_stream(stream, blob)
        finally:
            self._observing.came()
        return happened(wire.Kind.IMPORT, stream, publish)

    def _barrier(self, barrier: wire.Barrier, session: Session) -> Answer:
        """Answer how much came before it; the answer waits until that is safe."""
        answer = done(wire.Kind.BARRIER, None, [barrier.token, session.received])
        return answer if self._commits is None else answer._replace(ticket=self._commits.ticket())

    def is_safe(self, answer: Answer) -> bool:
        """Tell whether an answer may be sent: what it waits for is committed."""
        return self._commits is None or answer.ticket <= self._commits.committed

    def _last(self, streams: list[wire.StreamId]) -> Answer:
        """Tell where streams stand; those that are in the store stay there."""
        numbers = self.engine.last_seqs(streams)
        if self.keeper is not None:
            stored = self.keeper.last_seqs(streams)
            numbers = [stored.get(s, seq) for s, seq in zip(streams, numbers, strict=True)]
        return done(wire.Kind.LAST, None, numbers)

    def _list(self, prefix: str | None, after: wire.StreamId | None, count: int) -> Answer:
        """List streams in memory and in the store, in one order."""
        count = min(count, wire.MAX_LISTED)
        listed = self.engine.list_streams(prefix, after, count)
        if self.keeper is not None:
            listed += self.keeper.listed(prefix, after, count)
            listed.sort(key=lambda entry: wire.topic(entry[0]))
        return done(wire.Kind.LIST, None, listed[:count])

    def _forget(self, stream: wire.StreamId, publish: bool) -> Answer:
        self._presence.recall([stream], publish)
        self.engine.forget(stream)
        return happened(wire.Kind.FORGET, stream, publish)

    @property
    def evicted(self) -> int:
        """How many streams have left memory because they were idle."""
        return self._presence.evicted

    @property
    def returned(self) -> int:
        """How many streams came back from the store because they were asked for."""
        return self._presence.returned

    def news(self) -> list[Publication]:
        """Return what subscribers are to be told beside answers, a piece of it."""
        return self._presence.news()

    @property
    def has_news(self) -> bool:
        """Whether there is more of that."""
        return self._presence.has_news

    # --- another model ---

    @property
    def reloads(self) -> int:
        """How often the model was changed."""
        return self._reloading.count

    def _begin_reload(self, anew: bool) -> Answer:
        self._reloading.begin(anew)
        return Answer(b"", [], reloads=True)

    def reload(self, publish: bool) -> Answer | None:
        """Change the model if one is ready, between two batches; return what RELOAD is answered.

        None if there is nothing to tell (yet).
        """
        outcome = self._reloading.turn()
        if outcome is None:
            return None
        if isinstance(outcome, StreamLSTMError):
            _LOG.warning("%s", outcome)
            return self._refusals.refuse(outcome, None, None)
        what = outcome[0]
        _LOG.info(
            "reloaded: the model %s follows %s, %s",
            what.model[:8],
            what.before[:8],
            "all streams begin anew" if what.anew else "streams go on",
        )
        if what.anew and publish:
            self._presence.tell_begun(self.engine.streams())
        return done(wire.Kind.RELOAD, None, told(outcome))

    def stop_reloading(self) -> Answer | None:
        """Give up a change of the model; return what is to be answered, None if there is none."""
        error = self._reloading.stop()
        return None if error is None else self._refusals.refuse(error, None, None)

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
