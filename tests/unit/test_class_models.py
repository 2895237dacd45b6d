"""Models of classes beyond their training: stage, training on, evaluation, report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import streamlstm as sl
from streamlstm.data.table import Table
from streamlstm.data.text_column import TextColumn
from streamlstm.errors import DataError, ModelError
from streamlstm.network.compatibility import compatibility_key

from .tables import class_model
from .test_report import page_of

N = 600
TIMES = pd.date_range("2024-01-01", periods=N, freq="h")
QUICK: dict[str, Any] = {"hidden": 4, "epochs": 2, "window": 16, "rate": 1e-2}


def machine() -> pd.DataFrame:
    """Return a machine that is off in the morning; otherwise its load says whether it is busy."""
    rng = np.random.default_rng(1)
    load = rng.normal(size=N)
    names = np.where(load > 0, "busy", "idle")
    state = np.where(np.asarray(TIMES.hour) < 12, "off", names)
    missing = np.where(rng.random(N) < 0.1, np.nan, load)
    event = np.array(list("wxyz"))[np.arange(N) % 4]
    return pd.DataFrame({"load": missing, "state": state, "event": event}, index=TIMES)


KINDS: list[dict[str, Any]] = [
    {"classify": "state", "fill": "mean", "calendar": "hour"},
    {"classify": "state", "fill": "last", "calendar": ("weekday", "since"), "layers": 2},
    {"target_category": "event", "fill": "last", "calendar": "hour"},
    {"target_category": "event", "inputs": []},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_is_trained_is_what_is_served_and_trained_on(kind: dict[str, Any]) -> None:
    frame = machine()
    column = kind.get("classify") or kind["target_category"]
    asked = {name: kind[name] for name in ("classify", "target_category") if name in kind}
    first = sl.train(frame, **kind, **QUICK).model
    said = sl.predict(first, frame)[list(first.outputs)].to_numpy(np.float32)
    engine = sl.Engine(first)
    values = [frame["load"].to_numpy()] if "load" in first.inputs else []
    if first.categories:
        values.insert(0, np.array([first.outputs.index(event) for event in frame["event"]]))
    for row, x in enumerate(np.column_stack(values)[:40]):
        told = engine.step("s", x, time=TIMES[row].timestamp())
        assert told.tolist() == said[row].tolist()
    second = sl.train(frame.iloc[200:], from_model=first, epochs=1, **asked)
    assert compatibility_key(second.model) == compatibility_key(first)
    assert second.model.fingerprint != first.fingerprint
    assert second.history[0].number == 0
    assert second.best.validation <= second.history[0].validation
    assert not engine.reload(second.model).anew
    found = sl.evaluate(second.model, frame).classes
    assert found is not None
    assert found.column == column


def test_an_automatic_calendar_is_chosen_for_classes_too() -> None:
    made = sl.train(
        machine(), classify="state", fill="mean", calendar="auto", **QUICK | {"epochs": 8}
    ).model
    assert made.online is not None
    assert "hour" in made.online.calendar


def test_a_model_of_another_kind_is_refused_in_words() -> None:
    frame = machine()
    model = sl.train(frame, classify="state", fill="mean", **QUICK).model
    for asked, said in (
        ({"target": "load"}, r"for the class of each row \(classify\), .* forecasts of numbers"),
        ({"target_category": "state"}, r"ask for the next category \(target_category\)"),
        ({"classify": "event"}, r"the classes that the model knows .* got 'w', 'x', 'y', 'z' too"),
        ({"classify": "state", "fill": "last"}, "fills missing values by mean, not last"),
        ({"classify": "state", "calendar": "hour"}, "its calendar is none, not hour"),
    ):
        with pytest.raises(DataError, match=said):
            sl.train(frame, from_model=model, **asked)


def test_large_numbers_keep_their_digits() -> None:
    rng = np.random.default_rng(2)
    side = rng.integers(0, 2, N)
    frame = pd.DataFrame({"x": 1.7e9 + side + 0.1 * rng.random(N), "side": side.astype(str)})
    trained = sl.train(frame, classify="side", **QUICK | {"epochs": 6})
    assert trained.model.input_offsets is not None
    assert trained.classes is not None
    assert trained.classes.accuracy > 0.95


def test_parts_of_the_stage_that_compare_numbers_are_refused_by_name() -> None:
    for part in ({"intervals": (0.9,)}, {"adapt": "rls"}):
        with pytest.raises(ModelError, match=f"{next(iter(part))}: the outputs .* shares of class"):
            class_model("ab", online=sl.Online(targets=(0, 1), **part))
    assert class_model("ab", online=sl.Online(fill="last")).online is not None


def told(model: sl.Model, shown: str, was: list[str], **parts: Any) -> sl.Evaluation:
    """Evaluate a model on a table of which it is shown some classes and others are right."""
    values = np.array([[float(name == letter) for name in model.outputs] for letter in shown])
    table = Table(
        path="x.csv",
        time=None,
        names=model.inputs,
        values=values,
        streams=parts.pop("streams", None),
        lines=np.arange(len(shown)) + 2,
        categories={"kind": TextColumn.of(was)},
    )
    return sl.evaluate(model, table, target="kind", **parts)


def test_each_score_of_a_small_table_worked_out_by_hand() -> None:
    found = told(class_model("ab"), "aabbab", ["a", "b", "b", "b", "", "c"]).classes
    assert found is not None
    scores = found.total
    assert scores.confusion.tolist() == [[1, 0], [1, 2]]  # aa, ba, bb, bb
    assert (scores.rows, scores.accuracy) == (4, 0.75)
    assert scores.f1 == pytest.approx({"a": 2 / 3, "b": 4 / 5})
    sure = np.exp(4) / (np.exp(4) + 1)
    assert scores.log_loss == pytest.approx(-(3 * np.log(sure) + np.log(1 - sure)) / 4, rel=1e-5)
    assert scores.most_frequent == 0.75  # of the rows themselves: fewer than ten came before
    assert scores.frequencies == pytest.approx(-(np.log(2 / 6) + 3 * np.log(4 / 6)) / 4)
    assert scores.follower is None
    notes = told(class_model("ab"), "aab", ["a", "b", "c"]).notes
    assert notes == ("1 row has no class that the model knows ('c'): not scored",)


def test_a_baseline_knows_the_rows_before_the_scored_ones() -> None:
    was = list("b" * 15 + "aaab")
    found = told(class_model("ab"), "a" * 19, was, from_row=16).classes
    assert found is not None
    assert found.total.rows == 4
    assert found.total.most_frequent == 0.25  # b, as before
    assert found.total.accuracy == 0.75


def test_a_next_class_is_compared_with_the_row_that_it_speaks_of() -> None:
    found = told(class_model("ab", horizon=1), "abab", list("xaba")).classes
    assert found is not None
    assert found.told.truth.tolist() == [0, 1, 0, -1]
    assert found.total.confusion.tolist() == [[2, 0], [0, 1]]


def test_streams_and_warm_up() -> None:
    streams = TextColumn.of(list("pqpqpq"))
    found = told(class_model("ab"), "aaaaaa", list("abababab"[:6]), streams=streams).classes
    assert found is not None
    assert {name: s.accuracy for name, s in found.scores.items()} == {"p": 1, "q": 0}
    found = told(class_model("ab"), "abbb", list("bbba"), warm_up=1).classes
    assert found is not None
    assert found.total.rows == 3


def runs(path: Path) -> Path:
    rng = np.random.default_rng(3)
    lines = ["run,x,state"]
    for run in range(60):
        bad = rng.random() < 0.5
        for t in range(8):
            x = (2 if bad else -2) if t >= 3 else 0.2 * rng.normal()
            lines.append(f"{run},{x:.3f},{'bad' if bad else 'good'}")
    path.write_text("\n".join(lines))
    return path


def test_sequences_are_recognised_and_scored_by_how_early_they_are_right(tmp_path: Path) -> None:
    path = runs(tmp_path / "runs.csv")
    trained = sl.train(
        path, classify="state", sequence_column="run", **QUICK | {"epochs": 8, "rate": 3e-2}
    )
    found = sl.evaluate(trained.model, path, test_only=True)  # no column is named again
    assert found.classes is not None
    assert trained.classes is not None
    assert found.classes.total.confusion.tolist() == trained.classes.confusion.tolist()
    assert len(found.groups) == 60
    assert found.classes.total.by_progress[1.0] == 1
    assert 0.3 < (found.classes.total.settled or 0) <= 0.6  # row 4 of 8 shows it
    assert trained.evaluation is not None
    assert trained.evaluation.classes is not None
    for evaluation in (found, trained.evaluation):
        page = page_of(evaluation, tmp_path)
        assert "How early it is right" in page.text
        assert "mean F1" in page.text
    predicted = sl.predict(trained.model, path)
    assert list(predicted["run"][:9]) == ["0"] * 8 + ["1"]


def test_a_report_on_classes_over_time(tmp_path: Path) -> None:
    frame = machine()
    trained = sl.train(frame, classify="state", fill="mean", calendar="hour", **QUICK)
    found = sl.evaluate(trained.model, frame)
    page = page_of(found, tmp_path)
    for part in ("Over time", "How sure it is", "precision", "How it was trained", "missing"):
        assert part in page.text
    assert found.plot()._repr_png_().startswith(b"\x89PNG")
    assert "right in" in found._repr_html_()
    assert "state: accuracy" in repr(found)
    said = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert said["classes"]["column"] == "state"
    assert said["streams"][0]["classes"]["rows"] == said["classes"]["rows"] == N
    assert any("trained or validated" in note for note in found.notes)


def test_rows_of_a_table_of_events_alone_are_recognised(tmp_path: Path) -> None:
    frame = machine()[["event"]]
    model = sl.train(frame, target_category="event", **QUICK).model
    found = sl.evaluate(model, frame, test_only=True).classes
    assert found is not None
    assert found.total.rows == N - int(0.8 * N)
    assert found.total.follower == 1
    with pytest.raises(DataError, match="season: classes"):
        sl.evaluate(model, frame, season=4)
