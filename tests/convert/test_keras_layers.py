"""Layers and graphs of Keras: unsupported ones, normalisation, masks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm import GRU
from streamlstm.convert.keras.evaluate import evaluate

from .keras_files import changed_zip, dense, layers_of, legacy, lstm, refused


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ConvLSTM1D", "another axis than time"),
        ("Lambda", "Python code"),
        ("GroupedQueryAttention", "only Attention"),
        ("MyLayer", "no layer here computes"),
    ],
)
def test_unsupported_layers_are_refused_with_the_reason(
    tmp_path: Path, kind: str, words: str
) -> None:
    other = (kind, {"name": "odd"}, {})
    path = legacy(tmp_path / "m.h5", [lstm("a", 2, 3), other, dense("d", 3, 1)])
    message = refused(path)
    assert f"layer 'odd' ({kind}) is refused" in message
    assert words in message


def test_layers_over_rows_need_a_number_of_rows(tmp_path: Path) -> None:
    """One that the file says, or the caller; from there on it is a window model."""
    back = legacy(tmp_path / "back.h5", [lstm("back", 2, 3, go_backwards=True)])
    assert "(reverse) looks at several rows at once: expected a window" in refused(back)
    assert sl.from_keras(back, window=4).layers == (sl.Reverse(2), sl.LSTM(2, 3))
    flat = ("Flatten", {"name": "f"}, {})
    path = legacy(tmp_path / "f.h5", [lstm("a", 2, 3), flat, dense("d", 12, 1)])
    assert "layer 'f' (Flatten): expected a sequence of fixed length" in refused(path)
    assert sl.from_keras(path, window=4).layers[1] == sl.Flatten(3, 4)
    with pytest.raises(sl.ConvertError, match="takes 12 values, but the layer before"):
        sl.from_keras(path, window=5)


@pytest.mark.parametrize(
    ("kind", "config", "words"),
    [
        (
            "Bidirectional",
            {"layer": {"class_name": "ConvLSTM1D", "config": {}}},
            "got 'ConvLSTM1D'",
        ),
        ("Conv1D", {"use_bias": False}, "lacks kernel"),
        ("MaxPooling1D", {"pool_size": [0]}, "expected pool_size of 1 or more, got 0"),
        ("AveragePooling1D", {"data_format": "channels_first"}, "expected rows of features"),
        ("RepeatVector", {"n": None}, "expected n of 1 or more, got None"),
        ("Attention", {"score_mode": "other"}, "expected score_mode dot or concat"),
    ],
)
def test_layers_over_rows_that_cannot_be_are_refused(
    tmp_path: Path, kind: str, config: dict[str, Any], words: str
) -> None:
    layers = [lstm("a", 2, 3, batch_input_shape=[None, 5, 2]), (kind, {"name": "x", **config}, {})]
    message = refused(legacy(tmp_path / "m.h5", layers))
    assert f"layer 'x' ({kind})" in message
    assert words in message


def test_a_causal_convolution_of_an_open_sequence_is_stepped(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float32)
    config = {"name": "c", "filters": 4, "kernel_size": [3], "padding": "causal", "use_bias": False}
    config |= {"batch_input_shape": [None, None, 2], "activation": "linear"}
    path = legacy(tmp_path / "m.h5", [("Conv1D", config, {"kernel": kernel}), lstm("a", 4, 3)])
    model = sl.from_keras(path)
    assert (model.window, model.layers[0]) == (None, sl.Conv1D(2, 4, 3, pad_left=2))
    pointwise = {**config, "kernel_size": [1]}
    path = legacy(
        tmp_path / "p.h5", [("Conv1D", pointwise, {"kernel": kernel[:1]}), lstm("a", 4, 3)]
    )
    assert sl.from_keras(path).layers[0] == sl.Dense(2, 4)


def test_a_second_sequence_from_the_end_of_the_first_is_refused(tmp_path: Path) -> None:
    reshape = ("Reshape", {"name": "r", "target_shape": [1, 3]}, {})
    first, second = lstm("a", 2, 3, return_sequences=False), lstm("b", 3, 4)
    message = refused(legacy(tmp_path / "m.h5", [first, reshape, second]))
    assert "layer 'b' (LSTM) is refused" in message


def test_branches_that_cannot_be_joined_are_refused(tmp_path: Path) -> None:
    def join(content: Any) -> None:
        last = layers_of(content)[-1]
        last["class_name"] = "Merge"

    message = refused(changed_zip("keras3_functional_zip", tmp_path / "m.keras", config=join))
    assert "(Merge) is refused: it joins branches" in message


def tensor(layer: str, output: int = 0) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [layer, 0, output]}}


def test_a_state_of_another_layer_is_refused(tmp_path: Path) -> None:
    def pass_on(content: Any) -> None:
        layers = layers_of(content)
        first, second = (layer for layer in layers if layer["class_name"] in ("LSTM", "GRU"))
        second["inbound_nodes"][0]["kwargs"]["initial_state"] = [tensor(first["name"], 1)]

    message = refused(changed_zip("keras3_graph_states", tmp_path / "m.keras", config=pass_on))
    assert "(GRU) takes its initial state from 'lstm" in message


def test_the_cell_state_as_an_output_is_refused(tmp_path: Path) -> None:
    def answer(content: Any) -> None:
        (lstm,) = (layer for layer in layers_of(content) if layer["class_name"] == "LSTM")
        layers_of(content)[-1]["inbound_nodes"][0]["args"] = [tensor(lstm["name"], 2)]

    message = refused(changed_zip("keras3_graph_states", tmp_path / "m.keras", config=answer))
    assert "takes output 2 of 'lstm" in message


def test_a_category_at_another_place_than_the_first(tmp_path: Path) -> None:
    def other_columns(content: Any) -> None:
        slices = [layer for layer in layers_of(content) if layer["class_name"] == "GetItem"]
        slices[0]["inbound_nodes"][0]["args"][1][2] = 1

    path = changed_zip("keras3_graph_sliced", tmp_path / "m.keras", config=other_columns)
    model = sl.from_keras(path)
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal(20), rng.integers(0, 5, (20, 2))])
    X = X[:, : model.input_size]
    assert np.abs(model.predict(X)[-1] - evaluate(str(path), X)[-1]).max() < 1e-5


def test_an_unconnected_input_is_refused(tmp_path: Path) -> None:
    def one_more(content: Any) -> None:
        extra = {"name": "more", "batch_shape": [None, None, 1]}
        layers_of(content).append({"class_name": "InputLayer", "name": "more", "config": extra})
        content["config"]["input_layers"] = [content["config"]["input_layers"], ["more", 0, 0]]

    message = refused(changed_zip("keras3_functional_zip", tmp_path / "m.keras", config=one_more))
    assert "2 inputs and 1 outputs, and its answer does not depend on more" in message


def test_one_mean_for_all_features(tmp_path: Path) -> None:
    norm = ("Normalization", {"name": "n", "axis": [], "mean": 1.5, "variance": 4.0}, {})
    norm[1]["batch_input_shape"] = [None, None, 2]
    model = sl.from_keras(legacy(tmp_path / "m.h5", [norm, lstm("a", 2, 3)]))
    assert np.array_equal(model.input_scaling.mean, [1.5, 1.5])
    assert np.array_equal(model.input_scaling.scale, [2, 2])


@pytest.mark.parametrize(("rows", "count"), [(slice(-4, None), 4), (slice(1, 3), 2), (2, 1)])
def test_neighbouring_rows_of_a_window(tmp_path: Path, rows: Any, count: int) -> None:
    def take(content: Any) -> None:
        found = [
            x["inbound_nodes"][0]["args"]
            for x in layers_of(content)
            if x["class_name"] == "GetItem"
        ]
        (args,) = (args for args in found if args[1][2] == args[1][0])
        part = rows
        if isinstance(rows, slice):
            part = {
                "class_name": "__slice__",
                "config": {"start": rows.start, "stop": rows.stop, "step": None},
            }
        args[1][1] = part

    path = changed_zip("keras3_functional_zip", tmp_path / "m.keras", config=take)
    model = sl.from_keras(path, window=6)
    assert any(isinstance(x, sl.Conv1D) and x.rows_of(6) == count for x in model.layers)
    X = np.random.default_rng(0).standard_normal((6, 3))
    assert np.abs(model.predict(X)[-1] - evaluate(str(path), X)[-1]).max() < 1e-5


def test_a_second_output_is_refused_with_the_way(tmp_path: Path) -> None:
    def one_more(content: Any) -> None:
        content["config"]["output_layers"] = [
            ["lstm", 0, 0],
            content["config"]["output_layers"],
        ]

    message = refused(changed_zip("keras3_functional_zip", tmp_path / "m.keras", config=one_more))
    assert "has the outputs lstm, " in message
    assert "keras.Model(net.inputs, net.get_layer('lstm').output)" in message


def test_a_custom_class_is_refused_with_advice(tmp_path: Path) -> None:
    def own(content: Any) -> None:
        content["class_name"] = "MyModel"

    message = refused(changed_zip("keras3_lstm_stack", tmp_path / "m.keras", config=own))
    assert "'MyModel'" in message
    assert "keras.Sequential" in message


@pytest.mark.parametrize(
    "policy", [{"name": "int8_from_float32"}, {"mode": "int8", "source_name": "float32"}]
)
def test_a_quantized_layer_is_refused(tmp_path: Path, policy: dict[str, str]) -> None:
    def quantize(content: Any) -> None:
        layers_of(content)[-1]["config"]["dtype"] = {
            "class_name": "QuantizedDTypePolicy",
            "config": policy,
        }

    message = refused(changed_zip("keras3_lstm_stack", tmp_path / "m.keras", config=quantize))
    assert "quantized" in message


def test_an_embedding_in_the_middle_is_refused(tmp_path: Path) -> None:
    table = {"embeddings": np.zeros((5, 2), np.float32)}
    inner = ("Embedding", {"name": "e", "input_dim": 5, "output_dim": 2}, table)
    assert "layer 'e' (Embedding) is refused" in refused(
        legacy(tmp_path / "m.h5", [lstm("a", 2, 3), inner])
    )


def test_masks_are_mentioned_in_the_notes(tmp_path: Path) -> None:
    mask = ("Masking", {"name": "m", "mask_value": -1.0, "batch_input_shape": [None, None, 2]}, {})
    model = sl.from_keras(legacy(tmp_path / "m.h5", [mask, lstm("a", 2, 3)]))
    assert "layer 'm' (Masking) masks steps of -1.0" in model.metadata["notes"]


def test_a_gru_without_reset_after_in_its_configuration(tmp_path: Path) -> None:
    config = {"name": "g", "units": 2, "batch_input_shape": [None, None, 3]}
    arrays = {"kernel": np.ones((3, 6)), "recurrent_kernel": np.ones((2, 6)), "bias": np.ones(6)}
    model = sl.from_keras(legacy(tmp_path / "m.h5", [("GRU", config, arrays)]))
    assert model.layers == (GRU(3, 2, reset_after=False),)


def test_padding_before_a_convolution_is_its_own(tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float32)
    pad = (
        "ZeroPadding1D",
        {"name": "p", "padding": [4, 0], "batch_input_shape": [None, None, 2]},
        {},
    )
    conv = {"name": "c", "filters": 4, "dilation_rate": [2]}
    arrays = {"kernel": kernel, "bias": np.ones(4, np.float32)}
    layers = [pad, ("Conv1D", conv, arrays), lstm("l", 4, 3, return_sequences=True)]
    model = sl.from_keras(legacy(tmp_path / "m.h5", layers))
    assert model.window is None
    assert model.layers[0] == sl.Conv1D(2, 4, 3, dilation=2, pad_left=4)


def test_stacked_cells_answer_one_row_and_are_turned_around_once(tmp_path: Path) -> None:
    cells, arrays = [], {}
    for name, K in (("one", 2), ("two", 3)):
        _, config, own = lstm(name, K, 3, activation="tanh")
        cells.append({"class_name": "LSTMCell", "config": config})
        arrays |= {f"{name}/{key}": array for key, array in own.items()}
    stack = {"class_name": "StackedRNNCells", "config": {"name": "s", "cells": cells}}
    rnn = {"name": "r", "cell": stack, "batch_input_shape": [None, 6, 2], "go_backwards": True}
    model = sl.from_keras(legacy(tmp_path / "m.h5", [("RNN", rnn, arrays), dense("d", 3, 1)]))
    assert model.layers == (sl.Reverse(2), sl.LSTM(2, 3), sl.LSTM(3, 3), sl.Dense(3, 1))
    assert sl.compare(model, tmp_path / "m.h5").agrees
