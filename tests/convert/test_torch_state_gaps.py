"""What a state dict does not say: modules without weights, of which only a number is left."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm import Dense
from streamlstm.errors import ConvertError

from .torch_states import RNG, arrays, linear, recurrent


@pytest.mark.parametrize("wrong", ["swish", "relu(1)", "", None, "leaky_relu(nan)"])
def test_an_unknown_activation_is_refused_with_its_layer(wrong: Any) -> None:
    state = {**recurrent(1, 2, 3), **linear("fc", 3, 2)}
    for name in ("rnn", "fc"):
        with pytest.raises(ConvertError, match=f"{name}: .*activation"):
            sl.from_torch(state, activations={name: wrong})
    with pytest.raises(ConvertError, match=r"rnn: expected an activation out of"):
        sl.from_torch(state, rnn_activation="softmax")


def test_a_gap_with_a_named_activation_is_accepted() -> None:
    state = {
        f"{n}.{key}": RNG.standard_normal(shape)
        for n, K, O in ((0, 3, 4), (2, 4, 2))
        for key, shape in (("weight", (O, K)), ("bias", (O,)))
    }
    model = sl.from_torch(state, activations={"0": "tanh"})
    assert model.layers == (Dense(3, 4, "tanh"), Dense(4, 2))


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


def test_the_weights_of_a_loss_are_no_layer() -> None:
    state = {**recurrent(4, 2, 3), **linear("fc", 3, 1)}
    more = {**state, "criterion.weight": np.ones(3), "loss_fn.pos_weight": np.ones(1)}
    assert sl.from_torch(more).layers == sl.from_torch(state).layers


def test_a_bidirectional_state_dict_says_all_but_what_its_head_takes() -> None:
    state = {
        **recurrent(3, 2, 3),
        **recurrent(3, 2, 3, suffix="_l0_reverse"),
        **linear("fc", 6, 1),
    }
    for options, words in (
        ({}, r"the rows of its window .* bidirectional='last'"),
        ({"window": 4}, r"Give what the head takes.*'ends'"),
        ({"window": 4, "bidirectional": "sum"}, "expected 'last' or 'ends', got 'sum'"),
    ):
        with pytest.raises(ConvertError, match=words):
            sl.from_torch(state, **options)
    last, ends = (sl.from_torch(state, window=4, bidirectional=head) for head in ("last", "ends"))
    assert [model.layers[0].sequence for model in (last, ends)] == [True, False]  # type: ignore[attr-defined]
    with pytest.raises(ConvertError, match="no layer of this state dict is"):
        sl.from_torch(linear("fc", 6, 1), bidirectional="last")
