"""Labels from outside: each is applied once, in the order of arrival, or refused with a word."""

import math
from typing import Any

import numpy as np
import pytest

from streamlstm import Engine, Model, Online
from streamlstm.errors import (
    BadValueError,
    LabelError,
    ModelError,
    ShapeError,
    StreamIdError,
    UnknownStreamError,
)

from ..contract.models import staged

KEPT = 7
BASE = staged(Online())
# The outputs are no inputs, so only labels from outside say what they should have been.
MODEL = Model(
    BASE.layers,
    BASE.weights,
    inputs=["a", "b", "c"],
    outputs=["quality", "yield"],
    horizon=0,
    online=Online(adapt="rls", labels=KEPT),
)


def row(n: int) -> np.ndarray:
    return np.sin(0.7 * n + np.arange(3)).astype(np.float32)


def fed(count: int, numbered: bool = True) -> Engine:
    engine = Engine(MODEL, 5)
    for n in range(1, count + 1):
        engine.observe("a", row(n), seq=n if numbered else 0)
    return engine


@pytest.mark.parametrize("numbered", [True, False])
def test_a_label_is_applied_once(numbered: bool) -> None:
    engine, twin = fed(10, numbered), fed(10, numbered)
    engine.learn("a", 8, [3.0, -3.0])
    assert engine.export_stream("a") != twin.export_stream("a")
    learned = engine.export_stream("a")
    with pytest.raises(LabelError, match=r"observation 8 has got these labels before.*Nothing has"):
        engine.learn("a", 8, [3.0, -3.0])
    assert engine.export_stream("a") == learned
    changed = engine.observe("a", row(11)).y
    assert not np.allclose(changed, twin.observe("a", row(11)).y, atol=1e-4)


def test_labels_change_the_next_prediction_towards_them() -> None:
    engine, twin = fed(10), fed(10)
    for n in range(11, 60):
        for stepped in (engine, twin):
            y = stepped.observe("a", row(n), seq=n).y
        engine.learn("a", n, [y[0] + 1.0, math.nan])
    learned, other = engine.observe("a", row(60)).y, twin.observe("a", row(60)).y
    assert learned[0] > other[0] + 0.2
    assert learned[1] == pytest.approx(other[1], abs=1e-5)  # no label said anything of it


@pytest.mark.parametrize(
    ("seq", "words"),
    [
        (11, "observation 11 has not come yet; send its label after it"),
        (2**60, "has not come yet"),
        (10 - KEPT, "observation 3 is not kept any more"),
        (1, "is not kept any more"),
        (0, "expected seq from 1"),
        (-1, "expected seq from 1"),
        (1.5, "expected seq from 1"),
        ("8", "expected seq from 1"),
        (None, "expected seq from 1"),
        (2**64, "expected seq from 1"),
        (math.nan, "expected seq from 1"),
    ],
)
def test_a_label_that_cannot_be_applied_changes_nothing(seq: Any, words: str) -> None:
    engine = fed(10)
    before = engine.export_stream("a")
    kind = BadValueError if words == "expected seq from 1" else LabelError
    with pytest.raises(kind, match=words):
        engine.learn("a", seq, [1.0, 2.0])
    assert engine.export_stream("a") == before


def test_a_stream_of_which_only_some_observations_are_numbered_takes_no_labels() -> None:
    engine = fed(10)
    engine.observe("a", row(11))
    with pytest.raises(LabelError, match="all numbered, or none"):
        engine.learn("a", 10, [1.0, 2.0])


def test_the_oldest_that_is_kept_is_accepted() -> None:
    fed(10).learn("a", 10 - KEPT + 1, [1.0, 2.0])


def told_by_labels(backend: str, rows: int, unlabelled: int = 0) -> tuple[Any, Engine]:
    """What is observed where labels come two rows late, but for every fifth; of 0 and 1."""
    model = MODEL.with_online(Online(adapt="rls", labels=KEPT, intervals=(0.5, 0.9)))
    engine, told = Engine(model, 5, backend=backend), []
    for n in range(1, rows + 1):
        told.append(engine.observe("a", row(n), seq=n))
        if n > 2 + unlabelled and n % 5:
            engine.learn("a", n - 2, quality(n - 2))
    return told, engine


def quality(n: int) -> list[float]:
    """The label of an observation: of the first output the sum of the inputs, and noise."""
    return [float(row(n).sum() + np.random.default_rng(n).normal(0, 0.3)), math.nan]


def test_labels_give_intervals_that_hold_their_share() -> None:
    told, engine = told_by_labels("cpu", 1500)
    assert np.isnan(told[1].low[0])  # nothing is known yet
    assert np.isnan([p.high[1] for p in told]).all()  # no label has ever come
    for level in (0.5, 0.9):
        inside = [
            bounds[0][0] <= quality(n)[0] <= bounds[1][0]
            for n, p in enumerate(told[500:], 501)
            for bounds in [p.interval(level)]
        ]
        assert np.mean(inside) == pytest.approx(level, abs=0.03)
    before = engine.export_stream("a")
    with pytest.raises(LabelError, match="has got these labels before"):
        engine.learn("a", 1497, [9.0, math.nan])
    assert engine.export_stream("a") == before


def test_intervals_of_labels_are_those_of_the_reference() -> None:
    (ours, _), (expected, _) = (told_by_labels(name, 60, 10) for name in ("cpu", "reference"))
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a._result, b._result, 2e-4, 2e-4)


def test_a_second_label_of_one_output_does_not_widen_the_other() -> None:
    _, engine = told_by_labels("cpu", 40)
    _, other = told_by_labels("cpu", 40)
    for one, repeated in ((engine, 1e6), (other, math.nan)):
        one.learn("a", 40, [1.0, math.nan])
        one.learn("a", 40, [repeated, 2.0])
    a, b = engine.observe("a", row(41)), other.observe("a", row(41))
    assert np.array_equal(a.low, b.low)
    assert np.array_equal(a.high, b.high)


def test_late_and_out_of_order_is_the_order_of_arrival() -> None:
    one, other = fed(10), fed(10)
    for seq in (9, 5, 10, 7):
        one.learn("a", seq, [seq, -seq])
    for seq in (5, 7, 9, 10):
        other.learn("a", seq, [seq, -seq])
    a, b = one.observe("a", row(11)).y, other.observe("a", row(11)).y
    assert np.isfinite(a).all()
    assert np.abs(a - b).max() < 2.0  # near each other, but the order counts
    assert not np.array_equal(a, b)


@pytest.mark.parametrize(
    ("y", "error", "words"),
    [
        ([1.0], ShapeError, r"one for each output \(quality, yield\), got shape \(1,\)"),
        (3.0, ShapeError, "one for each output"),
        ([[1.0, 2.0]], ShapeError, "one for each output"),
        ([math.inf, 1.0], BadValueError, "NaN for none"),
        ([math.nan, None], BadValueError, "one at least that is known"),
        (["good", 1.0], BadValueError, "expected numbers"),
    ],
)
def test_labels_of_another_shape_are_refused(y: Any, error: type[Exception], words: str) -> None:
    engine = fed(10)
    before = engine.export_stream("a")
    with pytest.raises(error, match=words):
        engine.learn("a", 10, y)
    assert engine.export_stream("a") == before


def test_labels_of_a_stream_that_is_not_there() -> None:
    engine = fed(3)
    with pytest.raises(UnknownStreamError):
        engine.learn("b", 1, [1.0, 2.0])
    with pytest.raises(StreamIdError):
        engine.learn(None, 1, [1.0, 2.0])  # type: ignore[arg-type]
    assert engine.streams() == ["a"]


@pytest.mark.parametrize("online", [None, Online(), Online(adapt="rls", targets=(0, 1))])
def test_a_model_that_takes_no_labels_says_which_would(online: Online | None) -> None:
    engine = Engine(MODEL.with_online(online), 3)
    engine.step("a", row(1))
    with pytest.raises(ModelError, match=r"with_online\(Online\(adapt=\"rls\", labels=100\)\)"):
        engine.learn("a", 1, [1.0, 2.0])


def test_a_label_survives_export_and_import() -> None:
    engine, other = fed(10), Engine(MODEL, 5)
    engine.learn("a", 9, [3.0, -3.0])
    other.import_stream("b", engine.export_stream("a"))
    with pytest.raises(LabelError, match="has got these labels before"):
        other.learn("b", 9, [3.0, -3.0])
    other.learn("b", 10, [1.0, 1.0])
    engine.learn("a", 10, [1.0, 1.0])
    assert np.array_equal(engine.observe("a", row(11)).y, other.observe("b", row(11)).y)
