"""Sparse sequence numbers in the engine."""

from __future__ import annotations

import numpy as np
import pytest

from streamlstm import LSTM, Engine, Online, sparse_seq
from streamlstm.client.fleet.router import Routed, Router
from streamlstm.engine.numbers import Sparse, shown_seq, split_seq
from streamlstm.errors import BadValueError, DuplicateError, GapError, LabelError

from ..contract.models import random_model

MODEL = random_model([LSTM(1, 2)])


def test_numbers_rise_with_gaps_within_a_generation_and_beyond() -> None:
    engine, x = Engine(MODEL), [0.5]
    for seq in (1, 2, sparse_seq(0), sparse_seq(7), sparse_seq(8), sparse_seq(0, 1)):
        engine.step("a", x, seq=seq)
        for before in (seq, max(seq - 1, 1)):
            with pytest.raises(DuplicateError):
                engine.step("a", x, seq=before)
        assert engine.last_seq("a") == seq
    with pytest.raises(DuplicateError, match=r"12 \(sparse\).*0 \(sparse, generation 1\)"):
        engine.stream("a").step(x, seq=sparse_seq(12))
    with pytest.raises(GapError):
        engine.step("b", x, seq=2**63 - 1)
    engine.run("a", [x, x], seq=sparse_seq(5, 1))
    assert engine.last_seq("a") == sparse_seq(6, 1)


def test_a_number_is_split_and_checked() -> None:
    assert split_seq(sparse_seq(2**48 - 1, 2**15 - 1)) == Sparse(2**48 - 1, 2**15 - 1)
    assert sparse_seq(np.uint64(3)) == 2**63 + 3
    assert split_seq(3) is None
    assert [shown_seq(n) for n in (3, sparse_seq(4), sparse_seq(5, 6))] == [
        *("3", "4 (sparse)", "5 (sparse, generation 6)")
    ]
    for wrong in ((-1, 0), (2**48, 0), (1, 2**15), (True, 0), (1.0, 0), (1, -1)):
        with pytest.raises(BadValueError, match=r"expected an integer from 0 to"):
            sparse_seq(*wrong)  # type: ignore[arg-type]


def test_a_label_of_a_stream_with_sparse_numbers_is_for_its_last_observation() -> None:
    model = random_model([LSTM(1, 2)]).with_online(Online(adapt="rls", labels=10))
    engine = Engine(model)
    for number in (5, 9):
        engine.step("a", [0.5], seq=sparse_seq(number))
    with pytest.raises(LabelError, match="sparse"):
        engine.learn("a", sparse_seq(5), [1.0, 1.0])
    engine.learn("a", sparse_seq(9), [1.0, 1.0])


def test_nothing_overtakes_a_sparse_number_on_its_way_to_a_fleet() -> None:
    router = Router()
    router.learn(3, 1, "here")
    first, second = Routed((3,), False, sparse=True), Routed((3,), False, sparse=True)
    assert not router.add(first)
    assert not router.add(second)
    assert router.ready() == [first]
    router.done(first)
    assert router.ready() == [second]
