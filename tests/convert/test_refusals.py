"""Refusals: each names the format, what cannot be stepped, why, and the nearest way that works."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.convert.load import load_any
from streamlstm.errors import ConvertError

from .keras_files import dense, legacy, lstm
from .torch_states import linear, recurrent

GROUP = ("GroupNormalization", {"name": "norm"}, {})
KERAS: dict[str, tuple[list[Any], list[str]]] = {
    "in the middle": (
        [lstm("a", 2, 3), GROUP, dense("d", 3, 1)],
        ["a network of Keras): layer 'norm'", "mean and variance", "get_layer('a').output"],
    ),
    "first": (
        [GROUP, lstm("a", 2, 3), dense("d", 3, 1)],
        ["layer 'norm'", "*net.layers[1:]]).save('rest.keras')", "get_layer('a').input.shape"],
    ),
    "code": (
        [lstm("a", 2, 3), ("Lambda", {"name": "x"}, {})],
        ["Python code", "--output-scale", "get_layer('a').output"],
    ),
}


@pytest.mark.parametrize("name", KERAS)
def test_a_network_of_keras_says_which_part_can_be_brought(tmp_path: Path, name: str) -> None:
    layers, words = KERAS[name]
    with pytest.raises(ConvertError) as caught:
        sl.from_keras(legacy(tmp_path / "m.h5", layers))
    message = str(caught.value)
    assert message.startswith(str(tmp_path))
    assert [word for word in words if word not in message] == []


STATES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "branches": (
        {**recurrent(4, 2, 3), **linear("mu", 3, 1), **linear("sigma", 3, 1)},
        ["a state dict of PyTorch: sigma takes 3", "give the module", "--module"],
    ),
    "a convolution": (
        {"conv.weight": np.ones((4, 2, 3)), "conv.bias": np.ones(4), **recurrent(4, 4, 3)},
        ["conv has weight (4, 2, 3)", "3 steps at once", "--window T"],
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_dict_asks_for_the_module(name: str) -> None:
    state, words = STATES[name]
    with pytest.raises(ConvertError) as caught:
        sl.from_torch(state)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "Sequential" not in str(caught.value)  # which would compute something else


def _raise(*_: object, **__: object) -> None:
    raise RuntimeError("something that no reader expects\nand a page of it")


FOREIGN: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "Keras": (
        lambda path: sl.from_keras(legacy(path, [lstm("a", 2, 3)])),
        "streamlstm.convert.keras.importer.read_network",
        "(a network of Keras): cannot be read: it is damaged",
    ),
    "PyTorch": (
        lambda _: sl.from_torch({**recurrent(4, 2, 3), **linear("fc", 3, 1)}),
        "streamlstm.convert.torch.importer.layers_of_state_dict",
        "a state dict of PyTorch: cannot be read: it is damaged",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_code_of_others_raises_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    convert, function, words = FOREIGN[name]
    monkeypatch.setattr(function, _raise)
    with pytest.raises(ConvertError) as caught:
        convert(tmp_path / "m.h5")
    message = str(caught.value)
    assert words in message
    assert "RuntimeError: something that no reader expects)" in message
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ü/data.pkl", b"x")
    content = bytearray(path.read_bytes())
    place = content.rindex("ü".encode())
    content[place : place + 2] = b"\xff\xff"  # a name that is no UTF-8
    path.write_bytes(content)
    with pytest.raises(ConvertError, match=r"a damaged \.keras or PyTorch file"):
        load_any(path)


def test_json_names_its_format_and_the_way(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"in_shape": [None, 1], "layers": [{"type": "conv2d"}]}))
    with pytest.raises(ConvertError) as caught:
        load_any(path)
    message = str(caught.value)
    assert "(JSON of RTNeural or AIDA-X): layer 0 (conv2d) is refused" in message
    assert message.endswith("or bring the network that it was made from, of Keras or PyTorch.")


ONNX = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@ONNX
def test_an_onnx_graph_says_which_tensor_can_be_brought() -> None:
    graphs = pytest.importorskip("tests.convert.onnx_graphs", reason="needs onnx")
    nodes = [
        graphs.node("LSTM", "x W R B", "y h", hidden_size=graphs.H),
        graphs.node("Squeeze", "y one", "rows"),
        graphs.node("CumSum", "rows axis", "out"),
    ]
    constants = {**graphs.weights("LSTM"), "one": np.array([1]), "axis": np.array(2)}
    model = graphs.graph(nodes, constants, {"x": ["T", 1, graphs.F]}, ["out"])
    with pytest.raises(ConvertError, match=r"^an ONNX graph: CumSum .*output='y' \(--output\)"):
        sl.from_onnx(model)
    assert sl.from_onnx(model, output="y").output_size == graphs.H
    with pytest.raises(ConvertError, match="no output 'z'; it has out, and every tensor"):
        sl.from_onnx(model, output="z")
