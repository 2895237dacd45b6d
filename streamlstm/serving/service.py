"""Answers the messages of a worker: frames in, responses out. No sockets, no processes.

A batch is everything that was ready in one turn of the worker. Its observations are stepped
together; a message that touches the state in another way (RESET, EXPORT, IMPORT) divides the batch,
so that messages take effect in the order in which they arrived.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import __version__, wire
from ..engine.engine import Engine
from ..errors import ProtocolError, StreamLSTMError
from .access.limits import Limits
from .access.stream_quota import StreamQuota
from .batch_stepper import BatchStepper
from .commits import Commits, HeldCommits
from .connections import Connections
from .counters import Counters
from .eviction import Eviction
from .line_limit import LineLimit
from .memory import resident_memory
from .native import layout
from .observations import Positioned, count_rows
from .partitions import Partitions
from .reload import Reloader, describe_reload
from .request_reader import read_request
from .residency import Residency
from .response import Publication, Refusals, Response, done
from .sessions import Session
from .stores.checkpointer import Checkpointer
from .stream_requests import StreamRequests

_LOG = logging.getLogger(__name__)

HANG_SECONDS = 5.0  # without a turn of the loop, which makes ten a second, it hangs


class Service:
    """Answers the frames that a worker receives, with an engine.

    Parameters
    ----------
    engine : Engine
        What is served.
    max_message_bytes : int
        Above this a message is answered with ``too-large``.
    checkpointer : Checkpointer, optional
        Writes the engine's streams to their store.
    commits : Commits, optional
        Those that replies to BARRIER wait for; by default the checkpointer's. Without
        either, what is applied counts as safe.
    limits : Limits
        Of each client; its rate is enforced by the worker.
    eviction : Eviction, optional
        Evicts idle streams from memory.
    model_file : Path, optional
        The file that RELOAD reads; without one RELOAD is refused.
    partitions : Partitions, optional
        Of a worker of a fleet: what is not among them is answered ``moved``.

    Attributes
    ----------
    reloader : Reloader
        Changes the model.
    lines : LineLimit
        Of what clients can cause the log to say.
    counters : Counters
        Those of messages, answers and publications are counted by who receives and sends them.
    held : HeldCommits or None
        Of a worker of a fleet: its commits, which replies to BARRIER wait for.
    connections : Connections or None
        Those of the worker that serves this, set by it.
    serving : bool
        Whether the worker answers clients, set by it.
    reload_fleet : callable
        Asks the fleet that this worker belongs to for another model, set by the worker.
    turned : float
        Monotonic time of the last turn of the worker's loop, set by it.
    """

    def __init__(
        self,
        engine: Engine,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        checkpointer: Checkpointer | None = None,
        commits: Commits | None = None,
        limits: Limits = Limits(),  # noqa: B008 - it cannot change
        eviction: Eviction | None = None,
        model_file: Path | None = None,
        partitions: Partitions | None = None,
    ) -> None:
        self.engine, self.partitions = engine, partitions
        self.limits = limits
        self.checkpointer, self.eviction = checkpointer, eviction
        self._commits: Commits | None = checkpointer if commits is None else commits
        self.held: HeldCommits | None = None
        if partitions is not None and self._commits is not None:
            self._commits = self.held = HeldCommits(self._commits)
        self.max_message_bytes = max_message_bytes
        self.counters = Counters()
        self.lines = LineLimit()
        self._refusals = Refusals(engine, self.counters, self.lines)
        self._residency = Residency(checkpointer, eviction, self.counters)
        quota = None
        if limits.streams is not None:
            quota = StreamQuota(engine.stream_owners(), limits.streams, self._connections_of)
        self._stepper = BatchStepper(
            engine, self.counters, self._refusals, self._residency, quota, partitions
        )
        self._streams = StreamRequests(engine, self._residency, quota)
        self.reloader = Reloader(engine, model_file, checkpointer, self.lines)
        self.connections: Connections | None = None
        self._started = self.turned = time.monotonic()
        self.serving = False
        self.reload_fleet: Callable[[bool], None] = self.reloader.begin

    def handle(
        self,
        frames: Sequence[bytes | ProtocolError],
        pulled: Container[int] = (),
        publish: bool = True,
        sessions: Sequence[Session | None] = (),
        producers: Mapping[int, int] = MappingProxyType({}),
    ) -> list[Response]:
        """Apply a batch of messages in its order.

        Parameters
        ----------
        frames : sequence of bytes or ProtocolError
            The messages; an error stands for one that the socket has already refused.
        pulled : container of int
            Positions of messages that came through the PULL socket, for observations only, where
            nobody receives an error: each row of a STEPS among them is applied or refused by
            itself.
        publish : bool
            Whether anyone subscribes; publications are left out otherwise.
        sessions : sequence of Session or None
            The connection that each frame came over, for those of the ROUTER; may be left out where
            no BARRIER comes.
        producers : dict of int to int
            The producers of messages that name one, by position.

        Returns
        -------
        list of Response
            One for each frame, in the same order.
        """
        responses: list[Response | None] = [None] * len(frames)
        waiting: list[Positioned] = []
        model, max_bytes = self.engine.model, self.max_message_bytes
        for position, frame in enumerate(frames):
            try:
                message = read_request(frame, model, max_bytes, position in pulled)
            except ProtocolError as error:
                responses[position] = self._refusals.refuse(error, error.stream, error.seq)
                continue
            session = sessions[position] if sessions else None
            if isinstance(message, wire.Step | wire.Steps):
                waiting.append((position, message))
                if session is not None:
                    session.received += count_rows(message)
                continue
            if not isinstance(message, wire.Info | wire.Ping | wire.Table):
                self._stepper.step(waiting, responses, pulled, publish, sessions, producers)
                waiting.clear()
            if isinstance(message, wire.Barrier):
                responses[position] = self._barrier(message, session or Session())
            else:
                response = self._request(message, session, publish, producers.get(position, 0))
                responses[position] = self._residency.with_evictions(response)
        self._stepper.step(waiting, responses, pulled, publish, sessions, producers)
        return cast(list[Response], responses)

    def _request(
        self, message: wire.Request, session: Session | None, publish: bool, producer: int
    ) -> Response:
        """Execute a request, or refuse it."""
        stream = getattr(message, "stream", None)
        return self._refusals.guard(
            lambda: self._execute(message, session, publish, producer), stream
        )

    def _execute(
        self, message: wire.Request, session: Session | None, publish: bool, producer: int
    ) -> Response:
        self._check_partitions(message)
        match message:
            case wire.Reset(stream):
                return self._streams.reset(stream, publish)
            case wire.Label():
                return self._streams.learn(message, publish)
            case wire.Export(stream):
                return self._streams.export_stream(stream, publish)
            case wire.Import(stream, blob):
                return self._streams.import_stream(stream, blob, session, publish)
            case wire.Forget(stream):
                return self._streams.forget(stream, publish)
            case wire.List(prefix, after, count):
                return self._streams.list_streams(prefix, after, count)
            case wire.Last(streams):
                return self._streams.last_seqs(streams)
            case wire.Claim():
                return self._streams.claim(message, producer, session, publish)
            case wire.Reload(anew):
                if self.partitions is None:
                    self.reloader.begin(anew)
                else:  # all workers of the fleet change together
                    self.reload_fleet(anew)
                return Response(b"", [], reloads=True)
            case wire.Table():
                table = None if self.partitions is None else self.partitions.table.to_value()
                return done(wire.Kind.TABLE, None, table)
            case wire.Ping(nonce):
                return done(wire.Kind.PING, None, nonce)
            case wire.Info():
                return done(wire.Kind.INFO, None, self.info())
        raise AssertionError(f"no reply to a {type(message).__name__}")

    def _check_partitions(self, message: wire.Request) -> None:
        """Raise if a stream of a request is not in a partition of this worker."""
        if self.partitions is None:
            return
        streams = getattr(message, "streams", None)
        if streams is None and (stream := getattr(message, "stream", None)) is not None:
            streams = [stream]
        if streams and (error := self.partitions.error(streams)) is not None:
            raise error
        if isinstance(message, wire.Forget):
            self.partitions.check_settled(message.stream)

    # --- barriers ---

    def _barrier(self, barrier: wire.Barrier, session: Session) -> Response:
        """Return how many observations came before it, to be sent when they are safe."""
        response = done(wire.Kind.BARRIER, None, [barrier.token, session.received])
        if self._commits is None:
            return response
        return response._replace(ticket=self._commits.ticket())

    def is_safe(self, response: Response) -> bool:
        """Return whether a reply may be sent: the commit that it waits for is in the store."""
        return self._commits is None or response.ticket <= self._commits.committed

    # --- between batches ---

    def events(self) -> list[Publication]:
        """Return the next chunk of events that no message has led to: evictions and resets."""
        return self._residency.events()

    @property
    def has_events(self) -> bool:
        """True if there are more of these events."""
        return self._residency.has_events

    def _connections_of(self, address: str, exact: bool) -> int:
        return 1 if self.connections is None else self.connections.open_from(address, exact)

    def reload(self, publish: bool) -> Response | None:
        """Change the model if one is ready, between two batches.

        Returns
        -------
        Response or None
            To the RELOAD that asked for it; None if there is nothing to answer (yet).
        """
        outcome = self.reloader.turn()
        if outcome is None:
            return None
        if isinstance(outcome, StreamLSTMError):
            self.lines.warn(_LOG, str(outcome), kind="reload refused")
            return self.refuse_reload(outcome)
        result = outcome[0]
        streams = "all streams restart" if result.anew else "streams continue"
        said = f"reloaded: the model {result.model[:8]} follows {result.before[:8]}, {streams}"
        self.lines.write(_LOG, logging.INFO, said, kind="reloaded")
        if result.anew and publish:
            self._residency.publish_resets(self.engine.streams())
        return done(wire.Kind.RELOAD, None, describe_reload(outcome))

    def refuse_reload(self, error: StreamLSTMError) -> Response:
        """Return the response to a RELOAD that changes nothing."""
        return self._refusals.refuse(error, None, None)

    def stop_reloading(self) -> Response | None:
        """Cancel a reload that is under way; return the response to its RELOAD, if there is one."""
        error = self.reloader.stop()
        return None if error is None else self._refusals.refuse(error, None, None)

    # --- state ---

    @property
    def evicted(self) -> int:
        """Number of idle streams that were evicted from memory."""
        return self._residency.evicted

    @property
    def returned(self) -> int:
        """Number of streams restored from the store because a message needed them."""
        return self._residency.returned

    @property
    def reloads(self) -> int:
        """Number of changes of the model."""
        return self.reloader.count

    @property
    def uptime(self) -> float:
        """Seconds since this service was made."""
        return time.monotonic() - self._started

    def health_problem(self) -> str | None:
        """Return why the worker should be restarted; None if it need not be. From any thread."""
        silent = time.monotonic() - self.turned
        return f"the loop has not turned for {silent:.0f} s" if silent > HANG_SECONDS else None

    def readiness_problem(self) -> str | None:
        """Return why the worker should get no clients now; None if it should. From any thread."""
        if problem := self.health_problem():
            return problem
        if not self.serving:
            return "the worker does not serve, or stops"
        failing = None if self.checkpointer is None else self.checkpointer.status()["failing"]
        return None if failing is None else f"the store has failed for {failing:.0f} s"

    def info(self) -> dict[str, Any]:
        """Return the value of a reply to INFO; docs/protocol.md lists the keys."""
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
                "horizons": list(model.horizons),
                "targets": list(model.targets),
                "window": model.window,
                "start": model.start,
                "fingerprint": model.fingerprint,
                "online": None if model.online is None else model.online.options(),
                "input_offsets": _as_list(model.input_offsets),
                "output_offsets": _as_list(model.output_offsets),
            },
            "backend": engine.backend,
            "weights": engine.weights,
            "streams": len(engine),
            "capacity": engine.capacity,
            "fleet_capacity": None if self.partitions is None else self.partitions.capacity,
            "limits": {
                "message_bytes": self.max_message_bytes,
                "streams": wire.MAX_STREAMS,
                "rate": self.limits.rate,
                "streams_per_client": self.limits.streams,
                "connections": self.connections.limit if self.connections else None,
            },
            "counters": {
                **self.counters.as_map(),
                "excess_connections": self.connections.refused if self.connections else 0,
                "steps": engine.steps,
                "evicted": self.evicted,
                "returned": self.returned,
                "reloads": self.reloads,
            },
            "queue": self.counters.queue(),
            "subscriptions": self.counters[layout.SUBSCRIPTIONS],
            "topic_bytes": self.counters[layout.TOPIC_BYTES],
            "connections": self.connections.open if self.connections else 0,
            "store": self.checkpointer.status() if self.checkpointer is not None else None,
            "memory": resident_memory(),
            "cpu": time.process_time(),
            "histograms": self.counters.histograms(),
        }


def _as_list(offsets: NDArray[np.float64] | None) -> list[float] | None:
    return None if offsets is None else offsets.tolist()
