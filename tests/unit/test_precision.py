"""Weights of 16 and 8 bits: the same rounding everywhere, and its cost."""

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, Model, check_precision
from streamlstm.backends.plan import initial_row
from streamlstm.backends.precision import from_16_bits, narrow, round_weights, to_16_bits
from streamlstm.backends.reference import ReferenceBackend
from streamlstm.errors import BadValueError, ModelError, ShapeError

from ..contract.models import MODELS, random_model

SHORT = ("float16", "bfloat16")
SOME = ("smallest", "odd", "usual", "stack", "everything", "gru", "rnn", "wide head")
WINDOWS = [
    name
    for name, model in MODELS.items()
    if (model.window or "branches" in name) and not (model.online or model.categories)
]
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


@pytest.mark.parametrize("precision", [*SHORT, "int8"])
@pytest.mark.parametrize("name", [*(n for n in SOME if n in MODELS), "large"])
def test_engine_steps_the_rounded_model(precision: str, name: str) -> None:
    """Each step from the engine's own state: a state that differs by an ulp may round otherwise."""
    model = LARGE if name == "large" else MODELS[name]
    X = np.random.default_rng(1).standard_normal((12, 7, model.input_size)).astype(np.float32)
    backend = ReferenceBackend(round_weights(model, precision), np.float64, precision)
    alone, together = Engine(model, 9, weights=precision), Engine(model, 9, weights=precision)
    assert alone.backend == "cpu"
    for t in range(12):
        rows = np.tile(initial_row(model), (7, 1))
        if t:
            rows = together._table.rows[[together._table.slot(n) for n in range(7)]]
        expected = np.zeros((7, model.output_size))
        backend.step_block(rows.astype(np.float64), np.arange(7), X[t], expected)
        Y = together.step_many(list(range(7)), X[t])
        error = np.abs(Y - expected) / np.maximum(1, np.abs(expected))
        assert np.quantile(error, 0.9) < 5e-6
        assert error.max() < (1e-2 if narrow(precision) else 5e-6)
        assert np.array_equal(Y, [alone.step(n, X[t, n]) for n in range(7)])


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("B", [1, 2, 3, 4, 5, 6, 7, 48, 53])
@pytest.mark.parametrize(("F", "H"), [(1, 1), (2, 15), (3, 16), (7, 33), (16, 64), (5, 128)])
def test_narrow_products_are_added_as_the_specification_does(
    F: int, H: int, B: int, precision: str
) -> None:
    """Whole and part words of inputs, panels that fit the caches and that do not."""
    model = round_weights(random_model([LSTM(F, H)]), precision)
    rng = np.random.default_rng(F * H + B)
    engine = Engine(model, 2 * B, weights=precision)
    ids = list(range(2 * B))
    engine.step_many(ids, rng.standard_normal((2 * B, F)).astype(np.float32))  # states of their own
    chosen = rng.permutation(2 * B)[:B].tolist()
    rows = engine._table.rows[[engine._table.slot(n) for n in chosen]].astype(np.float64)
    X, expected = rng.standard_normal((B, F)).astype(np.float32), np.zeros((B, H))
    ReferenceBackend(model, np.float64, precision).step_block(rows, np.arange(B), X, expected)
    assert np.abs(engine.step_many(chosen, X) - expected).max() < 2e-6
    after = engine._table.rows[[engine._table.slot(n) for n in chosen]]
    assert np.abs(after - rows).max() < 4e-6


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", WINDOWS)
def test_windows_and_branches_round_as_the_specification_does(name: str, precision: str) -> None:
    model = MODELS[name]
    steps = 2 * (model.window or 4) + 1
    X = np.random.default_rng(3).standard_normal((steps, 5, model.input_size)).astype(np.float32)
    engines = [Engine(model, 9, kind, weights=precision) for kind in ("cpu", "reference")]
    differences = []
    for x in X:
        ours, theirs = (engine.step_many(list(range(5)), x) for engine in engines)
        differences.append(np.abs(ours - theirs))
        for n in range(5):  # both go on from the same state
            engines[1].import_stream(n, engines[0].export_stream(n))
    assert np.nanquantile(differences, 0.9) < 5e-6
    assert np.nanmax(differences) < 2e-2


@pytest.mark.parametrize("precision", [*SHORT, "int8"])
def test_check_tells_what_rounding_costs(precision: str) -> None:
    cost = check_precision(LARGE, precision)
    assert 0 < cost.usual < cost.largest < 0.2 * cost.spread
    assert precision in str(cost)
    assert check_precision(LARGE, "float32").largest == 0


def test_check_measures_on_data() -> None:
    """Observations that reach further leave fewer of 255 levels to most of them."""
    near = np.random.default_rng(2).standard_normal((100, 16))
    far = near.copy()
    far[:, 3] *= 30
    costs = [check_precision(LARGE, "int8", data=data) for data in (near, far)]
    assert costs[0].usual < costs[1].usual
    assert check_precision(LARGE, "int8", data=near.tolist()) == costs[0]
    for data, said in (
        (near[:, 1:], r"shape \[T, 16\], T of 1 or more, got \[100, 15\]"),
        (near[:0], r"got \[0, 16\]"),
        ([["a"] * 16], r"data: expected numbers of shape \[T, 16\]"),
        (np.where(near == near[7, 2], np.nan, near), "got nan in row 7, x2"),
    ):
        with pytest.raises((BadValueError, ShapeError), match=said):
            check_precision(LARGE, "int8", data=data)
    with pytest.raises(BadValueError, match=r"categories from 0 to 10, got 11\.0 in row 1, x0"):
        check_precision(MODELS["embedding"], "int8", data=[[1], [11]])


def test_float16_costs_less_than_bfloat16() -> None:
    assert check_precision(LARGE, "float16").usual < check_precision(LARGE, "bfloat16").usual / 4


def test_bad_options_are_refused() -> None:
    with pytest.raises(ModelError, match=r"expected float32, float16, bfloat16, int8, got 'half'"):
        Engine(LARGE, weights="half")
    with pytest.raises(BadValueError, match="steps: expected an integer from 1 to 1000000, got 0"):
        check_precision(LARGE, steps=0)
    layer = LSTM(1, 1)
    weights = {name: np.full(shape, 7e4) for name, shape in layer.parameters().items()}
    with pytest.raises(ModelError, match=r"weight_ih: .* got 70000; use bfloat16"):
        Engine(Model([layer], [weights]), weights="float16")
    Engine(Model([layer], [weights]), weights="bfloat16").step("a", [1.0])
