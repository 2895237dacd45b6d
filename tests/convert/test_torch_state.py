"""State dicts, from names and shapes alone: no PyTorch is needed for these."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import streamlstm as sl
from streamlstm import GRU, LSTM, RNN, Dense, Embedding, LayerNorm, Pointwise
from streamlstm.errors import ConvertError

RNG = np.random.default_rng(0)


def arrays(**shapes: tuple[int, ...]) -> dict[str, np.ndarray[Any, Any]]:
    return {name.replace("__", "."): RNG.standard_normal(shape) for name, shape in shapes.items()}


def recurrent(gates: int, F: int, H: int, prefix: str = "rnn", suffix: str = "_l0") -> Any:
    names: dict[str, tuple[int, ...]] = {"weight_ih": (gates * H, F), "weight_hh": (gates * H, H)}
    names |= {"bias_ih": (gates * H,), "bias_hh": (gates * H,)}
    return arrays(**{f"{prefix}__{key}{suffix}": shape for key, shape in names.items()})


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
        "conv.*a convolution over 5 steps at once",
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


@pytest.mark.parametrize("wrong", ["swish", "relu(1)", "", None, "leaky_relu(nan)"])
def test_an_unknown_activation_is_refused_with_its_layer(wrong: Any) -> None:
    state = {**recurrent(1, 2, 3), **linear("fc", 3, 2)}
    for name in ("rnn", "fc"):
        with pytest.raises(ConvertError, match=f"^{name}: .*activation"):
            sl.from_torch(state, activations={name: wrong})
    with pytest.raises(ConvertError, match=r"^rnn: expected an activation out of"):
        sl.from_torch(state, rnn_activation="softmax")


def test_a_gap_with_a_named_activation_is_accepted() -> None:
    state = {
        f"{n}.{key}": RNG.standard_normal(shape)
        for n, K, O in ((0, 3, 4), (2, 4, 2))
        for key, shape in (("weight", (O, K)), ("bias", (O,)))
    }
    model = sl.from_torch(state, activations={"0": "tanh"})
    assert model.layers == (Dense(3, 4, "tanh"), Dense(4, 2))


def linear(name: str, K: int, O: int, *, bias: bool = True) -> Any:
    state = {f"{name}.weight": RNG.standard_normal((O, K))}
    return state | ({f"{name}.bias": RNG.standard_normal(O)} if bias else {})


# State dict; for each gap the layer before it and the name of the missing module.
GAPS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "two layers": (linear("0", 3, 4) | linear("2", 4, 2), {"0": "1"}),
    "without bias": (
        linear("0", 3, 4, bias=False) | linear("2", 4, 2, bias=False),
        {"0": "1"},
    ),
    "an embedding": (arrays(**{"0__weight": (9, 4)}) | recurrent(3, 6, 5, "2"), {"0": "1"}),
    "before a container": (linear("0", 3, 4) | linear("2.0", 4, 2), {"0": "1"}),
    "behind a container": (linear("0.0", 3, 4) | linear("2", 4, 2), {"0.0": "1"}),
    "between containers": (linear("0.0", 3, 4) | linear("2.0", 4, 2), {"0.0": "1"}),
    "between deep containers": (
        linear("net.0.a.0", 3, 4) | linear("net.0.a.1", 4, 4) | linear("net.2.b", 4, 2),
        {"net.0.a.1": "net.1"},
    ),
    "inside a container": (
        linear("0.0.0", 3, 4) | linear("0.0.2.fc", 4, 2) | linear("1", 2, 1),
        {"0.0.0": "0.0.1"},
    ),
    "behind a recurrent layer": (recurrent(4, 3, 6, "0") | linear("2", 6, 2), {"0": "1"}),
    "before a recurrent layer": (linear("0", 3, 4) | recurrent(4, 4, 6, "2"), {"0": "1"}),
    "before the first child and behind it": (
        recurrent(4, 3, 6, "lstm") | linear("head.1", 6, 4) | linear("head.3.0", 4, 2),
        {"lstm": "head.0", "head.1": "head.2"},
    ),
    "before the first child of a numbered container": (
        linear("0", 3, 4) | linear("1.1", 4, 2),
        {"0": "1.0"},
    ),
    "beside a child with a name": (
        linear("0", 3, 4) | linear("norm", 4, 4) | linear("2", 4, 2),
        {"norm": "1"},
    ),
}


# Linear layers of those that follow each other, of which nobody knows what is between them.
TOLD = {
    "between deep containers": {"net.0.a.0": "linear"},
    "inside a container": {"0.0.2.fc": "linear"},
    "beside a child with a name": {"0": "linear"},
}


@pytest.mark.parametrize("case", GAPS)
def test_a_gap_in_the_numbers_is_refused_until_named(case: str) -> None:
    state, gaps = GAPS[case]
    named: dict[str, str] = dict(TOLD.get(case, {}))
    for before, missing in gaps.items():
        message = f"does not say what {missing}, between {before} and .*{{'{before}': 'relu'}}"
        with pytest.raises(ConvertError, match=message):
            sl.from_torch(state, activations=named)
        named[before] = "relu"
    layers = sl.from_torch(state, activations=named).layers
    assert sum(getattr(layer, "activation", None) == "relu" for layer in layers) == len(gaps)
    plain = sl.from_torch(state, activations=dict.fromkeys(named, "linear")).layers
    assert not any(getattr(layer, "activation", None) == "relu" for layer in plain)


@pytest.mark.parametrize(
    "state",
    [
        linear("1", 3, 4) | linear("2", 4, 2),
        linear("head.2.1", 3, 4) | linear("head.3.0", 4, 2),
        linear("0.0", 3, 4) | linear("1.0", 4, 2) | linear("1.1.0", 2, 2) | linear("2", 2, 1),
        recurrent(4, 3, 6, "0") | linear("1", 6, 2),
        recurrent(4, 3, 6, "lstm") | linear("head.0", 6, 2) | linear("head.1.0", 2, 2),
        linear("fc1", 3, 4) | linear("fc3", 4, 2),
    ],
)
def test_numbers_without_a_gap_are_accepted(state: dict[str, Any]) -> None:
    names = [key.removesuffix(".weight") for key in state if key.endswith(".weight")]
    told = dict.fromkeys(names, "linear")
    count = sum(key.endswith("bias") for key in state) + any("_ih" in key for key in state)
    assert len(sl.from_torch(state, activations=told).layers) == count


def test_two_linear_layers_with_nothing_between_are_asked_about() -> None:
    state = recurrent(4, 2, 8, "lstm") | linear("fc1", 8, 4) | linear("fc2", 4, 1)
    message = r"between fc1 and fc2, and with nothing .*activations=\{'fc1': 'relu'\}.*=relu"
    with pytest.raises(ConvertError, match=message):
        sl.from_torch(state)
    assert sl.from_torch(state, activations={"fc1": "relu"}).layers[1].activation == "relu"
    assert sl.from_torch(state, activations={"fc1": "linear"}).layers[1].activation == "linear"
    norm = arrays(bn__running_mean=(4,), bn__weight=(4,), bn__bias=(4,))
    norm["bn.running_var"] = np.ones(4)
    between = recurrent(4, 2, 8, "lstm") | linear("fc1", 8, 4) | norm | linear("fc2", 4, 1)
    with pytest.raises(ConvertError, match="between fc1 and fc2"):
        sl.from_torch(between)
    assert len(sl.from_torch(between, activations={"bn": "tanh"}).layers) == 3


def test_the_result_says_that_a_state_dict_was_not_compared(tmp_path: Path) -> None:
    model = sl.from_torch(recurrent(4, 2, 8))
    assert model.metadata["compared"].startswith("no: a state dict does not say what forward does")
    assert "not compared with its source" in repr(model)
    assert "a state dict does not say" in model._repr_html_()
    model.save(tmp_path / "m.safetensors")
    assert "not compared" in repr(sl.Model.load(tmp_path / "m.safetensors"))


def test_state_dicts_of_single_layers_beside_each_other() -> None:
    lstm, fc = recurrent(4, 2, 8, "x"), linear("x", 8, 1)
    parts = {
        "lstm": {key.removeprefix("x."): array for key, array in lstm.items()},
        "fc": {key.removeprefix("x."): array for key, array in fc.items()},
    }
    for source in (
        parts,
        {"epoch": 3, "model": parts, "optimizer": {"state": {}, "param_groups": []}},
        {**parts, "scaler": {"mean": np.zeros(2), "scale": np.ones(2)}, "optimizer": {"a": {}}},
        {"net": {f"rnn.{k}": v for k, v in parts["lstm"].items()}, "scaler": parts["fc"]},
    ):
        layers = sl.from_torch(source).layers
        assert layers[0] == LSTM(2, 8)
        assert len(layers) == (1 if "net" in source else 2)


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


def test_a_sorted_state_dict_is_ordered_by_sizes(tmp_path: Path) -> None:
    state = {
        **recurrent(3, 4, 5, "z"),
        **arrays(fc1__weight=(7, 5), fc1__bias=(7,), fc2__weight=(7, 7), fc2__bias=(7,)),
        **arrays(a_head__weight=(2, 7), a_head__bias=(2,)),
    }
    told = {"activations": {"fc1": "linear", "fc2": "tanh"}}
    in_order = sl.from_torch(state, **told)
    names = dict(sorted(state.items()))
    path = tmp_path / "network.safetensors"
    save_file({key: array.astype(np.float32) for key, array in names.items()}, path)
    for given in (names, path):
        model = sl.from_torch(given, **told)
        assert model.layers == in_order.layers
        assert np.allclose(model.weights[3]["weight"], state["a_head.weight"])
    assert sl.load_any(path, **told).layers == in_order.layers
    kept = tmp_path / "model.safetensors"
    in_order.save(kept)
    assert sl.load_any(kept).layers == in_order.layers


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


def test_a_sorted_state_dict_with_several_orders_is_refused() -> None:
    state = {**recurrent(3, 4, 4), **arrays(a__weight=(4, 4), a__bias=(4,))}
    assert len(sl.from_torch(state).layers) == 2
    with pytest.raises(ConvertError, match=r"sorted.*such as a, rnn and rnn, a\): give the module"):
        sl.from_torch(dict(sorted(state.items())))


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
