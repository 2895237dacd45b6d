"""Training on from a model of any kind that training makes."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import streamlstm as sl
from streamlstm.errors import DataError
from streamlstm.network.compatibility import compatibility_key

N = 400
FRAME = pd.DataFrame(
    {"value": 10 + 3 * np.sin(np.arange(N) / 3), "load": np.arange(N) % 5 + 0.5},
    index=pd.date_range("2024-05-01", periods=N, freq="h"),
)
KINDS: list[dict[str, Any]] = [
    {"quantiles": (0.1, 0.5, 0.9)},
    {"horizon": (1, 3)},
    {"calendar": "hour"},
    {"cell": "gru", "layer_norm": True},
    {"layers": 2, "residual": True, "dropout": 0.1},
    {"fill": "last"},
    {"skip": False},
    {"linear": False},
    {"target": ["load", "value"]},
    {"inputs": ["value"]},
    {"online": False},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_streams_continue_with_what_is_trained_on(kind: dict[str, Any]) -> None:
    target = kind.pop("target", "value")
    first = sl.train(FRAME, target=target, hidden=4, epochs=1, window=16, **kind).model
    second = sl.train(FRAME * 1.1, target=target, from_model=first, epochs=1)
    assert compatibility_key(second.model) == compatibility_key(first)
    assert second.model.fingerprint != first.fingerprint
    assert second.settings.window == 16
    start = second.history[0]
    assert start.number == 0
    assert second.best.validation <= start.validation
    engine = sl.Engine(first)
    assert not engine.reload(second.model).anew


def test_on_the_same_rows_the_start_is_as_good_as_it_was() -> None:
    options: dict[str, Any] = {"hidden": 4, "epochs": 3, "window": 16, "linear": False}
    first = sl.train(FRAME, target="value", **options)
    second = sl.train(FRAME, target="value", from_model=first.model, epochs=1)
    # Its outputs may have been made smaller where that was nearly as good.
    assert second.history[0].validation < 1.02 * first.best.validation


def test_the_learning_curve_begins_with_the_first_epoch() -> None:
    options: dict[str, Any] = {"hidden": 4, "window": 16, "linear": False, "online": False}
    first = sl.train(FRAME, target="value", epochs=1, **options)
    second = sl.train(FRAME, target="value", from_model=first.model, epochs=2)
    assert [epoch.number for epoch in second.history] == [0, 1, 2]  # 0 has no loss
    (loss, _), (_, last) = json.loads(second.model.metadata["training"])["history"]
    assert loss > 0
    assert last == pytest.approx(second.history[-1].validation, abs=1e-6)
    validation, _, losses, _ = second.plot().figure.axes[0].lines
    assert validation.get_xdata().tolist() == losses.get_xdata().tolist() == [1, 2]
    assert np.isfinite(losses.get_ydata()).all()


def test_a_model_of_other_columns_is_refused_by_name() -> None:
    model = sl.train(FRAME, target="value", hidden=4, epochs=1, window=16).model
    with pytest.raises(DataError, match="its outputs are value, the settings ask for load"):
        sl.train(FRAME, target="load", from_model=model)
    with pytest.raises(DataError, match="expected a column 'load'"):
        sl.train(FRAME[["value"]], target="value", from_model=model)
    for settings, said in (
        ({"cell": "gru"}, "on: layer 0 is lstm, the settings ask for gru; leave"),
        ({"hidden": 5}, r"on: hidden size of layer 0 \(lstm\) is 4, the settings ask for 5; input"),
        ({"hidden": 4, "layers": 2}, "on: it has 1 recurrent layer, the settings ask for 2"),
        ({"layer_norm": True}, "its layers are lstm, dense, the settings ask for lstm, layer_norm"),
    ):
        with pytest.raises(DataError, match=said):
            sl.train(FRAME, target="value", from_model=model, **settings)
