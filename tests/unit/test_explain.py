"""Explains a step: the gates are those of the equations, and no stream advances."""

import numpy as np
import pytest

from streamlstm import GRU, LSTM, Dense, Engine, Model
from streamlstm.errors import ShapeError

from ..contract.models import MODELS, random_model


@pytest.mark.parametrize("name", MODELS)
def test_an_explanation_predicts_the_step_and_changes_nothing(name: str) -> None:
    model = MODELS[name]
    engine = Engine(model, 4)
    rng = np.random.default_rng(0)
    for n in range(4):
        x = rng.standard_normal(model.input_size).astype(np.float32)
        if model.categories:
            x[0] = rng.integers(model.categories)
        before = engine.export_stream("a") if n else b""
        explanation = engine.explain("a", x, time=60.0 * n)
        assert ("a" in engine) == bool(n)
        assert not n or engine.export_stream("a") == before
        y = engine.step("a", x, time=60.0 * n)
        assert np.allclose(explanation.prediction, y, rtol=1e-5, atol=1e-5, equal_nan=True)
        assert [trace.layer for trace in explanation.layers] == list(model.layers)


def test_an_engine_makes_its_explainer_once_at_the_first_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from streamlstm.engine import explain

    made = []

    class Counted(explain.ReferenceBackend):
        def __init__(self, model: Model) -> None:
            made.append(model)
            super().__init__(model)

    monkeypatch.setattr(explain, "ReferenceBackend", Counted)
    model = random_model([LSTM(1, 3)])
    engine = Engine(model, 4)
    engine.step("a", [1.0])
    assert not made
    before = engine.explain("a", [1.0]).prediction
    engine.step("a", [1.0])
    assert not np.array_equal(engine.explain("b", [1.0]).prediction, before)
    assert made == [model]


def test_gates_cell_and_hidden_state_fit_the_equations() -> None:
    engine = Engine(random_model([LSTM(3, 9), Dense(9, 2)]), 4)
    x = np.array([0.5, -1.0, 2.0])
    for _ in range(5):
        cell = engine.explain("a", x).layers[0].cell if "a" in engine else np.zeros(9)
        engine.step("a", x)
    first, head = engine.explain("a", x).layers
    assert first.layer == LSTM(3, 9)
    for gate in (first.input_gate, first.forget_gate, first.output_gate):
        assert gate.shape == (9,)
        assert ((gate > 0) & (gate < 1)).all()
    expected = first.forget_gate * cell + first.input_gate * first.candidate
    assert np.allclose(first.cell, expected, atol=1e-6)
    assert np.allclose(first.hidden, first.output_gate * np.tanh(first.cell), atol=1e-6)
    assert head.output.shape == (2,)
    with pytest.raises(AttributeError, match="a dense layer has no forget_gate; it has output"):
        _ = head.forget_gate


def test_a_gru_shows_its_own_gates() -> None:
    engine = Engine(random_model([GRU(1, 4)]), 4)
    assert list(engine.explain("a", [1.0]).layers[0].values) == [
        "reset_gate",
        "update_gate",
        "candidate",
        "hidden",
    ]


def test_bad_observations_are_refused_as_in_a_step() -> None:
    with pytest.raises(ShapeError, match="expected 1 features"):
        Engine(random_model([GRU(1, 4)]), 4).explain("a", [1.0, 2.0])
