"""Recurrent nodes of ONNX, against ONNX Runtime and the reference evaluator."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.convert.onnx.evaluate import reference_runner
from streamlstm.errors import ConvertError

from .onnx_graphs import Arrays, F, H, draw, graph, node, run_onnx, series, single, weights
from .stepping import BACKENDS, TOLERANCE, difference

STATES = {"h0": draw(1, 1, H, seed=8), "c0": draw(1, 1, H, seed=9)}
PEEPHOLES = {"P": draw(1, 3 * H, seed=4)}
SINGLE: dict[str, Any] = {
    "lstm": single("LSTM"),
    "gru": single("GRU"),
    "gru, linear before reset": single("GRU", linear_before_reset=1),
    "rnn": single("RNN"),
    "lstm, initial state": single("LSTM", STATES, "- h0 c0"),
    "gru, initial state": single("GRU", {"h0": STATES["h0"]}, "- h0"),
    "rnn, initial state": single("RNN", {"h0": STATES["h0"]}, "- h0"),
    "lstm, initial cell only": single("LSTM", {"c0": STATES["c0"]}, "- - c0"),
    "lstm, peepholes": single("LSTM", PEEPHOLES, "- - - P"),
}
# Options that the reference evaluator ignores.
OPTIONS: dict[str, Any] = {
    "lstm, clip": single("LSTM", clip=0.4),
    "gru, clip": single("GRU", clip=0.4),
    "rnn, clip": single("RNN", clip=0.4),
    "lstm, coupled": single("LSTM", input_forget=1),
    "lstm, coupled peepholes, clip": single("LSTM", PEEPHOLES, "- - - P", input_forget=1, clip=0.9),
    "lstm, activations": single("LSTM", activations=["HARDSIGMOID", "softsign", "Relu"]),
    "lstm, alpha and beta": single(
        "LSTM",
        activations=["HardSigmoid", "Tanh", "ScaledTanh"],
        activation_alpha=[0.3, 0.8],
        activation_beta=[0.4, 1.2],
    ),
    "gru, leaky": single(
        "GRU", activations=["Sigmoid", "LeakyRelu"], activation_alpha=[0.1], linear_before_reset=1
    ),
    "gru, affine": single(
        "GRU",
        activations=["HardSigmoid", "Affine"],
        activation_alpha=[0.2, 0.5],
        activation_beta=[0.5, 0.1],
    ),
    "rnn, relu": single("RNN", activations=["Relu"], clip=2.0),
    "rnn, elu": single("RNN", activations=["Elu"], activation_alpha=[0.5], clip=2.0),
    "rnn, thresholded": single(
        "RNN", activations=["ThresholdedRelu"], activation_alpha=[0.5], clip=2.0
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SINGLE | OPTIONS if find_spec("onnxruntime") else SINGLE)
def test_a_recurrent_node(name: str, backend: str) -> None:
    model, X = (SINGLE | OPTIONS)[name], series()
    expected = run_onnx(model, {"x": X[:, None]})[:, 0, 0]
    assert difference(sl.from_onnx(model), X, expected, backend) < TOLERANCE


@pytest.mark.parametrize("name", SINGLE)
def test_a_recurrent_node_against_the_reference_evaluator(name: str) -> None:
    model, X = SINGLE[name], series()
    expected = reference_runner(model)({"x": X[:, None]})[0][:, 0, 0]
    assert difference(sl.from_onnx(model), X, expected) < TOLERANCE


def test_activation_parameters_one_for_each_activation() -> None:
    given = single(
        "LSTM",
        activations=["Sigmoid", "HardSigmoid", "Tanh"],
        activation_alpha=[0.0, 0.3, 0.0],
        activation_beta=[0.0, 0.4, 0.0],
    )
    layer = sl.from_onnx(given).layers[0]
    assert isinstance(layer, sl.LSTM)
    assert layer.candidate_activation == "hard_sigmoid(0.3, 0.4)"


def test_batch_first_layout() -> None:
    recurrent = node("LSTM", "x W R B", "y4", hidden_size=H, layout=1)
    squeeze = node("Squeeze", "y4 two", "y")
    model = graph(
        [recurrent, squeeze],
        weights("LSTM") | {"two": np.array([2])},
        {"x": ["b", "t", F]},
        ["y"],
    )
    X = series()
    expected = reference_runner(model)({"x": X[None]})[0][0]
    assert difference(sl.from_onnx(model), X, expected) < TOLERANCE


@pytest.mark.parametrize("opset", [11, 13])
def test_states_that_are_inputs_and_outputs_of_the_graph(opset: int) -> None:
    nodes = [
        node("LSTM", "x W R B - h c", "y hn cn", hidden_size=H),
        node("Squeeze", "y", "s", axes=[1]) if opset < 13 else node("Squeeze", "y one", "s"),
    ]
    shape = [1, "b", H]
    model = graph(
        nodes,
        weights("LSTM") | {"one": np.array([1])},
        {"h": shape, "c": shape, "x": ["t", "b", F]},
        ["hn", "cn", "s"],
        opset,
    )
    X = series()
    zeros = np.zeros((1, 1, H), np.float32)
    expected = run_onnx(model, {"x": X[:, None], "h": zeros, "c": zeros}, 2)[:, 0]
    assert difference(sl.from_onnx(model), X, expected) < TOLERANCE


@pytest.mark.parametrize(
    ("extra", "places"),
    [
        ({"c0": np.zeros((1, 1, 9), np.float32)}, "- - c0"),
        ({"P": PEEPHOLES["P"][:, 1:] * 0}, "- - - P"),
    ],
)
def test_zeros_of_a_wrong_shape_are_refused(extra: Arrays, places: str) -> None:
    with pytest.raises(ConvertError, match=r"LSTM 'y': .*expected.*\(1, (9|1, 9|14)\)"):
        sl.from_onnx(single("LSTM", extra, places))


@pytest.mark.parametrize("name", ["Affine", "ScaledTanh", "ThresholdedRelu"])
def test_an_activation_without_parameters_is_refused(name: str) -> None:
    with pytest.raises(ConvertError, match=r"RNN 'y'.*lacks its activation_alpha.*do not agree"):
        sl.from_onnx(single("RNN", activations=[name]))
