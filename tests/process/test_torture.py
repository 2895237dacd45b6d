"""A worker with a store is killed again and again while a publisher that replays feeds it.

At the end every stream is where an undisturbed engine is, bit for bit, and every prediction has
been delivered as it would have been.
"""

from __future__ import annotations

import signal
import socket as posix
from pathlib import Path

import numpy as np

from streamlstm import Engine, ReplayingPublisher, wire

from .conftest import WorkerProcess

ROUNDS, STREAMS, ROWS = 6, 40, 60


def free_port() -> int:
    with posix.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_killed_workers_lose_nothing(model_file: Path, tmp_path: Path, engine: Engine) -> None:
    random = np.random.default_rng(11)
    router = f"tcp://127.0.0.1:{free_port()}"  # the same for all of them, so that they are found
    options = ("--router", router, "--store", f"lmdb:{tmp_path}/store", "--commit-ms", "20")
    expected: dict[tuple[wire.StreamId, int], np.ndarray] = {}
    delivered: dict[tuple[wire.StreamId, int], list[np.ndarray]] = {}

    def deliver(stream: wire.StreamId, seq: int, y: np.ndarray) -> None:
        delivered.setdefault((stream, seq), []).append(y)

    worker = WorkerProcess(model_file, *options)
    try:
        with ReplayingPublisher(
            router, on_prediction=deliver, retry=0.5, timeout=60, linger=60
        ) as publisher:
            for round_ in range(ROUNDS):
                for _ in range(ROWS):
                    for n in random.permutation(STREAMS):
                        stream: wire.StreamId = f"pump-{n}" if n % 2 else int(n)
                        x = random.standard_normal(2)
                        seq = publisher.send(stream, x)
                        expected[stream, seq] = engine.step(stream, x, seq=seq)
                if round_ < ROUNDS - 1:
                    worker.stop(signal.SIGKILL)
                    worker = WorkerProcess(model_file, *options)
            publisher.flush(60)
        with worker.client() as client:
            for stream in engine.streams():
                assert client.export_stream(stream) == engine.export_stream(stream)
        assert delivered.keys() == expected.keys()
        for key, ys in delivered.items():
            for y in ys:
                np.testing.assert_array_equal(y, expected[key])
    finally:
        worker.stop(signal.SIGKILL)
