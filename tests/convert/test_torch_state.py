"""State dicts, from names and shapes alone: no PyTorch is needed for these."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm import GRU, LSTM, RNN, Dense, Embedding, LayerNorm, Pointwise
from streamlstm.errors import ConvertError

from .torch_states import RNG, arrays, recurrent


@pytest.mark.parametrize(("gates", "kind"), [(4, LSTM), (3, GRU), (1, RNN)])
def test_the_number_of_rows_decides_the_kind(gates: int, kind: type) -> None:
    model = sl.from_torch(recurrent(gates, 3, 6))
    assert type(model.layers[0]) is kind
    assert (model.input_size, model.output_size) == (3, 6)


def test_a_cell_has_no_layer_number() -> None:
    assert sl.from_torch(recurrent(4, 3, 6, suffix="")).layers == (LSTM(3, 6),)


def test_the_two_biases_of_an_lstm_are_added_and_those_of_a_gru_are_not() -> None:
    state = recurrent(4, 2, 3)
    wanted = (state["rnn.bias_ih_l0"] + state["rnn.bias_hh_l0"]).astype(np.float32)
    assert np.array_equal(sl.from_torch(state).weights[0]["bias"], wanted)
    state = recurrent(3, 2, 3)
    weights = sl.from_torch(state).weights[0]
    assert np.array_equal(weights["bias_ih"], state["rnn.bias_ih_l0"].astype(np.float32))
    assert np.array_equal(weights["bias_hh"], state["rnn.bias_hh_l0"].astype(np.float32))


def test_a_projection_is_found() -> None:
    state = arrays(rnn__weight_ih_l0=(24, 3), rnn__weight_hh_l0=(24, 2), rnn__weight_hr_l0=(2, 6))
    assert sl.from_torch(state).layers == (LSTM(3, 6, projection_size=2),)


def test_a_state_dict_with_all_kinds_of_layers() -> None:
    state = {
        **arrays(emb__weight=(9, 4)),
        **recurrent(3, 6, 5),
        **arrays(norm__weight=(5,), norm__bias=(5,)),
        **arrays(fc__weight=(7, 5), fc__bias=(7,)),
        **arrays(bn__running_mean=(7,), bn__weight=(7,), bn__bias=(7,)),
        "bn.running_var": np.full(7, 2.0),
        "bn.num_batches_tracked": np.array(3),
        **arrays(out__weight=(2, 7)),
    }
    model = sl.from_torch(state, activations={"fc": "relu"}, epsilon=1e-3)
    assert model.layers == (
        Embedding(3, 9, 4),
        GRU(6, 5),
        LayerNorm(5, 1e-3),
        Dense(5, 7, "relu"),
        Dense(7, 2),
    )


def test_leading_batch_normalisation_becomes_input_scaling() -> None:
    state = {
        "bn.running_mean": np.array([1e5, 2.0]),
        "bn.running_var": np.array([4.0, 9.0]),
        **recurrent(1, 2, 3),
    }
    model = sl.from_torch(state, epsilon=1e-12)
    assert model.layers == (RNN(2, 3),)
    assert np.allclose(model.input_scaling.mean, [1e5, 2])
    assert np.allclose(model.input_scaling.scale, [2, 3])
    own = sl.Scaling(np.zeros(2, np.float32), np.full(2, 10, np.float32))
    scaled = sl.from_torch(state, epsilon=1e-12, input_scaling=own)
    assert np.allclose(scaled.input_scaling.scale, 10)
    assert np.allclose(scaled.weights[0]["weight_ih"], model.weights[0]["weight_ih"] / [2, 3])


def test_trained_initial_states_are_found_by_their_names() -> None:
    state = {"h0": RNG.standard_normal((2, 1, 3)), "c0": RNG.standard_normal((2, 1, 3))}
    state |= recurrent(4, 2, 3, "lstm", "_l0") | recurrent(4, 3, 3, "lstm", "_l1")
    model = sl.from_torch(state)
    for n in (0, 1):
        assert np.array_equal(model.weights[n]["initial_h"], state["h0"][n, 0].astype(np.float32))
        assert np.array_equal(model.weights[n]["initial_c"], state["c0"][n, 0].astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, "bfloat16"])
def test_other_types_of_numbers(dtype: Any) -> None:
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes", reason="needs ml_dtypes: make test").bfloat16
    state = {key: value.astype(dtype) for key, value in recurrent(4, 2, 3).items()}
    weights = sl.from_torch(state).weights[0]["weight_ih"]
    assert weights.dtype == np.float32
    assert np.array_equal(weights, state["rnn.weight_ih_l0"].astype(np.float32))


def test_a_checkpoint_is_unwrapped() -> None:
    assert sl.from_torch({"epoch": 3, "state_dict": recurrent(4, 2, 3)}).layers == (LSTM(2, 3),)


def test_names_scaling_and_horizon_are_passed_on() -> None:
    model = sl.from_torch(recurrent(4, 1, 2), inputs=["load"], outputs=["a", "b"], horizon=3)
    assert (model.inputs, model.outputs, model.horizon) == (("load",), ("a", "b"), 3)
    assert sl.from_torch(recurrent(4, 1, 2)).horizon == 0


LSTM_STATE = recurrent(4, 3, 6, "lstm")
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a weight is missing": (
        {k: v for k, v in LSTM_STATE.items() if "weight_hh" not in k},
        r"lstm lacks weight_hh_l0.*weight_ih_l0 \(24, 3\)",
    ),
    "one of two biases is missing": (
        {k: v for k, v in LSTM_STATE.items() if "bias_hh" not in k},
        r"lstm lacks bias_hh_l0, shape \(24,\)",
    ),
    "a weight too many": (
        LSTM_STATE | arrays(lstm__weight_xx=(3, 3)),
        r"lstm has unexpected weights: weight_xx \(3, 3\)",
    ),
    "rows that are no gates": (
        LSTM_STATE | arrays(lstm__weight_ih_l0=(25, 3), lstm__weight_hh_l0=(25, 6)),
        r"lstm: expected 4H .*H = 6.*\(25, 3\).*\(25, 6\)",
    ),
    "rows that differ": (
        LSTM_STATE | arrays(lstm__weight_ih_l0=(24, 3), lstm__weight_hh_l0=(18, 6)),
        r"lstm: .*as many rows.*\(24, 3\).*\(18, 6\)",
    ),
    "a bias of another length": (
        LSTM_STATE | arrays(lstm__bias_ih_l0=(23,)),
        r"lstm.bias_ih_l0: expected shape \(24,\), got \(23,\)",
    ),
    "layers that do not fit": (
        LSTM_STATE | arrays(fc__weight=(2, 7), fc__bias=(2,)),
        "fc takes 7 values, but the layer before it returns 6.*registered",
    ),
    "two directions": (
        LSTM_STATE | arrays(lstm__weight_ih_l0_reverse=(24, 3)),
        "lstm is bidirectional",
    ),
    "a convolution": (
        arrays(conv__weight=(4, 3, 5), conv__bias=(4,)),
        "conv.*a convolution over 5 steps at once.*--module my_file:MyNet --window T",
    ),
    "an activation lost": (
        {**LSTM_STATE, **arrays(head__0__weight=(4, 6), head__0__bias=(4,))}
        | arrays(head__2__weight=(2, 4), head__2__bias=(2,)),
        r"does not say what head.1, .*activations=\{'head.0': 'relu'\}",
    ),
    "a matrix that is two things": (
        arrays(a__weight=(6, 6)) | recurrent(4, 6, 3),
        r"a.weight \(6, 6\) may be an embedding or a linear layer",
    ),
    "an embedding in the middle": (
        arrays(fc__weight=(3, 2), fc__bias=(3,), emb__weight=(9, 5), out__weight=(1, 5)),
        "emb takes 5 values",
    ),
    "not a number": (LSTM_STATE | {"lstm.bias_ih_l0": np.full(24, np.nan)}, "finite"),
    "no tensors": ({"a": 1}, "expected names and tensors"),
    "nothing": ({}, "empty"),
}


@pytest.mark.parametrize(("state", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_an_inconsistent_state_dict_is_refused(state: dict[str, Any], message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        sl.from_torch(state)


def test_a_convolution_of_kernel_1_is_a_linear_layer() -> None:
    state = arrays(conv__weight=(4, 3, 1), conv__bias=(4,)) | recurrent(4, 4, 6)
    model = sl.from_torch(state, activations={"conv": "relu"})
    assert model.layers[0] == Dense(3, 4, "relu")
    assert np.allclose(model.weights[0]["weight"], state["conv.weight"][:, :, 0])


def test_anything_but_a_network_is_refused() -> None:
    with pytest.raises(ConvertError, match="got int"):
        sl.from_torch(3)
    with pytest.raises(ConvertError, match="no such file"):
        sl.from_torch("nowhere.pt")
    for epsilon in (-1e-5, float("nan"), 1, True, "small"):
        with pytest.raises(ConvertError, match="epsilon: expected a number from 0 to below 1"):
            sl.from_torch(LSTM_STATE, epsilon=epsilon)
    with pytest.raises(ConvertError, match="there is no layer 'fc9'; there are lstm"):
        sl.from_torch(LSTM_STATE, activations={"fc9": "relu"})
    with pytest.raises(ConvertError, match="initial_state: expected one for each of 1"):
        sl.from_torch(LSTM_STATE, initial_state=[None, None])
    with pytest.raises(ConvertError, match=r"initial h of shape \(1, 1, 6\)"):
        sl.from_torch(LSTM_STATE, initial_state=[(np.zeros(5), np.zeros(6))])


def test_normalisation_after_an_lstm_folds_into_the_dense_layer() -> None:
    state = {
        **recurrent(4, 2, 3, "lstm"),
        **arrays(bn__running_mean=(3,)),
        "bn.running_var": np.array([1.0, 2.0, 3.0]),
        **arrays(fc__weight=(1, 3), fc__bias=(1,)),
    }
    layers = sl.from_torch(state).layers
    assert layers == (LSTM(2, 3), Dense(3, 1))
    assert not any(isinstance(layer, Pointwise) for layer in layers)


def test_a_state_dict_as_json(tmp_path: Path) -> None:
    state = {**recurrent(4, 1, 3), **arrays(dense__weight=(1, 3), dense__bias=(1,))}
    path = tmp_path / "lstm_torch.json"
    path.write_text(json.dumps({key: array.tolist() for key, array in state.items()}))
    model = sl.load_any(path)
    assert model.layers == (LSTM(1, 3), Dense(3, 1))
    assert np.allclose(model.weights[1]["weight"], state["dense.weight"])
    path.write_text('{"rnn.weight_hh_l0": "lists"}')
    with pytest.raises(ConvertError, match=r"rnn\.weight_hh_l0: expected an array of numbers"):
        sl.load_any(path)


@pytest.mark.parametrize("form", ["weight norm", "parametrized", "pruned"])
def test_parametrized_weights_are_computed(form: str) -> None:
    g, v = RNG.uniform(1, 2, (12, 1)), RNG.standard_normal((12, 3))
    mask = RNG.integers(0, 2, (12, 3)).astype(float)
    state = recurrent(4, 2, 3)
    names = {
        "weight norm": ("weight_hh_l0_g", "weight_hh_l0_v"),
        "parametrized": [f"parametrizations.weight_hh_l0.original{n}" for n in (0, 1)],
        "pruned": ("weight_hh_l0_orig", "weight_hh_l0_mask"),
    }[form]
    parts = (v, mask) if form == "pruned" else (g, v)
    wanted = v * mask if form == "pruned" else g * v / np.linalg.norm(v, axis=1, keepdims=True)
    state |= {f"rnn.{name}": part for name, part in zip(names, parts, strict=True)}
    del state["rnn.weight_hh_l0"]
    assert np.allclose(sl.from_torch(state).weights[0]["weight_hh"], wanted)
    state[f"rnn.{names[0]}"] = np.ones((1, 3))
    with pytest.raises(ConvertError, match=r"rnn\.weight_hh_l0 is computed.*give the module"):
        sl.from_torch(state)


@pytest.mark.parametrize("key", ["state_dict", "params", "ema"])
def test_a_checkpoint_with_any_key(key: str) -> None:
    state = recurrent(4, 2, 3)
    checkpoint = {"epoch": 3, key: {"state_dict": state}, "optimizer": {"state": {}}}
    if key != "state_dict":
        checkpoint[key] = state
    assert sl.from_torch(checkpoint).layers == (LSTM(2, 3),)
    checkpoint = {"epoch": 3, "generator": state, "discriminator": state}
    with pytest.raises(ConvertError, match="several state dicts, generator, discriminator"):
        sl.from_torch(checkpoint)


def test_a_bare_initial_state_is_for_the_only_recurrent_layer() -> None:
    h0, c0 = RNG.standard_normal((2, 1, 1, 3))
    bare = sl.from_torch(recurrent(4, 2, 3), initial_state=(h0, c0))
    assert np.allclose(bare.weights[0]["initial_c"], c0[0, 0])
    bare = sl.from_torch(recurrent(3, 2, 3), initial_state=h0)
    assert np.allclose(bare.weights[0]["initial_h"], h0[0, 0])
    listed = sl.from_torch(recurrent(3, 2, 3), initial_state=[h0.tolist()])
    assert np.allclose(listed.weights[0]["initial_h"], h0[0, 0])


def test_biases_in_some_layers_only_are_refused() -> None:
    state = {**recurrent(4, 2, 3), **recurrent(4, 3, 3, suffix="_l1")}
    del state["rnn.bias_ih_l1"], state["rnn.bias_hh_l1"]
    with pytest.raises(ConvertError, match=r"rnn lacks bias_ih_l1, shape \(12,\)"):
        sl.from_torch(state)


@pytest.mark.parametrize("values", [np.ones((2, 3)) * 1j, np.full((2, 3), "1.5"), [["a"]]])
def test_anything_but_real_numbers_is_refused(values: Any) -> None:
    state = {"fc.weight": np.asarray(values), "fc.bias": np.ones(2)}
    with pytest.raises(ConvertError, match=r"fc\.weight: expected an array of numbers"):
        sl.from_torch(state)
