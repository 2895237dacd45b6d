"""Files of Neural Amp Modeler, against a program that reads the flat list as its plugin does."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.convert.load import load_any
from streamlstm.errors import ConvertError

from .stepping import BACKENDS, run


def amp(layers: int = 2, F: int = 1, H: int = 3, O: int | None = None, **more: Any) -> Any:
    """Return a file with random weights and states."""
    config = {"input_size": F, "hidden_size": H, "num_layers": layers}
    if O is not None:
        config |= {"in_channels": F, "out_channels": O}
    widths = [F] + [H] * (layers - 1)
    count = sum(4 * H * (width + H + 1) + 2 * H for width in widths) + (O or 1) * (H + 1)
    return {
        "version": "0.5.4",
        "metadata": {"name": "a box", "loudness": -20.5, "date": {"year": 2024}},
        "architecture": "LSTM",
        "config": config,
        "weights": np.random.default_rng(count).uniform(-1, 1, count).tolist(),
        "sample_rate": 48000,
    } | more


def played(file: Any, X: np.ndarray) -> np.ndarray:
    """Return what the plugin computes: one sample after the other, one weight after the other."""
    config, weights = file["config"], iter(file["weights"])
    F, H, layers = config["input_size"], config["hidden_size"], config["num_layers"]
    cells = [cell(weights, F if n == 0 else H, H) for n in range(layers)]
    O = config.get("out_channels", 1)
    head = [list(islice(weights, H)) for _ in range(O)]
    bias = list(islice(weights, O))
    assert next(weights, None) is None
    outputs = []
    for x in X.tolist():
        for state in cells:
            x = stepped(state, x)
        outputs.append([np.dot(row, x) + shift for row, shift in zip(head, bias, strict=True)])
    return np.array(outputs)


def cell(weights: Iterator[float], F: int, H: int) -> dict[str, Any]:
    rows = [list(islice(weights, F + H)) for _ in range(4 * H)]
    names = ("bias", "h", "c")
    return {"rows": rows} | {
        name: list(islice(weights, 4 * H if name == "bias" else H)) for name in names
    }


def stepped(state: dict[str, Any], x: list[float]) -> list[float]:
    both, H = x + state["h"], len(state["h"])
    z = [np.dot(row, both) + b for row, b in zip(state["rows"], state["bias"], strict=True)]
    squash = [1 / (1 + np.exp(-value)) for value in z]
    for n in range(H):
        kept = squash[H + n] * state["c"][n]
        state["c"][n] = kept + squash[n] * np.tanh(z[2 * H + n])
        state["h"][n] = squash[3 * H + n] * np.tanh(state["c"][n])
    return list(state["h"])


def saved(path: Path, file: Any) -> Path:
    path.write_text(json.dumps(file))
    return path


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sizes", [{"layers": 1}, {}, {"F": 3, "H": 5, "O": 2, "layers": 3}])
def test_steps_are_what_the_plugin_computes(tmp_path: Path, sizes: Any, backend: str) -> None:
    file = amp(**sizes)
    model = load_any(saved(tmp_path / "amp", file))
    X = np.random.default_rng(1).standard_normal((60, file["config"]["input_size"]))
    expected = played(file, X.astype(np.float32))
    assert np.max(np.abs(run(model, X, backend) - expected)) < 1e-6
    assert sl.compare(model, tmp_path / "amp").agrees


def test_a_stream_starts_from_the_states_of_the_file(tmp_path: Path) -> None:
    file = amp(layers=1)
    model = sl.from_nam(saved(tmp_path / "amp.nam", file))
    assert model.weights[0]["initial_h"] == pytest.approx(file["weights"][60:63])
    file["weights"][60:66] = [0.0] * 6
    assert "initial_h" not in sl.from_nam(saved(tmp_path / "amp.nam", file)).weights[0]


def test_what_the_file_says_about_itself_is_kept(tmp_path: Path) -> None:
    model = sl.from_nam(saved(tmp_path / "amp.nam", amp()), inputs=["guitar"])
    assert model.inputs == ("guitar",)
    found = {"source": "Neural Amp Modeler", "name": "a box", "sample_rate": "48000"}
    assert found.items() <= model.metadata.items()
    assert "date" not in model.metadata


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"architecture": "WaveNet"}, "WaveNet, which is made of dilated convolutions"),
        ({"architecture": "ConvNet"}, "ConvNet, which is made of convolutions"),
        ({"architecture": "Linear"}, "Linear, which is a filter"),
        ({"architecture": "SlimmableContainer"}, "the architecture LSTM in neural-amp-modeler"),
        ({"version": "0.4.0"}, "version 0.4.0; versions 0.5 to 0.7 are read"),
        ({"version": "1.0.0"}, "version 1.0.0"),
        ({"version": None}, "version None"),
        ({"config": 3}, "expected config to be a map"),
        ({"config": {"num_layers": 0}}, "config.num_layers to be 1 or more, got 0"),
        ({"weights": [0.5]}, "expected 160 weights for 2 layers of 3 units and input_size 1, got"),
        ({"weights": None}, "expected an array of numbers"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path: Path, more: Any, words: str) -> None:
    path = saved(tmp_path / "amp.nam", amp(**more))
    with pytest.raises(ConvertError) as caught:
        load_any(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
