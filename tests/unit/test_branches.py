"""Branches that are merged: what fits, what is refused, and what their numbers are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlstm import (
    GRU,
    LSTM,
    Conv1D,
    Dense,
    Embedding,
    Engine,
    Last,
    Model,
    Online,
    Parallel,
    Pool,
    Repeat,
    Reverse,
)
from streamlstm.cli.inspect import describe
from streamlstm.cli.model_table import print_model
from streamlstm.errors import ModelError
from streamlstm.network.layers import Layer

from ..contract.models import random_model

ROWS = [[1.0, -1.0], [2.0, -2.0], [4.0, -4.0]]
RESIDUAL: list[Layer] = [
    Parallel(3, [[], [Conv1D(3, 3, 2, pad_left=1, activation="relu"), GRU(3, 3)]]),
    Dense(3, 1),
]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([Parallel(2, [[], [Reverse(2)]])], [5, -5]),
        ([Parallel(2, [[], []], "multiply"), Last(2)], [16, 16]),
        ([Parallel(2, [[Last(2)], [Reverse(2)], []], "concatenate")], [4, -4, 1, -1, 4, -4]),
        ([Parallel(2, [[Pool(2, "max")], []]), Reverse(2)], [5, -2]),
        ([Parallel(2, [[], [Parallel(2, [[], [Reverse(2)]])]], "multiply")], [20, 20]),
    ],
)
def test_branches_are_merged(layers: list[Layer], expected: list[float]) -> None:
    for backend in ("cpu", "reference"):
        model = Model(layers, [{}] * len(layers), window=3)
        given = Engine(model, 1, backend).run("a", np.array(ROWS, np.float32))[-1]
        assert np.allclose(given, expected, atol=1e-6)


def test_they_are_in_the_model_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = random_model(RESIDUAL)
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert b'"version":"6"' in (tmp_path / "model").read_bytes()
    assert (loaded.layers, loaded.fingerprint) == (model.layers, model.fingerprint)
    assert "Parallel(3, [[], [Conv1D(3, 3, 2, pad_left=1, activation='relu'), GRU(" in repr(loaded)
    branches = describe(loaded, "streamlstm")["layers"][0]["options"]["branches"]
    assert branches[1][1]["hidden_size"] == 3
    print_model(loaded)
    assert "GRU(3, 3)" in "".join(capsys.readouterr().out.split("\n"))


def test_the_online_stage_adapts_by_the_last_hidden_state_of_a_branch() -> None:
    options: dict[str, Any] = {"inputs": ["a", "b"], "outputs": ["a"], "horizon": 1}
    online = Online(fill="last", adapt="rls", intervals=(0.9,))
    layers: list[Layer] = [Parallel(2, [[Dense(2, 3)], [LSTM(2, 3)]]), Dense(3, 1)]
    model = random_model(layers, online=online, **options)
    X = np.random.default_rng(3).standard_normal((30, 2)).astype(np.float32)
    given = [Engine(model, 1, backend).run("a", X) for backend in ("cpu", "reference")]
    assert np.allclose(*given, atol=1e-4)


def test_a_network_whose_branches_fit_for_some_lengths_waits_for_a_whole_window() -> None:
    layers: list[Layer] = [Parallel(2, [[Repeat(2, 3)], []]), GRU(2, 2)]
    assert random_model(layers, window=3).start == "first"
    with pytest.raises(ModelError, match="got 3, 4 of 4"):
        random_model(layers, window=4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Parallel(3, [[]]), "expected two or more branches, got 1"),
        (lambda: Parallel(3, Dense(3, 3)), "expected branches, lists of layers"),
        (lambda: Parallel(3, [[], [Dense(3, 2)]]), "expected branches of one width, or of 1, to"),
        (lambda: Parallel(3, [[], [Dense(2, 2)]]), "branch 1 takes 2 values, expected 3"),
        (lambda: Parallel(3, [[], [Dense(3, 2), GRU(3, 2)]]), "gru takes 3 values, but dense"),
        (lambda: Parallel(3, [[], [Embedding(3, 2, 2)]]), "an embedding is the first layer"),
        (lambda: Parallel(3, [[], [3]]), "branch 1: expected layers, got 3"),
        (lambda: Parallel(3, [[], []], "concat"), "merge to be add, multiply, concatenate"),
        (lambda: random_model([Parallel(3, [[], [Pool(3)]])]), r"parallel\) looks at several rows"),
        (
            lambda: random_model([Parallel(3, [[], [Dense(3, 3)]])], window=3),
            "window: expected a recurrent layer",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        make()


def test_forks_within_forks_have_a_limit() -> None:
    layer = Dense(1, 1)
    for _ in range(64):
        layer = Parallel(1, [[], [layer]])
    with pytest.raises(ModelError, match="up to 64 deep"):
        Parallel(1, [[], [layer]])
