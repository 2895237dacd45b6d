"""Stepping gives what PyTorch gave over the whole sequence (files made by make_pytorch.py)."""

import numpy as np
import pytest

from streamlstm import Engine

from .cases import PYTORCH, load_pytorch


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("name", PYTORCH)
def test_a_thousand_steps_equal_pytorch(name: str, backend: str) -> None:
    model, X, expected = load_pytorch(name)
    assert len(X) == 1000
    engine = Engine(model, 10, backend)
    Y = np.stack([engine.step("one", x) for x in X])
    assert np.max(np.abs(Y - expected)) < 1e-5


@pytest.mark.parametrize("name", PYTORCH)
def test_a_block_of_streams_equals_pytorch(name: str) -> None:
    model, X, expected = load_pytorch(name)
    engine = Engine(model, 20)
    for x, y in zip(X, expected, strict=True):
        Y = engine.step_many(list(range(11)), np.tile(x, (11, 1)))
        assert np.max(np.abs(Y - y)) < 1e-5
