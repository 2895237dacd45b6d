"""State dicts of PyTorch give PyTorch's numbers (files made by make_torch_networks.py)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from tests.convert.stepping import BACKENDS, TOLERANCE, difference

FOLDER = Path(__file__).parent
FILES = sorted(path.stem for path in FOLDER.glob("torch_*.npz"))


def load(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of a case and its state dict."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = dict(file)
    state = {k.removeprefix("state."): v for k, v in arrays.items() if k.startswith("state.")}
    return arrays, state


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FILES)
def test_two_hundred_steps_equal_pytorch(name: str, backend: str) -> None:
    arrays, state = load(name)
    assert len(arrays["x"]) == 200
    model = sl.from_torch(state, **json.loads(str(arrays["options"])))
    assert difference(model, arrays["x"], arrays["y"], backend) < TOLERANCE


def test_all_cases_have_files() -> None:
    assert len(FILES) == 7


def test_a_file_of_torch_save() -> None:
    pytest.importorskip("torch", reason="needs PyTorch: make test-all")
    arrays, _ = load("torch_norms")
    model = sl.from_torch(FOLDER / "torch_norms.pt")
    assert difference(model, arrays["x"], arrays["y"]) < TOLERANCE
