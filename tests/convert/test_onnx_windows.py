"""Graphs whose nodes look over the rows of a window, compared with ONNX window by window."""

from typing import Any

import numpy as np
import pytest

import streamlstm as sl

from . import onnx_graphs as graphs
from .onnx_graphs import F, H, draw, node

ROWS = 8
LAST = {"perm": [1, 0, 2]}
ARRAYS = {
    **graphs.weights("LSTM"),
    "cw": draw(6, F, 3),
    "cb": draw(1, 6)[0],
    "gw": draw(6, 1, 3, seed=1),
    "c3": draw(F, 6, 1, seed=2),
    "two": np.array([1, -1]),
    "one": np.array([1]),
    "zero": np.array([0]),
    "end": np.array(-1),
    "flat": np.array([1, -1]),
    "back": np.arange(ROWS)[::-1].copy(),
    "again": np.full(4, ROWS - 1),
    "head": draw(H, 2),
    "wide": draw(ROWS * H, 2, seed=3),
    "first": np.array([0]),
    "cut": np.array([-2]),
    "along": np.array([2]),
    "ends": np.array([-1]),
    "three": np.array([3, 1, 1]),
    "many": draw(H, 6, seed=5),
    "parts": np.array([1, 2, 3]),
    "six": draw(6, 2, seed=4),
    "square": draw(H, H, seed=6),
    "begin": np.array(0),
    "two_": np.array([2]),
    "five": np.array([5]),
    "along1": np.array([1]),
    "from6": np.array([6]),
    "far": np.array([2**31 - 1]),
    "both": draw(2 * H, 2, seed=7),
    "rows_of_three": draw(ROWS * F, 2, seed=8),
    "eight": draw(ROWS, 2, seed=9),
    "again0": np.zeros(ROWS, np.int64),
    "small": np.array(1e-3, np.float32),
    "gamma": draw(1, 1, H, seed=10),
    "beta": draw(1, 1, H, seed=11),
    "zeros": np.array([0, 0, 2, 0, 0, 1]),
    "c4": draw(6, F, 3)[:, :, None],
}


def chain(*nodes: tuple[Any, ...], batch_first: bool = False) -> Any:
    """Return the graph of nodes (op, more inputs, attributes), one after the other."""
    made, before = [], "x"
    for n, (op, more, options) in enumerate(nodes):
        name = "y" if n == len(nodes) - 1 else f"t{n}"
        outputs = options.pop("outputs", "{}").format(name)
        made.append(node(op, f"{before} {more}".strip(), outputs, name=f"{op}{n}", **options))
        before = name
    shape = [1, ROWS, F] if batch_first else [ROWS, 1, F]
    used = {word for _, more, _ in nodes for word in more.split()}
    return graphs.graph(made, {k: ARRAYS[k] for k in used if k in ARRAYS}, {"x": shape}, ["y"])


def lstm() -> list[tuple[Any, ...]]:
    return [("LSTM", "W R B", {"hidden_size": H}), ("Squeeze", "one", {})]


def channels() -> tuple[Any, ...]:
    return ("Transpose", "", {"perm": [1, 2, 0]})


CASES = {
    "mean": lambda: chain(
        *lstm(), ("ReduceMean", "", {"axes": [0], "keepdims": 0}), ("MatMul", "head", {})
    ),
    "maximum": lambda: chain(*lstm(), ("ReduceMax", "", {"axes": [0]}), ("MatMul", "head", {})),
    "flattened": lambda: chain(
        *lstm(), ("Transpose", "", LAST), ("Reshape", "flat", {}), ("MatMul", "wide", {})
    ),
    "convolution": lambda: chain(
        channels(),
        ("Conv", "cw cb", {"pads": [2, 1], "dilations": [1], "strides": [2]}),
        ("Relu", "", {}),
        ("MaxPool", "", {"kernel_shape": [2]}),
        ("GlobalAveragePool", "", {}),
        ("Flatten", "", {}),
        ("MatMul", "six", {}),
    ),
    "before a recurrent layer": lambda: chain(
        channels(),
        ("Conv", "cw", {"auto_pad": "SAME_UPPER"}),
        ("Conv", "gw", {"group": 6}),
        ("AveragePool", "", {"kernel_shape": [3], "pads": [1, 1]}),
        ("Conv", "c3", {}),
        ("Transpose", "", {"perm": [2, 0, 1]}),
        *lstm(),
        ("Gather", "end", {"axis": 0}),
    ),
    "rows of padding cut off": lambda: chain(
        channels(),
        ("Conv", "cw cb", {"pads": [2, 2]}),
        ("Relu", "", {}),
        ("Slice", "first cut along", {}),
        ("Gather", "end", {"axis": 2}),
        ("MatMul", "six", {}),
    ),
    "tiled": lambda: chain(
        *lstm(), ("Gather", "ends", {}), ("Tile", "three", {}), ("MatMul", "head", {})
    ),
    "split at the end": lambda: chain(
        *lstm(), ("Gather", "end", {}), ("MatMul", "many", {}), ("Reshape", "parts", {})
    ),
    "reversed": lambda: chain(("Gather", "back", {"axis": 0}), *lstm(), ("Gather", "end", {})),
}


def forked(*nodes: Any) -> Any:
    """Return the graph of some nodes behind an LSTM, whose rows are r[ROWS, 1, H]."""
    before = [node("LSTM", "x W R B", "l", hidden_size=H), node("Squeeze", "l one", "r")]
    used = {name for made in nodes for name in made.input} | {*"WRB", "one"}
    arrays = {k: a for k, a in ARRAYS.items() if k in used}
    return graphs.graph([*before, *nodes], arrays, {"x": [ROWS, 1, F]}, ["y"])


CASES |= {
    "heads beside each other": lambda: forked(
        node("Gather", "r end", "h"),
        node("MatMul", "h head", "a"),
        node("MatMul", "h many", "b"),
        node("Concat", "a b", "y", axis=-1),
    ),
    "gated by another layer, minus the rows": lambda: forked(
        node("MatMul", "r square", "a"),
        node("Sigmoid", "a", "g"),
        node("Mul", "r g", "m"),
        node("Sub", "m r", "d"),
        node("MatMul", "d head", "y"),
    ),
    "the last of some values and the first of others": lambda: forked(
        node("Gather", "r end", "last"),
        node("Gather", "r begin", "start"),
        node("Slice", "last zero two_ along1", "a"),
        node("Slice", "start two_ five along1", "b"),
        node("Concat", "a b", "c", axis=1),
        node("MatMul", "c head", "y"),
    ),
    "the last rows as one": lambda: forked(
        node("Slice", "r from6 far zero", "s"),
        node("Transpose", "s", "t", perm=[1, 0, 2]),
        node("Reshape", "t flat", "f"),
        node("MatMul", "f both", "y"),
    ),
    "the last row taken off all": lambda: graphs.graph(
        [
            node("Gather", "x ends", "last"),
            node("Sub", "x last", "d"),
            node("LSTM", "d W R B", "l q", hidden_size=H),
            node("Identity", "q", "y"),
        ],
        {k: ARRAYS[k] for k in ("W", "R", "B", "ends")},
        {"x": [ROWS, "b", F]},
        ["y"],
    ),
    "no recurrent layer": lambda: chain(
        ("Flatten", "", {}), ("Gemm", "rows_of_three", {}), batch_first=True
    ),
    "no recurrent layer, one feature": lambda: graphs.graph(
        [node("Flatten", "x", "f"), node("MatMul", "f eight", "y")],
        {"eight": ARRAYS["eight"]},
        {"x": ["b", ROWS, 1]},
        ["y"],
    ),
    "rows of zeros by themselves": lambda: chain(
        channels(),
        ("Pad", "zeros", {}),
        ("Conv", "cw cb", {}),
        ("Pad", "zeros", {}),
        ("GlobalMaxPool", "", {}),
        ("Flatten", "", {}),
        ("MatMul", "six", {}),
    ),
    "differences of neighbouring rows": lambda: graphs.graph(
        [
            node("Slice", "x one far zero", "later"),
            node("Slice", "x zero ends zero", "before"),
            node("Sub", "later before", "d"),
            node("LSTM", "d W R B", "l y", hidden_size=H),
        ],
        {k: ARRAYS[k] for k in ("one", "far", "zero", "ends", "W", "R", "B")},
        {"x": [ROWS, "b", F]},
        ["y"],
    ),
    "the input added before a head": lambda: graphs.graph(
        [
            node("MatMul", "x first_w", "a"),
            node("Tanh", "a", "t"),
            node("Add", "t x", "r"),
            node("LSTM", "r W R B", "l y", hidden_size=H),
        ],
        {"first_w": draw(F, F, seed=12), **{k: ARRAYS[k] for k in "WRB"}},
        {"x": [ROWS, "b", F]},
        ["y"],
    ),
    "a mean of branches, of which one is one row": lambda: forked(
        node("ReduceMax", "r", "most", axes=[0], keepdims=1),
        node("Gather", "most again0", "all"),
        node("MatMul", "r square", "a"),
        node("Mean", "a all", "m"),
        node("Transpose", "m", "t", perm=[1, 0, 2]),
        node("Reshape", "t flat", "f"),
        node("MatMul", "f wide", "y"),
    ),
    "normalised as Keras 3 writes it": lambda: forked(
        node("ReduceMean", "r", "mean", axes=[-1]),
        node("Sub", "r mean", "difference"),
        node("Mul", "difference difference", "square_"),
        node("ReduceMean", "square_", "variance", axes=[-1]),
        node("Add", "variance small", "more"),
        node("Sqrt", "more", "root"),
        node("Reciprocal", "root", "inverse"),
        node("Mul", "inverse gamma", "scale"),
        node("Neg", "mean", "minus"),
        node("Mul", "minus scale", "shift"),
        node("Add", "shift beta", "shifted"),
        node("Mul", "r scale", "scaled"),
        node("Add", "scaled shifted", "normal"),
        node("MatMul", "normal head", "y"),
    ),
    "normalised as tf2onnx writes it": lambda: forked(
        node("Transpose", "r", "t", perm=[1, 0, 2]),
        node("GlobalAveragePool", "t", "mean"),
        node("Sub", "t mean", "difference"),
        node("Mul", "difference difference", "square_"),
        node("GlobalAveragePool", "square_", "variance"),
        node("Add", "variance small", "more"),
        node("Sqrt", "more", "root"),
        node("Div", "difference root", "normal"),
        node("MatMul", "normal head", "y"),
    ),
    "convolved over the last of two axes": lambda: chain(
        channels(),
        ("Unsqueeze", "two_", {}),
        ("Conv", "c4 cb", {"pads": [0, 1, 0, 1]}),
        ("MaxPool", "", {"kernel_shape": [1, 2], "strides": [1, 2]}),
        ("Squeeze", "two_", {}),
        ("GlobalAveragePool", "", {}),
        ("Flatten", "", {}),
        ("MatMul", "six", {}),
    ),
}


def windows(X: np.ndarray) -> np.ndarray:
    return np.stack([X[t : t + ROWS] for t in range(len(X) - ROWS + 1)])[:, :, None]


@pytest.mark.parametrize("name", CASES)
def test_every_window_equals_onnx(name: str) -> None:
    graph = CASES[name]()
    model = sl.from_onnx(graph)
    assert model.window == ROWS
    X = draw(14, model.input_size, seed=9)
    axes = [d.dim_value or 1 for d in graph.graph.input[0].type.tensor_type.shape.dim]
    expected = [
        graphs.run_onnx(graph, {"x": x.reshape(axes)}).reshape(-1, model.output_size)[-1]
        for x in windows(X)
    ]
    Y = sl.Engine(model, 1, "reference").run("a", X)[ROWS - 1 :]
    assert np.abs(Y - expected).max() < 1e-5


BOTH: dict[str, Any] = {
    key: np.concatenate([graphs.weights("GRU", seed=n)[key] for n in (1, 2)]) for key in "WRB"
}


def one_way(X: np.ndarray, way: int) -> np.ndarray:
    """Return the outputs[rows, H] of one direction, by ONNX's forward layer."""
    own = {key: BOTH[key][way : way + 1] for key in "WRB"}
    made = graphs.graph(
        [node("GRU", "x W R B", "y", hidden_size=H)], own, {"x": [ROWS, 1, F]}, ["y"]
    )
    Y = graphs.run_onnx(made, {"x": X[::-1] if way else X})[:, 0, 0]
    return Y[::-1] if way else Y


@pytest.mark.parametrize("form", ["rows", "last", "states", "halves"])
def test_both_directions_are_two_layers(form: str) -> None:
    nodes = [node("GRU", "x W R B", "y h", hidden_size=H, direction="bidirectional")]
    if form in ("rows", "last"):
        nodes += [
            node("Transpose", "y", "t", perm=[0, 2, 1, 3]),
            node("Reshape", "t shape", "z"),
            node("Gather", "z end", "out", axis=0)
            if form == "last"
            else node("ReduceMean", "z", "out", axes=[0]),
        ]
    elif form == "states":
        nodes += [node("Transpose", "h", "t", perm=[1, 0, 2]), node("Reshape", "t flat", "out")]
    else:
        nodes += [node("Gather", "h first", "f", axis=0), node("Gather", "h end", "b", axis=0)]
        nodes += [node("Concat", "f b", "out", axis=-1)]
    constants = {
        **BOTH,
        "shape": np.array([0, 0, -1]),
        "flat": np.array([1, 2 * H]),
        "end": np.array(-1),
        "first": np.array(0),
    }
    used = {name for made in nodes for name in made.input}
    graph = graphs.graph(
        nodes, {k: a for k, a in constants.items() if k in used}, {"x": [ROWS, 1, F]}, ["out"]
    )
    model = sl.from_onnx(graph)
    X = draw(12, F, seed=8)
    expected = []
    for x in windows(X):
        a, b = (one_way(x, way) for way in (0, 1))
        whole = np.concatenate([a, b], 1)
        ends = np.concatenate([a[-1], b[0]])
        expected.append({"rows": whole.mean(0), "last": whole[-1]}.get(form, ends))
    Y = sl.Engine(model, 1, "reference").run("a", X)[ROWS - 1 :]
    assert np.abs(Y - np.array(expected)).max() < 1e-5


def test_one_direction_from_the_end() -> None:
    arrays = graphs.weights("GRU")
    nodes = [node("GRU", "x W R B", "y", hidden_size=H, direction="reverse")]
    nodes += [node("Squeeze", "y one", "s"), node("Gather", "s end", "out")]
    constants = {**arrays, "one": np.array([1]), "end": np.array(-1)}
    model = sl.from_onnx(graphs.graph(nodes, constants, {"x": [ROWS, 1, F]}, ["out"]))
    kinds = [type(layer) for layer in model.layers]
    assert kinds == [sl.Reverse, sl.GRU, sl.Reverse]


def test_another_output_of_a_graph_is_said() -> None:
    graph = forked(node("MatMul", "r head", "value"), node("MatMul", "r many", "y"))
    graph.graph.output.insert(0, graph.graph.output[0])
    graph.graph.output[0].name = "value"
    model = sl.from_onnx(graph)
    assert model.output_size == 2
    said = "has the outputs value, y, of which this model gives value: --output (output=) takes"
    assert said in model.metadata["notes"]
    assert "outputs" not in sl.from_onnx(graph, output="y").metadata["notes"]
