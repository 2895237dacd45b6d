"""Nodes of ONNX graphs, against ONNX Runtime or the reference evaluator."""

from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

from .onnx_graphs import (
    F,
    H,
    T,
    TensorProto,
    draw,
    graph,
    helper,
    keras_style,
    node,
    numpy_helper,
    onnx,
    run_onnx,
    series,
    single,
    weights,
)
from .stepping import TOLERANCE, difference

M, V = {"M": draw(4, 2, seed=5)}, {"V": draw(2, seed=6)}
AFTER_RECURRENT: dict[str, Any] = {
    "matmul and add": ([node("MatMul", "t2 M", "m"), node("Add", "m V", "y")], M | V),
    "dense over reshaped steps": (
        [
            node("Shape", "t2", "size"),
            node("Reshape", "t2 flat", "r"),
            node("Gemm", "r M V", "m"),
            node("Slice", "size zero two", "front"),
            node("Concat", "front tail", "wanted", axis=0),
            node("Reshape", "m wanted", "y"),
        ],
        M
        | V
        | {"flat": np.array([-1, 4]), "zero": np.array([0]), "two": np.array([2])}
        | {"tail": np.array([2])},
    ),
    "normalisation and scaling": (
        [
            node("Sub", "t2 mean", "a"),
            node("Div", "a deviation", "b"),
            node("Mul", "b gamma", "c"),
            node("Add", "c beta", "d"),
            node("MatMul", "d M", "y"),
        ],
        M
        | {k: np.abs(draw(4, seed=n)) + 0.2 for n, k in enumerate(("mean", "deviation"))}
        | {k: draw(4, seed=n) for n, k in enumerate(("gamma", "beta"))},
    ),
    "softmax, old": ([node("MatMul", "t2 M", "m"), node("Softmax", "m", "y", axis=2)], M),
    "clip, elu, cast, identity": (
        [
            node("Cast", "t2", "a", to=TensorProto.FLOAT),
            node("Identity", "a", "b"),
            node("Elu", "b", "c", alpha=0.5),
            node("Clip", "c low", "d"),
            node("Dropout", "d", "y"),
        ],
        {"low": np.array(-0.1, np.float32)},
    ),
    "constant minus, slices of features": (
        [
            node("Slice", "t2 one three axis", "a"),
            node("Sub", "number a", "b"),
            node("Neg", "b", "y"),
        ],
        {"one": np.array([1]), "three": np.array([3]), "axis": np.array([2])}
        | {"number": np.array(0.7, np.float32)},
    ),
}


@pytest.mark.parametrize("name", AFTER_RECURRENT)
def test_nodes_after_recurrent_layers(name: str) -> None:
    tail, constants = AFTER_RECURRENT[name]
    model, X = keras_style(tail, "y", constants), series()
    expected = run_onnx(model, {"x": X[None]})[0]
    assert difference(sl.from_onnx(model), X, expected) < TOLERANCE


POINTWISE: dict[str, Any] = {
    "mish": (18, "mish", [node("Mish", "m", "y")]),
    "mish, decomposed": (
        14,
        "mish",
        [node("Softplus", "m", "a"), node("Tanh", "a", "b"), node("Mul", "m b", "y")],
    ),
    "hardswish": (14, "hard_silu", [node("HardSwish", "m", "y")]),
    "hardswish, decomposed": (
        13,
        "hard_silu",
        [node("HardSigmoid", "m", "a", alpha=1 / 6), node("Mul", "a m", "y")],
    ),
    "hardswish, decomposed further": (
        13,
        "hard_silu",
        [
            node("Add", "m three", "a"),
            node("Clip", "a zero six", "b"),
            node("Div", "b six", "c"),
            node("Mul", "m c", "y"),
        ],
    ),
}


@pytest.mark.parametrize("name", POINTWISE)
def test_an_activation_of_a_newer_opset_or_decomposed(name: str) -> None:
    opset, activation, nodes = POINTWISE[name]
    constants = {k: np.array(n, np.float32) for k, n in (("three", 3), ("zero", 0), ("six", 6))}
    arrays = constants | {"N": draw(F, 4, seed=5) * 4}
    model = graph([node("MatMul", "x N", "m"), *nodes], arrays, {"x": ["t", F]}, ["y"], opset)
    found, X = sl.from_onnx(model), series()
    assert found.layers == (sl.Dense(F, 4, activation),)
    assert difference(found, X, run_onnx(model, {"x": X})) < TOLERANCE


LAST: dict[str, Any] = {
    "final state": [node("Squeeze", "h2", "y", axes=[0])],
    "gather": [node("Gather", "t2 minus", "y", axis=1)],
    "gather, then squeeze": [
        node("Gather", "t2 vector", "g", axis=1),
        node("Squeeze", "g", "y", axes=[1]),
    ],
    "slice": [node("Slice", "t2 vector end axis", "g"), node("Squeeze", "g", "y", axes=[1])],
}


@pytest.mark.parametrize("name", LAST)
def test_a_selected_last_step_is_dropped(name: str) -> None:
    constants = {
        "minus": np.array(-1),
        "vector": np.array([-1]),
        "end": np.array([2**63 - 1]),
        "axis": np.array([1]),
    }
    model, X = keras_style(LAST[name], "y", constants), series()[:30]
    expected = [run_onnx(model, {"x": X[None, : n + 1]})[0] for n in range(len(X))]
    assert difference(sl.from_onnx(model), X, np.stack(expected)) < TOLERANCE


def test_a_residual_connection() -> None:
    nodes = [
        node("LSTM", "x W R B", "y4", hidden_size=F),
        node("Squeeze", "y4 one", "s"),
        node("Add", "s x", "y"),
    ]
    arrays = weights("LSTM", hidden=F) | {"one": np.array([1])}
    model = graph(nodes, arrays, {"x": ["t", "b", F]}, ["y"])
    X = series()
    found = sl.from_onnx(model)
    assert found.skip == (0, 1, 2)
    assert difference(found, X, run_onnx(model, {"x": X[:, None]})[:, 0]) < TOLERANCE


def test_a_residual_connection_with_factors() -> None:
    nodes = [
        node("Mul", "x factors", "s"),
        node("LSTM", "s W R B", "y4", hidden_size=F),
        node("Squeeze", "y4 one", "n"),
        node("Div", "s two", "h"),
        node("Add", "h n", "y"),
    ]
    arrays = weights("LSTM", hidden=F) | {"one": np.array([1]), "two": np.array(2, np.float32)}
    arrays["factors"] = np.array([3.0, -0.5, 0.0], np.float32)
    model = graph(nodes, arrays, {"x": ["t", "b", F]}, ["y"])
    X = series()
    found = sl.from_onnx(model)
    assert found.skip == (0, 1, -1)
    assert np.array_equal(found.skip_factors, [1.5, -0.25, 1])
    assert difference(found, X, run_onnx(model, {"x": X[:, None]})[:, 0]) < TOLERANCE
    assert sl.from_onnx(model, skip=None).skip is None


def test_an_embedding() -> None:
    nodes = [
        node("Gather", "table x", "e"),
        node("Transpose", "e", "et", perm=[1, 0, 2]),
        node("LSTM", "et W R B", "y4", hidden_size=H),
        node("Squeeze", "y4 one", "y"),
    ]
    arrays = weights("LSTM") | {"one": np.array([1]), "table": draw(7, F, seed=2)}
    model = graph(nodes, arrays, {"x": ["b", "t"]}, ["y"], dtype=TensorProto.INT64)
    ids = np.random.default_rng(0).integers(0, 7, T)
    expected = run_onnx(model, {"x": ids[None]})[:, 0]
    assert difference(sl.from_onnx(model), ids[:, None], expected) < TOLERANCE


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_an_embedding_beside_a_second_input(before: bool, swapped: bool) -> None:
    table, found = draw(7, 2, seed=5), weights("GRU", 4)
    inputs = {"c": (TensorProto.INT64, ["t", "b"]), "x": (TensorProto.FLOAT, ["t", "b", 2])}
    made = helper.make_graph(
        [
            node("Gather", "table c", "v"),
            node("Concat", "x v" if before else "v x", "joined", axis=-1),
            node("GRU", "joined W R B", "y", hidden_size=H),
        ],
        "g",
        [
            helper.make_tensor_value_info(name, *inputs[name])
            for name in sorted(inputs, reverse=swapped)
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a, n) for n, a in (found | {"table": table}).items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    c, x = np.arange(T) % 7, series(2)
    expected = run_onnx(model, {"c": c[:, None], "x": x[:, None]})[:, 0, 0]
    X = np.concatenate([c[:, None], x], axis=1).astype(np.float32)
    assert difference(sl.from_onnx(model), X, expected) < TOLERANCE


@pytest.mark.parametrize("dtype", ["float16", "double", "bfloat16"])
def test_weights_of_other_types(dtype: str) -> None:
    import ml_dtypes

    kind = {"float16": np.float16, "double": np.float64, "bfloat16": ml_dtypes.bfloat16}[dtype]
    arrays = {name: array.astype(kind) for name, array in weights("GRU").items()}
    nodes = [node("GRU", "x W R B", "y", hidden_size=H, linear_before_reset=1)]
    found = sl.from_onnx(graph(nodes, arrays, {"x": ["t", "b", F]}, ["y"]))
    plain = {name: array.astype(np.float32) for name, array in arrays.items()}
    wanted = graph(nodes, plain, {"x": ["t", "b", F]}, ["y"])
    X = series()
    assert difference(found, X, run_onnx(wanted, {"x": X[:, None]})[:, 0, 0]) < TOLERANCE


def test_weights_in_an_external_file(tmp_path: Any) -> None:
    path = tmp_path / "model.onnx"
    model = onnx.ModelProto.FromString(single("LSTM").SerializeToString())
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert sl.from_onnx(path).layers == (sl.LSTM(F, H),)
    with pytest.raises(ConvertError, match="are in an external file"):
        sl.from_onnx(path.read_bytes())
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ConvertError, match="cannot be read as ONNX"):
        sl.from_onnx(path)
