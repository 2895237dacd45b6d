"""What the commands print of a prediction, in words and as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streamlstm import wire
from streamlstm.cli.came import Came, horizons_of
from streamlstm.cli.said import in_words, name_of
from streamlstm.cli.watch import _print
from streamlstm.client.fields import as_fields
from streamlstm.engine.prediction import Prediction, ResultLayout

LAYOUT = ResultLayout(2, (0.5, 0.9), True)


def said(**numbers: object) -> Prediction:
    result = np.full(LAYOUT.places.size, np.nan, np.float32)
    result[:2] = 1.25, -3.5
    result[[LAYOUT.places.alarm, LAYOUT.places.kind, LAYOUT.places.filled]] = 0
    for name, value in numbers.items():
        start = getattr(LAYOUT.places, name)
        result[start : start + np.size(value)] = value
    return Prediction(result, LAYOUT)


FULL = said(
    low=[1, -4, 0, -5],
    high=[2, -3, 3, np.inf],
    error=[0.5, np.nan],
    score=5.0,
    p_value=1e-5,
    alarm=1,
    kind=1,
    filled=1,
)


def test_a_plain_prediction_is_its_outputs() -> None:
    plain = Prediction(np.array([1.25, -3.5], np.float32), ResultLayout(2, (), False))
    assert in_words(plain) == in_words(said()) == "1.25 -3.5"
    assert as_fields(plain) == as_fields(said()) == {"prediction": [1.25, -3.5]}


def test_everything_in_words_and_in_json() -> None:
    bar = "\N{FULL BLOCK}" * 4
    assert in_words(FULL) == (
        f"1.25 [0, 3] -3.5 [-5, inf]  {bar}     5.0  ALARM: spike  (1 missing)"
    )
    fields = json.loads(json.dumps(as_fields(FULL), allow_nan=False))
    assert fields == {
        "prediction": [1.25, -3.5],
        "low": [0, -5],
        "high": [3, None],
        "residual": [0.5, None],
        "score": 5.0,
        "p_value": pytest.approx(1e-5),
        "alarm": True,
        "kind": "spike",
        "filled": 1,
    }


def test_what_came_stands_before_what_is_next() -> None:
    bar = "\N{FULL BLOCK}" * 4
    rest = f"1.25 [0, 3] -3.5 [-5, inf]  {bar}     5.0  ALARM: spike  (1 missing)"
    assert in_words(FULL, came=[1.5, np.nan]) == f"came 1.5 - (error +0.5 -), next {rest}"
    assert in_words(FULL, came=[np.nan, np.nan]) == f"error +0.5 -, next {rest}"
    assert in_words(said(), came=[np.nan, np.nan]) == in_words(said())


def test_what_came_is_the_forecast_and_its_error() -> None:
    came = Came(horizons_of({"outputs": ["a@+1", "a@+3"], "horizon": 3}))
    values = [3.0, 1, 4, 1, 5, 9, 2, 6]
    told = {1: {}, 3: {}}  # what was said for each row
    for n, value in enumerate(values, 1):
        errors = [value - told[steps].get(n, np.nan) for steps in (1, 3)]
        observed = said(error=errors)
        observed.y[:] = 10.0 * n, -n
        told[1][n + 1], told[3][n + 3] = 10.0 * n, -n
        found = came.values("s", 0, observed)
        np.testing.assert_allclose(found, [value if n > 1 else np.nan, value if n > 3 else np.nan])
    came.forget("s")
    assert np.isnan(came.values("s", 0, said(error=[1, 1]))).all()
    came.values("numbered", 7, said())
    assert np.isnan(came.values("numbered", 9, said(error=[1, 1]))).all()  # 8 was not received
    assert horizons_of({"outputs": ["v_q10", "v_q50", "x@+2_q50"], "horizon": 4}) == [4, 4, 2]


def test_a_prediction_that_says_nothing_is_null() -> None:
    nothing = said(kind=6)
    nothing.y[:] = np.nan
    assert as_fields(nothing) == {"prediction": [None, None], "kind": "missing"}


@pytest.mark.parametrize("room", range(90))
def test_what_there_is_no_room_for_is_left_out(room: int) -> None:
    line = in_words(FULL, room)
    assert len(line) <= room
    assert ("ALARM: spike" in line) == (room >= 15)
    assert ("[0, 3]" in line) == (room >= 53)
    assert ("5.0" in line) == (room >= len(in_words(FULL)))


@pytest.mark.parametrize("room", range(110))
def test_in_a_narrow_terminal_what_came_goes_before_the_intervals(room: int) -> None:
    line = in_words(FULL, room, [1.5, np.nan])
    assert len(line) <= room
    assert ("came" in line) == (room >= 53 + len("came 1.5 - (error +0.5 -), next "))
    assert ("[0, 3]" in line) == (room >= 53)


def test_names_of_streams_do_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _print(wire.Done(3, "a\x1b[2J\nb"), json=False)
    assert capsys.readouterr().out.endswith("  a\\x1b[2J\\nb  reset\n")
    assert [name_of("plant/north/pump-7", room) for room in (18, 17, 8)] == [
        "plant/north/pump-7", "plant/no…h/pump-7", "pla…mp-7",
    ]  # fmt: skip
    assert name_of(7) == "7"
    assert name_of("Pümpe 7 漢") == "Pümpe 7 漢"
