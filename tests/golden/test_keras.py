"""Files of real Keras give the numbers that Keras gave (made by make_keras.py)."""

from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl

FOLDER = Path(__file__).parent
FILES = sorted(
    path
    for ending in ("keras", "h5")
    for path in FOLDER.glob(f"keras[23]_*.{ending}")
    if path.name.split("_")[1] not in ("window", "branches", "joined")
)
BACKENDS = ["reference", "cpu"]


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name in ("keras2", "keras3", "keras2_graphs", "keras3_graphs"):
        with np.load(FOLDER / f"{name}.npz") as file:
            arrays |= dict(file)
    return arrays


def test_there_are_files_of_both_versions() -> None:
    assert len(FILES) >= 30


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_two_hundred_steps_equal_keras(
    path: Path, backend: str, recorded: dict[str, np.ndarray]
) -> None:
    model = sl.from_keras(path)
    X, expected = recorded[f"{path.stem}.x"], recorded[f"{path.stem}.y"]
    assert len(X) == 200
    assert model.horizon == 0
    engine = sl.Engine(model, 2, backend)
    Y = np.stack([engine.step("one", x) for x in X])
    assert np.max(np.abs(Y - expected)) < 1e-5
