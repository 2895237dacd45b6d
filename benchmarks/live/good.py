"""Clients that deserve good answers, and compare each with an engine of their own, bit for bit.

Each runs in a thread, asks one question after the other about streams of its own, and keeps count.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np

from streamlstm import Engine, Model, wire
from streamlstm.client.client import Client, Publisher, Subscriber
from streamlstm.errors import RemoteError, StreamLSTMError, WorkerTimeoutError

TIMEOUT = 20.0  # seconds for an answer
BUSY_TRIES = 1_000
ROWS = 7  # of a STEPS


class Good:
    """A client in a thread, from its first answer to the end of a ``with``.

    Attributes
    ----------
    asked, fed : int
        Messages sent to the router and to the pull door.
    compared : int
        Predictions that were those of the engine.
    wrong, unanswered : int
        Answers that were not, refusals among them; questions without an answer.
    complaint : str
        What was wrong first.
    """

    def __init__(self, name: str, endpoints: dict[str, str], model: Model) -> None:
        self.asked = self.fed = self.compared = self.wrong = self.unanswered = 0
        self.complaint = ""
        self._name, self._endpoints = name, endpoints
        self._engine = Engine(model, 100, threads=1)
        self._rng = np.random.default_rng(len(name))
        self._client = Client(endpoints["router"], timeout=TIMEOUT)
        self._ready, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(2 * TIMEOUT):
            self.stop()
            raise WorkerTimeoutError(f"{self._name}: no first answer")
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask no more, and compare the whole memory of its streams at the end."""
        self._stopping.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        try:
            self._serve()
            for stream in self._engine.streams():
                theirs = self._ask(partial(self._client.export_stream, stream))
                self._judge(theirs == self._engine.export_stream(stream), f"state of {stream}")
        except WorkerTimeoutError as error:
            self.unanswered += 1
            self.complaint = self.complaint or f"{self._name}: {error}"
        except StreamLSTMError as error:
            self._judge(False, f"{type(error).__name__}: {error}")

    def _serve(self) -> None:
        n = 0
        while not self._stopping.is_set():
            n += 1
            self._turn(n)
            self._ready.set()

    def _turn(self, n: int) -> None:
        raise NotImplementedError

    def _row(self, rows: int = 1) -> Any:
        F = self._engine.model.input_size
        return self._rng.normal(0, 1, (rows, F)).astype(np.float32)

    def _ask(self, question: Callable[[], Any]) -> Any:
        """Ask, and ask again what the worker was too busy for, which changed nothing."""
        for _ in range(BUSY_TRIES):
            self.asked += 1
            try:
                return question()
            except RemoteError as error:
                if error.code != "busy":
                    raise
                time.sleep(0.001)
        raise WorkerTimeoutError(f"busy {BUSY_TRIES} times in a row")

    def _judge(self, good: bool, what: str) -> None:
        if good:
            self.compared += 1
        else:
            self.wrong += 1
            self.complaint = self.complaint or f"{self._name}: {what}"


class Stepping(Good):
    """Sends numbered STEPs of a few streams, one of them with an integer id."""

    def _turn(self, n: int) -> None:
        ids: list[wire.StreamId] = [f"{self._name}-0", 2**63 + 12_345, f"{self._name}-2"]
        stream, x, seq = ids[n % 3], self._row()[0], (n + 2) // 3
        theirs = self._ask(lambda: self._client.step(stream, x, seq=seq))
        ours = self._engine.step(stream, x, seq=seq)
        self._judge(np.array_equal(theirs, ours), f"observation {seq} of {stream}")


class Blocking(Good):
    """Sends STEPS of a few streams, one of them twice."""

    def _turn(self, n: int) -> None:
        ids: list[wire.StreamId] = [f"{self._name}-{row % (ROWS - 1)}" for row in range(ROWS)]
        X = self._row(ROWS)
        theirs = self._ask(lambda: self._client.step_many(ids, X))
        self._judge(np.array_equal(theirs, self._engine.step_many(ids, X)), f"STEPS number {n}")


class Listening(Good):
    """Pushes an observation and waits until its prediction is published."""

    def _serve(self) -> None:
        stream = f"{self._name}-0"
        with (
            Publisher(self._endpoints["pull"], timeout=TIMEOUT) as publisher,
            Subscriber(self._endpoints["xpub"], [stream], timeout=0.2) as subscriber,
        ):
            self._publisher, self._subscriber = publisher, subscriber
            self._subscribe(stream)
            subscriber.timeout = TIMEOUT
            super()._serve()

    def _subscribe(self, stream: str) -> None:
        """Ask until something is heard: ZeroMQ does not tell when a subscription has arrived."""
        x = self._row()[0]
        for _ in range(100):
            self._ask(lambda: self._client.step(stream, x))
            self._engine.step(stream, x)
            try:
                self._subscriber.receive()
            except WorkerTimeoutError:
                continue
            return
        raise WorkerTimeoutError("the subscriber heard nothing")

    def _turn(self, n: int) -> None:
        stream, x = f"{self._name}-0", self._row()[0]
        self._publisher.send(stream, x, seq=n)
        self.fed += 1
        while (heard := self._subscriber.receive()).seq == 0:  # asked for to see who listens
            pass
        ours = self._engine.step(stream, x, seq=n)
        self._judge(heard.seq == n and np.array_equal(heard.values, ours), f"publication {n}")


def good_clients(endpoints: dict[str, str], model: Model) -> list[Good]:
    """Return one client of each kind, not started yet."""
    kinds = {"good-step": Stepping, "good-block": Blocking, "good-listen": Listening}
    return [kind(name, endpoints, model) for name, kind in kinds.items()]
