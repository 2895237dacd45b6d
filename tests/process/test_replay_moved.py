"""Streams that continue in another worker: the publisher continues from their numbers there."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.live.proxy import Proxy
from streamlstm import Engine, ReplayingPublisher, wire

from ..redis_server import Redis, needs_redis
from .conftest import WorkerProcess

STREAMS: list[wire.StreamId] = ["a", "b", 7]
X = np.random.default_rng(9).standard_normal((300, 2)).astype(np.float32)
Deliveries = dict[tuple[wire.StreamId, int], set[bytes]]


@pytest.fixture
def started(model_file: Path) -> Iterator[list[WorkerProcess]]:
    workers: list[WorkerProcess] = []
    yield workers
    for worker in workers:
        worker.stop(signal.SIGKILL)


def feed(publisher: ReplayingPublisher, engine: Engine, rows: range, delivered: Deliveries) -> None:
    """Send rows of every stream; add their expected predictions to `delivered`."""
    for n in rows:
        for stream in STREAMS:
            assert publisher.send(stream, X[n]) == n + 1
            delivered.setdefault((stream, n + 1), set()).add(engine.step(stream, X[n]).tobytes())


def assert_moved(worker: WorkerProcess, engine: Engine, delivered: Deliveries) -> None:
    assert len(delivered) == len(STREAMS) * len(X)
    assert all(len(different) == 1 for different in delivered.values())
    with worker.client() as client:
        assert client.last_seqs(STREAMS) == [len(X)] * len(STREAMS)
        for n, stream in enumerate(STREAMS):
            y = client.step(stream, X[n])
            np.testing.assert_array_equal(y, engine.step(stream, X[n]))


def publisher_of(proxy: Proxy, delivered: Deliveries) -> ReplayingPublisher:
    return ReplayingPublisher(
        proxy.endpoint,
        on_prediction=lambda s, seq, y: delivered.setdefault((s, seq), set()).add(y.tobytes()),
        timeout=60,
        linger=60,
        retry=0.5,
    )


@needs_redis
@pytest.mark.parametrize("how", ["stopped", "killed", "fenced"])
def test_to_another_worker_of_the_same_store(
    started: list[WorkerProcess], model_file: Path, engine: Engine, redis: Redis, how: str
) -> None:
    delivered: Deliveries = {}
    options = ("--store", redis.url, "--commit-ms", "50")
    started.append(first := WorkerProcess(model_file, *options))
    proxy = Proxy(first.endpoints["router"])
    try:
        with publisher_of(proxy, delivered) as publisher:
            feed(publisher, engine, range(200), delivered)
            if how == "stopped":
                assert first.stop() == 0
            elif how == "killed":  # what it has not committed is to be applied again
                first.stop(signal.SIGKILL)
            take_over = ["--take-over"] if how == "fenced" else []
            started.append(second := WorkerProcess(model_file, *options, *take_over))
            if how == "fenced":
                assert first.ended() == 1
            proxy.target = second.endpoints["router"]
            proxy.cut()
            feed(publisher, engine, range(200, 300), delivered)
        assert_moved(second, engine, delivered)
    finally:
        proxy.close()
        for worker in started:
            worker.stop(signal.SIGKILL)


def test_to_a_fresh_worker_by_export_and_import(
    started: list[WorkerProcess], model_file: Path, engine: Engine
) -> None:
    delivered: Deliveries = {}
    for _ in range(2):
        started.append(WorkerProcess(model_file))
    first, second = started
    proxy = Proxy(first.endpoints["router"])
    with publisher_of(proxy, delivered) as publisher:
        feed(publisher, engine, range(1), delivered)
        publisher.flush(60)  # what has not arrived yet has no state to export
        feed(publisher, engine, range(1, 200), delivered)
        proxy.target = None  # nobody feeds it any more ...
        proxy.cut()
        with first.client() as old, second.client() as new:  # ... while it moves
            for stream in STREAMS:
                new.import_stream(stream, old.export_stream(stream))
        feed(publisher, engine, range(200, 250), delivered)
        proxy.target = second.endpoints["router"]
        feed(publisher, engine, range(250, 300), delivered)
    assert_moved(second, engine, delivered)
    proxy.close()
