"""Layers over the rows of a window: what fits, what is refused, and what their numbers are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlstm import (
    GRU,
    LSTM,
    Attention,
    Bidirectional,
    Conv1D,
    Dense,
    Engine,
    Flatten,
    Last,
    Model,
    Online,
    Pool,
    Repeat,
    Reverse,
    SoftmaxOverRows,
    Transpose,
)
from streamlstm.cli.inspect import describe
from streamlstm.errors import ModelError
from streamlstm.network.compatibility import incompatibility
from streamlstm.network.layers import Layer

from ..contract.models import random_model

T = 6
NETWORK: list[Layer] = [
    Conv1D(3, 8, 3, pad_left=1, pad_right=1, activation="relu"),
    Pool(8, "max", 2),
    Bidirectional(8, LSTM(8, 5), "sum"),
    Flatten(5, 3),
    Dense(15, 2),
]


def over(layers: list[Layer], X: Any, weights: Any = None, backend: str = "cpu") -> Any:
    """Return the answer of a network without random weights to a window of rows X."""
    model = Model(layers, weights or [{} for _ in layers], window=len(X))
    return Engine(model, 1, backend).run("a", np.asarray(X, np.float32))[-1]


ROWS = [[1.0, -1.0], [2.0, -2.0], [4.0, -4.0], [8.0, -8.0]]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([Flatten(2, 4)], [1, -1, 2, -2, 4, -4, 8, -8]),
        ([Flatten(2, 4, by_feature=True)], [1, 2, 4, 8, -1, -2, -4, -8]),
        ([Reverse(2), Last(2)], [1, -1]),
        ([Repeat(2, 2), Flatten(2, 2)], [8, -8, 8, -8]),
        ([Pool(2)], [3.75, -3.75]),
        ([Pool(2, "max")], [8, -1]),
        ([Pool(2, "mean", 3, 2, 1, 1), Flatten(2, 2)], [1.5, -1.5, 14 / 3, -14 / 3]),
        ([Pool(2, "mean", 3, 2, 1, 1, True), Flatten(2, 2)], [1, -1, 14 / 3, -14 / 3]),
        ([Pool(2, "max", 3, 2, 1, 1), Flatten(2, 2)], [2, -1, 8, -2]),
        ([Pool(2, "max", 2), Flatten(2, 2)], [2, -1, 8, -4]),
        ([Attention(2, scale=0.0 + 1e-30, join=True)], [3.75, -3.75, 8, -8]),
        ([Attention(2, scale=9.0)], [8, -8]),
        ([Attention(2, "each", 9.0, causal=True), Pool(2)], [3.75, -3.75]),
        ([Repeat(2, 3), Transpose(2, 3), Flatten(3, 2)], [8, 8, 8, -8, -8, -8]),
        ([Pool(2, "sum")], [15, -15]),
        ([Pool(2, "sum", 3, 2, 1, 1), Flatten(2, 2)], [3, -3, 14, -14]),
        ([SoftmaxOverRows(2), Pool(2, "sum")], [1, 1]),
        (
            [SoftmaxOverRows(2)],
            [
                1 / (1 + np.exp(-4) + np.exp(-6) + np.exp(-7)),
                np.exp(-7) / (1 + np.exp(-1) + np.exp(-3) + np.exp(-7)),
            ],
        ),
    ],
)
def test_rows_are_pooled_and_rearranged(layers: list[Layer], expected: list[float]) -> None:
    for backend in ("cpu", "reference"):
        assert np.allclose(over(layers, ROWS, backend=backend), expected, atol=1e-6)


def test_a_convolution_is_the_sum_that_it_says() -> None:
    rng = np.random.default_rng(1)
    layer = Conv1D(2, 3, 3, stride=2, dilation=2, pad_left=3, pad_right=2)
    weight, bias, X = rng.normal(size=(3, 3, 2)), rng.normal(size=3), rng.normal(size=(7, 2))
    given = over([layer, Flatten(3, 4)], X, [{"weight": weight, "bias": bias}, {}])
    rows = np.concatenate([np.zeros((3, 2)), X, np.zeros((2, 2))])
    expected = [sum((weight[:, j] @ rows[2 * t + 2 * j] for j in range(3)), bias) for t in range(4)]
    assert np.allclose(given, np.ravel(expected), atol=1e-6)


def test_both_ways_are_two_networks() -> None:
    X = np.random.default_rng(2).standard_normal((5, 3))
    both = random_model([Bidirectional(3, GRU(3, 4), sequence=False)], window=5)
    ways: list[Any] = []
    for direction, rows in (("forward_", X), ("backward_", X[::-1])):
        own = {
            name.removeprefix(direction): array
            for name, array in both.weights[0].items()
            if name.startswith(direction)
        }
        ways.append(Engine(Model([GRU(3, 4)], [own]), 1).run("a", rows)[-1])
    assert np.allclose(Engine(both, 1).run("a", X)[-1], np.concatenate(ways), atol=1e-6)


def test_they_are_in_the_model_file(tmp_path: Path) -> None:
    model = random_model(NETWORK, window=T)
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert b'"version":"5"' in (tmp_path / "model").read_bytes()
    assert (loaded.layers, loaded.fingerprint) == (model.layers, model.fingerprint)
    assert "Bidirectional(8, LSTM(8, 5), merge='sum')" in repr(loaded)
    assert describe(loaded, "streamlstm")["layers"][2]["options"]["layer"]["hidden_size"] == 5


def test_a_network_that_takes_all_rows_does_not_answer_from_fewer() -> None:
    model = random_model(NETWORK, window=T)
    assert model.start == "first"
    assert model.with_window(T, "wait").start == "wait"
    with pytest.raises(ModelError, match="start: expected wait, zeros or first, since a layer"):
        model.with_window(T, "answer")
    assert random_model([Bidirectional(2, GRU(2, 3)), Pool(6)], window=T).start == "answer"


def test_a_network_of_two_ways_can_adapt_and_be_replaced() -> None:
    options: dict[str, Any] = {"inputs": ["a", "b"], "outputs": ["a"], "horizon": 1}
    online = Online(fill="last", adapt="rls", intervals=(0.9,))
    layers: list[Layer] = [Bidirectional(2, LSTM(2, 7)), Pool(14), Dense(14, 1)]
    model = random_model(layers, window=4, online=online, **options)
    X = np.random.default_rng(3).standard_normal((30, 2)).astype(np.float32)
    given = [Engine(model, 1, backend).run("a", X) for backend in ("cpu", "reference")]
    assert np.allclose(*given, atol=1e-4)
    wider = [Bidirectional(2, LSTM(2, 8)), Pool(16), Dense(16, 1)]
    reason = incompatibility(model, random_model(wider, window=4, online=online, **options))
    assert reason is not None
    assert "backward_h[8]" in reason


@pytest.mark.parametrize(
    ("layers", "window", "words"),
    [
        ([LSTM(3, 4), Flatten(4, 6)], None, r"layer 1 \(flatten\) looks at several rows at once"),
        ([LSTM(3, 4), Flatten(4, 5)], T, r"layer 1 \(flatten\): expected 5 rows, got 6"),
        ([Conv1D(3, 4, 4, dilation=2), LSTM(4, 4)], T, r"layer 0 \(conv1d\): expected more rows"),
        ([Repeat(3, 2**24)], T, "expected at most 16777216 numbers"),
        ([Dense(3, 3)], T, "window: expected a recurrent layer"),
    ],
)
def test_what_does_not_fit_is_refused(layers: list[Layer], window: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        random_model(layers, window=window)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Bidirectional(3, Dense(3, 3)), "expected an LSTM, a GRU or an RNN"),
        (lambda: Bidirectional(3, GRU(2, 3)), "expected a layer that takes 3 values, got one of 2"),
        (lambda: Bidirectional(3, GRU(3, 3), "max"), "merge to be concat, sum, mul, ave"),
        (lambda: Pool(3, "max", 2, pad_left=2), "padding of fewer rows than size, 2"),
        (lambda: Pool(3, pad_left=2), "expected a size beside stride or padding"),
        (lambda: Attention(7, key_size=3, heads=2), "rows of queries and keys, 2 times 2 times 3"),
        (lambda: Attention(7, heads=2), "expected a key_size beside several heads"),
        (lambda: Conv1D(3, 3, 3, pad_left=-1), "pad_left to be an integer of 0 or more"),
        (lambda: Layer.from_dict({"kind": "bidirectional", "input_size": 3}), "cannot have these"),
        (
            lambda: Layer.from_dict({"kind": "bidirectional", "input_size": 3, "layer": {}}),
            "expected a layer of kind",
        ),
    ],
)
def test_what_is_no_layer_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        make()
