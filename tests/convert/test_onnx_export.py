"""Every model of the contract suite as ONNX: run by two runtimes, and converted back."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.convert.onnx.evaluate import Run, reference_runner
from tests.contract.models import MODELS, random_model, several_horizons

from .stepping import TOLERANCE, run

onnx = pytest.importorskip("onnx", reason="needs onnx: make test")
STEPS = 200


def observations(model: sl.Model, steps: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((steps, model.input_size)).astype(np.float32)
    if model.categories:
        X[:, 0] = rng.integers(0, model.categories, steps)
    return X


def first_state(model: sl.Model, batch: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return the state inputs of a new stream, as docs/bring-your-model.md says."""
    lags = {}
    if model.lags:
        inputs = len({target for target in model.targets if target >= 0})
        widths = {"lags": max(*model.lags, 1) * inputs, "lags.count": 1}
        lags = {name: np.zeros((batch, width), np.float32) for name, width in widths.items()}
    return {
        f"layer{n}.{part}": np.tile(
            model.weights[n].get(layer.initial_of(part), np.zeros(width, np.float32)), (batch, 1)
        )
        for n, layer in enumerate(model.layers)
        for part, width in layer.state.items()
        if not part.endswith("place")  # a graph's past rows are in their order
    } | lags


def run_graph(graph: Run, model: sl.Model, X: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Step two streams through a graph, the first one observation behind; return the second's."""
    state = first_state(model, 2)
    Y = []
    for n, x in enumerate(X):
        block = np.stack([X[max(n - 1, 0)], x])
        y, *news = graph({"observation": block, **state})
        state = dict(zip(state, news, strict=True))
        Y.append(y[1])
    return np.stack(Y)


# By their online stage.
CHANGED = ("calendar", "scaling by stream", "mix", "adapted", "all", "horizons")
CHANGED_LINEAR = ("lags, scaling by stream", "horizons, all")
_REFUSED = (*CHANGED, *CHANGED_LINEAR)
_EXPORTED = [name for name in MODELS if name.split("online, ")[-1] not in _REFUSED]
STEPPED = ("convolutions, step by step", "branches, step by step")
NAMES = [n for n in _EXPORTED if MODELS[n].window is None and n not in STEPPED]
WINDOWS = [n for n in _EXPORTED if MODELS[n].window is not None]


def test_a_stage_that_changes_outputs_cannot_be_exported(tmp_path: Path) -> None:
    for name in CHANGED:
        with pytest.raises(sl.ConvertError, match=r"model\.with_online\(None\)"):
            sl.to_onnx(MODELS[f"online, {name}"], tmp_path / "model.onnx")


def test_a_stage_beside_a_linear_part_cannot_be_exported(tmp_path: Path) -> None:
    for name in CHANGED_LINEAR:
        with pytest.raises(sl.ConvertError, match=r"model\.with_online\(Online\(\)\)"):
            sl.to_onnx(MODELS[f"online, {name}"], tmp_path / "model.onnx")


def linear_model(lags: tuple[int, ...]) -> sl.Model:
    """Return a model with several horizons, and lags of two of its three inputs."""
    return several_horizons(sl.Online(targets=(2, 0, 2, -1)), lags)


def runners(path: Path) -> list[Run]:
    """Return what runs a graph: ONNX's evaluator, and ONNX Runtime where it is installed."""
    found = [reference_runner(str(path))]
    if find_spec("onnxruntime"):
        import onnxruntime

        found.append(partial(onnxruntime.InferenceSession(path).run, None))
    return found


@pytest.mark.parametrize("lags", [(0,), (1,), (0, 1, 2, 7), (3, 30)], ids=str)
def test_a_linear_part_is_exported_with_its_last_values(
    lags: tuple[int, ...], tmp_path: Path
) -> None:
    model, path = linear_model(lags), tmp_path / "model.onnx"
    sl.to_onnx(model, path)
    X = observations(model, 50)
    expected = run(model, X)
    plain = run(several_horizons(sl.Online(targets=(2, 0, 2, -1))), X)
    assert np.abs(expected - plain).max() > 0.1  # the linear part matters
    for graph in runners(path):
        Y = run_graph(graph, model, X)
        assert np.max(np.abs(Y - expected) / (1 + np.abs(expected))) < TOLERANCE


def test_what_was_trained_with_a_linear_part_is_exported(tmp_path: Path) -> None:
    values = 1.7e9 + np.tile(np.random.default_rng(3).normal(size=24) * 5, 30)
    table = {"v": values}
    path = tmp_path / "model.onnx"
    model = sl.train(table, target="v", hidden=4, epochs=1, window=16, online=False).model
    assert model.lags
    sl.to_onnx(model, path)
    Y = run_graph(reference_runner(str(path)), model, values[:60, None])
    assert np.abs(Y[:, 0] - sl.predict(model, table)["v"][:60]).max() < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_onnx_runtime_computes_the_same(name: str, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: make test-all")
    model, path = MODELS[name], tmp_path / "model.onnx"
    sl.to_onnx(model, path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    X = observations(model, STEPS)
    Y = run_graph(partial(ort.InferenceSession(path, options).run, None), model, X)
    expected = run(model, X)
    assert np.max(np.abs(Y - expected) / (1 + np.abs(expected))) < TOLERANCE


@pytest.mark.parametrize("name", [*NAMES, *STEPPED])
def test_the_reference_evaluator_computes_the_same(name: str, tmp_path: Path) -> None:
    model, path = MODELS[name], tmp_path / "model.onnx"
    sl.to_onnx(model, path)
    X = observations(model, 20)
    Y = run_graph(reference_runner(str(path)), model, X)
    expected = run(model, X)
    assert np.max(np.abs(Y - expected) / (1 + np.abs(expected))) < TOLERANCE


@pytest.mark.parametrize("name", [n for n in [*NAMES, *STEPPED] if not MODELS[n].lags])
def test_an_exported_model_can_be_converted_back(name: str, tmp_path: Path) -> None:
    model, path = MODELS[name], tmp_path / "model.onnx"
    sl.to_onnx(model, path)
    back = sl.from_onnx(path)
    X = observations(model, STEPS)
    expected = run(model, X)
    assert np.max(np.abs(run(back, X) - expected) / (1 + np.abs(expected))) < TOLERANCE
    assert (back.inputs, back.outputs, back.horizon) == (model.inputs, model.outputs, model.horizon)


def windows_of(model: sl.Model, X: np.ndarray) -> np.ndarray:
    """Return the full windows of a series: [N, T, F]."""
    assert model.window is not None
    return np.stack([X[t : t + model.window] for t in range(len(X) - model.window + 1)])


@pytest.mark.parametrize("name", WINDOWS)
def test_the_graph_of_a_window_model_takes_windows(name: str, tmp_path: Path) -> None:
    model, path = MODELS[name].with_online(None), tmp_path / "model.onnx"
    sl.to_onnx(model, path)
    X = observations(model, 20)
    windows = windows_of(model, X)
    expected = run(model, X)[-len(windows) :]
    for graph in runners(path):
        (Y,) = graph({"window": windows})
        assert np.max(np.abs(Y - expected) / (1 + np.abs(expected))) < TOLERANCE


@pytest.mark.parametrize("name", WINDOWS)
def test_an_exported_window_model_can_be_converted_back(name: str, tmp_path: Path) -> None:
    model, path = MODELS[name].with_online(None), tmp_path / "model.onnx"
    sl.to_onnx(model, path)
    back = sl.from_onnx(path)
    assert (back.window, back.start) == (model.window, model.start)
    assert (back.inputs, back.outputs, back.horizon) == (model.inputs, model.outputs, model.horizon)
    X = observations(model, STEPS)
    expected = run(model, X)
    worst = np.nanmax(np.abs(run(back, X) - expected) / (1 + np.abs(expected)))
    assert worst < TOLERANCE


def test_branches_that_are_stepped_keep_their_states(tmp_path: Path) -> None:
    branches = [[sl.GRU(3, 5, initial_state=True)], [sl.Dense(3, 5, "tanh")], [sl.RNN(3, 1)]]
    model = random_model([sl.Parallel(3, branches), sl.Dense(5, 2)])
    path = tmp_path / "model.onnx"
    sl.to_onnx(model, path)
    X = observations(model, 20)
    assert "layer0.0.0.h" in first_state(model, 1)
    for graph in runners(path):
        Y = run_graph(graph, model, X)
        assert np.abs(Y - run(model, X)).max() < TOLERANCE


def test_names_and_initial_state_are_in_the_file(tmp_path: Path) -> None:
    import json

    model, path = MODELS["initial state"], tmp_path / "model.onnx"
    sl.to_onnx(model, path)
    proto = onnx.load(path)
    state = list(first_state(model, 1))
    assert [value.name for value in proto.graph.input] == ["observation", *state]
    assert [v.name for v in proto.graph.output] == ["prediction", *(f"{s}.next" for s in state)]
    (entry,) = proto.metadata_props
    initial = json.loads(entry.value)["initial"]
    assert np.allclose(initial["layer0.h"], model.weights[0]["initial_h"])


def test_offsets_are_in_the_graph_as_float64(tmp_path: Path) -> None:
    path, level = tmp_path / "model.onnx", np.array([1.7e9, 0.0, 8.8e10])
    model = MODELS["online, intervals"].with_online(None).with_offsets(level)
    sl.to_onnx(model, path)
    proto = onnx.load(path)
    kinds = [value.type.tensor_type.elem_type for value in proto.graph.input]
    assert kinds[0] == onnx.TensorProto.DOUBLE != kinds[1]
    X = observations(model, 20) + level
    Y, engine = run_graph(reference_runner(str(path)), model, X), sl.Engine(model)
    expected = np.stack([engine.step("a", x) for x in X])
    assert Y.dtype == expected.dtype == np.float64
    assert np.abs(Y - expected).max() < 1e-3


def counting_model(online: sl.Online) -> sl.Model:
    """Return a model that forecasts a counter and a level, from these and another counter."""
    parts = several_horizons(sl.Online(targets=(2, 0, 2, -1)), (0, 1, 3))
    return sl.Model(
        parts.layers,
        parts.weights,
        inputs=["level", "pulses", "total"],
        outputs=["total", "level", "level@+2", "other"],
        horizon=[1, 1, 2, 1],
        input_scaling=sl.Scaling([0.2, 3.0, 1500.0], [1.1, 2.0, 60.0]),
        lags=parts.lags,
        lag_weights=parts.lag_weights,
        skip=[2, 0, 0, -1],
        online=online,
    )


def test_counters_are_exported_with_their_last_values(tmp_path: Path) -> None:
    model = counting_model(sl.Online(targets=(2, 0, 0, -1), difference=(1, 2)))
    path, rng = tmp_path / "model.onnx", np.random.default_rng(1)
    sl.to_onnx(model, path)
    X = rng.standard_normal((50, 3))
    X[:, 1] = np.cumsum(rng.integers(0, 7, 50) + 0.125)
    X[:, 2] = 8.8e10 + np.cumsum(np.round(1500 + 60 * X[:, 2]))
    X[30:, 1:] -= X[29, 1:]  # both begin again
    engine = sl.Engine(model, 1, "reference")
    expected = np.stack([engine.step("one", x) for x in X])
    assert expected[29, 0] > 8.8e10
    first = first_state(model, 1) | {
        "counters": np.zeros((1, 2)),
        "counters.seen": np.zeros((1, 1), np.float32),
    }
    order = [i.name for i in onnx.load(path).graph.input][1:]
    for graph in runners(path):
        state, Y = {name: first[name] for name in order}, []
        for x in X:
            y, *news = graph({"observation": x[None], **state})
            state = dict(zip(state, news, strict=True))
            Y.append(y[0])
        assert np.abs(np.stack(Y) - expected).max() < 2e-3


def test_what_a_graph_cannot_know_of_counters_is_refused(tmp_path: Path) -> None:
    filled = counting_model(sl.Online(targets=(2, 0, 0, -1), difference=(1, 2), fill="last"))
    with pytest.raises(sl.ConvertError, match="expected counters that are not filled"):
        sl.to_onnx(filled, tmp_path / "model.onnx")
    window = sl.Model(
        [sl.LSTM(1, 2), sl.Dense(2, 1)],
        [
            {k: np.ones(s) for k, s in p.parameters().items()}
            for p in (sl.LSTM(1, 2), sl.Dense(2, 1))
        ],
        window=4,
        online=sl.Online(difference=(0,)),
    )
    with pytest.raises(sl.ConvertError, match=r"window model .* model\.of_changes\(\)"):
        sl.to_onnx(window, tmp_path / "model.onnx")
