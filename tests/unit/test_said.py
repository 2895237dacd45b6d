"""What the commands print of a prediction, in words and as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streamlstm.cli.said import as_fields, in_words
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
