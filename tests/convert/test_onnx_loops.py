"""Loops that an exporter wrote out, and lengths of padded sequences, in ONNX graphs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm import GRU, LSTM, RNN, Dense
from streamlstm.convert.loops.cells import State, find_cells
from streamlstm.convert.loops.expressions import Algebra, Expression, constant
from streamlstm.errors import ConvertError

onnx = pytest.importorskip("onnx", reason="needs onnx: make test")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

F, H = 3, 4


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)


def graph(nodes: Any, inputs: Any, outputs: Any, arrays: Any) -> Any:
    def infos(names: Any) -> Any:
        return [helper.make_tensor_value_info(n, kind, shape) for n, kind, shape in names]

    tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items()]
    return helper.make_graph(nodes, "g", infos(inputs), infos(outputs), tensors)


def looped(cell: str, path: Path, rows: Any = "t", scan: bool = False) -> Path:
    """Write a graph whose loop takes row by row, as tf2onnx writes layers of Keras; or a Scan."""
    floats, ints = TensorProto.FLOAT, TensorProto.INT64
    node = helper.make_node
    step = {
        "rnn": [
            node("MatMul", ["h", "U"], ["hu"]),
            node("Add", ["xw", "hu"], ["z"]),
            node("Add", ["z", "b"], ["zb"]),
            node("Tanh", ["zb"], ["h'"]),
        ],
        "gru before": [
            node("MatMul", ["h", "U2"], ["hu"]),
            node("Add", ["xw", "b"], ["xb"]),
            node("Split", ["xb"], ["xz", "xr", "xn"], axis=1),
            node("Split", ["hu"], ["hz", "hr"], axis=-1),
            node("Add", ["xz", "hz"], ["az"]),
            node("Add", ["xr", "hr"], ["ar"]),
            node("Sigmoid", ["az"], ["zs"]),
            node("Sigmoid", ["ar"], ["rs"]),
            node("Mul", ["rs", "h"], ["rh"]),
            node("MatMul", ["rh", "U"], ["un"]),
            node("Add", ["xn", "un"], ["an"]),
            node("Tanh", ["an"], ["n"]),
            node("Sub", ["h", "n"], ["d"]),
            node("Mul", ["zs", "d"], ["zd"]),
            node("Add", ["n", "zd"], ["h'"]),
        ],
    }[cell]
    gates = 1 if cell == "rnn" else 3
    body = graph(
        [
            node("Gather", ["series", "k"], ["row"], axis=0),
            node("MatMul", ["row", "W"], ["xw"]),
            *step,
            node("Add", ["k", "one"], ["k'"]),
            node("Identity", ["go"], ["go'"]),
            node("Identity", ["h'"], ["seen"]),
        ],
        [("i", ints, []), ("go", TensorProto.BOOL, []), ("k", ints, []), ("h", floats, ["b", H])],
        [
            ("go'", TensorProto.BOOL, []),
            ("k'", ints, []),
            ("h'", floats, ["b", H]),
            ("seen", floats, ["b", H]),
        ],
        {"one": np.array(1)},
    )
    loop = node(
        "Loop", ["count", "true", "zero", "h0"], ["steps", "end", "all"], body=body, name="rnn"
    )
    if scan:
        last = [("h'", floats, ["b", H]), ("seen", floats, ["b", H])]
        first = [("h", floats, ["b", H]), ("row", floats, ["b", F])]
        seen = node("Identity", ["h'"], ["seen"])
        body = graph([node("MatMul", ["row", "W"], ["xw"]), *step, seen], first, last, {})
        loop = node("Scan", ["h0", "series"], ["end", "all"], body=body, num_scan_inputs=1)
    nodes = [
        node("Transpose", ["x"], ["series"], perm=[1, 0, 2]),
        node("Shape", ["series"], ["shape"]),
        node("Gather", ["shape", "zero"], ["count"]),
        loop,
        node("Transpose", ["all"], ["back"], perm=[1, 0, 2]),
        node("MatMul", ["back", "D"], ["y"]),
    ]
    arrays = {"W": draw(F, gates * H), "b": draw(gates * H), "U": draw(H, H)}
    arrays |= {
        "U2": draw(H, 2 * H),
        "D": draw(H, 2),
        "h0": draw(1, H),
        "zero": np.array(0),
        "true": np.array(True),
    }
    whole = graph(nodes, [("x", floats, [1, rows, F])], [("y", floats, [1, rows, 2])], arrays)
    onnx.save(
        helper.make_model(whole, opset_imports=[helper.make_opsetid("", 12)], ir_version=8), path
    )
    return path


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "gru before"])
def test_a_loop_is_the_layer_that_it_computes(tmp_path: Path, cell: str, scan: bool) -> None:
    path = looped(cell, tmp_path / "m.onnx", scan=scan)
    model = sl.from_onnx(path)
    layer = model.layers[0]
    assert isinstance(layer, RNN if cell == "rnn" else GRU)
    assert layer.initial_state
    assert model.window is None
    assert sl.compare(model, path).agrees


def test_a_graph_of_a_fixed_length_is_asked_window_by_window(tmp_path: Path) -> None:
    path = looped("rnn", tmp_path / "m.onnx", rows=6)
    found = sl.compare(sl.from_onnx(path), path)
    assert found.how == "10 windows of 6 rows"
    assert found.agrees


def test_what_a_loop_computes_otherwise_is_said(tmp_path: Path) -> None:
    path = looped("rnn", tmp_path / "m.onnx")
    model = onnx.load(path)
    loop = next(n for n in model.graph.node if n.op_type == "Loop")
    body = loop.attribute[0].g
    next(n for n in body.node if n.op_type == "Tanh").op_type = "Cos"
    onnx.save(model, path)
    with pytest.raises(ConvertError, match=r"The loop rnn: Cos .* none of the operations"):
        sl.from_onnx(path)


def cell(kind: str, F: int, H: int, seed: int = 0) -> tuple[Algebra, Expression, dict[int, State]]:
    """Return a step as an exporter may write it: gate by gate."""
    algebra = Algebra()
    row = algebra.given("row", F)
    h, c = (algebra.given(name, H) for name in "hc")

    def gate(n: int, *more: Expression) -> Expression:
        z = row.times(draw(H, F, seed=seed + n)).plus(h.times(draw(H, H, seed=seed + n)))
        for term in (constant(draw(H, seed=seed + n)), *more):
            z = z.plus(term)
        return z

    def act(name: str, x: Expression) -> Expression:
        return algebra.activation(name, x)

    if kind == "lstm":
        seen = c.scaled(draw(H, seed=9).astype(float))
        i, f = act("sigmoid", gate(0)), act("sigmoid", gate(1, seen))
        after = algebra.multiplied(c, f).plus(algebra.multiplied(act("tanh", gate(2)), i))
        out = algebra.multiplied(act("tanh", after), act("sigmoid", gate(3)))
        atoms = [next(iter(x.terms))[0] for x in (h, c)]
        return algebra, row, {1: State(atoms[0], out), 0: State(atoms[1], after)}
    z, r = act("sigmoid", gate(0)), act("sigmoid", gate(1))
    inner = h.times(draw(H, H, seed=5)).plus(constant(draw(H, seed=6)))
    n = act("tanh", row.times(draw(H, F, seed=7)).plus(algebra.multiplied(inner, r)))
    rest = constant(np.ones(H)).plus(z.scaled(np.array(-1.0)))
    after = algebra.multiplied(rest, h).plus(algebra.multiplied(z, n))
    return algebra, row, {0: State(next(iter(h.terms))[0], after)}


@pytest.mark.parametrize("H", [1, 4])
def test_cells_are_recognised_however_they_are_written(H: int) -> None:
    algebra, row, states = cell("lstm", F, H)
    (found,) = find_cells(algebra, row, states)
    assert (found.kind, found.h, found.c) == ("LSTM", 1, 0)
    assert np.allclose(found.weight_x.reshape(4, H, F)[[0, 2, 3, 1]], [
        draw(H, F, seed=n) for n in range(4)
    ])  # fmt: skip
    assert np.allclose(found.peephole.reshape(3, H)[2], draw(H, seed=9))
    algebra, row, states = cell("gru", F, H)
    (found,) = find_cells(algebra, row, states)
    assert (found.kind, found.before_reset) == ("GRU", True)
    assert np.allclose(found.weight_h[2 * H :], draw(H, H, seed=5))
    assert np.allclose(found.bias_h[2 * H :], draw(H, seed=6))
    assert np.allclose(found.weight_x[:H], -draw(H, F))  # z here is the share of the old state


def test_a_convolution_of_kernel_1_is_a_dense_layer(tmp_path: Path) -> None:
    node, floats = helper.make_node, TensorProto.FLOAT
    given = {"K": draw(4, F, 1), "k": draw(4), "W": draw(1, 4 * H, 4), "R": draw(1, 4 * H, H)}
    nodes = [
        node("Transpose", ["x"], ["xt"], perm=[0, 2, 1]),
        node("Conv", ["xt", "K", "k"], ["c"], kernel_shape=[1]),
        node("Transpose", ["c"], ["ct"], perm=[2, 0, 1]),
        node("LSTM", ["ct", "W", "R"], ["Y"], hidden_size=H),
        node("Squeeze", ["Y"], ["y"], axes=[1]),
    ]
    whole = graph(nodes, [("x", floats, [1, "t", F])], [("y", floats, ["t", 1, H])], given)
    path = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(whole, opset_imports=[helper.make_opsetid("", 12)], ir_version=8), path
    )
    model = sl.from_onnx(path)
    assert model.layers == (Dense(F, 4), LSTM(4, H))
    assert sl.compare(model, path).agrees


def test_a_step_that_is_no_cell_is_refused() -> None:
    algebra = Algebra()
    row, h = algebra.given("row", F), algebra.given("h", H)
    after = algebra.activation("tanh", row.times(draw(H, F))).plus(h)
    with pytest.raises(ConvertError, match="none of an LSTM, a GRU or a plain"):
        find_cells(algebra, row, {0: State(next(iter(h.terms))[0], after)})


@pytest.mark.parametrize("how", ["GatherElements", "GatherND", "sequence_lens"])
def test_the_last_of_the_given_length_is_the_last_step(tmp_path: Path, how: str) -> None:
    node, floats, ints = helper.make_node, TensorProto.FLOAT, TensorProto.INT64
    given = {"W": draw(1, 4 * H, F), "R": draw(1, 4 * H, H), "D": draw(H, 2)}
    given |= {"one": np.array([1]), "wide": np.array([1, 1, H]), "thin": np.array([1, 1, 1])}
    given |= {"first": np.array([[0]]), "flat": np.array([-1, 1]), "zero": np.array([0])}
    picked = {
        "GatherElements": [
            node("Reshape", ["last", "thin"], ["l3"]),
            node("Expand", ["l3", "wide"], ["index"]),
            node("GatherElements", ["out", "index"], ["p"], axis=1),
            node("Squeeze", ["p", "one"], ["h"]),
        ],
        "GatherND": [
            node("Reshape", ["last", "flat"], ["l2"]),
            node("Concat", ["first", "l2"], ["index"], axis=1),
            node("GatherND", ["out", "index"], ["h"]),
        ],
        "sequence_lens": [node("Squeeze", ["end", "zero"], ["h"])],
    }[how]
    lens = "n32" if how == "sequence_lens" else ""
    nodes = [
        node("Cast", ["n"], ["n32"], to=TensorProto.INT32),
        node("Transpose", ["x"], ["xt"], perm=[1, 0, 2]),
        node("LSTM", ["xt", "W", "R", "", lens], ["Y", "end"], hidden_size=H, name="rnn"),
        node("Squeeze", ["Y", "one"], ["Yt"]),
        node("Transpose", ["Yt"], ["out"], perm=[1, 0, 2]),
        node("Sub", ["n", "one"], ["last"]),
        *picked,
        node("MatMul", ["h", "D"], ["y"]),
    ]
    inputs = [("x", floats, [1, "t", F]), ("n", ints, [1])]
    whole = graph(nodes, inputs, [("y", floats, [1, 2])], given)
    path = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(whole, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path
    )
    model = sl.from_onnx(path)
    assert model.layers == (LSTM(F, H), Dense(H, 2))
    if how == "sequence_lens":
        assert "ends its sequences after n rows" in model.metadata["notes"]
    data = draw(40, F, seed=3)  # ONNX's evaluator selects out of at most 64 steps
    assert sl.compare(model, path, data=data).agrees


def _backwards(model: Any, body: Any) -> None:
    (read,) = (n for n in body.node if n.op_type == "Gather")
    read.input[1] = "turned"
    body.node.insert(0, helper.make_node("Sub", ["last", "k"], ["turned"]))
    model.graph.node.insert(3, helper.make_node("Sub", ["count", "first"], ["last"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1), "first"))


def _few(model: Any, body: Any) -> None:
    next(n for n in model.graph.node if n.op_type == "Loop").input[0] = "three"
    model.graph.initializer.append(numpy_helper.from_array(np.array(3), "three"))


def _every_second(model: Any, body: Any) -> None:
    body.initializer[0].CopyFrom(numpy_helper.from_array(np.array(2), "one"))


def _ended(model: Any, body: Any) -> None:
    end = next(n for n in body.node if n.output[0] == "go'")
    end.op_type = "Less"
    end.input[:] = ["k", "one"]


@pytest.mark.parametrize("change", [_backwards, _few, _every_second, _ended])
def test_a_loop_over_other_rows_is_refused(tmp_path: Path, change: Any) -> None:
    model = onnx.load(looped("rnn", tmp_path / "m.onnx"))
    change(model, next(n for n in model.graph.node if n.op_type == "Loop").attribute[0].g)
    with pytest.raises(ConvertError, match=r"it leaves rows out|goes 2 rows on"):
        sl.from_onnx(model.SerializeToString())
