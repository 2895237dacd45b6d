"""Keras files: weights, shapes, damage, and layouts of older versions."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import streamlstm as sl
from streamlstm import LSTM, Dense
from streamlstm.errors import ConvertError

from .keras_files import GOLDEN, changed_zip, dense, layers_of, legacy, lstm, refused


def test_a_missing_weight_is_named(tmp_path: Path) -> None:
    def drop(file: Any) -> None:
        del file["layers/lstm_1/cell/vars/2"]

    message = refused(changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=drop))
    assert "'lstm_1' (LSTM)" in message or "(LSTM) lacks bias" in message
    assert "lacks bias" in message


def test_an_unexpected_weight_is_named_with_its_shape(tmp_path: Path) -> None:
    def add(file: Any) -> None:
        file["layers/lstm/cell/vars/3"] = np.zeros((2, 9), np.float32)

    message = refused(changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=add))
    assert "(LSTM) has unexpected weights" in message
    assert "(2, 9)" in message


def test_weights_of_an_unknown_layer_are_named(tmp_path: Path) -> None:
    def add(file: Any) -> None:
        file["layers/dense_7/vars/0"] = np.zeros((3, 3), np.float32)

    message = refused(changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=add))
    assert "no layer takes: layers/dense_7/vars/0 (3, 3)" in message


def test_weights_of_the_optimizer_are_ignored(tmp_path: Path) -> None:
    def add(file: Any) -> None:
        file["optimizer/vars/0"] = np.zeros((3, 3), np.float32)

    path = changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=add)
    assert (
        sl.from_keras(path).fingerprint
        == sl.from_keras(GOLDEN / "keras3_lstm_stack.keras").fingerprint
    )


@pytest.mark.parametrize(
    ("where", "shape", "words"),
    [
        ("layers/lstm/cell/vars/0", (3, 27), "expected kernel (F, 28)"),
        ("layers/lstm/cell/vars/1", (6, 28), "got (3, 28) and (6, 28)"),
        ("layers/lstm/cell/vars/2", (27,), "(LSTM).bias: expected shape (28,), got (27,)"),
        ("layers/lstm/cell/vars/0", (4, 28), "takes 4 values"),
        ("layers/dense/vars/0", (4, 3), "expected kernel (K, 2), got (4, 3)"),
        ("layers/dense/vars/0", (5, 2), "takes 5 values"),
    ],
)
def test_shapes_that_do_not_fit_are_named(
    tmp_path: Path, where: str, shape: tuple[int, ...], words: str
) -> None:
    def replace(file: Any) -> None:
        del file[where]
        file[where] = np.ones(shape, np.float32)

    path = changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=replace)
    assert words in refused(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    def spoil(file: Any) -> None:
        file["layers/lstm/cell/vars/2"][0] = np.nan

    path = changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=spoil)
    assert "finite" in refused(path)


@pytest.mark.parametrize("cut", [10, 300, 20_000])
@pytest.mark.parametrize("name", ["keras3_lstm_stack.keras", "keras3_embedding.h5"])
def test_truncated_files_are_refused(tmp_path: Path, name: str, cut: int) -> None:
    path = tmp_path / name
    path.write_bytes((GOLDEN / name).read_bytes()[:cut])
    assert str(path) in refused(path)


def test_damaged_bytes_are_refused_or_read_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("keras3_lstm_stack.keras", "keras3_gru_before.h5"):
        data = bytearray((GOLDEN / name).read_bytes())
        for _ in range(60):
            broken = bytearray(data)
            for place in rng.integers(0, len(data), 20):
                broken[place] = rng.integers(0, 256)
            path = tmp_path / name
            path.write_bytes(broken)
            try:
                sl.from_keras(path)
            except ConvertError:
                continue


def test_a_weights_file_is_refused_with_advice(tmp_path: Path) -> None:
    with zipfile.ZipFile(GOLDEN / "keras3_lstm_stack.keras") as archive:
        (tmp_path / "m.weights.h5").write_bytes(archive.read("model.weights.h5"))
    message = refused(tmp_path / "m.weights.h5")
    assert "weights without layers" in message
    assert "model.save('model.keras')" in message


def test_an_external_link_is_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.ones(28, np.float32)

    def link(file: Any) -> None:
        del file["layers/lstm/cell/vars/2"]
        file["layers/lstm/cell/vars/2"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "secret")

    path = changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=link)
    assert "lacks bias" in refused(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_text("hello")
    assert "its content is neither" in refused(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "z.keras", "w") as archive:
        archive.writestr("readme", "hello")
    assert "a zip archive of another kind" in refused(tmp_path / "z.keras")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = [1.0]
    assert "holds no network of Keras" in refused(tmp_path / "data.h5")


def test_without_h5py_the_install_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    assert "pip install h5py" in refused(GOLDEN / "keras3_embedding.h5")


def test_a_bare_list_of_layers_of_early_keras_2(tmp_path: Path) -> None:
    path = legacy(tmp_path / "m.h5", [lstm("a", 2, 3), dense("d", 3, 1)])
    with h5py.File(path, "r+") as file:
        content = json.loads(file.attrs["model_config"])
        content["config"] = content["config"]["layers"]
        file.attrs["model_config"] = json.dumps(content)
    assert sl.from_keras(path).layers == (LSTM(2, 3), Dense(3, 1))


def test_layer_names_split_over_several_attributes(tmp_path: Path) -> None:
    path = legacy(tmp_path / "m.h5", [lstm("a", 2, 3), dense("d", 3, 1)])
    with h5py.File(path, "r+") as file:
        del file["model_weights"].attrs["layer_names"]
        file["model_weights"].attrs["layer_names0"] = [b"a"]
        file["model_weights"].attrs["layer_names1"] = [b"d"]
    assert sl.from_keras(path).layers == (LSTM(2, 3), Dense(3, 1))


def test_the_paths_of_early_keras_files(tmp_path: Path) -> None:
    def move(file: Any) -> None:
        file.move("layers", "_layer_checkpoint_dependencies")

    path = changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=move)
    assert len(sl.from_keras(path).layers) == 4


def _set(key: str, value: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        layers_of(content)[1]["config"][key] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("units", "seven"),
        _set("units", 0),
        _set("units", True),
        lambda content: content.pop("config"),
        lambda content: content["config"].pop("layers"),
        lambda content: layers_of(content).insert(0, 3),
        lambda content: layers_of(content).clear(),
        lambda content: layers_of(content)[1].pop("config"),
    ],
)
def test_a_broken_configuration_is_refused(tmp_path: Path, change: Callable[[Any], None]) -> None:
    refused(changed_zip("keras3_lstm_stack", tmp_path / "m.keras", config=change))


def test_any_configuration_is_read_or_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    odd = [None, -1, 2.5, "odd", [], {}, [[3]], {"class_name": "x"}, True]

    def spoil(content: Any) -> None:
        places = list(_places(content))
        for n in rng.integers(0, len(places), 3):
            holder, key = places[n]
            holder[key] = odd[rng.integers(0, len(odd))]

    for name in ("keras3_functional_zip", "keras2_norms"):
        for _ in range(150):
            path = changed_zip(name, tmp_path / "m.keras", config=spoil)
            try:
                sl.from_keras(path)
            except ConvertError:
                continue


def _places(value: Any) -> Any:
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
