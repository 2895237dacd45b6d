"""What ``observe`` returns, in every way to ask an engine; missing values, gaps and times."""

import math

import numpy as np
import pytest

from streamlstm import AsyncEngine, Engine, Model, Online, Prediction, Predictions, detector
from streamlstm.engine.prediction import ResultLayout
from streamlstm.errors import BadValueError, StreamLSTMError
from streamlstm.network.online import KINDS
from streamlstm.network.result_places import result_places

from ..contract.models import STAGES, staged

FULL = staged(
    Online(fill="last", max_gap=3, intervals=(0.5, 0.9), anomaly=True, adapt="rls"), horizon=1
)
PLAIN = FULL.with_online(None)
TIMED = staged(STAGES["calendar"])


def rows(count: int, seed: int = 3) -> np.ndarray:
    t = np.arange(count)[:, None]
    noise = 0.1 * np.random.default_rng(seed).standard_normal((count, 3))
    return (np.sin(0.3 * t + np.arange(3)) + noise).astype(np.float32)


def same(one: Prediction | Predictions, other: Prediction | Predictions) -> bool:
    return np.array_equal(one._result, other._result, equal_nan=True)


async def test_every_way_to_ask_gives_the_same() -> None:
    X = rows(150)
    X[40:42, 1] = np.nan
    engines = [Engine(FULL, 5, threads=1) for _ in range(4)]
    one, handle, many, loop = engines
    stream, aio = handle.stream("a"), AsyncEngine(loop)
    for n, x in enumerate(X, start=1):
        expected = one.observe("a", x, seq=n, time=60.0 * n)
        assert same(expected, stream.observe(x, seq=n, time=60.0 * n))
        block = many.observe_many(["b", "a"], [x, x], seqs=[n, n], times=[60.0 * n] * 2)
        assert same(expected, block[1])
        assert same(block[0], block[1])
        assert same(expected, await aio.observe("a", x, seq=n, time=60.0 * n))
    assert not np.isnan(expected.low).any()
    assert expected.filled == 0
    states = {engine.export_stream("a") for engine in engines}
    assert len(states) == 1
    last = await aio.observe_many(["a"], [X[0]])
    assert same(last, one.observe_many(["a"], [X[0]]))


def test_step_is_the_outputs_of_observe_and_costs_no_stage_less() -> None:
    one, other = Engine(FULL, 3), Engine(FULL, 3)
    for x in rows(30):
        assert np.array_equal(one.step("a", x), other.observe("a", x).y)
        assert np.array_equal(one.step_many(["b"], [x])[0], other.observe_many(["b"], [x]).y[0])
    assert one.export_stream("a") == other.export_stream("a")


def test_without_a_stage_nothing_is_known_but_the_outputs() -> None:
    engine = Engine(PLAIN, 3)
    x = rows(1)[0]
    p = engine.observe("a", x)
    assert np.array_equal(p.y, Engine(PLAIN, 3).step("a", x))
    for values in (p.low, p.high, p.error):
        assert values.shape == (2,)
        assert np.isnan(values).all()
    assert math.isnan(p.score)
    assert math.isnan(p.p_value)
    assert (p.alarm, p.kind, p.filled) == (False, "", 0)
    assert repr(p) == f"<Prediction y={np.array2string(p.y, precision=5, separator=', ')}>"
    with pytest.raises(BadValueError, match=r"one of the model's, none, got 0.9"):
        p.interval(0.9)
    block = engine.observe_many(["a", "b"], rows(2))
    assert len(block) == 2
    assert (block.alarm.tolist(), block.kind, block.filled.tolist()) == (
        [False] * 2,
        [""] * 2,
        [0, 0],
    )
    assert np.isnan(block.score).all()


def test_the_parts_of_a_result() -> None:
    layout = ResultLayout(2, (0.5, 0.9), True)
    at = result_places(2, 2)
    result = np.zeros(at.size, np.float32)
    result[: at.error + 2] = np.arange(at.error + 2)  # y, then low and high of each level, error
    result[at.score], result[at.p_value], result[at.filled] = 12, 13, 16
    result[at.alarm], result[at.kind] = 1, KINDS.index("level")
    p = Prediction(result, layout)
    assert p.y.tolist() == [0, 1]
    assert [part.tolist() for part in p.interval(0.5)] == [[2, 3], [6, 7]]
    assert [part.tolist() for part in p.interval(0.9)] == [[4, 5], [8, 9]]
    assert (p.low.tolist(), p.high.tolist()) == ([4, 5], [8, 9])
    assert p.error.tolist() == [10, 11]
    assert (p.score, p.p_value, p.alarm, p.kind, p.filled) == (12, 13, True, "level", 16)
    for words in (
        "y=[0., 1.]",
        "low=[4., 5.]",
        "high=[8., 9.]",
        "score=12",
        "kind='level'",
        "filled=16",
    ):
        assert words in repr(p)
    with pytest.raises(BadValueError, match=r"one of the model's, 0.5, 0.9, got 0.8"):
        p.interval(0.8)
    block = Predictions(np.stack([result, result + 0]), layout)
    assert block.y.shape == block.interval(0.9)[0].shape == (2, 2)
    assert block.kind == ["level", "level"]
    assert block.alarm.dtype == bool
    assert block.filled.tolist() == [16, 16]
    assert repr(block) == "<Predictions of 2 observations, 2 alarms>"
    assert repr(block[1]) == repr(p)


@pytest.mark.parametrize(("side", "open_side"), [("upper", "low"), ("lower", "high")])
def test_an_interval_of_one_side_is_open_on_the_other(side: str, open_side: str) -> None:
    engine = Engine(staged(Online(intervals=(0.9,), side=side)), 3)
    for x in rows(100):
        p = engine.observe("a", x)
    assert np.isinf(getattr(p, open_side)).all()
    assert np.isfinite(p.high if side == "upper" else p.low).all()


def test_bounds_do_not_leave_the_range_of_the_outputs() -> None:
    engine = Engine(staged(Online(intervals=(0.5, 0.95), lower=0.0, upper=0.4)), 3)
    for x in rows(200):
        p = engine.observe("a", x)
        for level in (0.5, 0.95):
            low, high = p.interval(level)
            known = ~np.isnan(low)
            assert (low[known] >= 0).all()
            assert (high[known] <= np.float32(0.4)).all()


def test_what_came_is_compared_with_what_was_predicted_for_it() -> None:
    """Outputs are the inputs c and a, one step later."""
    engine, X = Engine(FULL, 3), rows(20)
    before = engine.observe("a", X[0])
    assert np.isnan(before.error).all()
    for x in X[1:]:
        p = engine.observe("a", x)
        assert np.allclose(p.error, x[[2, 0]] - before.y, atol=1e-6)
        before = p
    x = X[0].copy()
    x[2] = np.nan
    p = engine.observe("a", x)
    assert np.isnan(p.error).tolist() == [True, False]


@pytest.mark.parametrize("missing", [None, np.nan, math.nan])
def test_a_missing_value_is_filled_and_counted(missing: float | None) -> None:
    engine = Engine(FULL, 3)
    for x in rows(10):
        engine.observe("a", x)
    p = engine.observe("a", [missing, 0.2, missing])
    assert p.filled == 2
    assert np.isfinite(p.y).all()
    assert "filled=2" in repr(p)
    given = Engine(FULL, 3)
    for x in rows(10):
        given.observe("a", x)
    assert np.array_equal(p.y, given.observe("a", [np.nan, 0.2, np.nan]).y)


def test_where_nothing_is_filled_a_missing_value_is_refused() -> None:
    partly = staged(Online(fill=("last", "refuse", "zero"), intervals=(0.9,)))
    for model, x, name in ((PLAIN, [None, 1, 2], "a"), (partly, [None, None, 2], "b")):
        engine = Engine(model, 3)
        for attempt in (
            lambda: engine.observe("s", x),  # noqa: B023
            lambda: engine.observe_many(["s"], [x]),  # noqa: B023
            lambda: engine.stream("s").observe(x),  # noqa: B023
        ):
            with pytest.raises(BadValueError, match=rf"{name}\b"):
                attempt()
        assert engine.streams() == []
    assert Engine(partly, 3).observe("s", [None, 1, None]).filled == 2


def test_infinity_is_never_missing() -> None:
    with pytest.raises(BadValueError, match="finite"):
        Engine(FULL, 3).observe("s", [math.inf, 1, 2])


def test_a_long_gap_ends_in_no_prediction_until_a_value_comes() -> None:
    """max_gap is 3."""
    engine = Engine(FULL, 3)
    for x in rows(20):
        engine.observe("a", x)
    said = [engine.observe("a", [None, 0.1, 0.2]) for _ in range(6)]
    assert [np.isnan(p.y).tolist() for p in said] == [[False] * 2] * 3 + [[False, True]] * 3
    assert [p.kind for p in said[3:]] == ["missing"] * 3
    assert np.isnan(said[-1].low).tolist() == [False, True]
    back = engine.observe("a", [0.3, 0.1, 0.2])
    assert np.isfinite(back.y).all()
    assert (back.filled, back.kind) == (0, "")


def test_an_input_that_never_came_is_no_basis_for_a_prediction() -> None:
    engine = Engine(FULL, 3)
    assert np.isnan(engine.observe("a", [None, 0.1, 0.2]).y).tolist() == [False, True]
    assert np.isfinite(engine.observe("a", [0.3, 0.1, 0.2]).y).all()


def test_without_an_input_that_is_not_forecast_there_is_no_prediction() -> None:
    engine = Engine(staged(Online(fill="last", max_gap=3, anomaly=True)), 3)
    for x in rows(20):
        engine.observe("a", x)
    said = [engine.observe("a", [0.1, None, 0.2]) for _ in range(6)]
    assert [bool(np.isnan(p.y).all()) for p in said] == [False] * 3 + [True] * 3
    assert [p.kind for p in said] == [""] * 3 + ["missing"] * 3


def test_one_dead_sensor_of_a_detector_does_not_hide_the_others() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(50, 1, (3_000, 2)).astype(np.float32)
    X[500:, 1], X[2_000:2_100, 0] = np.nan, rng.normal(50, 12, 100)
    told = Engine(detector(["a", "b"])).observe_many(["s"] * len(X), X)
    assert np.isfinite(told.y[1_000:, 0]).all()
    assert np.isnan(told.y[1_000:, 1]).all()
    alarms = np.flatnonzero(told.alarm)
    assert any(500 <= n < 520 for n in alarms)
    assert any(2_000 <= n < 2_100 for n in alarms)
    assert all(told.kind[n] not in ("", "missing") for n in alarms if n >= 2_000)


def test_a_single_missing_value_is_no_kind_of_alarm() -> None:
    for missing in (0, 1):
        engine, x = Engine(detector(["a", "b"]), 1), [1.0, 2.0]
        for _ in range(200):
            engine.observe("s", x)
        x[missing] = None  # type: ignore[call-overload]
        said = [engine.observe("s", x) for _ in range(9)]
        assert [p.kind for p in said] == [""] * 7 + ["missing"] * 2
        assert [p.alarm for p in said] == [False] * 7 + [True, False]


@pytest.mark.parametrize("time", [None, math.nan, math.inf, "now"])
def test_a_calendar_needs_a_time(time: object) -> None:
    engine, x = Engine(TIMED, 3), rows(1)[0]
    attempts = [
        lambda: engine.step("a", x, time=time),
        lambda: engine.observe("a", x, time=time),
        lambda: engine.stream("a").observe(x, time=time),
        lambda: engine.step_many(["a"], [x], times=[time]),
        lambda: engine.observe_many(["b", "a"], [x, x], times=[5.0, time]),
    ]
    if time is None:
        attempts += [lambda: engine.step("a", x), lambda: engine.observe_many(["a"], [x])]
    for attempt in attempts:
        with pytest.raises(BadValueError, match="expected an event time in seconds"):
            attempt()
    assert engine.streams() == []
    _, errors = engine.step_each(["a", "b"], [x, x], times=[time, 60.0])
    assert list(errors) == [0]
    assert engine.streams() == ["b"]


def test_the_hour_and_the_zone_change_the_prediction() -> None:
    zones = [staged(Online(calendar=("hour",), zone=zone)) for zone in ("UTC", "Asia/Tokyo")]
    x, noon = rows(1)[0], 12 * 3600.0
    in_utc, in_tokyo = (Engine(model, 9) for model in zones)
    y = in_utc.observe("a", x, time=noon).y
    assert not np.allclose(y, in_utc.observe("b", x, time=noon + 3600).y, atol=1e-4)
    assert np.allclose(y, in_utc.observe("c", x, time=noon + 86400).y, atol=1e-5)
    assert np.allclose(y, in_tokyo.observe("d", x, time=noon - 9 * 3600).y, atol=1e-5)


def test_one_model_serves_streams_of_any_level() -> None:
    base = staged(Online(scale="stream", intervals=(0.9,)), horizon=1)
    model = Model(
        base.layers, base.weights, ["a", "b", "c"], ["c", "a"], skip=[2, 0], online=base.online
    )
    engine, X = Engine(model, 3), rows(300)
    for x in X:
        low = engine.observe("low", x)
        high = engine.observe("high", 1000 + 50 * x)
    assert np.allclose(high.y, 1000 + 50 * low.y, rtol=1e-3)
    assert np.allclose(high.high - high.low, 50 * (low.high - low.low), rtol=0.05)


def test_a_refused_observation_changes_nothing() -> None:
    engine, X = Engine(FULL, 3), rows(40)
    for n, x in enumerate(X, start=1):
        engine.observe("a", x, seq=n)
    before = engine.export_stream("a")
    for x, seq in (([1, 2], 41), ([1, 2, math.inf], 41), (X[0], 40), (X[0], 43)):
        with pytest.raises(StreamLSTMError):
            engine.observe("a", x, seq=seq)
    assert engine.export_stream("a") == before


def test_forecasts_that_become_worse_are_told_once() -> None:
    engine = Engine(detector(), 1)
    rng = np.random.default_rng(3)
    values = rng.normal(size=4_000)
    values[2_000:] *= 5.0
    told = [n for n, x in enumerate(values) if engine.observe("a", [x]).drift]
    assert told
    assert 2_000 < told[0] < 2_500
    assert len(told) <= 3


def test_errors_of_the_largest_values_are_finite() -> None:
    online = Online(fill="last", intervals=(0.9,), anomaly=True)
    engine = Engine(staged(online, horizon=1), 3)
    X = np.where(np.arange(40)[:, None] % 2, 3e38, -3e38) * np.ones((1, 3))
    told = engine.observe_run("a", np.concatenate([X, rows(300)]))
    errors = told.error[1:]
    assert np.isfinite(errors).all()
    assert np.abs(errors[:30]).max() > 3e38
    assert np.isfinite(told.low[2:]).all()
    assert np.isfinite(told.high[2:]).all()
