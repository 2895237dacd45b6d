"""Follows a worker or a fleet for the page, through restarts: its publications and its health."""

from __future__ import annotations

import asyncio
import logging
import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ... import wire
from ...client.aio.client import AsyncClient
from ...client.aio.subscriber import AsyncSubscriber
from ...client.observing import Published
from ...errors import RemoteError, StreamLSTMError, WorkerTimeoutError
from ...network.model import Model
from ...online.detector import detector
from ..where import Where
from .alarms import Alarms
from .board import Board, number
from .gates import Gates
from .health import Health
from .points import Points, points_of
from .signals import NONE, shape_of

_LOG = logging.getLogger(__name__)

TURN = 0.02  # seconds in which publications gather: a batch costs little more than one
ASK = 1.0  # seconds between two questions how a worker is
GIVE_UP = 2.0  # seconds after which a question is asked again
_EXPORT = 0.02  # seconds between two exports of states


class Watch:
    """What is known of all streams, of their alarms and of the workers.

    Parameters
    ----------
    where : Where
    limit : int
        Bytes that the points of all streams may take.
    model_file : Path, optional
        Of the model that is served, to see its gates.

    Attributes
    ----------
    board : Board or None
        None until a worker has said what it serves.
    model, health : dict or None
        What a worker has said of its model and of itself last.
    problem : str or None
        Why there is no worker, while there is none.
    alarms : Alarms
    changes : int
        Rises with everything that is new.
    generation : int
        Rises when everything begins anew, with another model.
    """

    def __init__(self, where: Where, limit: int, model_file: Path | None = None) -> None:
        self._where, self._limit, self._model_file = where, limit, model_file
        self.board: Board | None = None
        self.model: dict[str, Any] | None = None
        self.health: dict[str, Any] | None = None
        self.problem: str | None = "waiting for a worker"
        self.no_gates: str | None = None
        self.alarms = Alarms()
        self.generation = 0
        self._gates: Gates | None = None
        self._listeners: set[Callable[[], None]] = set()

    async def run(self) -> None:
        """Follow them until it is cancelled."""
        while True:
            try:
                await self._follow()
            except* StreamLSTMError as errors:
                self._note(str(errors.exceptions[0]))
            await asyncio.sleep(TURN * 10)

    async def _follow(self) -> None:
        """Follow one worker or fleet until the endpoints file names another one."""
        stamp = self._where.stamp()
        async with (
            AsyncClient(**self._where.of_client(), timeout=GIVE_UP) as client,
            AsyncSubscriber(**self._where.of_subscriber(), values=True) as subscriber,
            asyncio.TaskGroup() as tasks,
        ):
            others = [self._receive(subscriber), self._export(client)]
            running = [tasks.create_task(other) for other in others]
            await self._ask(client, stamp)
            for task in running:
                task.cancel()

    async def _ask(self, client: AsyncClient, stamp: Any) -> None:
        """Ask how the workers are, again and again, until the endpoints file has changed."""
        health, due = Health(), clock.monotonic()
        while True:
            try:
                info = await client.info()
                is_back = self.model is not None and self.problem is not None
                is_new = self._meet(info["model"])
                self.health = health.take(info) | {"asked": clock.time()}
                if is_back:
                    _LOG.warning("%s answers again", client.endpoint)
                self.problem = None
                if is_new:
                    await asyncio.to_thread(self._find_gates, info)
            except WorkerTimeoutError:
                self._note(f"no answer from {client.endpoint}")
                if self._where.stamp() != stamp:
                    return
            except RemoteError as error:
                self._note(str(error))
            due = max(due + ASK, clock.monotonic())
            await asyncio.sleep(due - clock.monotonic())

    def _note(self, problem: str) -> None:
        if self.problem is None:
            _LOG.warning("%s", problem)
        self.problem, self.health = problem, None

    def _meet(self, model: dict[str, Any]) -> bool:
        """Take note of the model; begin anew, and return True, if it is another one."""
        if self.model is not None and self.model["fingerprint"] == model["fingerprint"]:
            return False
        shape = shape_of(model)
        before = None if self.board is None else self.board.shape
        self.model = model
        if before is None or before.signals != shape.signals or before[1:4] != shape[1:4]:
            self.board, self.generation = Board(shape, self._limit), self.generation + 1
        self._gates, self.no_gates = None, None
        return True

    def _find_gates(self, info: dict[str, Any]) -> None:
        """Make the engine that shows gates: in a thread, since it may have to be compiled."""
        try:
            weights = info.get("weights", "float32")  # of a worker of an earlier version
            self._gates = Gates(self._find_model(info["model"]), weights)
        except (StreamLSTMError, OSError) as error:
            self.no_gates = str(error)

    @property
    def followed(self) -> int | None:
        """Of how many streams gates are followed; None where they cannot be."""
        return None if self._gates is None else self._gates.followed

    def _find_model(self, model: dict[str, Any]) -> Model:
        """Return the model that a worker serves.

        Raises
        ------
        StreamLSTMError
            If it is not to be found.
        """
        stamp = self._where.stamp() or {}
        file = self._model_file or stamp.get("model")
        found = detector(model["inputs"]) if file is None else Model.load(file)
        if found.fingerprint == model["fingerprint"]:
            return found
        if file is None:
            raise StreamLSTMError(
                "gates need the model: start the page with --model FILE, or with the endpoints "
                "file of a worker on this machine"
            )
        raise StreamLSTMError(f"{file} is not the model that the worker serves")

    async def _receive(self, subscriber: AsyncSubscriber) -> None:
        """Take what is published, in batches."""
        while True:
            events = await subscriber.receive_many()
            if self.board is not None:
                some: list[Published] = []
                for event in events:
                    if isinstance(event, Published):
                        some.append(event)
                        continue
                    self._take(some)
                    some = []
                    self._change(event)
                self._take(some)
            await asyncio.sleep(TURN)

    def _change(self, event: wire.Done) -> None:
        """Take note that a stream was forgotten, or has another state."""
        assert self.board is not None
        assert event.stream is not None
        is_gone = event.kind == wire.Kind.FORGET
        if is_gone:
            self.board.forget(event.stream)
        if self._gates is not None and (is_gone or event.value is False):
            self._gates.leave(event.stream)
        elif self._gates is not None and event.kind != wire.EVICTED:
            self._gates.lose(event.stream)

    def _take(self, events: list[Published]) -> None:
        assert self.board is not None
        shape, now = self.board.shape, clock.time()
        events = [each for each in events if len(each.y) == 4 * shape.outputs]
        if not events:
            return
        try:
            points = points_of(events)
        except (KeyError, ValueError):
            return  # some are of the model before a reload
        if points.X.shape[1] != shape.inputs:
            return
        gates = {} if self._gates is None else self._gates.follow(points)
        expected = [self._expected(points, n) for n in points.alarm.nonzero()[0].tolist()]
        self.board.add(points, now)
        for n, signals in zip(points.alarm.nonzero()[0].tolist(), expected, strict=True):
            time = float(points.times[n])
            self.alarms.add(
                stream=points.streams[n],
                arrived=now,
                time=now if time != time else time,
                kind=events[n].observed.kind,
                score=float(points.score[n]),
                p_value=float(points.p_value[n]),
                signals=signals,
                gates=gates.get(n),
            )
        for listener in self._listeners:
            listener()

    def _expected(self, points: Points, n: int) -> list[dict[str, Any]]:
        """Return what came with an alarm and what had been expected, of each signal."""
        board = self.board
        assert board is not None
        slot = board.slots.get(points.streams[n], NONE)
        found = []
        for signal in board.shape.signals:
            said: dict[str, Any] = {"name": signal.name}
            if signal.input != NONE:
                said["value"] = number(float(points.X[n, signal.input]))
            if signal.horizon > 0:
                _, rows = board.history.last(slot, signal.horizon)
                if len(rows) == signal.horizon:
                    columns = board.columns
                    for name in ("Y", "low", "high"):
                        said[name] = number(float(rows[0, getattr(columns, name) + signal.output]))
            found.append(said)
        return found

    async def _export(self, client: AsyncClient) -> None:
        """Get the states of streams whose gates are followed, a few at a time."""
        while True:
            await asyncio.sleep(_EXPORT)
            gates = self._gates
            stream = None if gates is None else gates.next_wanted()
            if gates is None or stream is None:
                continue
            try:
                gates.begin(stream, await client.export_stream(stream))
            except WorkerTimeoutError:
                gates.lose(stream)
            except RemoteError as error:
                (gates.lose if error.code == "busy" else gates.leave)(stream)
                if error.code == "forbidden":
                    self._gates, self.no_gates = None, str(error)

    def listen(self, listener: Callable[[], None], comes: bool = True) -> None:
        """Call a function after each batch, or cease to."""
        (self._listeners.add if comes else self._listeners.discard)(listener)
