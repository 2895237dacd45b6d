"""Counters: their changes go into the network, taken in float64 from the state of the stream."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import numpy as np
import pytest

from streamlstm import LSTM, AsyncEngine, Dense, Engine, Model, Online, Scaling, wire
from streamlstm.errors import DuplicateError, ModelError, ModelMismatchError, PrecisionError
from streamlstm.network.differences import from_two_floats, two_floats
from streamlstm.online.differences import changes_of
from streamlstm.serving.native import layout
from streamlstm.serving.service import Service

from ..contract.models import random_model
from .test_loops_agree import agree, harness

START, ROWS = 8.8e10, 70
STAGES = {
    "alone": Online(),
    "all": Online(
        fill="last",
        max_gap=4,
        adapt="rls",
        season=5,
        intervals=(0.5, 0.9),
        lower=0.0,
        anomaly=True,
    ),
    "by stream": Online(fill="mean", scale="stream", intervals=(0.9,)),
}


def network(online: Online, difference: tuple[int, ...] = (0, 2)) -> Model:
    """Return a model that forecasts a counter and a level, from these and another counter."""
    parts = random_model([LSTM(3, 9), Dense(9, 2)], seed=3)
    return Model(
        parts.layers,
        parts.weights,
        inputs=["total", "level", "pulses"],
        outputs=["total", "level"],
        input_scaling=Scaling([1500.0, 0.2, 3.0], [60.0, 1.1, 2.0]),
        output_scaling=Scaling([0.0, 0.0], [40.0, 0.3]),
        skip=[0, 1],
        online=Online(**{**online.to_dict(), "difference": difference}),
    )


def series(seed: int = 0, gaps: bool = False) -> np.ndarray:
    """Return rows of the three inputs; the first counter begins again, the second from 0."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(ROWS, 3))
    X[:, 0] = START + np.cumsum(np.round(1500 + 60 * X[:, 0]))
    X[40:, 0] -= X[39, 0]
    X[:, 2] = np.cumsum(rng.integers(0, 9, ROWS) + 0.125)
    X[50:, 2] -= X[50, 2]
    if gaps:
        X[rng.random(X.shape) < 0.1] = np.nan
        X[20:28, 0] = np.nan
    return X


def changed(X: np.ndarray, filled: bool) -> np.ndarray:
    """Return rows with the changes of the counters."""
    Z = X.copy()
    for column in (0, 2):
        Z[:, column] = changes_of(X[:, column], filled)
    return Z


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_model_of_counters_says_what_one_of_their_changes_says(stage: str, backend: str) -> None:
    """Bit for bit; the outputs and bounds of the counter are behind its last value."""
    online = STAGES[stage]
    filled = online.fill != "refuse"
    engine = Engine(network(online), backend=backend)
    other = Engine(network(online, ()), backend=backend)
    X = series(gaps=filled)
    last, unknown = np.nan, 0
    for x, z in zip(X, changed(X, filled), strict=True):
        got, expected = engine.observe("a", x), other.observe("a", z.astype(np.float32))
        # Where it did not come, nothing but the filled changes did.
        last = got.y[0] - float(expected.y[0]) if np.isnan(x[0]) else x[0]
        for name in ("y", "low", "high"):
            there = getattr(expected, name).astype(np.float64) + np.array([last, 0.0])
            np.testing.assert_allclose(getattr(got, name), there, rtol=1e-14)
        for name in ("error", "score", "p_value", "alarm", "filled", "kind"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
        unknown += np.isnan(got.y[0])
    assert unknown < 12


def test_the_level_of_a_gap_moves_by_what_its_changes_are_filled_with() -> None:
    engine = Engine(network(Online(fill="last")))
    for n in range(5):
        engine.step("a", [START + 1000 * n, 0.0, n])
    for n in range(5, 9):
        made = engine.observe("a", [None, 0.0, None])
        level = made.y[0] - START - 1000 * n
        assert abs(level) < 1500, "one change ahead of where the counter would be"
    assert engine.observe("a", [START + 9000, 0.0, 9]).filled == 0


@pytest.mark.parametrize(
    ("values", "filled", "expected"),
    [
        ([START, START + 1500, START + 3001], False, [0, 1500, 1501]),
        ([5.0, 3.0, 4.0], False, [0, 0, 1]),
        ([5.0, 3.0, 4.0], True, [0, np.nan, 1]),
        ([np.nan, 5.0, np.nan, np.nan, 11.0, 12.0], True, [np.nan, 0, np.nan, np.nan, 2, 1]),
        ([0.0, 2.0**47 + 1, 2.0**47 + 2], False, [0, 2.0**47 + 1, 1]),
        ([-3e38, 3e38], False, [0, 3.4028234663852886e38]),
        ([np.nan, np.nan], True, [np.nan, np.nan]),
        ([], False, []),
    ],
)
def test_changes_of_a_counter(values: list[float], filled: bool, expected: list[float]) -> None:
    np.testing.assert_array_equal(changes_of(np.array(values), filled), expected)


def test_two_floats_hold_48_bits() -> None:
    values = np.array([[2.0**48 - 1, 0.1, np.nan], [8.8e10 + 0.125, 3e60, 2.0]])
    rows = two_floats(values, (0, 2))
    assert (rows.shape, rows.dtype) == ((2, 5), np.float32)
    assert rows[0, 4] == 0
    back = from_two_floats(rows, (0, 2))
    np.testing.assert_array_equal(back[:, 0], values[:, 0])
    assert np.isnan(back[0, 2])
    assert np.isinf(back[1, 1])


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_every_way_to_step_says_the_same(backend: str) -> None:
    """Single steps, a handle, runs, blocks of a tile and more, a stream twice in a block."""
    model, X = network(STAGES["all"]), series(1)
    alone = Engine(model, backend=backend)
    Y = np.array([alone.step("a", x) for x in X])
    np.testing.assert_array_equal(Engine(model, backend=backend).run("a", X), Y)
    handle = Engine(model, backend=backend).stream("a")
    np.testing.assert_array_equal([handle.step(x) for x in X], Y)
    many, ids = Engine(model, backend=backend), [f"s{n}" for n in range(37)]
    for n, x in enumerate(X[:20]):
        got = many.step_many(ids, np.tile(x, (37, 1)))
        np.testing.assert_allclose(got, np.tile(Y[n], (37, 1)), rtol=1e-13, atol=2e-3)
    twice = Engine(model, backend=backend).step_many(["a", "b", "a", "a"], X[[0, 5, 1, 2]])
    np.testing.assert_allclose(twice[[0, 2, 3]], Y[:3], rtol=1e-13, atol=2e-3)


def test_the_last_value_goes_with_the_stream() -> None:
    model, X = network(STAGES["all"]), series(2)
    here, there = Engine(model), Engine(model)
    for n, x in enumerate(X[:30]):
        here.step("a", x, seq=n + 1)
    blob = here.export_stream("a")
    there.import_stream("a", blob)
    np.testing.assert_array_equal(there.step("a", X[30]), here.step("a", X[30]))
    with pytest.raises(ModelMismatchError):
        Engine(network(STAGES["all"], ())).import_stream("a", blob)
    here.reset("a")
    first = here.step("a", X[31])
    np.testing.assert_array_equal(first, Engine(model).step("a", X[31]))


def test_what_is_refused_leaves_the_last_value() -> None:
    engine, X = Engine(network(Online())), series(3)
    other = Engine(network(Online()))
    for n, x in enumerate(X[:10]):
        y = engine.step("a", x, seq=n + 1)
        np.testing.assert_array_equal(other.step("a", x), y)
        for bad in ([np.nan, 0.0, 1.0], [1e39, 0.0, 1.0], [1.0]):
            with pytest.raises(Exception, match="expected"):
                engine.step("a", bad, seq=n + 2)
        with pytest.raises(PrecisionError, match="needs of total, pulses"):
            engine.step("a", x.astype(np.float32), seq=n + 2)
        with pytest.raises(DuplicateError):
            engine.step("a", X[n + 1], seq=n + 1)
        np.testing.assert_array_equal(engine.last_prediction("a", n + 1), y)


def test_async_engine_and_explain() -> None:
    model, X = network(Online()), series(4)

    async def both() -> list[np.ndarray]:
        engine = AsyncEngine(Engine(model))
        return [await engine.step("a", x) for x in X[:5]]

    engine = Engine(model)
    for x, expected in zip(X[:5], asyncio.run(both()), strict=True):
        explained = engine.explain("a", x).prediction
        np.testing.assert_allclose(explained, expected, rtol=1e-6)
        np.testing.assert_array_equal(engine.step("a", x), expected)


def test_a_forecast_of_several_steps_adds_the_changes_up() -> None:
    parts = network(Online())
    model = Model(
        [LSTM(1, 9), Dense(9, 1)],
        random_model([LSTM(1, 9), Dense(9, 1)], seed=3).weights,
        inputs=["total"],
        outputs=["total"],
        input_scaling=Scaling(parts.input_scaling.mean[:1], parts.input_scaling.scale[:1]),
        output_scaling=Scaling([1500.0], [60.0]),
        online=Online(intervals=(0.9,), difference=(0,)),
    )
    engine, X = Engine(model), series(5)[:30, :1]
    y = [engine.step("a", x) for x in X][-1]
    forecast = engine.forecast("a", 4)
    np.testing.assert_array_equal(forecast.y[0], y)
    for n in range(1, 4):
        y = engine.step("a", y)
        np.testing.assert_allclose(forecast.y[n], y, rtol=1e-13)
    assert (np.diff(forecast.y[:, 0]) > 1000).all()
    assert (forecast.low < forecast.y).all()
    assert (forecast.y < forecast.high).all()


@pytest.mark.parametrize("loop", ["native", "python"])
@pytest.mark.parametrize("stage", STAGES)
def test_both_loops_of_a_worker_step_counters_alike(stage: str, loop: str) -> None:
    """STEP and STEPS, a stream twice in a message, repeated and refused observations."""
    model = network(STAGES[stage])
    X = series(6, gaps=stage != "alone")
    service = Service(Engine(model, 100))
    with harness(Engine(model, 100), loop=loop) as both:
        for n in range(1, 40):
            x, later = (wire.Doubles.of(row) for row in X[n : n + 2])
            step = wire.encode(wire.Step("a", n, x))
            many = wire.Steps(
                ["b", "c", "b"], None, wire.Doubles.of([*x.full, *x.full, *later.full])
            )
            bad = wire.encode(wire.Step("a", n + 1, wire.Doubles.of([math.inf, 0.0, 0.0])))
            coarse = wire.encode(wire.Step("a", n + 1, wire.to_floats([1.0, 2.0, 3.0])))
            agree(both, service, [step, wire.encode(many), step, bad, coarse])
        ids = [f"s{n}" for n in range(40)]
        rows = wire.Doubles.of(X[[n % 9 for n in range(40)]])
        handed = both.service.counters[layout.HANDED_OVER]
        agree(both, service, [wire.encode(wire.Steps(ids, None, rows))] * 3)
        assert both.service.counters[layout.HANDED_OVER] == handed
        reply = wire.decode_reply(service.handle([wire.encode(wire.Step("d", 0, x))])[0].reply)
        assert isinstance(reply, wire.Prediction)
        if not math.isnan(x.full[0]):
            assert abs(wire.from_vector(reply.y)[0] - x.full[0]) < 1e4


def test_a_model_file_keeps_what_is_differenced(tmp_path: Path) -> None:
    model, path = network(STAGES["all"]), tmp_path / "model.safetensors"
    model.save(path)
    loaded = Model.load(path)
    assert loaded.fingerprint == model.fingerprint
    assert loaded.differences == (0, 2)
    assert b"put_offsets" not in path.read_bytes()
    assert "difference=[0, 2]" in repr(loaded)
    plain = Online(intervals=(0.5,))
    for kept in (model.with_online(None), model.with_online(plain), model.with_offsets(None)):
        assert kept.counters == ("total", "pulses"), "the network knows nothing else"
        assert kept.input_offsets is not None
    assert model.of_changes().input_offsets is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"online": Online(difference=(3,))}, "indices up to 2, got 3"),
        ({"online": Online(difference=(0,)), "horizon": 2}, "forecast one step ahead, got 2"),
        (
            {"online": Online(difference=(0,)), "input_offsets": [5.0, 0, 0]},
            "0 for total, which is differenced, got 5",
        ),
    ],
)
def test_differences_that_do_not_fit_are_refused(options: dict, expected: str) -> None:
    parts = random_model([LSTM(3, 9), Dense(9, 1)])
    with pytest.raises(ModelError, match=expected):
        Model(parts.layers, parts.weights, ["total", "b", "c"], ["total"], **options)


@pytest.mark.parametrize("difference", [(1, 0), (1, 1), (-1,), ("a",), 3])
def test_differences_are_indices_in_order(difference: object) -> None:
    with pytest.raises(ModelError, match="indices of inputs, rising"):
        Online(difference=difference)


def test_a_restart_with_another_model_forgets_the_last_prediction_of_a_counter() -> None:
    model, X = network(Online()), series(7)
    engine = Engine(model)
    engine.step("a", X[0], seq=1)
    assert engine.reload(network(STAGES["all"]), anew=True).anew
    assert engine.last_prediction("a", 1) is None
    with pytest.raises(ModelMismatchError):
        engine.reload(model)
