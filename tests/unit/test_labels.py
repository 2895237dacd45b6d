"""Labels from outside: each is applied once, in the order of arrival, or refused with a word."""

import math
from typing import Any

import numpy as np
import pytest

from streamlstm import Engine, Model, Online, Prediction
from streamlstm.errors import (
    BadValueError,
    LabelError,
    ModelError,
    ShapeError,
    StreamIdError,
    UnknownStreamError,
)
from streamlstm.online.layout import initial_parts

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


def taking_labels(anomaly: bool = False) -> Engine:
    judged = {"anomaly": True, "alarm_rate": 0.01} if anomaly else {}
    online = Online(adapt="rls", labels=KEPT, intervals=(0.5, 0.9), **judged)
    return Engine(MODEL.with_online(online), 5)


def told_by_labels(engine: Engine, rows: range, shifts: Any = None) -> list[Prediction]:
    """What is observed where labels come two rows late, but for every fifth; of 0 and 1.

    ``shifts`` has what is added to the label of a row.
    """
    told = []
    for n in rows:
        told.append(engine.observe("a", row(n), seq=n))
        if n > 2 and n % 5:
            label = quality(n - 2)
            engine.learn("a", n - 2, [label[0] + (shifts or {}).get(n - 2, 0), label[1]])
    return told


def quality(n: int) -> list[float]:
    """The label of an observation: of the first output the sum of the inputs, and noise."""
    return [float(row(n).sum() + np.random.default_rng(n).normal(0, 0.3)), math.nan]


def test_labels_give_intervals_that_hold_their_share() -> None:
    told = told_by_labels(engine := taking_labels(), range(1, 1501))
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


def test_what_labels_tell_is_what_the_reference_says() -> None:
    told_by_labels(engine := taking_labels(True), range(1, 141))
    other = Engine(engine.model, 5, backend="reference")
    other.import_stream("a", engine.export_stream("a"))
    shifts = {146: 40.0, 152: -40.0}
    ours, expected = (told_by_labels(e, range(141, 161), shifts) for e in (engine, other))
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a._result, b._result, 2e-4, 2e-4)
    assert [p.kind for p in ours] == [p.kind for p in expected]
    assert any(p.alarm for p in ours)
    rows = (e._table.rows[e._table.slot("a")] for e in (engine, other))
    np.testing.assert_allclose(*rows, 1e-3, 1e-3)


def test_an_unusual_label_is_told_once_with_the_next_prediction() -> None:
    told = told_by_labels(engine := taking_labels(True), range(1, 601), {500: 9.0})
    raised = [n for n, p in enumerate(told, 1) if p.alarm]
    assert raised[-1] == 503  # the label of row 500 came after row 502
    at = told[502]
    assert (at.kind, at.score > 0, at.p_value < 1e-3) == ("novelty", True, True)
    assert at.error[0] == pytest.approx(quality(500)[0] + 9.0 - told[499].y[0], rel=1e-6)
    assert np.isnan(at.error[1])  # of which no label has come
    assert told[503].p_value > 1e-3
    # No label has come after a row whose number is a multiple of 5.
    assert [n for n, p in enumerate(told[10:20], 11) if np.isnan(p.error[0])] == [11, 16]
    assert np.isnan(engine.observe("a", row(601), seq=601).error[0])


def test_what_a_label_tells_is_kept_until_it_is_told() -> None:
    told_by_labels(engine := taking_labels(True), range(1, 301))
    engine.learn("a", 300, [30.0, math.nan])
    engine.learn("a", 298, [quality(298)[0], math.nan])
    other = Engine(engine.model, 40)
    for n in range(35):  # in blocks, of which some streams go together
        other.import_stream(n, engine.export_stream("a"))
    expected = engine.observe("a", row(301), seq=301)
    assert expected.alarm
    told = other.observe_many(range(35), np.tile(row(301), (35, 1)), seqs=[301] * 35)
    for n in range(35):
        np.testing.assert_array_equal(told[n]._result, expected._result)
        assert other.export_stream(n) == engine.export_stream("a")


def test_labels_that_are_further_off_than_before_are_told_as_drift_once() -> None:
    shifts = {n: 40 * (n % 2 - 0.5) for n in range(900, 1500)}
    told = told_by_labels(taking_labels(True), range(1, 1101), shifts)
    found = [n for n, p in enumerate(told, 1) if p.drift]
    assert len(found) == 1
    assert 900 < found[0] < 1000


def test_the_coverage_of_labels_is_counted() -> None:
    told = told_by_labels(engine := taking_labels(), range(1, 1001))
    places = engine.model.result_places
    covered = np.array([p._result[places.covered] for p in told[500:]])
    assert (~np.isnan(covered)).mean() == pytest.approx(0.8)
    assert np.nanmean(covered) == pytest.approx(0.9, abs=0.03)


def test_a_model_that_takes_no_labels_keeps_nothing_of_them() -> None:
    aimed = staged(Online(anomaly=True, adapt="mix", labels=3))  # its outputs forecast inputs
    assert "labelled" not in initial_parts(aimed)
    assert "labelled" not in initial_parts(MODEL.with_online(Online(anomaly=True)))
    assert "labelled" in initial_parts(MODEL)


def test_a_second_label_of_one_output_does_not_widen_the_other() -> None:
    engine, other = taking_labels(), taking_labels()
    for one in (engine, other):
        told_by_labels(one, range(1, 41))
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
