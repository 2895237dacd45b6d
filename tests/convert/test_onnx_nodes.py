"""Graphs built node by node, against ONNX Runtime and onnx's reference evaluator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

from .stepping import BACKENDS, TOLERANCE, difference

onnx = pytest.importorskip("onnx", reason="onnx is needed to read ONNX files")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

F, H, T = 3, 5, 200
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Arrays = dict[str, np.ndarray[Any, Any]]


def draw(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng((seed, *shape))
    values = rng.standard_normal(shape) * rng.uniform(0.3, 1.0, shape[:-1])[..., None]
    return np.asarray(values, np.float32)


def weights(op: str, inputs: int = F, hidden: int = H, seed: int = 0) -> Arrays:
    rows = GATES[op] * hidden
    return {
        "W": draw(1, rows, inputs, seed=seed),
        "R": draw(1, rows, hidden, seed=seed) * 0.7,
        "B": draw(1, 2 * rows, seed=seed),
    }


def graph(
    nodes: Sequence[Any],
    constants: Arrays,
    inputs: dict[str, Sequence[Any]],
    outputs: Sequence[str],
    opset: int = 14,
    dtype: int = TensorProto.FLOAT,
) -> Any:
    """Return a ModelProto."""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """Return a node; names are parted by blanks, ``-`` is one left out."""
    named = [["" if name == "-" else name for name in text.split()] for text in (inputs, outputs)]
    return helper.make_node(op, *named, **attributes)


def run_onnx(model: Any, feeds: Arrays, output: int = 0) -> np.ndarray[Any, Any]:
    """Run a graph in ONNX Runtime, or where it is not installed in onnx's own evaluator."""
    try:
        import onnxruntime as ort
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        return np.asarray(ReferenceEvaluator(model).run(None, feeds)[output])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    return np.asarray(session.run(None, feeds)[output])


def series(features: int = F, seed: int = 3) -> np.ndarray[Any, Any]:
    return draw(T, features, seed=seed)


def single(op: str, extra: Arrays | None = None, places: str = "", **attributes: Any) -> Any:
    """Return a graph of one recurrent node, X [T, B, F] to Y."""
    found = weights(op) | (extra or {})
    recurrent = node(op, f"x W R B {places}", "y", hidden_size=H, **attributes)
    return graph([recurrent], found, {"x": ["t", "b", F]}, ["y"])


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
# What the reference evaluator leaves out and only a runtime knows.
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
@pytest.mark.parametrize("name", SINGLE | OPTIONS)
def test_a_recurrent_node(name: str, backend: str) -> None:
    if name in OPTIONS:
        pytest.importorskip("onnxruntime", reason="onnx's own evaluator ignores these options")
    model, X = (SINGLE | OPTIONS)[name], series()
    expected = run_onnx(model, {"x": X[:, None]})[:, 0, 0]
    assert difference(sl.from_onnx(model), X, expected, backend) < TOLERANCE


@pytest.mark.parametrize("name", SINGLE)
def test_a_recurrent_node_against_the_reference_evaluator(name: str) -> None:
    from onnx.reference import ReferenceEvaluator

    model, X = SINGLE[name], series()
    expected = ReferenceEvaluator(model).run(None, {"x": X[:, None]})[0][:, 0, 0]
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
    from onnx.reference import ReferenceEvaluator

    recurrent = node("LSTM", "x W R B", "y4", hidden_size=H, layout=1)
    squeeze = node("Squeeze", "y4 two", "y")
    model = graph(
        [recurrent, squeeze],
        weights("LSTM") | {"two": np.array([2])},
        {"x": ["b", "t", F]},
        ["y"],
    )
    X = series()
    expected = ReferenceEvaluator(model).run(None, {"x": X[None]})[0][0]
    assert difference(sl.from_onnx(model), X, expected) < TOLERANCE


def keras_style(tail: Sequence[Any], last: str, constants: Arrays, opset: int = 12) -> Any:
    """Transpose in, LSTM, Squeeze, Transpose out, GRU, and what stands behind."""
    first, second = weights("LSTM"), weights("GRU", H, 4, seed=1)
    arrays = {f"{k}1": v for k, v in first.items()} | {f"{k}2": v for k, v in second.items()}
    nodes = [
        node("Transpose", "x", "x1", perm=[1, 0, 2]),
        node("LSTM", "x1 W1 R1 B1", "y1", hidden_size=H),
        node("Squeeze", "y1", "s1", axes=[1]),
        node("Transpose", "s1", "t1", perm=[1, 0, 2]),
        node("Transpose", "t1", "x2", perm=[1, 0, 2]),
        node("GRU", "x2 W2 R2 B2", "y2 h2", hidden_size=4, linear_before_reset=1),
        node("Squeeze", "y2", "s2", axes=[1]),
        node("Transpose", "s2", "t2", perm=[1, 0, 2]),
        *tail,
    ]
    return graph(nodes, arrays | constants, {"x": ["b", "t", F]}, [last], opset)


M, V = {"M": draw(4, 2, seed=5)}, {"V": draw(2, seed=6)}
TIMES: dict[str, Any] = {
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


@pytest.mark.parametrize("name", TIMES)
def test_what_stands_behind_recurrent_layers(name: str) -> None:
    tail, constants = TIMES[name]
    model, X = keras_style(tail, "y", constants), series()
    expected = run_onnx(model, {"x": X[None]})[0]
    assert difference(sl.from_onnx(model), X, expected) < TOLERANCE


POINTWISE: dict[str, Any] = {
    "mish": (18, "mish", [node("Mish", "m", "y")]),
    "mish, taken apart": (
        14,
        "mish",
        [node("Softplus", "m", "a"), node("Tanh", "a", "b"), node("Mul", "m b", "y")],
    ),
    "hardswish": (14, "hard_silu", [node("HardSwish", "m", "y")]),
    "hardswish, taken apart": (
        13,
        "hard_silu",
        [node("HardSigmoid", "m", "a", alpha=1 / 6), node("Mul", "a m", "y")],
    ),
    "hardswish, taken into small parts": (
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
def test_an_activation_of_a_newer_opset_or_taken_apart(name: str) -> None:
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
def test_the_last_step_is_every_step_of_a_stream(name: str) -> None:
    constants = {
        "minus": np.array(-1),
        "vector": np.array([-1]),
        "end": np.array([2**63 - 1]),
        "axis": np.array([1]),
    }
    model, X = keras_style(LAST[name], "y", constants), series()[:30]
    expected = [run_onnx(model, {"x": X[None, : n + 1]})[0] for n in range(len(X))]
    assert difference(sl.from_onnx(model), X, np.stack(expected)) < TOLERANCE


@pytest.mark.parametrize("opset", [11, 13])
def test_a_state_that_is_passed_in_and_out(opset: int) -> None:
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


def test_the_input_added_to_the_output() -> None:
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


def test_the_input_added_to_the_output_after_it_was_multiplied() -> None:
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


def test_tokens_of_an_embedding() -> None:
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


def test_weights_in_a_file_of_their_own(tmp_path: Any) -> None:
    path = tmp_path / "model.onnx"
    model = onnx.ModelProto.FromString(SINGLE["lstm"].SerializeToString())
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert sl.from_onnx(path).layers == (sl.LSTM(F, H),)
    with pytest.raises(ConvertError, match="stand in a file of their own"):
        sl.from_onnx(path.read_bytes())
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ConvertError, match="cannot be read as ONNX"):
        sl.from_onnx(path)


def broken(op: str = "LSTM", places: str = "W R B", **changed: Any) -> Any:
    attributes = {k: v for k, v in changed.items() if not isinstance(v, np.ndarray)}
    arrays = weights(op) | {k: v for k, v in changed.items() if isinstance(v, np.ndarray)}
    return graph([node(op, f"x {places}", "y", **attributes)], arrays, {"x": ["t", "b", F]}, ["y"])


def tail(*nodes: Any, **constants: Any) -> Any:
    return keras_style(nodes, "y", constants)


REFUSED: dict[str, Any] = {
    "loop": (tail(node("Loop", "- - M", "y"), M=draw(1)), "Loop 'y' cannot be taken over: a loop"),
    "reverse": (broken(direction="Reverse"), "LSTM 'y' has direction 'reverse'"),
    "bidirectional": (broken(direction="bidirectional"), "direction 'bidirectional'"),
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
        "W takes 3 values, but what stands before it hands on 4",
    ),
    "activation": (broken(activations=["Sigmoid", "Tanh", "Mish"]), "activation 'Mish'"),
    "activation without a slope": (
        tail(node("LeakyRelu", "t2", "y", alpha=float("nan"))),
        "LeakyRelu 'y': activation leaky_relu: expected 1 finite parameters",
    ),
    "slope of a gate": (
        broken(activations=["Sigmoid", "LeakyRelu", "Tanh"], activation_alpha=[float("inf")]),
        "^LSTM 'y': activation leaky_relu: expected 1 finite parameters",
    ),
    "missing tensor": (broken(places="W R nowhere"), "'nowhere' is given by nothing"),
    "matrix": (tail(node("MatMul", "t2 M", "y"), M=draw(5, 2)), r"\(4, \.\.\.\), got \(5, 2\)"),
    "first step": (
        tail(node("Gather", "t2 zero", "y", axis=1), zero=np.array(0)),
        r"Gather 'y' takes \[0\] of the sequence: a stream has only its last step",
    ),
    "mean over time": (tail(node("ReduceMean", "t2", "y", axes=[1])), "the whole series"),
    "softmax over time": (tail(node("Softmax", "t2", "y", axis=1)), "over other axes"),
    "attention": (
        tail(node("Transpose", "t2", "k", perm=[0, 2, 1]), node("MatMul", "t2 k", "y")),
        "expected a constant",
    ),
    "two branches": (
        tail(
            node("MatMul", "t2 M", "a"),
            node("Tanh", "t2", "b"),
            node("Mul", "a b", "y"),
            M=draw(4, 4),
        ),
        "joins two branches",
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
        "several steps at once",
    ),
    "flattened": (
        tail(node("Flatten", "t2", "f"), node("Gemm", "f M", "y"), M=draw(8, 1)),
        "stepped",
    ),
    "unknown": (tail(node("Cumsum", "t2 one", "y"), one=np.array(1)), "Cumsum 'y' cannot be taken"),
    "no known function": (
        tail(node("Exp", "t2", "a"), node("Log", "a", "b"), node("Sqrt", "b", "y")),
        "no known activation",
    ),
}


MAX, MIN = 2**63 - 1, -(2**63) + 1
BEFORE: dict[str, tuple[tuple[int, int, int], str]] = {
    "turned around": ((-1, MIN, -1), "turns around an axis.*cannot be read from its end"),
    "without its end": ((0, -1, 1), r"takes \[:-1\] of an axis.*every one is taken"),
    "without its start": ((1, MAX, 1), r"takes \[1:\] of an axis"),
    "every second": ((0, MAX, 2), r"takes \[::2\] of an axis"),
    "the last one": ((-1, MAX, 1), r"takes \[-1:\] of an axis.*wrote .*step by step"),
}


@pytest.mark.parametrize(("part", "message"), BEFORE.values(), ids=BEFORE.keys())
def test_steps_taken_before_a_layer_are_refused_for_what_they_are(
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
    with pytest.raises(ConvertError, match=f"^Slice .* {message}"):
        sl.from_onnx(model)


def test_a_sequence_turned_around_behind_a_layer_is_refused_for_what_it_is() -> None:
    constants = {"minus": np.array([-1]), "end": np.array([MIN]), "axis": np.array([1])}
    turned = tail(node("Slice", "t2 minus end axis minus", "y"), **constants)
    with pytest.raises(ConvertError, match=r"^Slice 'y' turns around the sequence: "):
        sl.from_onnx(turned)


@pytest.mark.parametrize(("model", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_stepped_is_refused(model: Any, message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        sl.from_onnx(model)


def test_what_is_no_onnx_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ConvertError, match="no such file"):
        sl.from_onnx(tmp_path / "nowhere.onnx")
    with pytest.raises(ConvertError, match=r"cannot be read as ONNX|found none"):
        sl.from_onnx(b"\x00 this is no file of ONNX")
    with pytest.raises(ConvertError, match="got int"):
        sl.from_onnx(3)
    with pytest.raises(ConvertError, match="no output 'z'; it has y"):
        sl.from_onnx(SINGLE["lstm"], output="z")


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_numbers_in_an_input_of_their_own_beside_an_embedding(before: bool, swapped: bool) -> None:
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
def test_an_activation_whose_parameters_nobody_says_is_refused(name: str) -> None:
    with pytest.raises(ConvertError, match=r"RNN 'y'.*lacks its activation_alpha.*do not agree"):
        sl.from_onnx(single("RNN", activations=[name]))


def test_numbers_that_are_cut_to_integers_are_refused() -> None:
    nodes = [
        node("Cast", "x", "n", to=TensorProto.INT64),
        node("Cast", "n", "z", to=TensorProto.FLOAT),
        node("RNN", "z W R B", "y", hidden_size=H),
    ]
    with pytest.raises(ConvertError, match="Cast 'z': numbers were cut to integers"):
        sl.from_onnx(graph(nodes, weights("RNN"), {"x": ["t", "b", F]}, ["y"]))


def test_a_quantized_graph_is_refused() -> None:
    quantize = node("QuantizeLinear", "y s o", "q"), node("DequantizeLinear", "q s o", "z")
    constants = {"s": np.float32(0.01), "o": np.int8(0), **weights("RNN")}
    nodes = [node("RNN", "x W R B", "y", hidden_size=H), *quantize]
    with pytest.raises(ConvertError, match=r"QuantizeLinear 'q'.*export the network in floating"):
        sl.from_onnx(graph(nodes, constants, {"x": ["t", "b", F]}, ["z"]))
