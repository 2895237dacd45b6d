"""Models under River's verbs."""

import copy
import math
import pickle
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import compose, evaluate, metrics, preprocessing

import streamlstm as sl
from streamlstm.adapters.river import StreamClassifier, StreamRegressor
from streamlstm.adapters.sklearn import StreamRegressor as Trainable
from streamlstm.errors import DataError, ModelError


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


@pytest.fixture(scope="module")
def trained() -> sl.Model:
    """Return a model of three classes, told by the last two inputs."""
    x = np.random.default_rng(0).normal(size=1500)
    table = {"x": x, "kind": np.array(list(kinds(x)))}
    options: dict[str, Any] = {"hidden": 8, "epochs": 25, "window": 16, "rate": 2e-2}
    return sl.train(table, classify="kind", inputs="x", **options).model


def kinds(values: Any) -> Iterator[str]:
    """Yield whether two values in a row are high, low, or one of each."""
    for before, value in pairwise([0.0, *values]):
        yield "high" if min(before, value) > 0 else "low" if max(before, value) < 0 else "mixed"


def classified(n: int = 400) -> Iterator[tuple[dict[str, float], str]]:
    values = np.random.default_rng(1).normal(size=n)
    for value, kind in zip(values, kinds(values), strict=True):
        yield {"x": float(value)}, kind


def test_progressive_val_score_runs_for_classes(trained: sl.Model) -> None:
    accuracy = evaluate.progressive_val_score(
        classified(), StreamClassifier(trained), metrics.Accuracy()
    )
    assert accuracy.get() > 0.9
    loss = evaluate.progressive_val_score(
        classified(), StreamClassifier(trained), metrics.CrossEntropy(), delay=3
    )
    assert loss.get() < 0.5
    scaled = compose.Pipeline(preprocessing.StandardScaler(), StreamClassifier(trained))
    assert evaluate.progressive_val_score(classified(), scaled, metrics.MacroF1()).get() > 0.8


def test_a_class_that_became_frequent_is_learned(trained: sl.Model) -> None:
    """Where the inputs say nothing any more, the labels still do."""
    losses = []
    for rate in (0.0, 0.1):
        adapter, logs = StreamClassifier(trained, rate=rate), []
        for _ in range(200):
            shares = adapter.predict_proba_one({"x": 0.01})
            assert sum(shares.values()) == pytest.approx(1)
            logs.append(-math.log(shares["low"]))
            adapter.learn_one({"x": 0.01}, "low")
        losses.append(np.mean(logs[100:]))
    assert losses[1] < 0.3 * losses[0]


def test_labels_have_any_type_and_observations_are_stepped_once(trained: sl.Model) -> None:
    adapter = StreamClassifier(trained, classes=[2, 0, 1], rate=0.0)
    engine = sl.Engine(trained)
    for x, kind in classified(40):
        label = [2, 0, 1][trained.outputs.index(kind)]
        if x["x"] > 0.5:  # learned from without a prediction before
            adapter.learn_one(x, label)
            engine.step("s", [x["x"]])
            continue
        said = adapter.predict_proba_one(x)
        assert list(said.values()) == pytest.approx(engine.step("s", [x["x"]]).tolist(), abs=1e-6)
        assert max(said, key=lambda name: said[name]) in (0, 1, 2)
        adapter.learn_one(x, label)
    with pytest.raises(DataError, match="expected one of the classes 2, 0, 1, got 'high'"):
        adapter.learn_one({"x": 1.0}, "high")
    with pytest.raises(DataError, match="a label for each of"):
        StreamClassifier(trained, classes=["a", "b"])


def test_next_events_are_given_by_name() -> None:
    events = np.array(list("abc"))[np.arange(300) % 3]
    model = sl.train({"event": events}, target_category="event", hidden=6, epochs=10, rate=2e-2)
    adapter = StreamClassifier(model.model)
    for event in events[:60]:
        following = adapter.predict_one({"event": event})
    assert following == "a"
    with pytest.raises(DataError, match="expected an event of the model"):
        adapter.predict_one({"event": "d"})


def test_a_model_of_numbers_is_no_classifier(model: sl.Model) -> None:
    with pytest.raises(ModelError, match="tells classes"):
        StreamClassifier(model)


def test_a_copy_and_a_pickle_go_on_where_the_model_was(model: sl.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "model.safetensors")
    river = StreamRegressor(tmp_path / "model.safetensors", labels=5)
    untouched = copy.deepcopy(river)
    rows = list(stream(40))
    for x, y in rows[:30]:
        river.predict_one(x)
        river.learn_one(x, y)
    others = [copy.deepcopy(river), pickle.loads(pickle.dumps(river))]
    expected = [step(river, *row) for row in rows[30:]]
    for other in others:
        assert [step(other, *row) for row in rows[30:]] == expected
    assert untouched.predict_one(rows[0][0]) != expected[0]


def step(river: StreamRegressor, x: dict[str, float], y: float) -> float:
    predicted = river.predict_one(x)
    river.learn_one(x, y)
    return predicted
