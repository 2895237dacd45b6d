"""Training from Python: what it returns, shows and predicts; nothing is imported before."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.learn.trained import Trained


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "wave.csv"
    rows = (f"{60 * t},{10 + math.sin(t / 3):.6f},{t % 3}\n" for t in range(300))
    path.write_text("time,value,<b>other</b>\n" + "".join(rows))
    return path


@pytest.fixture(scope="module")
def trained(data: Path) -> Trained:
    return sl.train(data, target="value", hidden=8, epochs=4, window=16)


def test_the_same_settings_give_the_model_of_the_command(
    data: Path, trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / "model.safetensors"
    command = [sys.executable, "-m", "streamlstm", "train", str(data), "--target", "value"]
    options = ["--hidden", "8", "--epochs", "4", "--window", "16", "--out", str(out)]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=120)
    assert sl.Model.load(out).fingerprint == trained.model.fingerprint


def test_what_it_returns_can_be_saved_and_looked_at(trained: Trained, tmp_path: Path) -> None:
    trained.save(tmp_path / "model.safetensors")
    assert sl.Model.load(tmp_path / "model.safetensors").fingerprint == trained.model.fingerprint
    assert [epoch.number for epoch in trained.history] == [1, 2, 3, 4]
    (score,) = trained.scores
    text = repr(trained)
    for part in (
        "4 (epochs)",
        f"{score.errors.mae:.6g}",
        f"{score.errors.persistence:.6g}",
        "90 % interval",
    ):
        assert part in text
        assert part in trained._repr_html_()
    picture = trained.plot()
    assert picture._repr_png_().startswith(b"\x89PNG")
    picture.save(tmp_path / "training.svg")
    assert "</svg>" in (tmp_path / "training.svg").read_text()


def test_notebooks_show_what_models_and_engines_are(trained: Trained) -> None:
    engine = sl.Engine(trained.model, capacity=5)
    engine.step("pump", [10.0, 1.0])
    assert repr(engine).startswith("<Engine cpu, 1 of 5 streams, 1 step, <Model value, ")
    for shown in (engine._repr_html_(), trained.model._repr_html_(), trained._repr_html_()):
        assert "&lt;b&gt;other" in shown  # names from files are no markup
        assert "<b>" not in shown
    html = trained.model._repr_html_()
    for part in ("1 step ahead", "LSTM(2, 8)", trained.model.fingerprint, "Online("):
        assert part in html


def test_a_file_is_predicted_with_its_times(data: Path, trained: Trained) -> None:
    found = trained.model.predict(data)
    assert list(found)[:2] == ["time", "value"]
    assert (found["time"] == 60.0 * np.arange(300)).all()
    engine = sl.Engine(trained.model)
    X = np.stack([10 + np.sin(np.arange(5) / 3), np.arange(5) % 3], axis=1)
    for row, x in enumerate(X):
        assert found["value"][row] == pytest.approx(engine.step("s", x)[0], rel=1e-5)


def test_importing_the_package_imports_nothing_large() -> None:
    large = "numpy", "numba", "pyarrow", "pandas", "polars", "matplotlib", "sklearn", "river"
    program = f"import sys, streamlstm; sys.exit(' '.join(set({large!r}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_training_needs_no_frames_and_no_plots(data: Path) -> None:
    large = "polars", "matplotlib", "sklearn", "river"  # pandas is imported by pyarrow
    program = (
        f"import sys, streamlstm as sl; sl.train({str(data)!r}, target='value', hidden=4, epochs=1)"
        f"; sys.exit(' '.join(set({large!r}) & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        {"target": "value", "quantiles": (0.1, 0.5, 0.9), "horizon": (1, 2)},
        {"target": ["value", "<b>other</b>"], "online": False},
        {"classify": "<b>other</b>", "inputs": ["value"]},
        {"target_category": "<b>other</b>", "inputs": ["value"]},
        {"target": "value", "sweep": 3, "processes": 1},
    ],
    ids=str,
)
def test_every_training_can_be_looked_at(data: Path, settings: dict[str, Any]) -> None:
    trained = sl.train(data, hidden=4, epochs=2, window=16, **settings)
    assert trained.plot()._repr_png_().startswith(b"\x89PNG")
    for part in ("epochs", "validation"):
        assert part in repr(trained)
        assert part in trained._repr_html_()
    assert ("accuracy" in repr(trained)) == (trained.classes is not None)
    assert ("a guess would cost" in repr(trained)) == (trained.sweep is not None)


def test_the_plot_is_in_the_unit_of_the_series(trained: Trained) -> None:
    table = {"value": 1.7e9 + 10 * np.sin(np.arange(300) / 9)}
    for made in (trained, sl.train(table, target="value", hidden=4, epochs=1, window=16)):
        axes = made.plot().figure.axes[1]
        forecast, came = (line.get_ydata() for line in axes.lines)
        assert np.abs(np.asarray(forecast) - np.asarray(came))[5:].max() < 10
        assert made.dataset.offsets is None or came.min() > 1.6e9
