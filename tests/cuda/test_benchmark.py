"""The parts of `python -m benchmarks.cuda` that need no measurement."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cuda, cuda_peers
from streamlstm.backends.plan import initial_row
from streamlstm.backends.reference import ReferenceBackend


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.cuda", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_our_side_runs_at_a_small_size(tmp_path: Path) -> None:
    path = tmp_path / "cuda.json"
    ran = run("--rows", "1", "3", "--units", "3", "--capacity", "5", "--json", str(path))
    assert ran.returncode == 0, ran.stderr
    result = json.loads(path.read_text())
    assert {"of the floor, B=1", "of the floor, B=3"} <= set(result["ratios"])
    assert result["bench"] == "cuda"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rows", "0"], "--rows and --units: expected 1 or more"),
        (["--rows", "9", "--capacity", "8"], "expected at least as many streams"),
    ],
)
def test_sizes_that_cannot_be_are_refused(arguments: list[str], said: str) -> None:
    ran = run(*arguments)
    assert ran.returncode == 2
    assert said in ran.stderr


def test_the_floor_is_what_the_issue_reckons() -> None:
    model = cuda.network()
    assert cuda.floor(model, 1_000_000, 3.35e12, 67e12) == pytest.approx(0.55e-3, rel=0.02)
    assert cuda.floor(model, 1, 1.0, 1e30) == 4 * (4 * 64 + 8 + 1 + 1)


@pytest.mark.parametrize("make", [cuda_peers.cell, cuda_peers.cudnn])
def test_what_pytorch_is_timed_with_computes_the_same(make: object) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
    model = cuda.network(units=5)
    step = make(torch, model, "cpu")  # type: ignore[operator]
    tick = cuda_peers.ticking(torch, model, step, 4, 9, "cpu")
    rows, Y = np.tile(initial_row(model), (9, 1)), np.empty((4, 1), np.float32)
    for _ in range(3):
        tick()
        ReferenceBackend(model).step_block(rows, tick.slots.numpy(), tick.x.numpy(), Y)  # type: ignore[attr-defined]
        assert np.allclose(tick.y.numpy(), Y, atol=5e-6)  # type: ignore[attr-defined]
