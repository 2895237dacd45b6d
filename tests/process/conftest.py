"""Real worker processes, started once for a module, and what tests ask them with."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import zmq

from benchmarks.live.verification import without_producer
from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.client.client import Client
from streamlstm.client.subscriber import Subscriber
from streamlstm.errors import RemoteError, WorkerTimeoutError

from ..contract.models import random_model
from ..redis_server import Redis
from .pull_socket import PullSocket

Result = TypeVar("Result")

FREE_PORTS = [
    part for name in ("router", "pull", "xpub") for part in (f"--{name}", "tcp://127.0.0.1:*")
]
NOBODY = "tcp://127.0.0.1:9"  # the discard port: nothing listens there
MODEL = random_model([LSTM(2, 9), Dense(9, 3)], scaled=True)


class WorkerProcess:
    """`streamlstm serve` in a process of its own, ready."""

    def __init__(
        self, model: Path, *options: str, files: int | None = None, serves: str | None = None
    ) -> None:
        """Start one; with ``files`` it may open no more, with ``serves`` that is its MODEL."""
        self._file = model.with_suffix(".endpoints.json")
        where = ("--endpoints", str(self._file), "--threads", "1")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "streamlstm",
                "serve",
                str(model) if serves is None else serves,
                *FREE_PORTS,
                *where,
                *options,
            ],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=None if files is None else partial(_limit_files, files),
        )
        assert self.process.stderr is not None
        self.said = ""
        while "ready; Ctrl-C stops" not in self.said:
            line = self.process.stderr.readline()
            if not line:
                self.process.wait()
                self.process.stderr.close()
                raise AssertionError(f"the worker did not become ready: {self.said}")
            self.said += line
        self.endpoints: dict[str, str] = json.loads(self._file.read_text())

    def client(self, timeout: float = 20.0) -> Client:
        return Client(self.endpoints["router"], timeout=timeout)

    def ended(self) -> int:
        """Wait until it ends by itself; what was said on stderr is kept."""
        _, rest = self.process.communicate(timeout=30)
        self.said += rest
        return self.process.returncode

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end; what was said on stderr is kept."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            _, rest = self.process.communicate(timeout=30)
            self.said += rest
        elif self.process.stderr is not None:
            self.process.stderr.close()
        return self.process.returncode


def _limit_files(files: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


def fails_saying(said: str, attempt: Callable[[float], object]) -> WorkerTimeoutError:
    """Return how an attempt with so many seconds fails; it gets more until the error says this.

    In less than a handshake takes, which is long on a busy machine, less is known.
    """
    for timeout in (0.2, 1.0, 5.0, 20.0):
        with pytest.raises(WorkerTimeoutError) as caught:
            attempt(timeout)
        if said in str(caught.value):
            return caught.value
    raise AssertionError(f"expected {said!r}") from caught.value


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("worker") / "model.safetensors"
    MODEL.save(path)
    return path


@pytest.fixture(scope="module")
def worker(model_file: Path) -> Iterator[WorkerProcess]:
    """A worker that a module's tests share; each uses streams of its own."""
    process = WorkerProcess(model_file)
    yield process
    process.stop()


@pytest.fixture
def client(worker: WorkerProcess) -> Iterator[Client]:
    with worker.client() as client:
        yield client


@pytest.fixture
def start_on_redis(model_file: Path, redis: Redis) -> Iterator[Callable[..., WorkerProcess]]:
    """Start workers on a Redis of the test's own; those that still run at the end are killed."""
    started: list[WorkerProcess] = []

    def run(*options: str, model: Path = model_file) -> WorkerProcess:
        options = ("--store", redis.url, "--commit-ms", "5", *options)
        started.append(WorkerProcess(model, *options))
        return started[-1]

    yield run
    for process in started:
        process.stop(signal.SIGKILL)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that a test adds, which end with it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def engine() -> Engine:
    """An engine of the same model that nothing disturbs: what the worker should answer."""
    return Engine(MODEL, threads=1)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def assert_same_state(client: Client, engine: Engine, stream: wire.StreamId) -> None:
    """Compare a stream of a worker with one of an engine, but for who feeds it."""
    here, there = engine.export_stream(stream), client.export_stream(stream)
    assert without_producer(there) == without_producer(here)


def unless_busy(call: Callable[[], Result]) -> Result:
    """Return what a call returns; it is made again while a worker's disk or Redis is slow."""
    while True:
        try:
            return call()
        except RemoteError as error:
            if error.code != "busy":
                raise


def exported(client: Client, stream: wire.StreamId) -> bytes:
    """Export a stream, however long the store takes."""
    return unless_busy(lambda: client.export_stream(stream))


def predicted(y: float) -> bytes:
    """Return the reply with a prediction of one output."""
    return wire.encode(wire.Prediction("a", 0, wire.to_floats([y])))


class Sockets:
    """Plain sockets, as other people's programs have them; closed at the end of a test."""

    def __init__(self) -> None:
        self._context = zmq.Context[zmq.Socket[bytes]]()
        self._context.rcvtimeo = self._context.sndtimeo = 20_000
        self._open: list[zmq.Socket[bytes]] = []

    def connect(self, kind: int, endpoint: str, **options: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        self._open.append(socket)
        for name, value in options.items():
            socket.set(getattr(zmq, name), value)
        socket.connect(endpoint)
        return socket

    def bind(self, kind: int, endpoint: str = "tcp://127.0.0.1:*") -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        self._open.append(socket)
        socket.bind(endpoint)
        return socket

    def close(self) -> None:
        for socket in self._open:
            socket.close(linger=0)
        self._context.destroy(linger=0)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    opened = Sockets()
    yield opened
    opened.close()


class SlowWorker:
    """A router whose replies a test gives one by one."""

    def __init__(self, sockets: Sockets) -> None:
        self._router = sockets.bind(zmq.ROUTER)
        self.endpoint = self._router.get_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def greet(self, client: Client) -> None:
        """Answer a first request, so that later ones do not have to wait for a connection."""
        timeout, client.timeout = client.timeout, 20.0
        greeting = threading.Thread(target=client.step, args=("hello", [0]))
        greeting.start()
        self.reply(self.request(), wire.encode(wire.Prediction("hello", 0, wire.to_floats([0]))))
        greeting.join()
        client.timeout = timeout

    def request(self) -> list[bytes]:
        return self._router.recv_multipart()

    def has_request(self) -> bool:
        """Return whether another request comes within a moment."""
        return bool(self._router.poll(100))

    def reply(self, request: list[bytes], *frames: bytes) -> None:
        self._router.send_multipart([*request[:-1], *frames])


@pytest.fixture
def slow(sockets: Sockets) -> Iterator[SlowWorker]:
    return SlowWorker(sockets)


@pytest.fixture
def pull(sockets: Sockets, tmp_path: Path) -> PullSocket:
    return PullSocket(sockets, tmp_path)


def listen(worker: WorkerProcess, streams: list[wire.StreamId], known: str) -> Subscriber:
    """Return a subscriber whose subscriptions have arrived.

    ZeroMQ does not tell when they have, so predictions of the stream `known`, which must be among
    them, are asked for until one is heard.
    """
    subscriber = Subscriber(worker.endpoints["xpub"], streams, timeout=0.05)
    with worker.client() as client:
        asked = heard = 0
        while heard == 0:
            client.step(known, [0.0, 0.0])
            asked += 1
            try:
                heard = subscriber.receive().stream == known
            except WorkerTimeoutError:
                continue
        client.step(known, [0.0, 0.0], seq=1)
    subscriber.timeout = 20.0
    while subscriber.receive().seq != 1:
        pass
    return subscriber
