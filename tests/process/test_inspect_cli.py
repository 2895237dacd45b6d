"""``streamlstm inspect`` shows what a file holds."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import streamlstm as sl
from streamlstm import LSTM, Dense

GOLDEN = Path(__file__).parent.parent / "golden"


def inspect(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlstm", "inspect", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
    )


def saved(path: Path) -> sl.Model:
    rng = np.random.default_rng(0)
    layers = [LSTM(2, 3), Dense(3, 1)]
    weights = [
        {name: rng.standard_normal(shape) for name, shape in layer.parameters().items()}
        for layer in layers
    ]
    scaling = sl.Scaling(np.float32([20, 1]), np.float32([5, 2]))
    online = sl.Online(intervals=(0.9,))
    names = {"inputs": ["load", "heat"], "outputs": ["load"]}
    model = sl.Model(
        layers, weights, input_scaling=scaling, skip=[0], horizon=2, online=online, **names
    )
    model.save(path)
    return model


def test_a_model_file_as_a_table_and_as_json(tmp_path: Path) -> None:
    model = saved(tmp_path / "m.safetensors")
    done = inspect(tmp_path / "m.safetensors", "--no-cost")
    assert done.returncode == 0, done.stderr
    for words in (
        model.fingerprint,
        "LSTM",
        "Dense",
        "inputs are scaled",
        "inputs are added to outputs: load to load",
        "2 steps ahead, load is added",
        "stateful: keeps its memory from step to step",
        "online stage: Online(",
    ):
        assert words in done.stdout
    done = inspect(tmp_path / "m.safetensors", "--json", "--no-cost")
    shown = json.loads(done.stdout)
    assert shown["fingerprint"] == model.fingerprint
    assert shown["memory"] == "stateful"
    assert [layer["kind"] for layer in shown["layers"]] == ["LSTM", "Dense"]
    assert shown["layers"][1]["weights"] == {"weight": [1, 3], "bias": [1]}
    assert shown["parameters"] == sum(a.size for arrays in model.weights for a in arrays.values())
    assert shown["inputs"][0] == {
        "name": "load",
        "mean": 20.0,
        "scale": 5.0,
        "offset": 0.0,
        "category_of": None,
    }
    assert (shown["outputs"][0]["horizon"], shown["outputs"][0]["added"]) == (2, "load")
    assert shown["online"]["intervals"] == [0.9]


def test_the_cost_of_a_step_is_measured() -> None:
    from streamlstm.cli.inspect import measure

    cost = measure(sl.load_any(GOLDEN / "rtneural_lstm.json"))
    assert cost["backend"] == "cpu"
    assert 0 < cost["in_compiled_code_us"] < 1e6
    assert 0 < cost["from_python_us"] < 1e6


def test_networks_of_other_software(tmp_path: Path) -> None:
    done = inspect(GOLDEN / "keras3_lstm_stack.keras", "--no-cost", "--json")
    shown = json.loads(done.stdout)
    assert shown["format"] == "keras"
    assert shown["title"].startswith("Keras 3")
    assert "step" not in shown
    done = inspect(GOLDEN / "aidax_skip_and_gains.json", "--no-cost")
    assert done.returncode == 0, done.stderr
    assert "AIDA-X" in done.stdout
    (tmp_path / "other").write_text("hello")
    refused = inspect(tmp_path / "other")
    assert refused.returncode == 1
    assert "is no network" in refused.stderr
