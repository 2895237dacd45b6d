"""What `evaluate` says of a model, against figures worked out by hand and by plain NumPy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.data.table import Table
from streamlstm.engine.engine import Engine
from streamlstm.errors import DataError
from streamlstm.learn.dataset import Series
from streamlstm.learn.evaluation import judge
from streamlstm.learn.evaluation.alarms import missing_rows
from streamlstm.learn.evaluation.intervals import winkler, worst_window
from streamlstm.learn.evaluation.points import Point, find_points
from streamlstm.learn.evaluation.stretches import stretch_means
from streamlstm.learn.periods import describe_periods
from streamlstm.network.online import result_places

Array = np.ndarray[Any, Any]


VALUE = [Point(0, "value", ())]


def table(streams: list[str] | None = None, time: Any = None, **columns: Any) -> Table:
    values = np.stack([np.asarray(v, np.float32) for v in columns.values()], axis=1)
    return Table(
        path="made.csv",
        time=None if time is None else np.asarray(time, np.float64),
        names=tuple(columns),
        values=values,
        streams=streams,
        lines=np.arange(2, len(values) + 2),
    )


def identity(
    inputs: tuple[str, ...] = ("value",), outputs: tuple[str, ...] | None = None, **options: Any
) -> sl.Model:
    """A model that answers with its inputs: persistence."""
    n = len(inputs)
    layer = sl.Dense(n, n)
    weights = {"weight": np.eye(n), "bias": np.zeros(n)}
    return sl.Model([layer], [weights], inputs, outputs or inputs, **options)


def recurrent(**online: Any) -> sl.Model:
    """A small LSTM that forecasts the next value as the last one and a little."""
    rng = np.random.default_rng(7)
    layers = [sl.LSTM(1, 4), sl.Dense(4, 1)]
    weights = [
        {name: 0.3 * rng.standard_normal(shape) for name, shape in layer.parameters().items()}
        for layer in layers
    ]
    model = sl.Model(layers, weights, ["value"], ["value"], skip=[0])
    return model.with_online(sl.Online(**online)) if online else model


def walk(n: int = 300, seed: int = 0) -> Array:
    return np.cumsum(np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def test_each_number_of_a_small_series_worked_out_by_hand() -> None:
    data = table(value=[1, 2, 4, 7, 11, 8])
    results = np.array([[2], [5], [6], [11], [9], [0]], np.float32)  # of the row after each
    found = judge(identity(), data, results, VALUE, {"": 0}, season=2)
    (score,) = found.totals
    errors = score.errors
    # forecast less value: 0, 1, -1, 0, 1; the forecast of the last row speaks of none that is there
    assert errors.values == 5
    assert errors.mae == pytest.approx(3 / 5)
    assert errors.rmse == pytest.approx(np.sqrt(3 / 5))
    assert errors.bias == pytest.approx(1 / 5)
    # changes: 1, 2, 3, 4, -3
    assert errors.persistence == pytest.approx(13 / 5)
    assert errors.mase == pytest.approx((3 / 5) / (13 / 5))
    # the value two rows before, for the first row there is none: |2-1|, |4-1|, |7-2|, |11-4|, |8-7|
    assert errors.season == pytest.approx((1 + 3 + 5 + 7 + 1) / 5)
    assert errors.autoregression == errors.persistence  # of so few rows nothing can be learnt
    assert errors.against_best == pytest.approx(3 / 13)
    assert [(s.first_row, s.last_row, s.mae) for s in score.worst] == [
        (2, 2, 1),
        (3, 3, 1),
        (5, 5, 1),
    ]
    assert found.when(0) == "line 2"


def test_intervals_worked_out_by_hand() -> None:
    model = recurrent(intervals=(0.5, 0.8))
    places = result_places(1, 2)
    data, n = table(value=[0, 0, 10, 0, 5]), 5
    results = np.zeros((n, places.size), np.float32)
    results[:, places.low : places.high] = [-1, -2]
    results[:, places.high : places.error] = [1, 8]
    results[0, places.low : places.error] = np.nan  # not known yet
    (score,) = judge(model, data, results, VALUE, {"": 0}).totals
    narrow, wide = score.intervals
    assert (narrow.values, wide.values) == (3, 3)  # 10, 0 and 5 come
    assert (narrow.coverage, wide.coverage) == pytest.approx((1 / 3, 2 / 3))
    assert (narrow.width, wide.width) == (2, 10)
    assert narrow.winkler == pytest.approx(2 + (4 * 9 + 4 * 4) / 3)
    assert wide.winkler == pytest.approx(10 + 10 * 2 / 3)
    assert (wide.worst, wide.worst_row) == (wide.coverage, 1)


def test_an_interval_of_one_side_has_no_width() -> None:
    model, places = recurrent(intervals=(0.9,), side="upper"), result_places(1, 1)
    results = np.zeros((4, places.size), np.float32)
    results[:, places.low] = np.nan
    results[:, places.high] = 1
    (score,) = judge(model, table(value=[0, 1, 2, -50]), results, VALUE, {"": 0}).totals
    (upper,) = score.intervals
    assert upper.coverage == pytest.approx(2 / 3)
    assert np.isnan([upper.width, upper.winkler]).all()


def test_the_worst_window_is_the_one_furthest_from_the_level() -> None:
    inside = np.ones(2000, bool)
    inside[::10] = False
    inside[700:760] = False
    start, share = worst_window(inside, 0.9)
    assert share == min(inside[k : k + 500].mean() for k in range(1501))
    assert inside[start : start + 500].mean() == share
    assert worst_window(np.array([True, False]), 0.9) == (0, 0.5)


def test_winkler_is_the_formula() -> None:
    low, high = np.array([0.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0])
    score = winkler(low, high, np.array([0.5, -2.0, 4.0]), 0.9)
    np.testing.assert_allclose(score, [1, 1 + 2 / 0.1 * 2, 1 + 2 / 0.1 * 3])


def plain_scores(
    rows: Array, values: Array, made: Array, horizon: int, season: int, first: int
) -> dict[str, float]:
    """The same figures as simple loops say them."""
    v = [float(values[row]) for row in rows]
    known, last = [], float("nan")
    for value in v:
        last = last if np.isnan(value) else value
        known.append(last)
    errors, naive, seasonal = [], [], []
    lag = season * int(np.ceil(horizon / season))
    for t in range(max(first - horizon, 0), len(v) - horizon):
        actual = v[t + horizon]
        if np.isnan(actual) or np.isnan(known[t]):
            continue
        errors.append(float(made[rows[t]]) - actual)
        naive.append(abs(known[t] - actual))
        back = t + horizon - lag
        before = known[back] if back >= 0 and not np.isnan(known[back]) else known[t]
        seasonal.append(abs(before - actual))
    n = len(errors)
    return {
        "values": n,
        "mae": sum(map(abs, errors)) / n,
        "rmse": (sum(e * e for e in errors) / n) ** 0.5,
        "bias": sum(errors) / n,
        "persistence": sum(naive) / n,
        "season": sum(seasonal) / n,
    }


@pytest.mark.parametrize(("horizon", "season", "first"), [(1, 7, 0), (3, 7, 0), (10, 4, 30)])
def test_many_streams_two_targets_and_gaps_against_simple_loops(
    horizon: int, season: int, first: int
) -> None:
    rng = np.random.default_rng(horizon)
    n = 200
    streams = [str(name) for name in rng.integers(0, 3, n)]
    values = rng.standard_normal((n, 2)).astype(np.float32)
    values[rng.random((n, 2)) < 0.2] = np.nan
    made = rng.standard_normal((n, 2)).astype(np.float32)
    data = table(streams, a=values[:, 0], b=values[:, 1])
    model = identity(("a", "b"), horizon=horizon)
    found = judge(
        model, data, made, find_points(model, "ab"), dict.fromkeys("012", first), season=season
    )
    assert len(found.scores) == 6
    for score in found.scores:
        column = "ab".index(score.target)
        rows = np.flatnonzero(np.array(streams) == score.stream)
        wanted = plain_scores(rows, values[:, column], made[:, column], horizon, season, first)
        for name, figure in wanted.items():
            assert getattr(score.errors, name) == pytest.approx(figure, rel=1e-6), name
    for total in found.totals:
        parts = [s.errors for s in found.scores if s.target == total.target]
        values_ = sum(p.values for p in parts)
        assert total.errors.values == values_
        mean = sum(p.values * p.mae for p in parts) / values_
        assert total.errors.mae == pytest.approx(mean)
        mase = sum(p.values * p.mase for p in parts) / values_
        assert total.errors.mase == pytest.approx(mase)


def test_mase_is_measured_by_the_changes_before_the_scored_rows() -> None:
    values = np.concatenate([np.arange(20.0), 19 + 5 * np.arange(1, 11)])
    made = np.append(values[1:] + 2, 0)[:, None].astype(np.float32)
    found = judge(identity(), table(value=values), made, VALUE, {"": 20})
    assert found.totals[0].errors.mase == pytest.approx(2 / 1)
    found = judge(identity(), table(value=values), made, VALUE, {"": 5})
    assert found.totals[0].errors.mase == pytest.approx(2 / np.abs(np.diff(values))[4:].mean())


@pytest.mark.parametrize("horizon", [1, 5])
def test_persistence_is_as_good_as_persistence(horizon: int) -> None:
    found = sl.evaluate(identity(horizon=horizon), table(value=walk()))
    errors = found.totals[0].errors
    assert errors.mae == pytest.approx(errors.persistence)
    assert errors.values == 300 - horizon


@pytest.mark.parametrize("horizon", [0, 1, 4])
def test_a_perfect_model_has_no_error(horizon: int) -> None:
    v = walk()
    ahead = np.append(v[horizon:], np.zeros(horizon, np.float32))
    model = identity(("ahead",), ("value",), horizon=horizon)
    found = sl.evaluate(model, table(ahead=ahead, value=v))
    errors = found.totals[0].errors
    assert (errors.mae, errors.rmse, errors.bias, errors.mase) == (0, 0, 0, 0)
    assert errors.persistence > 0
    assert errors.against_best == 0
    assert found.totals[0].worst == ()


def test_a_constant_series_needs_no_model() -> None:
    found = sl.evaluate(identity(), table(value=np.full(50, 3.5)))
    errors = found.totals[0].errors
    assert (errors.mae, errors.persistence) == (0, 0)
    assert np.isnan([errors.mase, errors.against_best]).all()


def test_one_row_cannot_be_scored() -> None:
    with pytest.raises(DataError, match="expected rows to score, found none among 1 rows"):
        sl.evaluate(identity(), table(value=[1.0]))
    both = table(["a", "b", "b"], value=[1.0, 2, 3])
    found = sl.evaluate(identity(), both)
    assert [score.errors.values for score in found.scores] == [0, 1]
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_thousand_streams() -> None:
    n = 1000
    streams = [f"pump-{k}" for k in range(n)] * 5
    found = sl.evaluate(identity(), table(streams, value=walk(5 * n)))
    assert len(found.scores) == len(found.streams) == n
    assert found.totals[0].errors.values == 4 * n


def test_missing_values_are_not_scored_and_counted() -> None:
    v = walk()
    v[[10, 50, 51]] = np.nan
    found = sl.evaluate(recurrent(fill="last", intervals=(0.9,)), table(value=v))
    assert found.totals[0].errors.values == 299 - 3
    assert found.streams[0].missing_values == 3
    with pytest.raises(DataError, match=r"made\.csv:12: column 'value': expected a number"):
        sl.evaluate(recurrent(), table(value=v))


def test_rows_that_an_even_stream_lacks_are_counted() -> None:
    assert missing_rows(np.array([0, 60, 120, 300, 360, 420])) == 2
    assert missing_rows(np.array([0, 1, 50, 51, 53, 90, 111])) == 0
    assert missing_rows(np.array([5.0])) == 0


def test_a_column_that_says_what_came_is_found_or_asked_for() -> None:
    v = walk()
    model = identity(("a",), ("a@+3",), horizon=3)
    assert sl.evaluate(model, table(a=v)).totals[0].target == "a"
    stranger = identity(("a",), ("y0",))
    with pytest.raises(DataError, match="--target"):
        sl.evaluate(stranger, table(a=v))
    found = sl.evaluate(stranger, table(a=v), target="a")
    assert found.totals[0].errors.mae == pytest.approx(found.totals[0].errors.persistence)
    skipping = sl.Model(stranger.layers, stranger.weights, ["a"], ["y0"], skip=[0], online=None)
    assert sl.evaluate(skipping, table(a=v)).totals[0].target == "a"


def test_alarms_are_told_with_their_place() -> None:
    v = (np.sin(np.arange(1500) / 5) + 0.01 * walk(1500)).astype(np.float32)
    v[1200] += 40
    found = sl.evaluate(sl.detector(), table(value=v))
    (report,) = found.streams
    assert 1200 in [alarm.row for alarm in report.alarms]
    assert report.alarm_rate == pytest.approx(len(report.alarms) / 1500)
    assert sum(report.kinds.values()) == len(report.alarms)
    later = sl.evaluate(sl.detector(), table(value=v), from_row=1300)
    assert 1200 not in [alarm.row for alarm in later.streams[0].alarms]


def test_labels_are_learnt_when_they_have_come() -> None:
    v = walk(60)
    other = 3 * v + 1
    layers = recurrent().layers
    base = sl.Model(layers, recurrent().weights, ["value"], ["other"], horizon=2)
    model = base.with_online(sl.Online(adapt="rls", labels=5))
    found = sl.evaluate(model, table(value=v, other=other))
    engine, said = Engine(model), []
    for t, x in enumerate(v):
        said.append(engine.step("s", [x])[0])
        if t >= 2:
            engine.learn("s", t - 1, [other[t]])
    np.testing.assert_array_equal(found.forecasts[0].made, np.array(said, np.float64))


def test_a_warm_up_is_not_scored() -> None:
    v = walk(50)
    found = sl.evaluate(identity(), table(value=v), warm_up=10)
    assert found.totals[0].errors.values == 39
    assert found.totals[0].errors.mae == pytest.approx(np.abs(np.diff(v)[10:]).mean(), rel=1e-5)
    assert found.streams[0].evaluated == 40


def trained_on(data: Table, ends: dict[str, tuple[int, int]]) -> sl.Model:
    groups = data.groups()
    series = [Series(name, data.values[groups[name]], 0, *ends[name]) for name in ends]
    return identity(metadata={"periods": describe_periods(data, "value", series)})


def test_rows_that_were_trained_on_are_named_and_can_be_left_out() -> None:
    v = walk(100)
    data = table(value=v)
    model = trained_on(data, {"": (70, 80)})
    found = sl.evaluate(model, data)
    assert found.notes[0].startswith(
        "80 of the 100 rows scored are rows that the model was trained"
    )
    test = sl.evaluate(model, data, test_only=True)
    assert (test.notes, test.totals[0].errors.values) == ((), 20)
    assert sl.evaluate(model, data, from_row=81).notes == ()
    # more rows since, and another name
    longer = table(value=np.append(v, walk(50)))
    assert sl.evaluate(model, longer, test_only=True).totals[0].errors.values == 70
    stranger = table(value=walk(100, seed=5))
    assert sl.evaluate(model, stranger).notes == ()
    with pytest.raises(DataError, match="trained on another table"):
        sl.evaluate(model, stranger, test_only=True)


def test_a_stream_that_the_model_has_not_seen_is_test_as_a_whole() -> None:
    data = table(["a"] * 60 + ["b"] * 60, value=walk(120))
    model = trained_on(table(["a"] * 60, value=walk(120)[:60]), {"a": (40, 50)})
    found = sl.evaluate(model, data, test_only=True)
    assert {s.stream: s.errors.values for s in found.scores} == {"a": 10, "b": 59}


def test_what_goes_into_json_is_all_finite_and_complete() -> None:
    data = table(["a"] * 40 + ["b"] * 2, value=walk(42), time=np.arange(42.0))
    found = sl.evaluate(recurrent(intervals=(0.5, 0.9), anomaly=True), data)
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [s["stream"] for s in written["streams"]] == ["a", "b"]
    (score,) = written["streams"][0]["scores"]
    assert score["mae"] == pytest.approx(found.scores[0].errors.mae)
    assert {"rmse", "bias", "mase", "persistence", "autoregression", "season"} <= score.keys()
    assert [i["level"] for i in score["intervals"]] == [0.5, 0.9]
    assert "<Evaluation on made.csv, value: mae " in repr(found)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,value\n" + "".join(f"{t},{v}\n" for t, v in enumerate(walk(30))))
    found = sl.evaluate(identity(), str(path))
    assert found.totals[0].errors.values == 29
    saved = tmp_path / "m.safetensors"
    identity().save(saved)
    assert sl.evaluate(saved, path).to_dict() == found.to_dict()


def test_a_short_rest_belongs_to_the_stretch_before() -> None:
    starts, means = stretch_means(np.array([1.0, 1, 2, 2, 9]), 2)
    assert (starts.tolist(), means.tolist()) == ([0, 2, 4], [1, 2, 9])
    starts, means = stretch_means(np.arange(9.0), 4)
    assert (starts.tolist(), means.tolist()) == ([0, 4], [1.5, 6])


def test_quantiles_are_intervals_around_their_median() -> None:
    v = walk()
    names = [f"{name}_q{level}" for name in ("v@+1", "v@+2") for level in (5, 25, 50, 75, 95)]
    layer, shift = sl.Dense(1, 10), np.array([-1.5, -0.5, 0, 0.5, 1.5])
    weights = {"weight": np.ones((10, 1)), "bias": np.tile(shift, 2)}
    model = sl.Model([layer], [weights], ["v"], names, horizon=[1] * 5 + [2] * 5)
    found = sl.evaluate(model, table(v=v))
    assert [(s.output, s.target, s.horizon) for s in found.totals] == [
        ("v@+1_q50", "v", 1),
        ("v@+2_q50", "v", 2),
    ]
    narrow, wide = found.totals[0].intervals
    assert (narrow.level, wide.level) == (0.5, 0.9)
    changes = np.abs(np.diff(v))
    assert narrow.coverage == pytest.approx(np.mean(changes <= 0.5), abs=1e-6)
    assert (narrow.width, wide.width) == pytest.approx((1, 3), abs=1e-5)
    outside = np.maximum(changes - 1.5, 0)
    assert wide.winkler == pytest.approx(np.mean(3 + 2 / 0.1 * outside), rel=1e-5)


def test_the_page_names_every_figure_and_no_other() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "evaluate.md").read_text()
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*)\|", page, re.MULTILINE))))
    found = sl.evaluate(recurrent(intervals=(0.9,)), table(value=walk())).to_dict()
    (score,) = found["total"]
    assert named <= score.keys() | score["intervals"][0].keys()
    assert {"mae", "against_best", "winkler", "worst_from"} <= named
