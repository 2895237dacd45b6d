"""Networks trained on windows of rows become window models: by themselves, or when asked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.convert.keras.evaluate import evaluate
from streamlstm.errors import ConvertError

from .keras_files import GOLDEN, changed_zip, dense, layers_of, legacy, lstm
from .stepping import TOLERANCE, run

ROWS = 4


def windowed(path: Path, rows: int | None = ROWS, **config: Any) -> Path:
    """Write a Keras file whose input has a fixed number of rows."""
    given = {"batch_input_shape": [None, rows, 2], "return_sequences": False}
    layers = [
        lstm("a", 2, 5, activation="tanh", **given, **config),
        dense("b", 5, 1),
    ]
    return legacy(path, layers)


def test_a_keras_file_with_fixed_rows_is_a_window_model(tmp_path: Path) -> None:
    path = windowed(tmp_path / "m.h5")
    model = sl.from_keras(path)
    assert (model.window, model.start) == (ROWS, "answer")
    assert "takes windows of 4 rows" in model.metadata["notes"]
    assert "window=None" in model.metadata["notes"]
    X = np.random.default_rng(1).standard_normal((12, 2))
    expected = [evaluate(str(path), X[max(t + 1 - ROWS, 0) : t + 1])[-1] for t in range(12)]
    assert np.max(np.abs(run(model, X) - expected)) < TOLERANCE


def test_the_caller_decides_on_the_window(tmp_path: Path) -> None:
    path = windowed(tmp_path / "m.h5")
    stateful = sl.from_keras(path, window=None)
    assert stateful.window is None
    assert "notes" not in stateful.metadata
    assert sl.from_keras(path, window=7, start="first").window == 7
    assert sl.from_keras(path, start="zeros").start == "zeros"


@pytest.mark.parametrize("rows", [1, 60])
def test_any_number_of_rows_is_a_window(rows: int, tmp_path: Path) -> None:
    assert sl.from_keras(windowed(tmp_path / "m.h5", rows)).window == rows


def test_open_rows_and_stateful_layers_are_no_window(tmp_path: Path) -> None:
    assert sl.from_keras(windowed(tmp_path / "open.h5", None)).window is None
    assert sl.from_keras(windowed(tmp_path / "kept.h5", stateful=True)).window is None
    for name in ("keras3_one_step", "keras3_graph_states"):  # stateful; states as inputs
        assert sl.from_keras(GOLDEN / f"{name}.keras").window is None

    def without_flag(content: Any) -> None:
        for layer in layers_of(content):
            layer["config"]["stateful"] = False

    assert sl.from_keras(changed_zip("keras3_one_step", tmp_path / "m.keras", without_flag)).window


def test_a_network_without_memory_is_no_window_model(tmp_path: Path) -> None:
    layers = [dense("a", 2, 3, batch_input_shape=[None, ROWS, 2])]
    model = sl.from_keras(legacy(tmp_path / "m.h5", layers))
    assert model.window is None
    assert "notes" not in model.metadata


@pytest.mark.parametrize("shape", [[ROWS, 1, 3], [ROWS, "batch", 3], [29, "batch", 3]])
def test_an_onnx_graph_with_fixed_rows_is_a_window_model(shape: list[Any]) -> None:
    graphs = pytest.importorskip("tests.convert.onnx_graphs")
    rows = shape[0]
    node = graphs.node("LSTM", "x W R B", "y", hidden_size=graphs.H)
    graph = graphs.graph([node], graphs.weights("LSTM"), {"x": shape}, ["y"])
    model = sl.from_onnx(graph)
    assert model.window == rows
    assert f"takes windows of {rows} rows" in model.metadata["notes"]
    X = graphs.series()[: rows + 5]
    for t in (rows - 1, rows + 4):
        window = X[t + 1 - rows : t + 1, None]
        expected = graphs.run_onnx(graph, {"x": window}).reshape(rows, -1)[-1]
        assert np.max(np.abs(run(model, X)[t] - expected)) < TOLERANCE
    assert sl.from_onnx(graph, window=None).window is None


def test_an_onnx_graph_that_gets_its_state_is_no_window_model() -> None:
    graphs = pytest.importorskip("tests.convert.onnx_graphs")
    node = graphs.node("GRU", "x W R B - h", "y", hidden_size=graphs.H, linear_before_reset=1)
    inputs = {"x": [ROWS, 1, 3], "h": [1, 1, graphs.H]}
    assert sl.from_onnx(graphs.graph([node], graphs.weights("GRU"), inputs, ["y"])).window is None


def test_every_converter_takes_a_window(tmp_path: Path) -> None:
    state = {f"rec.{k}_l0": np.ones((4, 1)) for k in ("weight_ih", "weight_hh")}
    state |= {f"rec.{k}_l0": np.ones(4) for k in ("bias_ih", "bias_hh")}
    assert sl.from_torch(state, window=3).window == 3
    assert sl.from_torch(state).window is None
    assert sl.from_guitarml(GOLDEN / "guitarml_gru.json", window=3, start="wait").start == "wait"
    assert sl.from_rtneural(GOLDEN / "aidax_plain.json", window=3).window == 3
    assert sl.load_any(GOLDEN / "guitarml_gru.json", window=3).window == 3
    with pytest.raises(ConvertError, match="window: expected a number of rows"):
        sl.from_torch(state, window=0)
