"""A worker asked over the wire gives what PyTorch gave over the whole sequence."""

from pathlib import Path

import numpy as np
import pytest

from ..golden.cases import PYTORCH, load_pytorch
from .conftest import WorkerProcess


@pytest.mark.parametrize("name", PYTORCH)
def test_a_thousand_steps_over_the_wire_equal_pytorch(name: str, tmp_path: Path) -> None:
    model, X, expected = load_pytorch(name)
    path = tmp_path / "model.safetensors"
    model.save(path)
    worker = WorkerProcess(path)
    try:
        with worker.client() as client:
            Y = np.stack([client.step("one", x, seq=n) for n, x in enumerate(X, start=1)])
            many = np.stack([client.step_many([1, 2, 3], np.tile(x, (3, 1))) for x in X])
    finally:
        assert worker.stop() == 0
    assert np.max(np.abs(Y - expected)) < 1e-5
    assert np.max(np.abs(many - expected[:, None])) < 1e-5
