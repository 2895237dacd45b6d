"""A calendar takes over the last inputs of a network, or gives them back: API and command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from streamlstm import LSTM, Dense, Engine, Model, Online, Scaling
from streamlstm.cli import app
from streamlstm.errors import ModelError

from ..contract.models import STAGES, random_model, staged

MODEL = staged(STAGES["calendar"])
COMPUTED = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "since")


def online(*arguments: object) -> str:
    """Run the command; return what it printed."""
    done = CliRunner().invoke(app, ["online", *map(str, arguments)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_a_model_without_its_calendar_takes_those_inputs_and_gives_them_back() -> None:
    plain = MODEL.with_online(None)
    assert plain.inputs == ("a", "b", "c", *COMPUTED)
    assert plain.input_scaling.mean[3:].tolist() == [0] * 5
    assert plain.input_scaling.scale[3:].tolist() == [1] * 5
    assert plain.with_online(MODEL.online).fingerprint == MODEL.fingerprint
    with_offsets = MODEL.with_offsets([1.0, 2.0, 3.0]).with_online(None)
    assert with_offsets.input_offsets is not None
    assert with_offsets.input_offsets.tolist() == [1, 2, 3, 0, 0, 0, 0, 0]


def test_what_the_calendar_computes_is_what_came_before() -> None:
    stage = Online(calendar=("hour",))
    whole = random_model([LSTM(3, 6), Dense(6, 2)])
    given, computed = Engine(whole, 2), Engine(whole.with_online(stage), 2)
    for n in range(20):
        turn = 2 * np.pi * (n % 24) / 24
        expected = given.step("a", [n / 10, np.sin(turn), np.cos(turn)])
        y = computed.step("a", [n / 10], time=3600.0 * n)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_the_command_adds_changes_and_removes_a_calendar(tmp_path: Path) -> None:
    path, out = tmp_path / "m.safetensors", tmp_path / "out.safetensors"
    random_model([LSTM(5, 6), Dense(6, 2)]).save(path)
    said = online(path, "--calendar", "hour,weekday", "--zone", "Europe/Zurich", "--out", out)
    assert "hour_sin, hour_cos, weekday_sin, weekday_cos" in said
    made = Model.load(out)
    assert made.inputs == ("x0",)
    assert made.online == Online(calendar=("hour", "weekday"), zone="Europe/Zurich")
    assert "computed from the time" in online(out)
    online(out, "--zone", "UTC", "--out", out)
    assert Model.load(out).online == Online(calendar=("hour", "weekday"))  # and no other offsets
    online(out, "--calendar", "none", "--intervals", "0.9", "--targets", "x0,-", "--out", out)
    made = Model.load(out)
    assert made.inputs == ("x0", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos")
    assert made.online == Online(intervals=(0.9,), targets=(0, -1))
    online(out, "--remove", "--out", out)
    assert Model.load(out).online is None


def test_inputs_that_cannot_be_computed_are_refused() -> None:
    stage = Online(calendar=("hour",))
    base = random_model([LSTM(3, 6), Dense(6, 1)])
    scaled = Model(base.layers, base.weights, input_scaling=Scaling([0, 0, 4], [1, 1, 1]))
    skipping = Model(base.layers, base.weights, skip=[2])
    for model, why in (
        (scaled, "'x2' is scaled"),
        (skipping, "'x2' is added to an output"),
        (base.with_offsets([0.0, 5.0, 0.0]), "'x1' has an offset"),
    ):
        with pytest.raises(ModelError, match=f"{why}; train the network with the calendar"):
            model.with_online(stage)
    with pytest.raises(ModelError, match="more than the 4 inputs of the calendar"):
        base.with_online(replace(stage, calendar=("hour", "weekday")))
