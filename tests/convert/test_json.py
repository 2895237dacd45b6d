"""JSON of RTNeural, AIDA-X and GuitarML: conversion, and error messages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm import GRU, LSTM, Dense, Pointwise
from streamlstm.convert.json.evaluate import evaluate_rtneural
from streamlstm.errors import ConvertError

from .stepping import run

GOLDEN = Path(__file__).parent.parent / "golden"


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def rtneural(tmp_path: Path, layers: list[Any], **more: Any) -> Path:
    return written(tmp_path / "m.json", {"in_shape": [None, None, 2], "layers": layers, **more})


def layer(kind: str, *weights: Any, activation: str = "", **more: Any) -> dict[str, Any]:
    return {"type": kind, "activation": activation, "weights": list(weights), **more}


def table(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).round(3).tolist()


def refused(read: Callable[[Any], Any], path: Path) -> str:
    with pytest.raises(ConvertError) as caught:
        read(path)
    return str(caught.value)


def test_sizes_of_the_weights_are_used_with_a_note() -> None:
    model = sl.from_rtneural(GOLDEN / "rtneural_wrong_sizes.json")
    assert model.layers == (LSTM(1, 6), Dense(6, 1))
    assert "shape says 20 values, the weights 6" in model.metadata["notes"]
    model = sl.from_guitarml(GOLDEN / "guitarml_wrong_sizes.json")
    assert model.layers == (LSTM(1, 10), Dense(10, 1))
    assert "hidden_size says 40, the weights 10" in model.metadata["notes"]
    assert "notes" not in sl.from_guitarml(GOLDEN / "guitarml_lstm.json").metadata


def test_metadata_of_the_file_is_copied(tmp_path: Path) -> None:
    metadata = {"source": "original", "esr": 0.02, "samplerate": "48000", "more": [1]}
    content = {**golden("aidax_plain"), "metadata": metadata, "input_batch": [0.1]}
    model = sl.from_rtneural(written(tmp_path / "m.json", content))
    assert model.metadata["source"] == "AIDA-X"
    assert model.metadata["file.source"] == "original"
    assert (model.metadata["esr"], model.metadata["samplerate"]) == ("0.02", "48000")
    assert "more" not in model.metadata


def test_a_missing_bias_is_zero(tmp_path: Path) -> None:
    layers = [layer("lstm", table(2, 12), table(3, 12)), layer("dense", table(3, 1))]
    model = sl.from_rtneural(rtneural(tmp_path, layers))
    assert model.layers == (LSTM(2, 3), Dense(3, 1))
    assert not model.weights[0]["bias"].any()


def test_a_gru_with_one_row_of_biases_has_the_reset_gate_first(tmp_path: Path) -> None:
    layers = [layer("gru", table(2, 9), table(3, 9), table(9))]
    path = rtneural(tmp_path, layers)
    model = sl.from_rtneural(path)
    assert model.layers == (GRU(2, 3, reset_after=False),)
    X = np.random.default_rng(0).standard_normal((200, 2))
    assert np.max(np.abs(run(model, X) - evaluate_rtneural(path, X))) < 1e-5


def test_a_prelu_of_one_alpha_is_an_activation(tmp_path: Path) -> None:
    layers = [layer("dense", table(2, 3), table(3)), layer("prelu", [[0.25]])]
    model = sl.from_rtneural(rtneural(tmp_path, layers))
    assert model.layers == (Dense(2, 3, "leaky_relu(0.25)"),)


def test_a_leading_activation_layer_takes_the_width_of_in_shape(tmp_path: Path) -> None:
    path = rtneural(tmp_path, [layer("activation", activation="tanh"), layer("dense", table(2, 1))])
    assert sl.from_rtneural(path).layers == (Pointwise(2, "tanh"), Dense(2, 1))


def test_gains_that_cancel_need_no_skip_scale(tmp_path: Path) -> None:
    content = {**golden("aidax_skip"), "in_gain": 6.0, "out_gain": -6.0}
    model = sl.from_rtneural(written(tmp_path / "m.json", content))
    assert (model.skip, model.skip_scale) == ((0,), None)
    assert model.layers == (GRU(1, 8), Dense(8, 1))


def test_the_skip_is_scaled_by_both_gains() -> None:
    path = GOLDEN / "aidax_skip_and_gains.json"
    content = golden("aidax_skip_and_gains")
    model = sl.from_rtneural(path)
    decibels = content["input_gain"] + content["output_gain"]
    assert model.skip == (0,)
    assert model.skip_scale == pytest.approx([10 ** (decibels / 20)])
    assert sl.from_rtneural(path, skip=[0]).skip_scale is None
    assert sl.from_rtneural(path, skip=None).skip is None
    assert sl.from_rtneural(path, skip_scale=[3.0]).skip_scale == pytest.approx([3.0])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("loud", [1.0, 30.0, 1e5])
def test_a_scaled_skip_loses_no_digits(tmp_path: Path, cell: str, loud: float) -> None:
    gates = 4 if cell == "lstm" else 3
    bias = table(4 * 3) if cell == "lstm" else table(2, 9)
    layers = [
        layer("dense", table(1, 2), table(2), activation="relu"),
        layer(cell, table(2, gates * 3), table(3, gates * 3), bias),
        layer("dense", table(3, 1), table(1)),
    ]
    path = rtneural(tmp_path, layers, in_shape=[1], in_skip=1, in_gain=9.0, out_gain=2.0)
    model = sl.from_rtneural(path)
    X = loud * np.random.default_rng(0).standard_normal((250, 1)).astype(np.float32)
    Y = evaluate_rtneural(path, X.astype(np.float64))
    for backend in ("reference", "cpu"):
        assert np.max(np.abs(run(model, X, backend) - Y)) < 1e-6 * np.max(np.abs(Y))


def test_a_scaled_skip_without_any_layer(tmp_path: Path) -> None:
    path = rtneural(tmp_path, [], in_shape=[1], in_skip=1, in_gain=6.0, out_gain=2.0)
    X = np.random.default_rng(0).standard_normal((20, 1))
    assert np.allclose(run(sl.from_rtneural(path), X), 2 * X * 10 ** (8 / 20), rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (layer("conv1d", table(3, 4), table(4)), "expected a kernel (k, F, O) of one group"),
        (layer("conv2d"), "a convolution over a plane"),
        (layer("batchnorm2d"), "known are dense"),
        (layer("unknown", table(2, 3)), "did not know the layer"),
        (layer("lstm", table(2, 12)), "lacks recurrent_kernel"),
        (layer("lstm", table(2, 12), table(3, 12), table(12), table(5)), "one more (1) (5,)"),
        (layer("lstm", table(2, 11), table(3, 12), table(12)), "got (2, 11) and (3, 12)"),
        (layer("lstm", table(2, 12), table(3, 12), table(11)), "expected shape (12,), got (11,)"),
        (layer("lstm", table(2, 12), table(3, 12), activation="relu"), "computes it with tanh"),
        (layer("gru", table(2, 9), table(3, 9), table(2, 8)), "expected shape (2, 9), got (2, 8)"),
        (layer("dense", table(2, 3), table(4)), "expected shape (3,), got (4,)"),
        (layer("dense", table(2, 3), activation="mish"), "expected an activation of tanh"),
        (layer("dense", [[1, 2], [3]]), "expected an array of numbers"),
        (layer("dense", [["one"]]), "expected an array of numbers"),
        (layer("dense", [[float("nan")]]), "expected finite numbers"),
        (layer("dense"), "lacks kernel"),
        ({"type": "dense", "weights": {"kernel": 1}}, "expected weights as a list"),
        (layer("activation", table(2), activation="tanh"), "has unexpected weights"),
        (layer("batchnorm", table(2), table(2)[:1], epsilon=0.1), "moving_variance"),
        (layer("prelu", table(5)), "expected alpha"),
        ({}, "layer 0 (None) is refused"),
    ],
)
def test_an_invalid_layer_is_named(tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    message = refused(sl.from_rtneural, rtneural(tmp_path, [wrong]))
    assert "layer 0" in message
    assert words in message


def test_an_invalid_size_is_refused_with_its_layer(tmp_path: Path) -> None:
    path = rtneural(tmp_path, [layer("dense", table(2, 3)), layer("dense", [[], [], []])])
    assert "AIDA-X): layer 1 (dense): Dense: expected output" in refused(sl.from_rtneural, path)


def test_layers_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    layers = [layer("lstm", table(2, 12), table(3, 12)), layer("dense", table(4, 1))]
    message = refused(sl.from_rtneural, rtneural(tmp_path, layers))
    assert "layer 1 (dense) takes 4 values" in message


def test_invalid_gains_and_skips_are_refused(tmp_path: Path) -> None:
    layers = [layer("dense", table(2, 1))]
    for more in ({"in_gain": -90}, {"out_gain": "loud"}, {"in_skip": 2}):
        refused(sl.from_rtneural, rtneural(tmp_path, layers, **more))


def test_broken_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    for read in (sl.from_rtneural, sl.from_guitarml):
        for text in ("", "{", "[]", "3", '{"layers": 3}', '{"model_data": 1}', "[" * 100_000):
            path.write_text(text)
            assert str(path) in refused(read, path)
        path.write_bytes(b"\xff\xfe{}")
        refused(read, path)
        refused(read, tmp_path / "absent.json")


def _guitarml(tmp_path: Path, change: Callable[[Any, Any], None]) -> Path:
    content = golden("guitarml_lstm")
    change(content["model_data"], content["state_dict"])
    return written(tmp_path / "m.json", content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d, s: s.pop("rec.bias_hh_l0"), "lacks rec.bias_hh_l0, shape (48,)"),
        (lambda d, s: s.pop("rec.weight_ih_l0"), "lacks rec.weight_ih_l0"),
        (lambda d, s: s.pop("rec.weight_hh_l0"), "expected one recurrent layer rec"),
        (lambda d, s: s.pop("lin.weight"), "lacks lin.weight"),
        (lambda d, s: s.pop("lin.bias"), "lacks lin.bias, shape (1,)"),
        (lambda d, s: s.update({"conv.weight": [[1.0]]}), "conv.weight (1, 1)"),
        (lambda d, s: s.update({"rec.weight_ih_l2": [[1.0]]}), "rec.weight_ih_l2 (1, 1)"),
        (lambda d, s: s.update({"lin.weight": [[1.0] * 11]}), "lin takes 11 values"),
        (lambda d, s: s["rec.weight_hh_l0"].pop(), "rec, layer 0: expected weight_hh"),
        (lambda d, s: s["rec.bias_ih_l0"].pop(), "expected shape (48,), got (47,)"),
        (lambda d, s: d.update(model="GatedConvNet"), "got 'GatedConvNet'"),
        (lambda d, s: d.update(skip="yes"), "expected skip"),
    ],
)
def test_an_invalid_guitarml_file_is_refused(
    tmp_path: Path, change: Callable[[Any, Any], None], words: str
) -> None:
    assert words in refused(sl.from_guitarml, _guitarml(tmp_path, change))


def test_skip_is_1_by_default(tmp_path: Path) -> None:
    path = _guitarml(tmp_path, lambda d, s: d.pop("skip"))
    assert sl.from_guitarml(path).skip == (0,)
    path = _guitarml(tmp_path, lambda d, s: d.update(skip=0))
    assert sl.from_guitarml(path).skip is None


def test_a_recnet_of_one_block_is_the_same_network(tmp_path: Path) -> None:
    content = golden("guitarml_lstm")
    state = {f"layers.block_1.{key}": value for key, value in content["state_dict"].items()}
    blocks = {"0": {"block_type": "LSTM", "input_size": 1, "output_size": 1, "hidden_size": 12}}
    recnet = {"model_data": {"model": "RecNet", "skip": 0}, "blocks": blocks, "state_dict": state}
    model = sl.from_guitarml(written(tmp_path / "m.json", recnet))
    same = sl.from_guitarml(GOLDEN / "guitarml_lstm.json")
    assert model.fingerprint == same.fingerprint
    recnet["model_data"]["skip"] = 1
    assert "added twice" in refused(sl.from_guitarml, written(tmp_path / "m.json", recnet))


@pytest.mark.parametrize("k", [1, 3])
def test_a_convolution_over_steps_is_causal(tmp_path: Path, k: int) -> None:
    layers = [
        layer("conv1d", table(k, 2, 4), table(4), activation="tanh", kernel_size=[k], dilation=[2]),
        layer("lstm", table(4, 12), table(3, 12), table(12)),
        layer("dense", table(3, 1)),
    ]
    path = rtneural(tmp_path, layers)
    model = sl.from_rtneural(path)
    assert isinstance(model.layers[0], Dense if k == 1 else sl.Conv1D)
    assert sl.compare(model, path).agrees
