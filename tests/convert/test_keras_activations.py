"""Activations of Keras in all their forms."""

from pathlib import Path
from typing import Any

import pytest

import streamlstm as sl
from streamlstm import LSTM
from streamlstm.convert.keras.activations import read_activation, read_layer
from streamlstm.errors import ConvertError

from .keras_files import legacy, lstm, refused


def test_the_hard_sigmoid_depends_on_the_version(tmp_path: Path) -> None:
    layers = [lstm("a", 2, 3, recurrent_activation="hard_sigmoid")]
    old = sl.from_keras(legacy(tmp_path / "2.h5", layers, keras_version="2.2.4-tf"))
    new = sl.from_keras(legacy(tmp_path / "3.h5", layers, keras_version="3.0.1"))
    assert old.layers == (LSTM(2, 3, gate_activation="hard_sigmoid(0.2, 0.5)"),)
    assert new.layers == (LSTM(2, 3, gate_activation=f"hard_sigmoid({1 / 6}, 0.5)"),)
    assert "load it in Keras 2" in refused(legacy(tmp_path / "1.h5", layers, keras_version="1.2"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "linear"),
        ("swish", "silu"),
        ("mish", "mish"),
        ("hard_silu", "hard_silu"),
        ("hard_swish", "hard_silu"),
        ("relu6", "hard_tanh(0.0, 6.0)"),
        (
            {"class_name": "function", "config": "relu6", "registered_name": "relu6"},
            "hard_tanh(0.0, 6.0)",
        ),
        ({"class_name": "LeakyReLU", "config": {"negative_slope": 0.1}}, "leaky_relu(0.1)"),
        ({"class_name": "LeakyReLU", "config": {"alpha": 0.1}}, "leaky_relu(0.1)"),
        ({"class_name": "ELU", "config": {"alpha": 2}}, "elu(2.0)"),
    ],
)
def test_forms_of_activations(value: Any, expected: str) -> None:
    assert read_activation(value, 3, "here") == expected


@pytest.mark.parametrize(
    "value", ["hard_shrink", "my_own", {"class_name": "__lambda__", "config": {}}, 3]
)
def test_unknown_activations_are_refused(value: Any) -> None:
    with pytest.raises(ConvertError, match="here: the activation"):
        read_activation(value, 3, "here")


def test_an_activation_no_cell_supports_is_refused_with_its_layer(tmp_path: Path) -> None:
    path = legacy(tmp_path / "m.h5", [lstm("memory", 2, 3, activation="softmax")])
    with pytest.raises(ConvertError, match=r"Keras\): layer 'memory' \(LSTM\): expected an act"):
        sl.from_keras(path)


def test_a_relu_of_several_options_is_refused() -> None:
    with pytest.raises(ConvertError, match="one of max_value"):
        read_layer("ReLU", {"max_value": 6.0, "negative_slope": 0.1}, 2, "here")
    with pytest.raises(ConvertError, match="last axis"):
        read_layer("Softmax", {"axis": 1}, 2, "here")
