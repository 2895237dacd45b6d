"""Training on counters: `--difference`, from a table to values that a live stream gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import streamlstm as sl
from streamlstm.cli import app
from streamlstm.data.suspects import Column, is_counter
from streamlstm.errors import ConvertError, DataError

START, ROWS = 8.8e10, 420
QUICK = {"epochs": 2, "hidden": 8, "window": 16}


def frame(gaps: bool = False) -> dict[str, np.ndarray]:
    """Return a meter that rises by 1500 and a wave, and begins again once; and a level."""
    time = np.arange(ROWS)
    total = START + np.cumsum(np.round(1500 + 200 * np.sin(time / 4)))
    total[200:] -= total[200] - 7
    level = 20 + np.cos(time / 4)
    if gaps:
        total[50:53] = level[90] = np.nan
    return {"time": 1.7e9 + 60.0 * time, "total": total, "level": level}


@pytest.mark.parametrize("fill", ["refuse", "last"])
def test_a_counter_is_predicted_as_a_value_alike_in_a_table_and_live(
    fill: str, tmp_path: Path
) -> None:
    data = frame(gaps=fill == "last")
    trained = sl.train(data, target="total", difference="total", fill=fill, **QUICK)
    assert trained.model.counters == ("total",)
    assert trained.settings.difference == ("total",)
    trained.save(tmp_path / "model.safetensors")
    model = sl.Model.load(tmp_path / "model.safetensors")
    made = model.predict(data)["total"]
    engine = sl.Engine(model)
    X = np.column_stack([data[name] for name in model.inputs])
    live = np.array([engine.step("a", x)[0] for x in X])
    np.testing.assert_array_equal(made, live)
    known = ~np.isnan(data["total"][1:])
    error = np.abs(made[:-1] - data["total"][1:])[known]
    assert np.median(error) < 100, "the wave is 200 high, the steps are 1500"
    assert (error > 1e6).sum() == 1, "where it begins again, nobody can know"
    score = trained.scores[0]
    assert score.errors.mae == pytest.approx(np.mean(error[-80:]), rel=0.2)


def test_evaluate_knows_the_test_period_of_a_counter() -> None:
    data = frame()
    model = sl.train(data, target=["total", "level"], difference=("total",), **QUICK).model
    evaluation = sl.evaluate(model, data, test_only=True)
    assert {score.target for score in evaluation.scores} == {"total", "level"}
    total = next(score for score in evaluation.scores if score.target == "total")
    assert 0 < total.errors.mae < 200
    assert total.errors.values < ROWS / 2, "not the rows that it was trained on"


def test_training_goes_on_with_the_same_counters() -> None:
    data = frame()
    first = sl.train(data, target="total", difference="total", **QUICK).model
    again = sl.train(data, target="total", from_model=first, epochs=1).model
    assert again.counters == ("total",)
    engine = sl.Engine(first)
    engine.step("a", [data["total"][0], 20.0])
    assert not engine.reload(again).anew
    with pytest.raises(DataError, match="counters are total, the settings ask for level"):
        sl.train(data, target="total", from_model=first, difference="level", epochs=1)


@pytest.mark.parametrize("what", ["classify", "target_category"])
@pytest.mark.parametrize("fill", ["refuse", "last"])
def test_classes_are_told_of_counters_alike_in_a_table_and_live(what: str, fill: str) -> None:
    data = frame(gaps=fill == "last")
    words = np.where(np.cos(np.arange(ROWS) / 4) > 0, "rising", "falling")
    data = {name: data[name] for name in ("time", "total")} | {"wave": words}
    given = {what: "wave", "inputs": ["total"], "difference": "total", "fill": fill}
    first = sl.train(data, **given, **QUICK).model
    assert first.counters == ("total",)
    assert first.input_offsets is not None
    assert not first.input_offsets.any(), "changes are not large"
    model = sl.train(data, from_model=first, **{what: "wave"}, epochs=1).model
    assert model.counters == ("total",)
    made = np.column_stack([model.predict(data)[name] for name in model.outputs])
    columns = [(words == model.outputs[1]) * 1.0, data["total"]][what == "classify" :]
    engine = sl.Engine(model)
    live = [engine.step("a", row) for row in np.column_stack(columns)]
    np.testing.assert_array_equal(made, np.array(live, np.float32))
    evaluation = sl.evaluate(model, data)
    assert evaluation.classes is not None
    assert evaluation.classes.total.accuracy > 0.5


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"difference": "total", "horizon": 3}, "one step ahead"),
        ({"difference": "other"}, "expected a column 'other'"),
        ({"difference": "total", "inputs": ["level"]}, "expected one of the inputs, 'level'"),
    ],
)
def test_what_cannot_be_differenced_is_refused(options: dict, expected: str) -> None:
    given = {"target": "total", **QUICK} | options
    with pytest.raises(DataError, match=expected):
        sl.train(frame(), **given)


def test_the_command_takes_counters_and_names_the_option(tmp_path: Path) -> None:
    path, out = tmp_path / "meter.csv", tmp_path / "model.safetensors"
    rows = zip(*frame().values(), strict=True)
    lines = ["time,total,level", *(f"{t:.0f},{total:.0f},{y:.4f}" for t, total, y in rows)]
    path.write_text("\n".join(lines) + "\n")
    options = ["--target", "level", "--epochs", "1", "--hidden", "4", "--out", str(out)]
    for more, said in (
        ([], "--difference total takes its change from row to row instead"),
        (["--difference", "total"], "a counter: its change from row to row is taken"),
    ):
        done = CliRunner().invoke(app, ["train", str(path), *options, *more])
        assert done.exit_code == 0
        assert said in " ".join(done.stderr.split())
    assert sl.Model.load(out).counters == ("total",)
    with pytest.raises(ConvertError, match="outputs are those of its network"):  # it adapts
        sl.to_onnx(sl.Model.load(out), tmp_path / "model.onnx")


def test_what_is_taken_for_a_counter() -> None:
    rng = np.random.default_rng(1)
    streams = np.zeros(300, np.int64)
    rising = np.cumsum(rng.integers(0, 5, 300)).astype(float)
    again = np.where(np.arange(300) < 150, rising, rising - rising[149])
    for values, expected in (
        (rising, True),
        (again, True),
        (rng.normal(size=300), False),
        (np.cumsum(rng.normal(size=300)), False),
        (np.sin(np.arange(300) / 60), False),
        (np.repeat([1.0, 2.0, 3.0], 100), False),
        (np.where(np.arange(300) % 7 == 3, np.nan, rising), True),
        (np.arange(300) % 50 + 0.0, False),
    ):
        assert is_counter(Column("x", values, streams, None)) is expected
