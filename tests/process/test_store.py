"""Workers with a store that are killed and restarted: every stream has a state that it had."""

from __future__ import annotations

import math
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.client.client import Client
from streamlstm.errors import RemoteError

from ..contract.models import random_model
from ..exhaustive import exhaustive
from .conftest import FREE_PORTS, MODEL, Sockets, WorkerProcess

STREAMS: list[wire.StreamId] = [f"pump-{n}" for n in range(150)] + list(range(150))


def observation(stream: wire.StreamId, seq: int) -> list[float]:
    """The observation of a stream that has a number: always the same."""
    turn = STREAMS.index(stream) + 0.37 * seq
    return [math.sin(turn), math.cos(turn)]


def blob_after(stream: wire.StreamId, seq: int) -> bytes:
    """What a stream is exported as after exactly its first `seq` observations."""
    engine = Engine(MODEL, threads=1)
    if seq == 0:
        engine.step(stream, [0.0, 0.0])
        engine.reset(stream)
    for n in range(1, seq + 1):
        engine.step(stream, observation(stream, n), seq=n)
    return engine.export_stream(stream)


def seq_of(blob: bytes) -> int:
    return int.from_bytes(blob[24:32], "little")


def store_of(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.info()["store"]
    return found


def settle(client: Client) -> None:
    """Ask until nothing waits to be committed."""
    while store_of(client)["pending"]:
        pass


@pytest.fixture
def start(model_file: Path, tmp_path: Path) -> Iterator[Any]:
    """Start workers over one store; those that still run at the end are stopped."""
    started: list[WorkerProcess] = []

    def run(*options: str) -> WorkerProcess:
        where = f"lmdb:{tmp_path / 'store'}"
        started.append(WorkerProcess(model_file, "--store", where, "--commit-ms", "5", *options))
        return started[-1]

    yield run
    for process in started:
        process.stop()


@pytest.mark.parametrize("loop", ["native", exhaustive("python")])
def test_killed_under_load_every_stream_comes_back_as_it_was(
    start: Any, sockets: Sockets, loop: str
) -> None:
    random = np.random.default_rng(1)
    stored = dict.fromkeys(STREAMS, 0)
    for options in ((), ("--preload",), ()):
        worker = start("--loop", loop, *options)
        sender = sockets.connect(zmq.PUSH, worker.endpoints["pull"], SNDHWM=0, LINGER=0)
        sent = dict(stored)

        def send(
            count: int, sent: dict[wire.StreamId, int] = sent, to: zmq.Socket[bytes] = sender
        ) -> None:
            for n in random.integers(0, len(STREAMS), count):
                stream = STREAMS[n]
                sent[stream] += 1
                x = wire.to_floats(observation(stream, sent[stream]))
                to.send(wire.encode(wire.Step(stream, sent[stream], x)))

        with worker.client() as client:
            send(500)
            while client.info()["counters"]["steps"] < 500:
                pass
            settle(client)
            certain = dict(sent)
            begun = store_of(client)["committed"]
            while store_of(client)["committed"] < begun + 5:
                send(200)
        worker.stop(signal.SIGKILL)
        again = start(*options)
        with again.client() as client:
            for stream in STREAMS:
                try:
                    blob = client.export_stream(stream)
                except RemoteError:
                    blob = b""
                if not blob:
                    assert certain[stream] == stored[stream] == 0
                    continue
                stored[stream] = seq_of(blob)
                assert certain[stream] <= stored[stream] <= sent[stream]
                assert blob == blob_after(stream, stored[stream])
        assert again.stop() == 0


def test_what_was_answered_before_sigterm_is_stored(start: Any) -> None:
    worker = start()
    with worker.client() as client:
        for seq in range(1, 4):
            client.step_many(STREAMS, [observation(s, seq) for s in STREAMS], seqs=[seq] * 300)
    assert worker.stop() == 0
    again = start()
    with again.client() as client:
        assert client.info()["streams"] == 0
        for stream in STREAMS[::7]:
            assert client.export_stream(stream) == blob_after(stream, 3)
        y = client.step_many(STREAMS, [observation(s, 4) for s in STREAMS], seqs=[4] * 300)
        assert client.info()["streams"] == 300
        engine = Engine(MODEL, threads=1)
        for seq in range(1, 5):
            expected = engine.step_many(STREAMS, [observation(s, seq) for s in STREAMS])
        np.testing.assert_array_equal(y, expected)
        client.reset(STREAMS[0])
    assert again.stop() == 0
    with start("--preload").client() as client:
        assert client.info()["streams"] == 300


def refused(*arguments: str) -> str:
    """What `streamlstm serve` says on stderr when it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "streamlstm", "serve", *arguments, *FREE_PORTS],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_store_that_cannot_be_this_workers_is_refused(
    start: Any, model_file: Path, tmp_path: Path
) -> None:
    worker = start()
    where = f"lmdb:{tmp_path / 'store'}"
    assert "in use by another worker" in refused(str(model_file), "--store", where)
    with worker.client() as client:
        client.step("a", [1.0, 2.0])
    worker.stop()
    other = tmp_path / "other.safetensors"
    random_model([LSTM(2, 9), Dense(9, 3)]).save(other)
    said = refused(str(other), "--store", where)
    assert f"holds streams of the model {MODEL.fingerprint[:8]}, this worker runs" in said
    assert "expected lmdb:PATH" in refused(str(model_file), "--store", "mysql://x")
    assert "is a file; choose another path" in refused(str(model_file), "--store", f"lmdb:{other}")
    with start().client() as client:
        assert store_of(client)["kind"] == "lmdb"


def test_a_full_disk_is_reported_until_it_has_room(
    start: Any, tmp_path: Path, sockets: Sockets
) -> None:
    worker = start()
    pid = worker.process.pid
    most = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    X = np.ones((1000, 2))
    with worker.client() as client:
        client.step_many(range(1000), X)
        settle(client)
        size = (tmp_path / "store" / "data.mdb").stat().st_size
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))
        for n in range(1, 6):
            client.step_many(range(1000 * n, 1000 * n + 1000), X)
        while store_of(client)["failing"] is None:
            pass
        y = client.step_many(range(1000), X)  # predictions go on
        assert store_of(client)["pending"] >= 1000
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
        while store_of(client)["failing"] is not None or store_of(client)["pending"]:
            pass
        engine = Engine(MODEL, threads=1)
        engine.step_many(range(1000), X)
        np.testing.assert_array_equal(y, engine.step_many(range(1000), X))
    worker.stop(signal.SIGKILL)
    assert "cannot be written" in worker.said
    assert "written again" in worker.said
    with start("--preload").client() as client:
        assert client.info()["streams"] == 6000
        assert client.export_stream(7) == engine.export_stream(7)


@pytest.mark.parametrize("loop", ["native", "python"])
def test_a_barrier_is_answered_as_soon_as_its_commit_is_safe(
    model_file: Path, tmp_path: Path, sockets: Sockets, loop: str
) -> None:
    store = f"lmdb:{tmp_path / 'store'}"
    worker = WorkerProcess(model_file, "--store", store, "--commit-ms", "1", "--loop", loop)
    socket = sockets.connect(zmq.DEALER, worker.endpoints["router"])
    took = [math.inf]
    for n in range(5_000):  # on a busy machine most take longer
        socket.send(wire.encode(wire.Step("a", n + 1, wire.to_floats([0.5, -0.5]))))
        socket.recv()
        start = time.perf_counter()
        socket.send(wire.encode(wire.Barrier(n, n + 1)))
        assert wire.decode_reply(socket.recv()) == wire.Done(8, None, [n, n + 1])
        took.append(time.perf_counter() - start)
        if n >= 30 and min(took) < 0.02:
            break
    assert worker.stop() == 0
    assert min(took) < 0.02
