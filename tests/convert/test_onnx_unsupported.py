"""ONNX graphs that are refused, and the error messages."""

from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

from .onnx_graphs import F, H, TensorProto, draw, graph, node, single, tail, weights


def broken(op: str = "LSTM", places: str = "W R B", **changed: Any) -> Any:
    attributes = {k: v for k, v in changed.items() if not isinstance(v, np.ndarray)}
    arrays = weights(op) | {k: v for k, v in changed.items() if isinstance(v, np.ndarray)}
    return graph([node(op, f"x {places}", "y", **attributes)], arrays, {"x": ["t", "b", F]}, ["y"])


REFUSED: dict[str, Any] = {
    "loop": (tail(node("Loop", "- - M", "y"), M=draw(1)), "Loop 'y' cannot be converted: a loop"),
    "reverse": (broken(direction="Reverse"), r"layer 0 \(reverse\) looks at several rows at once"),
    "weights of one direction": (broken(direction="bidirectional"), r"expected W \(1, 4H, F\)"),
    "rows": (broken(W=draw(1, 18, F)), r"W \(1, 4H, F\).*\(1, 18, 3\).*\(1, 20, 5\)"),
    "bias": (broken(B=draw(1, 20)), r"LSTM 'y': B: expected shape \(1, 40\), got \(1, 20\)"),
    "peephole": (broken(places="W R B - - - P", P=draw(1, 10)), r"P: expected shape \(1, 15\)"),
    "no weights": (broken(places="W"), "LSTM 'y' lacks R"),
    "initial state": (
        broken(places="W R B - h0", h0=draw(1, 1, 4)),
        r"initial_h of shape \(1, batch, 5\).*\(1, 1, 4\)",
    ),
    "a state for each stream": (broken(places="W R B - h0", h0=draw(1, 2, H)), "the same for all"),
    "features": (
        graph([node("LSTM", "x W R B", "y")], weights("LSTM"), {"x": ["t", "b", 4]}, ["y"]),
        "W takes 3 values, but the layer before it returns 4",
    ),
    "activation": (broken(activations=["Sigmoid", "Tanh", "Mish"]), "activation 'Mish'"),
    "activation without a slope": (
        tail(node("LeakyRelu", "t2", "y", alpha=float("nan"))),
        "LeakyRelu 'y': activation leaky_relu: expected 1 finite parameters",
    ),
    "slope of a gate": (
        broken(activations=["Sigmoid", "LeakyRelu", "Tanh"], activation_alpha=[float("inf")]),
        "LSTM 'y': activation leaky_relu: expected 1 finite parameters",
    ),
    "missing tensor": (
        broken(places="W R nowhere"),
        "'nowhere' is not the output of an earlier node",
    ),
    "matrix": (tail(node("MatMul", "t2 M", "y"), M=draw(5, 2)), r"\(4, \.\.\.\), got \(5, 2\)"),
    "first step": (
        tail(node("Gather", "t2 zero", "y", axis=1), zero=np.array(0)),
        r"Gather 'y' takes \[0\] of the sequence: a stream has only its last step",
    ),
    "mean over time": (tail(node("ReduceMean", "t2", "y", axes=[1])), "pool.* expected a window"),
    "softmax over time": (tail(node("Softmax", "t2", "y", axis=1)), "over other axes"),
    "attention": (
        tail(node("Transpose", "t2", "k", perm=[0, 2, 1]), node("MatMul", "t2 k", "y")),
        "expected a constant",
    ),
    "decoder": (
        tail(
            node("GRU", "h2 W3 R3 B3", "y", hidden_size=2),
            **{f"{k}3": v for k, v in weights("GRU", 4, 2).items()},
        ),
        "only the last step",
    ),
    "convolution": (
        tail(
            node("Transpose", "t2", "k", perm=[0, 2, 1]), node("Conv", "k M", "y"), M=draw(2, 4, 3)
        ),
        r"layer 2 \(conv1d\) looks at later rows too: expected a window",
    ),
    "flattened": (
        tail(node("Flatten", "t2", "f"), node("Gemm", "f M", "y"), M=draw(8, 1)),
        r"Flatten 'f' takes all rows of a window as one: .*window=T",
    ),
    "unknown": (
        tail(node("Cumsum", "t2 one", "y"), one=np.array(1)),
        "Cumsum 'y' cannot be converted",
    ),
    "no known function": (
        tail(node("Exp", "t2", "a"), node("Log", "a", "b"), node("Sqrt", "b", "y")),
        r"Log 'b', Sqrt 'y': what this computes is no known activation",
    ),
}


@pytest.mark.parametrize(("model", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_an_unsupported_graph_is_refused(model: Any, message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        sl.from_onnx(model)


MAX, MIN = 2**63 - 1, -(2**63) + 1
SLICES: dict[str, tuple[tuple[int, int, int], str]] = {
    "without its end": ((0, -1, 1), r"takes \[:-1\] of an axis.*every one is taken"),
    "without its start": ((1, MAX, 1), r"takes \[1:\] of an axis"),
    "every second": ((0, MAX, 2), r"takes \[::2\] of an axis"),
    "the last one": ((-1, MAX, 1), r"takes \[-1:\] of an axis.*wrote .*step by step"),
}


@pytest.mark.parametrize(("part", "message"), SLICES.values(), ids=SLICES.keys())
def test_steps_selected_before_a_layer_are_refused(
    part: tuple[int, int, int], message: str
) -> None:
    constants = {f"p{n}": np.array([value]) for n, value in enumerate(part)}
    constants |= {"axis": np.array([0]), "one": np.array([1])}
    first = node("Slice", "x p0 p1 axis p2", "xs")
    # As PyTorch exports it: the initial state has the size of what comes in.
    state = [
        node("Shape", "xs", "shape"),
        node("Slice", "shape one two", "batch"),
        node("Concat", "one batch size", "wanted", axis=0),
        node("Expand", "zero wanted", "h"),
    ]
    constants |= {"two": np.array([2]), "size": np.array([H]), "zero": np.zeros(1, np.float32)}
    nodes = [first, *state, node("LSTM", "xs W R B - h h", "y", hidden_size=H)]
    model = graph(nodes, weights("LSTM") | constants, {"x": ["t", "b", F]}, ["y"], 12)
    with pytest.raises(ConvertError, match=f"an ONNX graph: Slice .* {message}"):
        sl.from_onnx(model)


def test_a_sequence_that_is_reversed_needs_a_window() -> None:
    constants = {"minus": np.array([-1]), "end": np.array([MIN]), "axis": np.array([1])}
    turned = tail(node("Slice", "t2 minus end axis minus", "y"), **constants)
    with pytest.raises(ConvertError, match=r"layer 2 \(reverse\) looks at several rows at once"):
        sl.from_onnx(turned)
    assert isinstance(sl.from_onnx(turned, window=4).layers[2], sl.Reverse)


def test_an_open_length_is_what_the_caller_says() -> None:
    flat = tail(node("Flatten", "t2", "f"), node("Gemm", "f M", "y"), M=draw(8, 1))
    assert sl.from_onnx(flat, window=2).layers[2] == sl.Flatten(4, 2)


def test_anything_but_onnx_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ConvertError, match="no such file"):
        sl.from_onnx(tmp_path / "nowhere.onnx")
    with pytest.raises(ConvertError, match=r"cannot be read as ONNX|found none"):
        sl.from_onnx(b"\x00 this is no file of ONNX")
    with pytest.raises(ConvertError, match="got int"):
        sl.from_onnx(3)
    with pytest.raises(ConvertError, match="no output 'z'; it has y"):
        sl.from_onnx(single("LSTM"), output="z")


def test_numbers_truncated_to_integers_are_refused() -> None:
    nodes = [
        node("Cast", "x", "n", to=TensorProto.INT64),
        node("Cast", "n", "z", to=TensorProto.FLOAT),
        node("RNN", "z W R B", "y", hidden_size=H),
    ]
    with pytest.raises(ConvertError, match="Cast 'z': numbers were truncated to integers"):
        sl.from_onnx(graph(nodes, weights("RNN"), {"x": ["t", "b", F]}, ["y"]))


def test_a_quantized_graph_is_refused() -> None:
    quantize = node("QuantizeLinear", "y s o", "q"), node("DequantizeLinear", "q s o", "z")
    constants = {"s": np.float32(0.01), "o": np.int8(0), **weights("RNN")}
    nodes = [node("RNN", "x W R B", "y", hidden_size=H), *quantize]
    with pytest.raises(ConvertError, match=r"QuantizeLinear 'q'.*export the network in floating"):
        sl.from_onnx(graph(nodes, constants, {"x": ["t", "b", F]}, ["z"]))
