"""Graphs that are no chain of layers, followed on labels, compared with ONNX window by window."""

from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.convert.onnx import evaluate

from . import onnx_graphs as graphs
from .onnx_graphs import F, H, draw, node

T = 6
ROWS = {
    "s": np.random.default_rng(1).uniform(0.5, 2, T).astype(np.float32),
    "b": draw(1, T)[0],
    "m": draw(1, T, seed=1)[0],
}
SQUARE = {f"m{n}": draw(F, F, seed=n) for n in range(4)}
DOWN = np.where(np.arange(T) > np.arange(T)[:, None], -np.inf, 0).astype(np.float32)


def graph(nodes: list[Any], out: str = "y", opset: int = 17, **constants: Any) -> Any:
    """Return a graph of x[n, T, F]; the constants that its nodes use are among SQUARE or given."""
    used = {name for made in nodes for name in made.input}
    arrays = {k: np.asarray(v) for k, v in {**SQUARE, **constants}.items() if k in used}
    return graphs.graph(nodes, arrays, {"x": ["n", T, F]}, [out], opset)


def projected() -> list[Any]:
    return [node("MatMul", f"x m{n}", name) for n, name in enumerate("qkv")]


def attention(*masks: Any, heads: int = 1) -> list[Any]:
    """Return the nodes of dot-product attention of several heads: "a"[n, T, F]."""
    nodes = projected()
    for name in "qkv":
        nodes += [node("Reshape", f"{name} split", f"{name}s")]
        perm = [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
        nodes += [node("Transpose", f"{name}s", f"{name}h", perm=perm)]
    nodes += [node("MatMul", "qh kh", "s0"), node("Mul", "s0 small", "s1"), *masks]
    last = masks[-1].output[0] if masks else "s1"
    nodes += [node("Softmax", last, "p", axis=-1), node("MatMul", "p vh", "o")]
    return [
        *nodes,
        node("Transpose", "o", "ot", perm=[0, 2, 1, 3]),
        node("Reshape", "ot joined", "a"),
    ]


SPLIT = {"split": [0, 0, F, 1], "joined": [0, 0, F], "small": np.float32(0.4)}
MEAN = [node("ReduceMean", "a", "y", axes=[1], keepdims=0)]
GROUPS = {"groups": [0, 1, -1], "whole": [0, F, T], "one": np.ones(1, np.float32)}
CASES: dict[str, Any] = {
    "attention": lambda: graph([*attention(), *MEAN], **SPLIT),
    "attention to what came before": lambda: graph(
        [*attention(node("Add", "s1 later", "s2")), *MEAN], **SPLIT, later=DOWN
    ),
    "attention, later rows chosen out": lambda: graph(
        [*attention(node("Where", "seen s1 never", "s2")), *MEAN],
        **SPLIT,
        seen=DOWN == 0,
        never=np.float32(-1e9),
    ),
    "attention, later rows multiplied by zero": lambda: graph(
        [*attention(node("Mul", "s1 seen", "s2"), node("Add", "s2 never", "s3")), *MEAN],
        **SPLIT,
        seen=(DOWN == 0).astype(np.float32),
        never=np.where(DOWN == 0, 0, -1e9).astype(np.float32),
    ),
    "attention of the last row": lambda: graph(
        [
            node("Gather", "x end", "r", axis=1),
            node("MatMul", "r m0", "q"),
            node("MatMul", "x m1", "k"),
            node("Transpose", "k", "kt", perm=[0, 2, 1]),
            node("MatMul", "q kt", "s"),
            node("Softmax", "s", "p", axis=-1),
            node("MatMul", "p x", "y"),
        ],
        end=[T - 1],
    ),
    "additive attention": lambda: graph(
        [
            node("MatMul", "x m0", "a"),
            node("Tanh", "a", "t"),
            node("MatMul", "t w", "s"),
            node("Softmax", "s", "p", axis=1),
            node("Mul", "p x", "v"),
            node("ReduceSum", "v rows", "y", keepdims=0),
        ],
        w=draw(F, 1),
        rows=[1],
    ),
    "a letter for each axis": lambda: graph(
        [
            *projected(),
            node("Einsum", "q k", "s", equation="btf,bsf->bts"),
            node("Softmax", "s", "p", axis=-1),
            node("Einsum", "p v", "a", equation="bts,bsf->btf"),
            *MEAN,
        ]
    ),
    "positions added": lambda: graph(
        [
            node("Add", "x places", "p"),
            node("Transpose", "p", "t", perm=[1, 0, 2]),
            node("GRU", "t W R B", "g h", hidden_size=H),
            node("Squeeze", "h zero", "y"),
        ],
        places=draw(T, F),
        zero=[0],
        **graphs.weights("GRU"),
    ),
    "statistics of each row": lambda: graph(
        [node("BatchNormalization", "x s b m s", "n"), node("Gather", "n end", "y", axis=1)],
        end=np.array(-1),
        **ROWS,
    ),
    "features over their rows": lambda: graph(
        [
            node("Transpose", "x", "t", perm=[0, 2, 1]),
            node("InstanceNormalization", "t one_ shift", "n"),
            node("Conv", "n kernel", "c"),
            node("ReduceMax", "c", "y", axes=[2], keepdims=0),
        ],
        one_=np.arange(1, F + 1, dtype=np.float32),
        shift=draw(1, F)[0],
        kernel=draw(2, F, 3),
    ),
    "a group of all features": lambda: graph(
        [
            node("Transpose", "x", "t", perm=[0, 2, 1]),
            node("Reshape", "t groups", "g"),
            node("InstanceNormalization", "g one zero_", "n"),
            node("Reshape", "n whole", "r"),
            node("Conv", "r kernel", "c"),
            node("ReduceMax", "c", "y", axes=[2], keepdims=0),
        ],
        zero_=np.zeros(1, np.float32),
        kernel=draw(2, F, 3),
        **GROUPS,
    ),
    "a layer along the rows": lambda: graph(
        [
            node("Gather", "x end", "last", axis=1),
            node("Sub", "x last", "d"),
            node("Transpose", "d", "t", perm=[0, 2, 1]),
            node("MatMul", "t w", "u"),
            node("Transpose", "u", "z", perm=[0, 2, 1]),
            node("Add", "z last", "y"),
        ],
        w=draw(T, 2),
        end=[T - 1],
    ),
    "the larger of two branches": lambda: graph(
        [
            node("MatMul", "x m0", "a"),
            node("Max", "a x", "b"),
            node("Min", "b a x", "y"),
        ]
    ),
    "every second row": lambda: graph(
        [
            node("Slice", "x from to rows two", "z"),
            node("Transpose", "z", "t", perm=[1, 0, 2]),
            node("GRU", "t W R B", "g h", hidden_size=H),
            node("Squeeze", "h from", "y"),
        ],
        to=[100],
        rows=[1],
        two=[2],
        **{"from": [0]},
        **graphs.weights("GRU"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_window_equals_onnx(name: str) -> None:
    made = CASES[name]()
    model = sl.from_onnx(made)
    assert model.window in (T, None)  # None of what looks at one row alone
    assert model.input_size == F
    X = draw(10, F, seed=4)
    windows = np.stack([X[t : t + T] for t in range(len(X) - T + 1)])
    expected = graphs.run_onnx(made, {"x": windows})
    # Of a sequence of all rows the last one is answered.
    answered = expected.reshape(len(windows), -1)[:, -model.output_size :]
    Y = sl.Engine(model, 1, "reference").run("a", X)[T - 1 :]
    assert np.abs(Y - answered).max() < 1e-5


def test_rows_of_other_features_are_no_convolution() -> None:
    nodes = [node("Conv", "x kernel", "c"), node("GlobalMaxPool", "c", "y")]
    model = sl.from_onnx(graph(nodes, kernel=draw(2, T, 2)))
    assert (model.window, model.input_size) == (F, T)
    gru = [node("Transpose", "x", "t", perm=[2, 0, 1]), node("GRU", "t W R B", "y", hidden_size=H)]
    over_variables = graph(gru, **graphs.weights("GRU", T))
    assert sl.from_onnx(over_variables).input_size == T


def test_what_was_not_run_is_not_called_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    made = CASES["positions added"]()
    assert sl.from_onnx(made).metadata["compared"].startswith("its graph, run on random numbers")
    monkeypatch.setattr(evaluate, "find_spec", lambda _name: None)  # no ONNX Runtime
    for gru in (n for n in made.graph.node if n.op_type == "GRU"):
        gru.attribute.append(graphs.helper.make_attribute("activations", ["HardSigmoid", "Tanh"]))
    model = sl.from_onnx(made)
    assert model.metadata["compared"].startswith("no: its nodes were read one by one, but not run")
    assert "pip install onnxruntime" in model.metadata["compared"]
    assert "not compared" in repr(model)


def test_a_node_that_only_a_runtime_computes_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "find_spec", lambda _name: None)
    nodes = [
        node("FusedMatMul", "x m0", "p", domain="com.microsoft", alpha=0.5),
        node("Add", "p places", "q"),
        node("ReduceMean", "q", "y", axes=[1], keepdims=0),
    ]
    made = graph(nodes, places=draw(T, F))
    made.opset_import.append(graphs.helper.make_opsetid("com.microsoft", 1))
    compared = sl.from_onnx(made).metadata["compared"]
    assert "ONNX's own evaluator cannot compute it" in compared
