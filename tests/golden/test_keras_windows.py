"""Networks over windows, saved by Keras, give its numbers (make_keras_windows.py)."""

from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.convert.keras.evaluate import evaluate

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("keras[23]_window_*.*"))
JOINED = sorted(FOLDER.glob("keras[23]_joined_*.*"))
BRANCHES = sorted(FOLDER.glob("keras3_branches_*.*"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_window_equals_keras(path: Path) -> None:
    with np.load(FOLDER / f"{path.stem[:6]}_windows.npz") as recorded:
        X, expected = recorded[f"{path.stem}.x"], recorded[f"{path.stem}.y"]
    model = sl.from_keras(path)
    assert model.window is not None
    Y = sl.Engine(model, 1).run("a", X)[model.window - 1 :]
    assert np.abs(Y - expected).max() < 1e-6
    if path.stem.endswith("arithmetic"):
        assert sl.compare(model, path).agrees
        return
    assert "--stateful" not in str(model.metadata)  # it cannot be
    with pytest.raises(sl.ConvertError, match=r"looks at .*: expected a window"):
        sl.from_keras(path, window=None)


@pytest.mark.parametrize("name", ["convolutions", "decoder", "attention", "padded"])
def test_the_arrays_of_the_file_give_the_same(name: str) -> None:
    (path,) = FOLDER.glob(f"keras3_window_{name}.*")
    assert sl.compare(sl.from_keras(path), path).agrees


@pytest.mark.parametrize("path", BRANCHES, ids=lambda path: path.stem)
def test_a_network_with_branches_equals_keras(path: Path) -> None:
    with np.load(FOLDER / "keras3_branches.npz") as recorded:
        X, expected = recorded[f"{path.stem}.x"], recorded[f"{path.stem}.y"]
    model = sl.from_keras(path)
    assert any(layer.kind == "parallel" for layer in model.layers)
    Y = sl.Engine(model, 1).run("a", X)[model.window - 1 :]
    assert np.allclose(Y, expected, rtol=2e-6, atol=2e-6)
    assert sl.compare(model, path).agrees


@pytest.mark.parametrize("path", JOINED, ids=lambda path: path.stem)
def test_inputs_and_layers_used_twice_equal_keras(path: Path) -> None:
    """Of random windows, of positive ones, and of large ones, by the model and by the arrays."""
    with np.load(FOLDER / f"{path.stem[:6]}_joined.npz") as recorded:
        X, expected = recorded[f"{path.stem}.x"], recorded[f"{path.stem}.y"]
    model = sl.from_keras(path)
    for window, y in zip(X, expected, strict=True):
        assert np.allclose(model.predict(window)[-1], y, rtol=3e-6, atol=2e-6)
        assert np.allclose(evaluate(str(path), window)[-1], y, rtol=3e-6, atol=2e-6)


def test_an_observation_of_several_inputs_says_which_they_are() -> None:
    model = sl.from_keras(FOLDER / "keras3_joined_inputs.keras")
    names = "series.0 series.1 series.2 times.0 times.1 place.0 place.1 shop day"
    assert model.inputs == tuple(names.split())
    notes = model.metadata["notes"]
    assert "series (3), times (2), place (2), shop (1), day (1)" in notes
    assert "takes whole numbers from 0 to 4" in notes
    assert model.metadata["categories"] == "7: 5, 8: 7"
    assert sl.compare(model, FOLDER / "keras3_joined_inputs.keras").agrees
