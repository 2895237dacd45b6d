"""Weights of 16 bits: the same rounding everywhere, and its cost."""

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, Model, check_precision
from streamlstm.backends.plan import initial_row
from streamlstm.backends.precision import from_16_bits, round_weights, to_16_bits
from streamlstm.backends.reference import ReferenceBackend
from streamlstm.errors import BadValueError, ModelError

from ..contract.models import MODELS, random_model

SHORT = ("float16", "bfloat16")
SOME = ("smallest", "odd", "usual", "stack", "everything", "gru", "rnn", "wide head")
LARGE = random_model([LSTM(16, 128), LSTM(128, 100), Dense(100, 3)])


@pytest.mark.parametrize("precision", SHORT)
def test_rounding_is_to_the_nearest_and_ties_go_to_even(precision: str) -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    exact = from_16_bits(bits, precision)
    finite = np.isfinite(exact)
    assert np.array_equal(to_16_bits(exact[finite], precision), bits[finite])
    values = np.unique(exact[finite & (np.abs(exact) < 60000)].astype(np.float64))
    between = (values[:-1] + values[1:]) / 2
    even = to_16_bits(between.astype(np.float32), precision) & 1
    assert not even[between.astype(np.float32) == between].any()
    near = (0.51 * values[:-1] + 0.49 * values[1:]).astype(np.float32)
    assert np.array_equal(from_16_bits(to_16_bits(near, precision), precision), values[:-1])


@pytest.mark.parametrize("precision", SHORT)
@pytest.mark.parametrize("name", [*(n for n in SOME if n in MODELS), "large"])
def test_engine_steps_the_rounded_model(precision: str, name: str) -> None:
    model = LARGE if name == "large" else MODELS[name]
    X = np.random.default_rng(1).standard_normal((12, 7, model.input_size)).astype(np.float32)
    backend = ReferenceBackend(round_weights(model, precision), np.float64)
    rows = np.tile(initial_row(model).astype(np.float64), (7, 1))
    expected = np.zeros((12, 7, model.output_size))
    for t in range(12):
        backend.step_block(rows, np.arange(7), X[t].astype(np.float64), expected[t])
    alone, together = Engine(model, 9, weights=precision), Engine(model, 9, weights=precision)
    for t in range(12):
        Y = together.step_many(list(range(7)), X[t])
        assert np.max(np.abs(Y - expected[t]) / np.maximum(1, np.abs(expected[t]))) < 5e-6
        assert np.array_equal(Y, [alone.step(n, X[t, n]) for n in range(7)])


@pytest.mark.parametrize("precision", SHORT)
def test_check_tells_what_rounding_costs(precision: str) -> None:
    cost = check_precision(LARGE, precision)
    assert 0 < cost.usual < cost.largest < 0.2 * cost.spread
    assert precision in str(cost)
    assert check_precision(LARGE, "float32").largest == 0


def test_float16_costs_less_than_bfloat16() -> None:
    assert check_precision(LARGE, "float16").usual < check_precision(LARGE, "bfloat16").usual / 4


def test_bad_options_are_refused() -> None:
    with pytest.raises(ModelError, match=r"expected float32, float16, bfloat16, got 'half'"):
        Engine(LARGE, weights="half")
    with pytest.raises(BadValueError, match="steps: expected an integer from 1 to 1000000, got 0"):
        check_precision(LARGE, steps=0)
    layer = LSTM(1, 1)
    weights = {name: np.full(shape, 7e4) for name, shape in layer.parameters().items()}
    with pytest.raises(ModelError, match=r"weight_ih: .* got 70000; use bfloat16"):
        Engine(Model([layer], [weights]), weights="float16")
    Engine(Model([layer], [weights]), weights="bfloat16").step("a", [1.0])
