"""Which rows `evaluate` scores, and what it tells of them: gaps, alarms, labels, what was seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.data.table import Table
from streamlstm.engine.engine import Engine
from streamlstm.errors import DataError
from streamlstm.learn.dataset import Series
from streamlstm.learn.evaluation.alarms import missing_rows
from streamlstm.learn.evaluation.points import Point
from streamlstm.learn.evaluation.stretches import stretch_means
from streamlstm.learn.periods import describe_periods

from .evaluated import identity, recurrent, table, walk

VALUE = [Point(0, "value", ())]


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
