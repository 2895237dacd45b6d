"""Messages that are divided over workers, and answers that are put together again."""

from __future__ import annotations

import random

import numpy as np
import pytest

from streamlstm import wire
from streamlstm.client.fleet import division
from streamlstm.client.fleet.whole import whole_page
from streamlstm.client.replies import decode_done, decode_predictions
from streamlstm.engine.prediction import ResultLayout
from streamlstm.errors import RemoteError, WorkerTimeoutError

LAYOUT = ResultLayout(2, (), False)


def divided(chance: random.Random, rows: int) -> list[list[int]]:
    return division.groups([chance.randrange(3) for _ in range(rows)])


def answers(parts: list[list[int]], Y: np.ndarray) -> list[division.Rows]:
    return [division.Rows(Y[part], LAYOUT) for part in parts]


@pytest.mark.parametrize("seed", range(20))
def test_rows_come_back_in_their_order(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randrange(1, 30)
    streams: list[int | str] = [chance.randrange(9) for _ in range(count)]
    X, Y = np.arange(3 * count, dtype=np.float32).reshape(count, 3), np.random.rand(count, 2)
    steps = wire.Steps(streams, list(range(count)), X.tobytes(), None)
    parts = divided(chance, count)
    for rows in parts:
        part = division.select(steps, rows)
        assert isinstance(part, wire.Steps)
        assert X[rows].tobytes() == part.X
        assert (part.streams, part.seqs) == ([streams[n] for n in rows], rows)
        assert division.single(steps, rows[0]).x == X[rows[0]].tobytes()
    none = [None] * len(parts)
    found = division.join(decode_predictions, parts, answers(parts, Y), none)
    assert (found == Y).all()
    lasts = [[10 * n for n in rows] for rows in parts]
    assert division.join(decode_done, parts, lasts, none) == [10 * n for n in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_an_error_tells_of_every_row_what_became_of_it(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randrange(3, 30)
    parts, Y = divided(chance, count), np.random.rand(count, 2)
    results: list[division.Rows | None] = list(answers(parts, Y))
    errors: list[Exception | None] = [None] * len(parts)
    applied, doubtful = np.ones(count, bool), np.zeros(count, bool)
    for n in chance.sample(range(len(parts)), chance.randrange(1, len(parts) + 1)):
        doubt = chance.random() < 0.5
        error = WorkerTimeoutError("late") if doubt else RemoteError("no", "gap", n, 3)
        if isinstance(error, WorkerTimeoutError):
            error.in_doubt = True
        errors[n], results[n] = error, None
        applied[parts[n]], doubtful[parts[n]] = False, doubt
    with pytest.raises((RemoteError, WorkerTimeoutError)) as caught:
        division.join(decode_predictions, parts, results, errors)
    first = min(part[0] for part, error in zip(parts, errors, strict=True) if error)
    assert caught.value is next(e for part, e in zip(parts, errors, strict=True) if first in part)
    told = caught.value.divided
    if not applied.any() and (doubtful.all() or not doubtful.any()):
        assert told is None  # as by a single worker
        return
    assert told is not None
    assert (told.applied == applied).all()
    assert (told.in_doubt == doubtful).all()
    if applied.any():
        assert told.values is not None
        assert (told.values[applied] == Y[applied]).all()
        assert np.isnan(told.values[~applied]).all()


def test_a_list_has_each_stream_once_and_ends_where_a_page_ends() -> None:
    full = [[n, 1] for n in range(0, 2 * wire.MAX_LISTED, 2)]
    short: list[list[int | str]] = [[3, 7], [4, 9], ["a", 1], ["b", 2]]
    page = whole_page([full, short])
    assert page[:4] == [(0, 1), (2, 1), (3, 7), (4, 9)]
    assert page[-1] == (full[-1][0], 1)
    assert len(page) == len(full) + 1
    assert whole_page([short, [["a", 2]]]) == [(3, 7), (4, 9), ("a", 2), ("b", 2)]
