"""What `evaluate` says of a model, against figures worked out by hand and by plain NumPy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import DataError
from streamlstm.learn.evaluation import judge
from streamlstm.learn.evaluation.classes import no_scores
from streamlstm.learn.evaluation.intervals import winkler, worst_window
from streamlstm.learn.evaluation.points import Point, find_points
from streamlstm.network.result_places import result_places

from .evaluated import Array, identity, recurrent, table, walk

VALUE = [Point(0, "value", ())]


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


def test_the_page_names_every_figure_and_no_other() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "evaluate.md").read_text()
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*)\|", page, re.MULTILINE))))
    found = sl.evaluate(recurrent(intervals=(0.9,)), table(value=walk())).to_dict()
    (score,) = found["total"]
    classes = no_scores("ab").summary().keys()
    assert named <= score.keys() | score["intervals"][0].keys() | classes
    assert classes - {"rows", "classes"} <= named
    assert {"mae", "against_best", "winkler", "worst_from"} <= named
