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


def windows(X: np.ndarray) -> np.ndarray:
    return np.stack([X[t : t + ROWS] for t in range(len(X) - ROWS + 1)])[:, :, None]


@pytest.mark.parametrize("name", CASES)
def test_every_window_equals_onnx(name: str) -> None:
    graph = CASES[name]()
    model = sl.from_onnx(graph)
    assert model.window == ROWS
    X = draw(14, F, seed=9)
    expected = [graphs.run_onnx(graph, {"x": x}).reshape(-1) for x in windows(X)]
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
