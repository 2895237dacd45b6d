"""ONNX graphs for tests: helpers to build them node by node, and to run them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is needed to read ONNX files")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from streamlstm.convert.onnx.evaluate import reference_runner  # noqa: E402

F, H, T = 3, 5, 200
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Arrays = dict[str, np.ndarray[Any, Any]]


def draw(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return random numbers whose scale differs by row."""
    rng = np.random.default_rng((seed, *shape))
    values = rng.standard_normal(shape) * rng.uniform(0.3, 1.0, shape[:-1])[..., None]
    return np.asarray(values, np.float32)


def weights(op: str, inputs: int = F, hidden: int = H, seed: int = 0) -> Arrays:
    """Return random W, R and B of a recurrent node."""
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
    """Return a node; names are separated by spaces, ``-`` is an omitted one."""
    named = [["" if name == "-" else name for name in text.split()] for text in (inputs, outputs)]
    return helper.make_node(op, *named, **attributes)


def run_onnx(model: Any, feeds: Arrays, output: int = 0) -> np.ndarray[Any, Any]:
    """Run a graph in ONNX Runtime, or in the reference evaluator if that is not installed."""
    try:
        import onnxruntime as ort
    except ImportError:
        return np.asarray(reference_runner(model)(feeds)[output])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    return np.asarray(session.run(None, feeds)[output])


def series(features: int = F, seed: int = 3) -> np.ndarray[Any, Any]:
    """Return observations X[T, F]."""
    return draw(T, features, seed=seed)


def single(op: str, extra: Arrays | None = None, places: str = "", **attributes: Any) -> Any:
    """Return a graph of one recurrent node, X [T, B, F] to Y."""
    found = weights(op) | (extra or {})
    recurrent = node(op, f"x W R B {places}", "y", hidden_size=H, **attributes)
    return graph([recurrent], found, {"x": ["t", "b", F]}, ["y"])


def keras_style(tail: Sequence[Any], last: str, constants: Arrays, opset: int = 12) -> Any:
    """Return a graph of Transpose, LSTM, Squeeze, Transpose, GRU, and the nodes after them."""
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


def tail(*nodes: Any, **constants: Any) -> Any:
    """Return a graph of recurrent layers and further nodes, the last of which gives y."""
    return keras_style(nodes, "y", constants)
