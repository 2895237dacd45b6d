"""Window models in real workers: both loops answer what an engine says, and a store keeps rows."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np

from streamlstm import LSTM, Dense, Engine

from ..contract.models import random_model
from .conftest import WorkerProcess
from .reloading import LOOPS

T = 4
MODEL = random_model([LSTM(2, 9), Dense(9, 3)], scaled=True).with_window(T, "wait")


@LOOPS
def test_a_worker_steps_windows_and_a_killed_one_goes_on(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    MODEL.save(file)
    options = (*options, "--store", f"lmdb:{tmp_path / 'store'}", "--commit-ms", "5")
    X = np.random.default_rng(1).standard_normal((9, 3, 2)).astype(np.float32)
    truth, ids = Engine(MODEL, 3, threads=1), ["a", "b", 7]
    worker = WorkerProcess(file, *options)
    try:
        with worker.client() as client:
            found = client.info()["model"]
            assert (found["window"], found["start"]) == (T, "wait")
            for t in range(6):
                Y = client.step_many(ids, X[t], seqs=[t + 1] * 3)
                assert np.array_equal(
                    Y, truth.step_many(ids, X[t], seqs=[t + 1] * 3), equal_nan=True
                )
                assert np.isnan(Y).all() == (t < T - 1)
            while client.info()["store"]["pending"]:
                pass
        worker.stop(signal.SIGKILL)
        worker = WorkerProcess(file, *options)
        with worker.client() as client:
            for t in range(6, 9):
                y = client.step("a", X[t, 0], seq=t + 1)
                assert np.array_equal(y, truth.step("a", X[t, 0], seq=t + 1))
            assert client.export_stream("a") == truth.export_stream("a")
    finally:
        worker.stop()
