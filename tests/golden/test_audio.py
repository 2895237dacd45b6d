"""JSON of RTNeural, AIDA-X and GuitarML gives the recorded numbers (made by make_audio.py)."""

from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl

FOLDER = Path(__file__).parent
KINDS = ("rtneural", "aidax", "guitarml")
FILES = sorted(path for kind in KINDS for path in FOLDER.glob(f"{kind}_*.json"))


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "audio.npz") as file:
        return dict(file)


def test_there_are_files_of_all_formats() -> None:
    assert len(FILES) >= 13


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_steps_equal_the_recorded_outputs(
    path: Path, backend: str, recorded: dict[str, np.ndarray]
) -> None:
    read = sl.from_guitarml if path.name.startswith("guitarml") else sl.from_rtneural
    model = read(path)
    X, expected = recorded[f"{path.stem}.x"], recorded[f"{path.stem}.y"]
    assert len(X) >= 200
    engine = sl.Engine(model, 2, backend)
    Y = np.stack([engine.step("one", x) for x in X])
    assert np.max(np.abs(Y - expected)) < 1e-5
