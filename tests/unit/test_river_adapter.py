"""Models under River's verbs."""

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import compose, evaluate, metrics, preprocessing

import streamlstm as sl
from streamlstm.adapters.river import StreamRegressor
from streamlstm.adapters.sklearn import StreamRegressor as Trainable


@pytest.fixture(scope="module")
def model() -> sl.Model:
    """Return a model that says the mean of the last values, trained where there is no offset."""
    X = np.random.default_rng(0).normal(size=(400, 1))
    y = np.convolve(X[:, 0], np.ones(3) / 3)[:400]
    trained: sl.Model = Trainable(hidden=8, epochs=10).fit(X, y).model_
    return trained


def stream(n: int = 300) -> Iterator[tuple[dict[str, float], float]]:
    """Yield the same, with an offset that the training never saw."""
    rng, last = np.random.default_rng(1), [0.0, 0.0, 0.0]
    for _ in range(n):
        last = [*last[1:], float(rng.normal())]
        yield {"x0": last[-1]}, sum(last) / 3 + 2.0


def error(model: Any, **options: Any) -> float:
    metric = evaluate.progressive_val_score(stream(), model, metrics.MAE(), **options)
    return float(metric.get())


def test_progressive_val_score_runs_and_labels_teach(model: sl.Model) -> None:
    fixed = error(StreamRegressor(model, labels=0))
    taught = error(StreamRegressor(model))
    assert fixed > 1.5
    assert taught < fixed / 2


def test_labels_may_come_late(model: sl.Model) -> None:
    assert error(StreamRegressor(model), delay=5) < 1
    unseen = StreamRegressor(model)
    for x, y in stream(50):  # learned from without a prediction before
        unseen.learn_one(x, y)
    x, y = next(stream())
    assert abs(unseen.predict_one(x) - y) < 1.5


def test_labels_that_never_come_are_not_waited_for(model: sl.Model) -> None:
    adapter = StreamRegressor(model, labels=10)
    for _ in range(30):
        before = adapter.predict_one({"x0": 1.0})
    for _ in range(10):
        adapter.learn_one({"x0": 1.0}, 3.0)  # of the last ten; the first twenty are past
    assert abs(adapter.predict_one({"x0": 1.0}) - 3.0) < abs(before - 3.0)


def test_an_observation_is_one_step_whoever_comes_first(model: sl.Model) -> None:
    adapter, engine = StreamRegressor(model, labels=0), sl.Engine(model)
    for n, (x, y) in enumerate(stream(20)):
        expected = float(engine.step("s", list(x.values()))[0])
        if n % 2:
            adapter.learn_one(x, y)
        else:
            assert adapter.predict_one(x) == pytest.approx(expected, abs=1e-6)
            adapter.learn_one(x, y)


def test_a_forecast_of_an_input_learns_by_itself(tmp_path: Path) -> None:
    values = [10 + 3 * math.sin(t / 3) for t in range(300)]
    (tmp_path / "wave.csv").write_text("value\n" + "".join(f"{value}\n" for value in values))
    model = sl.train(tmp_path / "wave.csv", target="value", hidden=8, epochs=5).model
    adapter = StreamRegressor(model)
    pairs = (({"value": a}, b) for a, b in pairwise(values))
    metric = evaluate.progressive_val_score(pairs, adapter, metrics.MAE())
    assert metric.get() < 1


def test_it_goes_through_pipelines(model: sl.Model) -> None:
    assert error(compose.Pipeline(preprocessing.StandardScaler(), StreamRegressor(model))) < 1


def test_a_model_of_several_outputs_is_refused() -> None:
    X = np.random.default_rng(0).normal(size=(100, 1))
    several = Trainable(hidden=4, epochs=1).fit(X, np.hstack([X, X])).model_
    with pytest.raises(sl.StreamLSTMError, match="y0, y1"):
        StreamRegressor(several)


def test_what_is_refused_does_not_end_the_stream(model: sl.Model) -> None:
    taken, other = StreamRegressor(model), StreamRegressor(model)
    for bad in ({}, {"x0": "a"}, {"x0": math.nan}):
        with pytest.raises((sl.StreamLSTMError, ValueError)):
            taken.predict_one(bad)
    with pytest.raises(ValueError, match="could not convert"):
        taken.learn_one({"x0": 1.0}, "good")  # type: ignore[arg-type]
    for x, y in stream(20):
        assert taken.predict_one(x) == other.predict_one(x)
        taken.learn_one(x, y)
        other.learn_one(x, y)


def test_a_feature_that_is_not_there_is_named(model: sl.Model) -> None:
    with pytest.raises(sl.StreamLSTMError, match=r"expected the features x0, got none .* 'x0'"):
        StreamRegressor(model).predict_one({"x": 1.0})
