"""A worker under fire: the small version of `python -m benchmarks.fire`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks import fire
from benchmarks.live import hostile, messages
from streamlstm import LSTM, Dense, Model

from ..contract.models import random_model
from .conftest import WorkerProcess

FRAMES = 20_000


@pytest.fixture(params=["native", "python"])
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[WorkerProcess]:
    path = tmp_path / "model.safetensors"
    messages.model().save(path)
    process = WorkerProcess(path, "--capacity", str(fire.CAPACITY), "--loop", request.param)
    yield process
    process.stop()


def outcome(worker: WorkerProcess, network: Model, frames: int) -> fire.Outcome:
    process = psutil.Process(worker.process.pid)
    return fire.fire(worker.endpoints, network, frames, 7, lambda: int(process.memory_info().rss))


def test_hostile_messages_affect_no_other_client(served: WorkerProcess) -> None:
    result = outcome(served, messages.model(), FRAMES)
    assert result.is_good, result._replace(memory=[])
    assert result.sent == FRAMES
    assert result.read > FRAMES // 4
    assert result.compared > 20
    codes = {"bad-frame", "bad-shape", "bad-value", "unknown-kind", "too-large", "gap", "duplicate"}
    assert codes <= set(result.counters["errors"])
    assert "error" not in result.counters["errors"]  # the code of a mistake in streamlstm
    assert served.process.poll() is None
    assert served.stop() == 0
    assert "Traceback" not in served.said


def test_wrong_answers_are_found(served: WorkerProcess) -> None:
    other = random_model([LSTM(messages.F, messages.H), Dense(messages.H, messages.O)])
    result = outcome(served, other, 1_000)
    assert result.wrong
    assert not result.is_good


def test_the_same_seed_makes_the_same_messages() -> None:
    first, again, other = (list(hostile.attacks(2_000, seed, b"blob")) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert {attack.target for attack in first} == {"router", "deaf", "pull"}
