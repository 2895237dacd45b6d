"""A fleet under load: an open loop of numbered observations that follows `moved`."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, NamedTuple, Self

import numpy as np
import zmq

from streamlstm import wire
from streamlstm.fleet.question import ask
from streamlstm.kernels import compile

from .messages import F, observations
from .processes import TIMEOUT_MS, Process


class Fleet(Process):
    """`streamlstm fleet` on this machine, ready."""

    def __init__(self, model: Path, workers: int, *options: str, file: Path | None = None) -> None:
        command = ("streamlstm", "fleet", str(model), "--workers", str(workers), "--threads", "1")
        super().__init__("fleet", *command, *options, file=file)

    def _is_written(self, endpoints: Path) -> bool:
        """Return whether it is this fleet's: one that was killed has left its file."""
        with suppress(FileNotFoundError):  # this one has just removed that
            return bool(json.loads(endpoints.read_text())["pid"] == self.pid)
        return False

    def ask(self, *question: Any) -> dict[str, Any]:
        """Return the status after a question."""
        return ask(self.file, *question)

    def settle(self) -> None:
        """Wait until no partition moves."""
        while not self.ask("status")["settled"]:
            sleep(0.05)

    def workers(self) -> dict[str, dict[str, Any]]:
        """Return the workers, by name."""
        return {each["name"]: each for each in self._found()["workers"]}

    def gateway(self) -> dict[str, Any]:
        """Return where the gateway is, if there is one, and its pid."""
        found: dict[str, Any] = self._found()["gateway"]
        return found

    def leader(self) -> str:
        """Return the machine that leads, of a fleet on many."""
        name: str = self._found()["leader"]
        return name

    def _found(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text())
        return found


def ids_of(partition: int, count: int) -> list[int]:
    """Return the first integer ids of a partition."""
    found: list[int] = []
    first, block = 0, 2**20
    while len(found) < count:
        ids = np.arange(first, first + block, dtype=np.uint64)
        partitions = np.empty(block, np.int64)
        compile.partition_entries().integer_partitions(ids, partitions)
        found += ids[partitions == partition].tolist()
        first += block
    return found[:count]


class Answer(NamedTuple):
    """The answer to an observation: its stream, when it was due and when it came, in seconds."""

    stream: int
    due: float
    came: float


class Load:
    """Sends observations of streams, each with its number, and notes when they are answered.

    Parameters
    ----------
    router : str
        Of any worker.
    streams : sequence of int
    """

    def __init__(self, router: str, streams: Sequence[int]) -> None:
        self.streams = list(streams)
        partitions = np.empty(len(self.streams), np.int64)
        ids = np.array(self.streams, np.uint64)
        compile.partition_entries().integer_partitions(ids, partitions)
        self.partition = dict(zip(self.streams, partitions.tolist(), strict=True))
        self.rows = [wire.to_floats(x) for x in observations(64)]
        self.seq = dict.fromkeys(self.streams, 0)
        self._context, self._poller = zmq.Context(), zmq.Poller()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self.router: list[str | None] = [None] * wire.PARTITIONS
        self.epoch = [0] * wire.PARTITIONS
        self.learn(router)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for socket in self._sockets.values():
            socket.close()
        self._context.term()

    def _socket(self, router: str) -> zmq.Socket[bytes]:
        if router not in self._sockets:
            socket = self._sockets[router] = self._context.socket(zmq.DEALER)
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.RCVTIMEO, TIMEOUT_MS)
            socket.set_hwm(0)
            socket.connect(router)
            self._poller.register(socket, zmq.POLLIN)
        return self._sockets[router]

    def ask(self, router: str, request: wire.Request) -> wire.Reply:
        """Return the reply of one worker while nothing is in flight."""
        self._socket(router).send(wire.encode(request))
        return wire.decode_reply(self._socket(router).recv())

    def learn(self, router: str) -> None:
        """Ask a worker for the table."""
        reply = self.ask(router, wire.Table())
        assert isinstance(reply, wire.Done), reply
        table = wire.FleetTable.from_value(reply.value)
        for partition in range(wire.PARTITIONS):
            owner = table.owner(partition)
            self.router[partition] = None if owner is None else owner.router
        self.epoch = table.epochs.tolist()

    def forget(self, router: str) -> None:
        """Close the connection to a worker that is not there any more."""
        socket = self._sockets.pop(router)
        self._poller.unregister(socket)
        socket.close()

    def _send(self, stream: int) -> bool:
        router = self.router[self.partition[stream]]
        if router is None:
            return False
        seq = self.seq[stream]
        self._socket(router).send(wire.encode(wire.Step(stream, seq, self.rows[seq % 64])))
        return True

    def run(
        self,
        order: Sequence[int],
        rate: float,
        events: Sequence[tuple[float, Callable[[], object]]] = (),
        window: int = 2**30,
    ) -> list[Answer]:
        """Send an observation of each stream of ``order``, so many a second; return the answers.

        A stream has one observation on its way at most: a later one that is due waits. ``events``
        are called at their seconds after the start.
        """
        start, answers = perf_counter(), list[Answer]()
        due: dict[int, float] = {}
        behind: dict[int, list[float]] = {}
        later: list[tuple[float, int]] = []
        plan, at = sorted(events, key=lambda event: event[0]), 0
        while at < len(order) or due or plan:
            now = perf_counter() - start
            while plan and plan[0][0] <= now:
                plan.pop(0)[1]()
            while at < len(order) and at / rate <= now and len(due) < window:
                stream, wanted = order[at], at / rate
                at += 1
                if stream in due:
                    behind.setdefault(stream, []).append(wanted)
                else:
                    due[stream] = wanted
                    self.seq[stream] += 1
                    heapq.heappush(later, (now, stream))
            while later and later[0][0] <= now:
                stream = heapq.heappop(later)[1]
                if not self._send(stream):
                    heapq.heappush(later, (now + 0.001, stream))
            for socket, _ in self._poller.poll(1 if due else 0):
                for reply in _received(socket):
                    assert isinstance(reply, wire.Prediction | wire.Error), reply
                    assert isinstance(reply.stream, int)
                    stream = reply.stream
                    wait = self._read(reply)
                    now = perf_counter() - start
                    if wait is not None:
                        heapq.heappush(later, (now + wait, stream))
                        continue
                    answers.append(Answer(stream, due.pop(stream), now))
                    if behind.get(stream):
                        due[stream] = behind[stream].pop(0)
                        self.seq[stream] += 1
                        heapq.heappush(later, (now, stream))
        return answers

    def _read(self, reply: wire.Prediction | wire.Error) -> float | None:
        """Return None if the observation is applied, else the seconds after which to send it."""
        if isinstance(reply, wire.Prediction):
            return None
        if reply.code == "duplicate":
            return None
        if reply.code == "busy":
            return (reply.wait or 5) / 1000
        assert reply.code == "moved", reply
        assert reply.owner is not None
        assert reply.number is not None
        if reply.owner.epoch >= self.epoch[reply.number]:
            self.epoch[reply.number] = reply.owner.epoch
            self.router[reply.number] = reply.owner.router
        return 0.0 if reply.owner.router else 0.002

    def fill(self, block: int = 256) -> None:
        """Give every stream its first observation, in STEPS for each partition."""
        groups: dict[int, list[int]] = {}
        for stream in self.streams:
            groups.setdefault(self.partition[stream], []).append(stream)
        for partition, streams in groups.items():
            for first in range(0, len(streams), block):
                part = streams[first : first + block]
                rows = self.rows[1] * len(part)
                router = self.router[partition]
                assert router is not None
                steps = wire.Steps(list(part), [self.seq[s] + 1 for s in part], rows)
                reply = self.ask(router, steps)
                assert isinstance(reply, wire.Predictions), reply
                for stream in part:
                    self.seq[stream] += 1


def _received(socket: zmq.Socket[bytes]) -> list[wire.Reply]:
    found = []
    while True:
        try:
            found.append(wire.decode_reply(socket.recv(zmq.NOBLOCK)))
        except zmq.Again:
            return found


assert F == 8  # of the rows above
