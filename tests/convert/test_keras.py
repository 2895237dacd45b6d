"""What is refused of Keras, with which words; and files as older versions wrote them."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import streamlstm as sl
from streamlstm import GRU, LSTM, Dense
from streamlstm.convert.keras.activations import read_activation, read_layer
from streamlstm.errors import ConvertError

from .keras_files import GOLDEN, changed_zip, dense, legacy, lstm


def layers_of(content: Any) -> list[Any]:
    return content["config"]["layers"]


def refused(path: Path) -> str:
    with pytest.raises(ConvertError) as caught:
        sl.from_keras(path)
    return str(caught.value)


def test_a_weight_that_lacks_is_named(tmp_path: Path) -> None:
    def drop(file: Any) -> None:
        del file["layers/lstm_1/cell/vars/2"]

    message = refused(changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=drop))
    assert "'lstm_1' (LSTM)" in message or "(LSTM) lacks bias" in message
    assert "lacks bias" in message


def test_a_weight_too_many_is_named_with_its_shape(tmp_path: Path) -> None:
    def add(file: Any) -> None:
        file["layers/lstm/cell/vars/3"] = np.zeros((2, 9), np.float32)

    message = refused(changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=add))
    assert "(LSTM) has weights that it should not have" in message
    assert "(2, 9)" in message


def test_a_layer_that_is_not_in_the_graph_is_named(tmp_path: Path) -> None:
    def add(file: Any) -> None:
        file["layers/dense_7/vars/0"] = np.zeros((3, 3), np.float32)

    message = refused(changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=add))
    assert "no layer takes: layers/dense_7/vars/0 (3, 3)" in message


def test_weights_of_the_optimizer_belong_to_no_layer(tmp_path: Path) -> None:
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
def test_shapes_that_contradict_are_named(
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


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("Bidirectional", "from its end"),
        ("Conv1D", "several steps at once"),
        ("Lambda", "Python code"),
        ("MultiHeadAttention", "whole sequence"),
        ("GlobalAveragePooling1D", "whole sequence"),
        ("RepeatVector", "second sequence"),
        ("MyLayer", "no such layer is known"),
    ],
)
def test_layers_that_cannot_be_stepped_are_refused_with_the_reason(
    tmp_path: Path, kind: str, words: str
) -> None:
    other = (kind, {"name": "odd"}, {})
    path = legacy(tmp_path / "m.h5", [lstm("a", 2, 3), other, dense("d", 3, 1)])
    message = refused(path)
    assert f"layer 'odd' ({kind}) is refused" in message
    assert words in message


def test_going_backwards_is_refused(tmp_path: Path) -> None:
    path = legacy(tmp_path / "m.h5", [lstm("back", 2, 3, go_backwards=True)])
    assert "layer 'back' (LSTM) is refused: go_backwards" in refused(path)


def test_a_second_sequence_from_the_end_of_the_first_is_refused(tmp_path: Path) -> None:
    reshape = ("Reshape", {"name": "r", "target_shape": [1, 3]}, {})
    first, second = lstm("a", 2, 3, return_sequences=False), lstm("b", 3, 4)
    message = refused(legacy(tmp_path / "m.h5", [first, reshape, second]))
    assert "layer 'b' (LSTM) is refused" in message


def test_flattening_a_sequence_is_refused(tmp_path: Path) -> None:
    flat = ("Flatten", {"name": "f"}, {})
    message = refused(legacy(tmp_path / "m.h5", [lstm("a", 2, 3), flat, dense("d", 3, 1)]))
    assert "layer 'f' (Flatten) is refused" in message


def test_branches_are_refused_by_the_layer_that_joins_them(tmp_path: Path) -> None:
    def join(content: Any) -> None:
        last = layers_of(content)[-1]
        last["class_name"] = "Multiply"

    message = refused(changed_zip("keras3_functional_zip", tmp_path / "m.keras", config=join))
    assert "(Multiply) joins" in message


def tensor(layer: str, output: int = 0) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [layer, 0, output]}}


def test_a_state_of_another_layer_is_refused(tmp_path: Path) -> None:
    def pass_on(content: Any) -> None:
        layers = layers_of(content)
        first, second = (layer for layer in layers if layer["class_name"] in ("LSTM", "GRU"))
        second["inbound_nodes"][0]["kwargs"]["initial_state"] = [tensor(first["name"], 1)]

    message = refused(changed_zip("keras3_graph_states", tmp_path / "m.keras", config=pass_on))
    assert "(GRU) takes its initial state from 'lstm" in message


def test_the_cell_state_for_an_answer_is_refused(tmp_path: Path) -> None:
    def answer(content: Any) -> None:
        (lstm,) = (layer for layer in layers_of(content) if layer["class_name"] == "LSTM")
        layers_of(content)[-1]["inbound_nodes"][0]["args"] = [tensor(lstm["name"], 2)]

    message = refused(changed_zip("keras3_graph_states", tmp_path / "m.keras", config=answer))
    assert "takes output 2 of 'lstm" in message


def test_numbers_that_do_not_follow_the_category_are_refused(tmp_path: Path) -> None:
    def other_columns(content: Any) -> None:
        slices = [layer for layer in layers_of(content) if layer["class_name"] == "GetItem"]
        slices[0]["inbound_nodes"][0]["args"][1][2] = 1

    message = refused(
        changed_zip("keras3_graph_sliced", tmp_path / "m.keras", config=other_columns)
    )
    assert "(Concatenate) joins 'embedding" in message


def test_an_input_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    def one_more(content: Any) -> None:
        extra = {"class_name": "InputLayer", "name": "more", "config": {"name": "more"}}
        layers_of(content).append(extra)
        content["config"]["input_layers"] = [["input_layer", 0, 0], ["more", 0, 0]]

    message = refused(changed_zip("keras3_functional_zip", tmp_path / "m.keras", config=one_more))
    assert "2 inputs and 1 outputs" in message


def test_one_mean_for_all_features(tmp_path: Path) -> None:
    norm = ("Normalization", {"name": "n", "axis": [], "mean": 1.5, "variance": 4.0}, {})
    norm[1]["batch_input_shape"] = [None, None, 2]
    model = sl.from_keras(legacy(tmp_path / "m.h5", [norm, lstm("a", 2, 3)]))
    assert np.array_equal(model.input_scaling.mean, [1.5, 1.5])
    assert np.array_equal(model.input_scaling.scale, [2, 2])


def test_a_class_of_ones_own_is_refused_with_what_to_do(tmp_path: Path) -> None:
    def own(content: Any) -> None:
        content["class_name"] = "MyModel"

    message = refused(changed_zip("keras3_lstm_stack", tmp_path / "m.keras", config=own))
    assert "'MyModel'" in message
    assert "keras.Sequential" in message


@pytest.mark.parametrize(
    "policy", [{"name": "int8_from_float32"}, {"mode": "int8", "source_name": "float32"}]
)
def test_a_quantized_layer_is_refused(tmp_path: Path, policy: dict[str, str]) -> None:
    def quantize(content: Any) -> None:
        layers_of(content)[-1]["config"]["dtype"] = {
            "class_name": "QuantizedDTypePolicy",
            "config": policy,
        }

    message = refused(changed_zip("keras3_lstm_stack", tmp_path / "m.keras", config=quantize))
    assert "quantized" in message


def test_an_embedding_in_the_middle_is_refused(tmp_path: Path) -> None:
    table = {"embeddings": np.zeros((5, 2), np.float32)}
    inner = ("Embedding", {"name": "e", "input_dim": 5, "output_dim": 2}, table)
    assert "layer 'e' (Embedding) is refused" in refused(
        legacy(tmp_path / "m.h5", [lstm("a", 2, 3), inner])
    )


@pytest.mark.parametrize("cut", [10, 300, 20_000])
@pytest.mark.parametrize("name", ["keras3_lstm_stack.keras", "keras3_embedding.h5"])
def test_files_cut_short_are_refused(tmp_path: Path, name: str, cut: int) -> None:
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


def test_weights_alone_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with zipfile.ZipFile(GOLDEN / "keras3_lstm_stack.keras") as archive:
        (tmp_path / "m.weights.h5").write_bytes(archive.read("model.weights.h5"))
    message = refused(tmp_path / "m.weights.h5")
    assert "weights without layers" in message
    assert "model.save('model.keras')" in message


def test_a_link_out_of_the_file_is_not_followed(tmp_path: Path) -> None:
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
    assert "a zip of other things" in refused(tmp_path / "z.keras")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = [1.0]
    assert "holds no network of Keras" in refused(tmp_path / "data.h5")


def test_without_h5py_the_command_that_brings_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    assert "pip install streamlstm[keras]" in refused(GOLDEN / "keras3_embedding.h5")


def test_masks_are_noted(tmp_path: Path) -> None:
    mask = ("Masking", {"name": "m", "mask_value": -1.0, "batch_input_shape": [None, None, 2]}, {})
    model = sl.from_keras(legacy(tmp_path / "m.h5", [mask, lstm("a", 2, 3)]))
    assert "layer 'm' (Masking) masks steps of -1.0" in model.metadata["notes"]


def test_the_version_decides_which_hard_sigmoid_it_is(tmp_path: Path) -> None:
    layers = [lstm("a", 2, 3, recurrent_activation="hard_sigmoid")]
    old = sl.from_keras(legacy(tmp_path / "2.h5", layers, keras_version="2.2.4-tf"))
    new = sl.from_keras(legacy(tmp_path / "3.h5", layers, keras_version="3.0.1"))
    assert old.layers == (LSTM(2, 3, gate_activation="hard_sigmoid(0.2, 0.5)"),)
    assert new.layers == (LSTM(2, 3, gate_activation=f"hard_sigmoid({1 / 6}, 0.5)"),)
    assert "load it in Keras 2" in refused(legacy(tmp_path / "1.h5", layers, keras_version="1.2"))


def test_a_gru_of_before_reset_after_has_the_reset_gate_first(tmp_path: Path) -> None:
    config = {"name": "g", "units": 2, "batch_input_shape": [None, None, 3]}
    arrays = {"kernel": np.ones((3, 6)), "recurrent_kernel": np.ones((2, 6)), "bias": np.ones(6)}
    model = sl.from_keras(legacy(tmp_path / "m.h5", [("GRU", config, arrays)]))
    assert model.layers == (GRU(3, 2, reset_after=False),)


def test_the_first_files_of_keras_2_had_a_bare_list_of_layers(tmp_path: Path) -> None:
    path = legacy(tmp_path / "m.h5", [lstm("a", 2, 3), dense("d", 3, 1)])
    with h5py.File(path, "r+") as file:
        content = json.loads(file.attrs["model_config"])
        content["config"] = content["config"]["layers"]
        file.attrs["model_config"] = json.dumps(content)
    assert sl.from_keras(path).layers == (LSTM(2, 3), Dense(3, 1))


def test_layer_names_may_be_split_over_several_attributes(tmp_path: Path) -> None:
    path = legacy(tmp_path / "m.h5", [lstm("a", 2, 3), dense("d", 3, 1)])
    with h5py.File(path, "r+") as file:
        del file["model_weights"].attrs["layer_names"]
        file["model_weights"].attrs["layer_names0"] = [b"a"]
        file["model_weights"].attrs["layer_names1"] = [b"d"]
    assert sl.from_keras(path).layers == (LSTM(2, 3), Dense(3, 1))


def test_the_paths_of_the_first_keras_files_are_known(tmp_path: Path) -> None:
    def move(file: Any) -> None:
        file.move("layers", "_layer_checkpoint_dependencies")

    path = changed_zip("keras3_lstm_stack", tmp_path / "m.keras", arrays=move)
    assert len(sl.from_keras(path).layers) == 4


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "linear"),
        ("swish", "silu"),
        ("mish", "mish"),
        ("hard_silu", "hard_silu"),
        ("hard_swish", "hard_silu"),
        ("relu6", "hard_tanh(0.0, 6.0)"),
        (
            {"class_name": "function", "config": "relu6", "registered_name": "relu6"},
            "hard_tanh(0.0, 6.0)",
        ),
        ({"class_name": "LeakyReLU", "config": {"negative_slope": 0.1}}, "leaky_relu(0.1)"),
        ({"class_name": "LeakyReLU", "config": {"alpha": 0.1}}, "leaky_relu(0.1)"),
        ({"class_name": "ELU", "config": {"alpha": 2}}, "elu(2.0)"),
    ],
)
def test_activations_have_many_forms(value: Any, expected: str) -> None:
    assert read_activation(value, 3, "here") == expected


@pytest.mark.parametrize(
    "value", ["hard_shrink", "my_own", {"class_name": "__lambda__", "config": {}}, 3]
)
def test_unknown_activations_are_refused(value: Any) -> None:
    with pytest.raises(ConvertError, match="here: the activation"):
        read_activation(value, 3, "here")


def test_an_activation_that_no_cell_can_have_is_refused_by_its_layer(tmp_path: Path) -> None:
    path = legacy(tmp_path / "m.h5", [lstm("memory", 2, 3, activation="softmax")])
    with pytest.raises(ConvertError, match=r"^layer 'memory' \(LSTM\): expected an activation"):
        sl.from_keras(path)


def test_an_activation_layer_of_several_pieces_is_refused() -> None:
    with pytest.raises(ConvertError, match="one of max_value"):
        read_layer("ReLU", {"max_value": 6.0, "negative_slope": 0.1}, 2, "here")
    with pytest.raises(ConvertError, match="last axis"):
        read_layer("Softmax", {"axis": 1}, 2, "here")


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
