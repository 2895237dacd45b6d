"""Which columns training gives an offset, and which one."""

from __future__ import annotations

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.data.read import read_table
from streamlstm.learn.offsets import fit_offsets, offset_notes, offsets_of

from .test_offsets import LEVEL, network

T = np.arange(300)
WAVE = np.sin(T / 9)
RANDOM = np.random.default_rng(1)
ORDINARY = {
    "a wave": WAVE,
    "temperatures in Kelvin": 293.15 + WAVE,
    "pressure in Pascal": 101_325 + 40 * WAVE,
    "counts": 15_000 + RANDOM.integers(-300, 300, 300),
    "a constant": np.full(300, 1e9),
    "large and as variable": 1e9 * WAVE,
    "rare changes": 1e5 + (T > 150),
    "nothing came": np.full(300, np.nan),
}
LARGE = {
    "seconds since 1970": (LEVEL + 10 * WAVE, LEVEL),
    "a counter": (8.8e10 + 1500.0 * T, 8.8e10),
    "pressure in Pascal, quiet": (101_325 + 0.01 * WAVE, 101_325.0),
    "below zero": (-LEVEL + 10 * WAVE, -LEVEL),
    "values are missing": (np.where(T % 7, LEVEL + 10 * WAVE, np.nan), LEVEL),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_columns_have_no_offset(name: str) -> None:
    assert fit_offsets([ORDINARY[name][:, None].astype(float)]).tolist() == [0.0]


@pytest.mark.parametrize("name", LARGE)
def test_columns_that_float32_cannot_hold_have_one(name: str) -> None:
    values, expected = LARGE[name]
    [offset] = fit_offsets([values[:, None]])
    assert offset == pytest.approx(expected, abs=10 * np.nanmax(np.abs(np.diff(values))) * 300)
    left = values - offset
    spacing = np.spacing(np.float32(np.nanmax(np.abs(left))))
    assert spacing < np.nanmedian(np.abs(np.diff(values))) / 64
    again = fit_offsets([values[10:, None]])
    assert name == "a counter" or again == offset  # nearly the same rows have the same


def test_only_the_columns_that_need_it_are_moved_and_streams_do_not_touch() -> None:
    values = np.stack([WAVE, LEVEL + WAVE], axis=1)
    far = np.stack([WAVE, LEVEL + 50 + WAVE], axis=1)
    offsets = fit_offsets([values, far])  # the step between two streams is no change
    assert offsets[0] == 0
    assert abs(offsets[1] - LEVEL) <= 100
    assert offsets_of(network(), ["other", "value"]).tolist() == [0.0, LEVEL]


def test_notes_say_what_is_subtracted_and_where_that_is_not_enough() -> None:
    wide = 1e12 * np.round(RANDOM.random(300)) + RANDOM.random(300)
    table = read_table({"a": WAVE, "b": LEVEL + WAVE, "c": wide})
    values = table.select(["a", "b", "c"])
    notes = offset_notes(table, fit_offsets([values]), ["a", "b", "c", "a"])
    assert notes[0].startswith("b: 1700000000 is subtracted in float64")
    said = offset_notes(table, np.zeros(3), ["a", "b", "c"])
    assert len(notes) == 1 or notes[1].startswith("c: ")
    assert [note.split(":")[0] for note in said] == ["b"]


def test_what_is_held_back_is_scored_as_it_came() -> None:
    trained = sl.train({"value": LEVEL + 10 * WAVE}, target="value", hidden=2, epochs=1)
    assert trained.evaluation is not None
    (score,) = trained.evaluation.totals
    assert abs(score.errors.bias) <= score.errors.mae < 1
