"""A worker with more streams than memory answers as one in which all of them fit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from streamlstm import Engine, wire
from streamlstm.client.aio.subscriber import AsyncSubscriber
from streamlstm.client.client import Client
from streamlstm.client.subscriber import Subscriber

from ..redis_server import needs_redis
from .conftest import FREE_PORTS, MODEL, Sockets, WorkerProcess, exported, unless_busy

STREAMS: list[wire.StreamId] = [f"pump-{n}" for n in range(200)] + list(range(200))
CAPACITY = 64


@pytest.fixture
def start(model_file: Path, tmp_path: Path) -> Iterator[Any]:
    """Start workers; those that still run at the end are stopped."""
    started: list[WorkerProcess] = []

    def run(*options: str, store: bool = True) -> WorkerProcess:
        if store:
            options = ("--store", f"lmdb:{tmp_path / 'store'}", "--commit-ms", "5", *options)
        started.append(WorkerProcess(model_file, *options))
        return started[-1]

    yield run
    for process in started:
        process.stop()


@pytest.mark.parametrize("loop", ["native", "python"])
def test_predictions_are_those_of_an_engine_in_which_all_fits(
    start: Any, sockets: Sockets, loop: str
) -> None:
    compare_with_an_engine(start, sockets, loop)


@needs_redis
def test_predictions_are_those_of_an_engine_with_evicted_streams_in_redis(
    start_on_redis: Any, sockets: Sockets
) -> None:
    compare_with_an_engine(start_on_redis, sockets, "native")


class Exchange:
    """Messages and the replies they should get; what a slow store delays is sent again, in order.

    A worker waits a quarter of a second for a stream in Redis, then answers ``busy``: on a loaded
    machine Redis may take longer. What follows in the same stream is then refused as a ``gap``.
    """

    def __init__(self, asker: zmq.Socket[bytes]) -> None:
        self._asker = asker
        self._under_way: deque[tuple[bytes, bytes]] = deque()
        self._refused: list[tuple[bytes, bytes]] = []
        self.delays = 0

    def send(self, message: bytes, answer: wire.Predictions | wire.Prediction) -> None:
        self._ask(message, wire.encode(answer))

    def _ask(self, message: bytes, answer: bytes) -> None:
        self._asker.send(message)
        self._under_way.append((message, answer))

    def receive(self, down_to: int) -> None:
        """Compare replies until so few are under way."""
        while self._refused or len(self._under_way) > down_to:
            if not self._under_way:
                self._ask_again()
            message, answer = self._under_way.popleft()
            reply = self._asker.recv()
            if reply != answer:
                self._refuse(message, answer, wire.decode_reply(reply))

    def _ask_again(self) -> None:
        self.delays += 1
        assert self.delays < 1000
        refused, self._refused = self._refused, []
        for message, answer in refused:
            self._ask(message, answer)

    def _refuse(self, message: bytes, answer: bytes, error: Any) -> None:
        assert isinstance(error, wire.Error), error
        assert error.code == "busy" or (error.code == "gap" and self._refused), error
        self._refused.append((message, answer))


def compare_with_an_engine(start: Any, sockets: Sockets, loop: str) -> None:
    random = np.random.default_rng(5)
    engine = Engine(MODEL, threads=1)
    seqs = dict.fromkeys(STREAMS, 0)
    options = ("--capacity", str(CAPACITY), "--when-full", "evict-idle", "--loop", loop)
    worker = start(*options)
    asker = sockets.connect(zmq.DEALER, worker.endpoints["router"])
    exchange = Exchange(asker)
    for _ in range(400):
        count = int(random.integers(1, 40))
        chosen = [STREAMS[n] for n in random.integers(0, len(STREAMS), count)]
        X = random.standard_normal((count, 2)).astype(np.float32)
        numbers = []
        for stream in chosen:
            seqs[stream] += 1
            numbers.append(seqs[stream])
        Y = engine.step_many(chosen, X, seqs=numbers)
        if random.integers(2):
            answer = wire.Predictions(chosen, numbers, Y.tobytes())
            exchange.send(wire.encode(wire.Steps(chosen, numbers, X.tobytes())), answer)
        else:
            for row in zip(chosen, numbers, X, Y, strict=True):
                stream, seq, x, y = row
                answer = wire.Prediction(stream, seq, y.tobytes())
                exchange.send(wire.encode(wire.Step(stream, seq, x.tobytes())), answer)
        exchange.receive(down_to=200)  # fewer under way than the worker's queue holds
    exchange.receive(down_to=0)
    with worker.client() as client:
        info = client.info()
        assert info["streams"] <= CAPACITY
        assert info["counters"]["evicted"] > 1000 < info["counters"]["returned"]
        assert set(info["counters"]["errors"]) <= ({"busy", "gap"} if exchange.delays else set())
        assert client.last_seqs(STREAMS) == [seqs[stream] for stream in STREAMS]
        came = [stream for stream in STREAMS if seqs[stream]]
        assert [s for s, _ in client.list_streams()] == sorted(came, key=wire.topic)
        for stream in came[:100]:
            assert exported(client, stream) == engine.export_stream(stream)
    assert worker.stop() == 0
    again = start(*options, "--preload")
    assert "more stay in the store" in again.said
    with again.client() as client:
        for stream in came:
            assert exported(client, stream) == engine.export_stream(stream)


def test_idle_streams_leave_a_worker_without_a_store(start: Any) -> None:
    worker = start("--idle-ttl", "0.2", store=False)
    with (
        worker.client() as client,
        Subscriber(worker.endpoints["xpub"], timeout=20.0) as subscriber,
    ):
        first = until_heard(client, subscriber)
        heard = subscriber.receive_event()
        while not isinstance(heard, wire.Done):
            heard = subscriber.receive_event()
        assert heard == wire.Done(wire.EVICTED, "a", False)
        assert client.info()["streams"] == 0
        assert np.array_equal(client.step("a", [0.5, 0.5]), first)


def until_heard(client: Client, subscriber: Subscriber) -> np.ndarray[Any, Any]:
    """Step a new stream until the subscription stands; return its first prediction."""
    first = client.step("a", [0.5, 0.5])
    timeout, subscriber.timeout = subscriber.timeout, 0.05
    while True:
        try:
            subscriber.receive()
        except TimeoutError:
            client.step("a", [0.5, 0.5])
        else:
            subscriber.timeout = timeout
            return first


async def test_subscribers_receive_events_only_if_they_ask_for_them(start: Any) -> None:
    worker = start(store=False)
    xpub = worker.endpoints["xpub"]
    with worker.client() as client, Subscriber(xpub, timeout=20.0) as subscriber:
        until_heard(client, subscriber)
        async with AsyncSubscriber(xpub, timeout=0.05) as twin, AsyncSubscriber(xpub) as events:
            for listener in (twin, events):
                listener.timeout = 0.05
                while True:
                    client.step("a", [0.5, 0.5])
                    try:
                        await listener.receive()
                        break
                    except TimeoutError:
                        pass
                listener.timeout = 20.0
            client.reset("a")
            client.step("b", [0.5, 0.5])
            while subscriber.receive().stream != "b":
                pass
            while (await twin.receive()).stream != "b":
                pass
            heard = []
            while not heard or heard[-1].stream != "b":
                heard.append(await events.receive_event())
            assert heard[-2] == wire.Done(wire.Kind.RESET, "a")


def test_watch_shows_what_is_done_to_streams(start: Any) -> None:
    worker = start("--capacity", "1", "--when-full", "evict-idle")
    shown: dict[bool, list[str]] = {}
    for as_json in (False, True):
        command = [sys.executable, "-m", "streamlstm", "watch", "--xpub", worker.endpoints["xpub"]]
        command += ["--stream", "watched", "--count", "3"] + ["--json"] * as_json
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch,
            worker.client() as client,
        ):
            while client.info()["subscriptions"] == 0:
                assert watch.poll() is None
            for stream in ("watched", "other", "watched"):
                unless_busy(partial(client.step, stream, [0.5, 0.5]))
            client.reset("watched")
            blob = client.export_stream("watched")
            client.import_stream("watched", blob)
            client.forget("watched")
            client.step("watched", [0.5, 0.5])
            assert watch.stdout is not None
            shown[as_json] = watch.stdout.read().splitlines()
            assert watch.wait(20) == 0
            client.forget("watched")
            while client.info()["subscriptions"]:
                pass
    plain = [line.split("  ", 2)[2] for line in shown[False]]
    assert [line for line in plain if line[-1].isalpha()] == [
        "left memory",
        "reset",
        "imported",
        "forgotten",
    ]
    events = [json.loads(line) for line in shown[True]]
    assert [e.get("event") for e in events if "event" in e] == [
        "left memory",
        "reset",
        "imported",
        "forgotten",
    ]
    assert events[1]["kept"] is True


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--when-full", "evict-idle"), "without a store, streams that leave memory would be lost"),
        (("--when-full", "drop"), "expected refuse or evict-idle, got 'drop'"),
        (("--idle-ttl", "-1"), "expected seconds above 0, got -1"),
    ],
)
def test_options_that_would_lose_state_are_refused(
    model_file: Path, options: tuple[str, ...], said: str
) -> None:
    command = [sys.executable, "-m", "streamlstm", "serve", str(model_file), *FREE_PORTS, *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert said in " ".join(ended.stderr.split())
