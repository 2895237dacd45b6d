"""Clients that compare each reply with an engine of their own, bit for bit.

Each runs in a thread, sends one request after the other for streams of its own, and counts.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np

from streamlstm import Engine, Model, wire
from streamlstm.client.client import Client
from streamlstm.client.publisher import Publisher
from streamlstm.client.subscriber import Subscriber
from streamlstm.errors import RemoteError, StreamLSTMError, WorkerTimeoutError

TIMEOUT = 20.0  # seconds for a reply
BUSY_TRIES = 1_000
ROWS = 7  # of a STEPS


class VerifyingClient:
    """A client in a thread, from its first reply to the end of a ``with`` block.

    Attributes
    ----------
    requests, pushed : int
        Messages sent to the ROUTER socket and to the PULL socket.
    compared : int
        Predictions that were equal to the engine's.
    wrong, unanswered : int
        Replies that were not, refusals among them; requests without a reply.
    first_error : str
        The first error, if any.
    """

    def __init__(self, name: str, endpoints: dict[str, str], model: Model) -> None:
        self.requests = self.pushed = self.compared = self.wrong = self.unanswered = 0
        self.first_error = ""
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
            raise WorkerTimeoutError(f"{self._name}: no first reply")
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more requests; at the end the thread compares the states of all its streams."""
        self._stopping.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        try:
            self._serve()
            for stream in self._engine.streams():
                theirs = self._request(partial(self._client.export_stream, stream))
                self._compare(theirs == self._engine.export_stream(stream), f"state of {stream}")
        except WorkerTimeoutError as error:
            self.unanswered += 1
            self.first_error = self.first_error or f"{self._name}: {error}"
        except StreamLSTMError as error:
            self._compare(False, f"{type(error).__name__}: {error}")

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

    def _request(self, call: Callable[[], Any]) -> Any:
        """Send a request, and repeat it after each ``busy``, which changes nothing."""
        for _ in range(BUSY_TRIES):
            self.requests += 1
            try:
                return call()
            except RemoteError as error:
                if error.code != "busy":
                    raise
                time.sleep(0.001)
        raise WorkerTimeoutError(f"busy {BUSY_TRIES} times in a row")

    def _compare(self, equal: bool, what: str) -> None:
        if equal:
            self.compared += 1
        else:
            self.wrong += 1
            self.first_error = self.first_error or f"{self._name}: {what}"


class StepClient(VerifyingClient):
    """Sends numbered STEPs of a few streams, one of them with an integer id."""

    def _turn(self, n: int) -> None:
        ids: list[wire.StreamId] = [f"{self._name}-0", 2**63 + 12_345, f"{self._name}-2"]
        stream, x, seq = ids[n % 3], self._row()[0], (n + 2) // 3
        theirs = self._request(lambda: self._client.step(stream, x, seq=seq))
        ours = self._engine.step(stream, x, seq=seq)
        self._compare(np.array_equal(theirs, ours), f"observation {seq} of {stream}")


class StepsClient(VerifyingClient):
    """Sends STEPS of a few streams, one of them twice."""

    def _turn(self, n: int) -> None:
        ids: list[wire.StreamId] = [f"{self._name}-{row % (ROWS - 1)}" for row in range(ROWS)]
        X = self._row(ROWS)
        theirs = self._request(lambda: self._client.step_many(ids, X))
        self._compare(np.array_equal(theirs, self._engine.step_many(ids, X)), f"STEPS number {n}")


class SubscriberClient(VerifyingClient):
    """Pushes observations, and waits for each published prediction."""

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
        """Step until a prediction arrives: ZeroMQ does not report when a subscription is active."""
        x = self._row()[0]
        for _ in range(100):
            self._request(lambda: self._client.step(stream, x))
            self._engine.step(stream, x)
            try:
                self._subscriber.receive()
            except WorkerTimeoutError:
                continue
            return
        raise WorkerTimeoutError("the subscriber received nothing")

    def _turn(self, n: int) -> None:
        stream, x = f"{self._name}-0", self._row()[0]
        self._publisher.send(stream, x, seq=n)
        self.pushed += 1
        while (published := self._subscriber.receive()).seq == 0:  # from _subscribe
            pass
        ours = self._engine.step(stream, x, seq=n)
        equal = published.seq == n and np.array_equal(published.values, ours)
        self._compare(equal, f"publication {n}")


def verifying_clients(endpoints: dict[str, str], model: Model) -> list[VerifyingClient]:
    """Return one client of each kind, not yet started."""
    kinds = {"good-step": StepClient, "good-block": StepsClient, "good-listen": SubscriberClient}
    return [kind(name, endpoints, model) for name, kind in kinds.items()]
