"""A worker on inproc sockets whose loop runs in the thread of the test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import zmq

from streamlstm import Engine
from streamlstm.serving.access.limits import Limits
from streamlstm.serving.eviction import Eviction
from streamlstm.serving.native import layout
from streamlstm.serving.queue_limits import QueueLimits
from streamlstm.serving.service import Service
from streamlstm.serving.sessions import Session
from streamlstm.serving.stores.checkpointer import Checkpointer
from streamlstm.serving.worker import Worker

Parts = list[bytes]


class Harness:
    """A worker on inproc sockets: questions in, turns of its loop, answers and publications out."""

    def __init__(
        self,
        engine: Engine,
        loop: str = "native",
        queue_limits: QueueLimits | None = None,
        limit: int = 2**20,
        checkpointer: Checkpointer | None = None,
        limits: Limits = Limits(),  # noqa: B008 - it cannot change
        eviction: Eviction | None = None,
        model_file: Path | None = None,
    ) -> None:
        self.context = zmq.Context[zmq.Socket[bytes]]()
        self._sockets: list[zmq.Socket[bytes]] = []
        self.service = Service(
            engine, limit, checkpointer, limits=limits, eviction=eviction, model_file=model_file
        )
        self.session = Session()  # of the asker, for a Service that it is compared with
        try:
            self.worker = Worker(
                self.service,
                *(f"inproc://{door}" for door in ("router", "pull", "xpub")),
                context=self.context,
                loop=loop,
                queue_limits=queue_limits or QueueLimits(bytes=max(2**26, 8 * limit)),
            )
        except BaseException:
            self.context.term()
            raise
        self.asker = self.connect(zmq.DEALER, "router")
        self.feeder = self.connect(zmq.PUSH, "pull")
        self.listener = self.connect(zmq.SUB, "xpub")
        self.listener.subscribe(b"")
        for _ in range(1_000):  # on a busy machine a turn may end before it has been seen
            self.turn()
            if self.service.counters[layout.SUBSCRIPTIONS]:
                break

    def connect(self, kind: int, door: str) -> zmq.Socket[bytes]:
        socket = self.context.socket(kind)
        self._sockets.append(socket)
        socket.set_hwm(0)
        socket.connect(f"inproc://{door}")
        return socket

    def turn(self, seconds: float = 0.002) -> None:
        self.worker._turn(seconds)

    def ask(self, messages: Sequence[bytes | Parts]) -> list[Parts]:
        """Send messages and return as many answers, turning the loop as often as that takes."""
        for message in messages:
            self.asker.send_multipart(message if isinstance(message, list) else [message])
        answers: list[Parts] = []
        for _ in range(20 + 20 * len(messages)):
            if len(answers) == len(messages):
                break
            self.turn()
            answers += received(self.asker)
        return answers

    def feed(self, messages: Sequence[bytes | Parts]) -> None:
        """Send messages through the pull door, and turn the loop until all were dealt with."""
        for message in messages:
            self.feeder.send_multipart(message if isinstance(message, list) else [message])
        for _ in range(5 + 3 * len(messages)):
            self.turn(0.0005)

    def heard(self) -> list[Parts]:
        return received(self.listener)

    def hear(self, count: int) -> list[Parts]:
        """Return what is published, turning the loop as often as ``count`` messages take."""
        heard = self.heard()
        for _ in range(20 + 20 * count):
            if len(heard) >= count:
                break
            self.turn()
            heard += self.heard()
        return heard

    def close(self) -> None:
        for socket in self._sockets:
            socket.close(linger=0)
        self.worker.close()
        self.context.term()


def received(socket: zmq.Socket[bytes]) -> list[Parts]:
    """Return every message that is there."""
    found: list[Parts] = []
    while True:
        try:
            found.append(socket.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            return found


@contextmanager
def harness(engine: Engine, **options: object) -> Iterator[Harness]:
    made = Harness(engine, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()
