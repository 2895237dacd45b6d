"""The order of layers in state dicts whose names do not give it."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import streamlstm as sl
from streamlstm import LSTM
from streamlstm.errors import ConvertError

from .torch_states import arrays, linear, recurrent


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


def test_a_sorted_state_dict_with_several_orders_is_refused() -> None:
    state = {**recurrent(3, 4, 4), **arrays(a__weight=(4, 4), a__bias=(4,))}
    assert len(sl.from_torch(state).layers) == 2
    with pytest.raises(ConvertError, match=r"sorted.*such as a, rnn and rnn, a\): give the module"):
        sl.from_torch(dict(sorted(state.items())))
