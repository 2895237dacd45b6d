"""The estimators of scikit-learn: its own checks, and what makes rows steps of streams."""

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import streamlstm as sl
from streamlstm.adapters.sklearn import StreamClassifier, StreamRegressor

# Checks of scikit-learn that do not apply to sequences, and why.
NOT_FOR_SEQUENCES = {
    "check_methods_sample_order_invariance": "a prediction depends on the rows before it",
    "check_methods_subset_invariance": "a prediction depends on the rows before it",
}


def check(estimator: Any) -> dict[str, str]:
    """Run the checks of scikit-learn; return what failed that should not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        done = check_estimator(
            estimator, on_fail=None, expected_failed_checks=dict(NOT_FOR_SEQUENCES)
        )
    assert {r["check_name"] for r in done if r["status"] == "xfail"} == NOT_FOR_SEQUENCES.keys()
    assert sum(r["status"] == "passed" for r in done) > 40
    return {r["check_name"]: str(r["exception"]) for r in done if r["status"] == "failed"}


def sums(n: int = 400, seed: int = 0) -> tuple[Any, Any]:
    """Return noise, and at each row the sum of its last three values: memory is needed."""
    X = np.random.default_rng(seed).normal(size=(n, 1))
    return X, np.convolve(X[:, 0], np.ones(3))[:n]


def test_the_regressor_passes_the_checks_that_apply_to_sequences() -> None:
    assert check(StreamRegressor(epochs=25)) == {}


def test_a_prediction_uses_the_rows_before() -> None:
    X, y = sums()
    fitted = StreamRegressor(hidden=12, epochs=30).fit(X[:300], y[:300])
    assert fitted.score(X, y) > 0.7  # a regression without a memory explains a third
    alone = np.concatenate([fitted.predict(X[t : t + 1]) for t in range(300, 310)])
    assert np.abs(alone - fitted.predict(X)[300:310]).max() > 0.1


def test_the_classifier_passes_the_checks_that_apply_to_sequences() -> None:
    assert check(StreamClassifier(epochs=25)) == {}


def test_classes_are_told_from_the_rows_before() -> None:
    X, y = sums()
    labels = np.where(y > 0, "up", "down")
    fitted = StreamClassifier(hidden=12, epochs=30).fit(X[:300], labels[:300])
    assert fitted.score(X, labels) > 0.85
    made = fitted.predict_proba(X)
    assert made.shape == (400, 2)
    assert np.allclose(made.sum(axis=1), 1)
    assert list(fitted.classes_[made.argmax(axis=1)]) == list(fitted.predict(X))
    assert fitted.model_.outputs == ("down", "up")
    engine = sl.Engine(fitted.model_)
    assert np.allclose([engine.step("s", x) for x in X[:20]], made[:20], atol=1e-6)
    with pytest.raises(ValueError, match="one class, 'up'"):
        StreamClassifier().fit(X, np.full(400, "up"))


def test_streams_are_kept_apart() -> None:
    X, y = sums()
    fitted = StreamRegressor(hidden=6, epochs=3).fit(X, y)
    halves = np.repeat(["b", "a"], 200)
    both = fitted.predict(X, streams=halves)
    assert np.array_equal(both[:200], fitted.predict(X[:200]))
    assert np.array_equal(both[200:], fitted.predict(X[200:]))
    order = np.argsort(np.tile(np.arange(200), 2), kind="stable")  # rows of both in turn
    mixed = fitted.predict(X[order], streams=halves[order])
    assert np.allclose(mixed, both[order], atol=1e-6)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fitted.predict(X, streams=halves[:-1])
    again = StreamRegressor(hidden=6, epochs=3).fit(X, y, streams=halves)
    assert len(again.trained_.dataset.series) == 2


def test_its_model_can_be_served() -> None:
    X, y = sums(200)
    fitted = StreamRegressor(hidden=6, epochs=3).fit(X, np.stack([y, -y], axis=1))
    assert (fitted.model_.inputs, fitted.model_.outputs) == (("x0",), ("y0", "y1"))
    assert fitted.model_.horizon == 0
    engine = sl.Engine(fitted.model_)
    made = [engine.step("s", x) for x in X[:20]]
    assert np.allclose(made, fitted.predict(X[:20]), atol=1e-6)


def test_it_goes_through_pipelines_and_cross_validation() -> None:
    X, y = sums(300)
    pipeline = make_pipeline(StandardScaler(), StreamRegressor(hidden=6, epochs=3))
    assert len(cross_val_score(pipeline, X, y, cv=TimeSeriesSplit(2))) == 2
