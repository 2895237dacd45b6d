"""ONNX files give the numbers that were recorded (made by make_onnx.py and make_tf2onnx.py)."""

from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl
from tests.convert.stepping import BACKENDS, TOLERANCE, difference

pytest.importorskip("onnx", reason="needs onnx: make test")
FOLDER = Path(__file__).parent
NAMES = sorted(path.stem.removeprefix("onnx_") for path in FOLDER.glob("onnx_*.onnx"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_steps_equal_the_recorded_outputs(name: str, backend: str) -> None:
    recorded = "onnx_keras.npz" if name.startswith("keras") else "onnx.npz"
    with np.load(FOLDER / recorded) as file:
        X, Y = file[f"{name}.x"], file[f"{name}.y"]
    assert len(X) == 200
    # Some have 200 rows: they were recorded over these, without a window that moves.
    model = sl.from_onnx(FOLDER / f"onnx_{name}.onnx", window=None)
    assert difference(model, X, Y, backend) < TOLERANCE


def test_all_cases_have_files() -> None:
    assert len(NAMES) == 18
