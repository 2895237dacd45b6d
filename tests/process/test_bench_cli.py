"""`streamlstm bench` against a worker of its own, and against one that runs."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from streamlstm import LSTM, Dense
from streamlstm.cli.bench.worker import own_worker
from streamlstm.errors import StreamLSTMError

from ..contract.models import random_model
from .conftest import MODEL, WorkerProcess
from .test_serving_cli import STREAMLSTM, streamlstm


def test_a_worker_of_its_own_is_started_measured_and_ended(tmp_path: Path) -> None:
    model, out, result = tmp_path / "m.safetensors", tmp_path / "l.png", tmp_path / "l.json"
    MODEL.save(model)
    where = ("--out", str(out), "--json", str(result))
    done = streamlstm(
        *("bench", "--model", str(model), "--streams", "300", "--clients", "7"),
        *("--rate", "1000", "--seconds", "1", *where),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(result.read_text())
    assert found["requests"] == 1000  # each that was due was sent
    assert found["busy"] == found["refused"] == 0
    latencies = [found["latency"][name] for name in ("p50", "p90", "p99", "p99.9", "max")]
    assert latencies == sorted(latencies)
    assert latencies[0] > 0
    assert found["late_p99"] <= found["latency"]["max"]
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "asked, observations a second   1,000" in done.stdout


def test_a_worker_that_runs_keeps_nothing_of_it_and_its_refusals_are_told(tmp_path: Path) -> None:
    model, result = tmp_path / "m.safetensors", tmp_path / "l.json"
    MODEL.save(model)
    worker = WorkerProcess(model, "--max-rate", "50")
    try:
        where = ("--router", worker.endpoints["router"], "--streams", "20", "--clients", "2")
        done = streamlstm(
            *("bench", "--model", str(model), *where, "--rate", "500", "--seconds", "1"),
            *("--json", str(result)),
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(result.read_text())
        assert 300 < found["busy"] < 500
        assert found["refused"] == 0
        assert found["answered"] < 300
        with worker.client() as client:
            assert list(client.list_streams()) == []
        random_model([LSTM(2, 3), Dense(3, 1)]).save(tmp_path / "other.safetensors")
        other = streamlstm("bench", "--model", str(tmp_path / "other.safetensors"), *where)
        assert other.returncode == 1
        assert f"serves the model {MODEL.fingerprint[:8]}, --model is" in other.stderr
    finally:
        worker.stop(signal.SIGTERM)


def test_sigterm_leaves_no_streams_with_a_worker_that_runs(tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    MODEL.save(model)
    worker = WorkerProcess(model)
    try:
        where = ("--router", worker.endpoints["router"], "--streams", "20", "--rate", "5")
        bench = subprocess.Popen([*STREAMLSTM, "bench", "--model", str(model), *where])
        try:
            with worker.client() as client:
                while not list(client.list_streams()):
                    assert bench.poll() is None
                bench.terminate()
                assert bench.wait(60) == 143
                assert list(client.list_streams()) == []
        finally:
            bench.kill()
            bench.wait()
    finally:
        worker.stop(signal.SIGTERM)


def test_a_worker_that_does_not_start_is_told_with_its_last_line(tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    MODEL.save(model)
    with (
        pytest.raises(StreamLSTMError, match=r"the worker did not start: .*float8"),
        own_worker(model, ("--weights", "float8")),
    ):
        pass
