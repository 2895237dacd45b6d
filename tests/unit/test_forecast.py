"""A forecast of several steps ahead leaves the stream as it is, and is what steps would give."""

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, Model, Online, detector
from streamlstm.errors import BadValueError, ModelError, UnknownStreamError

from ..contract.models import random_model, staged

BASE = random_model([LSTM(2, 9), Dense(9, 2)])
ONLINE = Online(intervals=(0.5, 0.9), anomaly=True)
MODEL = Model(BASE.layers, BASE.weights, ["a", "b"], ["b", "a"], online=ONLINE)


def fed(model: Model = MODEL, count: int = 120) -> Engine:
    engine = Engine(model, 5)
    for n in range(count):
        engine.observe("a", np.sin([0.3 * n, 0.3 * n + 1])[: model.input_size], time=60.0 * n)
    return engine


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_it_changes_nothing(backend: str) -> None:
    engine, twin = Engine(MODEL, 5, backend), Engine(MODEL, 5, backend)
    for n in range(20):
        for stepped in (engine, twin):
            stepped.observe("a", [np.sin(n), np.cos(n)], seq=n + 1)
    before = engine.export_stream("a")
    engine.forecast("a", 50)
    assert engine.export_stream("a") == before
    assert engine.steps == twin.steps
    one, other = (e.observe("a", [0.1, 0.2], seq=21) for e in (engine, twin))
    assert np.array_equal(one._result, other._result, equal_nan=True)


def test_it_is_what_feeding_a_stream_its_own_predictions_gives() -> None:
    engine = fed()
    forecast = engine.forecast("a", 12)
    copy = Engine(MODEL, 5)
    copy.import_stream("a", engine.export_stream("a"))
    y = forecast.y[0]
    for expected in forecast.y[1:]:
        y = copy.step("a", y[::-1].copy())  # outputs are b and a, inputs a and b
        assert np.allclose(y, expected, atol=1e-6)
    assert forecast.y.shape == forecast.low.shape == forecast.high.shape == (12, 2)


def test_the_first_row_is_the_last_prediction_and_intervals_grow() -> None:
    engine = fed(count=119)
    p = engine.observe("a", [0.3, 0.4])
    forecast = engine.forecast("a", 9)
    assert np.array_equal(forecast.y[0], p.y)
    assert np.allclose(forecast.low[0], p.low, atol=1e-6)
    assert np.allclose(forecast.high[0], p.high, atol=1e-6)
    width = forecast.high - forecast.low
    assert np.allclose(width[8], 3 * width[0], rtol=1e-4)
    assert len(engine.forecast("a", 1).y) == 1


def test_bounds_of_the_outputs_hold_for_forecasts() -> None:
    model = MODEL.with_online(Online(intervals=(0.9,), lower=-0.1, upper=0.1))
    forecast = fed(model).forecast("a", 20)
    assert (forecast.low >= np.float32(-0.1)).all()
    assert (forecast.high <= np.float32(0.1)).all()


@pytest.mark.parametrize(("side", "open_side"), [("upper", "low"), ("lower", "high")])
def test_a_forecast_is_open_on_the_side_that_the_intervals_leave_open(
    side: str, open_side: str
) -> None:
    engine = fed(MODEL.with_online(Online(intervals=(0.9,), side=side)))
    forecast = engine.forecast("a", 4)
    assert np.isinf(getattr(forecast, open_side)).all()
    assert np.isfinite(forecast.high if side == "upper" else forecast.low).all()


def test_without_intervals_there_are_no_bounds() -> None:
    forecast = fed(MODEL.with_online(Online())).forecast("a", 3)
    assert np.isfinite(forecast.y).all()
    assert np.isnan(forecast.low).all()
    assert np.isnan(forecast.high).all()


def test_a_detector_forecasts() -> None:
    forecast = fed(detector(["x", "y"])).forecast("a", 20)
    assert np.isfinite(forecast.y).all()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (MODEL.with_online(None), "a model with an online stage"),
        (staged(Online(), horizon=1), "it does not forecast b|does not forecast b"),
        (
            Model(BASE.layers, BASE.weights, ["a", "b"], ["b", "a"], horizon=3, online=ONLINE),
            "3 steps",
        ),
    ],
)
def test_a_model_that_cannot_be_fed_with_its_forecasts_is_refused(model: Model, words: str) -> None:
    engine = Engine(model, 3)
    engine.step("a", np.zeros(model.input_size))
    with pytest.raises(ModelError, match=f"forecast: expected .*({words})"):
        engine.forecast("a", 3)


@pytest.mark.parametrize("steps", [0, -1, 100_001, 2.0, True, None])
def test_steps_are_a_number_of_steps(steps: object) -> None:
    with pytest.raises(BadValueError, match="steps: expected an integer from 1 to"):
        fed(count=3).forecast("a", steps)  # type: ignore[arg-type]


def test_a_stream_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownStreamError):
        fed(count=3).forecast("b", 3)
