"""A check that refuses wrong networks and takes right ones, whatever their size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

from ..contract.models import random_model

GOLDEN = Path(__file__).parent.parent / "golden"
LSTM = GOLDEN / "rtneural_lstm.json"


def changed(tmp_path: Path, change: Any) -> Path:
    """Return a copy of the network in another file, its layers changed."""
    content = json.loads(LSTM.read_text())
    change(content["layers"])
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content))
    return path


def times(factor: float, layer: int, *parts: int) -> Any:
    """Return a change of a layer's arrays."""

    def change(layers: list[dict[str, Any]]) -> None:
        weights = layers[layer]["weights"]
        for part in parts:
            weights[part] = (factor * np.array(weights[part])).tolist()

    return change


def moved(model: sl.Model, by: float) -> sl.Model:
    """Return a model one of whose weights is another."""
    weights = [dict(arrays) for arrays in model.weights]
    key = next(iter(weights[-1]))
    weights[-1][key] = weights[-1][key] + np.float32(by) * np.abs(weights[-1][key]).max()
    return model.with_weights(weights)


def test_a_right_network_agrees_and_a_wrong_one_does_not() -> None:
    model = sl.from_rtneural(LSTM)
    found = sl.compare(model, LSTM)
    assert found.agrees
    assert found.how == "200 steps"
    assert found.inputs == "random numbers"
    assert found.difference <= found.tolerance < 1e-3 * found.size
    assert str(found).startswith("largest difference over 200 steps: ")
    assert not sl.compare(moved(model, 1e-2), LSTM).agrees
    assert not sl.compare(moved(model, 1e-3), LSTM).agrees


def test_the_tolerance_is_relative_to_the_outputs_size(tmp_path: Path) -> None:
    for factor in (1e5, 1e-5):
        path = changed(tmp_path, times(factor, -1, 0, 1))
        model = sl.from_rtneural(path)
        found = sl.compare(model, path)
        assert found.agrees, str(found)
        assert not sl.compare(moved(model, 1e-3), path).agrees
    assert found.size < 1e-3  # an absolute tolerance of 1e-4 said nothing about this one


def test_a_chaotic_network_is_compared_in_pieces(tmp_path: Path) -> None:
    path = changed(tmp_path, times(30.0, 0, 1))
    model = sl.from_rtneural(path)
    found = sl.compare(model, path)
    assert found.agrees, str(found)
    assert "pieces that each start from the initial state, because float32 alone" in found.how
    assert not sl.compare(moved(model, 1e-2), path).agrees


def test_data_of_the_callers() -> None:
    model = sl.from_rtneural(LSTM)
    X = np.linspace(-1, 1, 50)[:, None] * np.ones(model.input_size)
    found = sl.compare(model, LSTM, data=X)
    assert found.agrees
    assert (found.how, found.inputs) == ("50 steps", "50 rows of data")
    for wrong in (X[:0], X[:, :0], X[0], X * np.nan):
        with pytest.raises(ConvertError, match="data: expected"):
            sl.compare(model, LSTM, data=wrong)


def test_what_the_source_does_not_contain_is_left_out() -> None:
    scaling = sl.Scaling(np.float32([2]), np.float32([3]))
    model = sl.from_rtneural(LSTM, output_scaling=scaling)
    found = sl.compare(model, LSTM, output_scaling=scaling)
    assert found.agrees
    assert found.left_out == ("output_scaling",)


def test_anything_else_is_refused(tmp_path: Path) -> None:
    model = sl.from_rtneural(LSTM)
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(ConvertError, match="nothing to compare with"):
        sl.compare(model, tmp_path / "m.safetensors")
    with pytest.raises(ConvertError, match="expected the file of a network or a torch"):
        sl.compare(model, {"a": 1})


def test_a_module_is_compared_with_its_forward() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")

    class Network(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, last: bool) -> None:
            super().__init__()
            self.rnn = torch.nn.GRU(2, 6, batch_first=True)
            self.head = torch.nn.Linear(6, 2)
            self.last = last

        def forward(self, x: Any) -> Any:
            y = torch.tanh(self.head(self.rnn(x)[0]))
            return y[:, -1] if self.last else y

    torch.manual_seed(0)
    for last in (False, True):
        module = Network(last)
        model = sl.from_torch(module)
        found = sl.compare(model, module)
        assert found.agrees, str(found)
        assert found.how == ("the last of 200 steps" if last else "200 steps")
        assert found.source == "PyTorch, the module's own forward"
        assert not sl.compare(moved(model, 1e-3), module).agrees


def test_a_table_is_taken_by_the_names_of_its_columns(tmp_path: Path) -> None:
    names = ["load", "heat"]
    model = sl.from_rtneural(LSTM, inputs=names[: sl.from_rtneural(LSTM).input_size])
    rows = np.random.default_rng(0).normal(size=(60, model.input_size)).astype(np.float32)
    table = {"time": np.arange(60.0), "other": np.zeros(60)}
    table |= {name: rows[:, n] for n, name in reversed(list(enumerate(model.inputs)))}
    path = tmp_path / "rows.csv"
    lines = [",".join(map(str, row)) for row in zip(*table.values(), strict=True)]
    path.write_text("\n".join([",".join(table), *lines]))
    found = sl.compare(model, LSTM, data=rows)
    assert sl.compare(model, LSTM, data=table).size == pytest.approx(found.size)
    assert sl.compare(model, LSTM, data=path).size == pytest.approx(found.size)


def test_scaling_that_the_source_has_not_is_left_out(tmp_path: Path) -> None:
    plain = sl.from_rtneural(LSTM)
    scaling = sl.Scaling(np.full(plain.input_size, 20.0), np.full(plain.input_size, 7.0))
    model = sl.from_rtneural(LSTM, input_scaling=scaling)
    found = sl.compare(model, LSTM)
    assert found.agrees
    assert found.left_out == ("input_scaling",)
    rows = scaling.invert(np.random.default_rng(0).normal(size=(60, plain.input_size)))
    assert sl.compare(model, LSTM, data=rows).agrees
    with pytest.raises(ConvertError, match="input_scaling, which the source has not, and other"):
        sl.compare(moved(model, 1e-2), LSTM)


def test_another_source_is_refused_by_its_outputs() -> None:
    model = sl.from_rtneural(LSTM)
    wide = random_model([sl.LSTM(model.input_size, 4), sl.Dense(4, 2)])
    with pytest.raises(ConvertError, match="computes 1 outputs, the model has 2"):
        sl.compare(wide, LSTM)
