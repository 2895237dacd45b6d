"""Blocks of observations: the fast path and the slow path do the same, valid or not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm import LSTM, Engine
from streamlstm.engine import stepping
from streamlstm.engine.block_packing import pack_ids, pack_times, pack_unsigned
from streamlstm.engine.blocks import fast_block, split_rounds
from streamlstm.errors import StreamIdError, StreamLSTMError

from ..contract.models import random_model

MODEL = random_model([LSTM(1, 2)])
CAPACITY = 12


def no_fast_block(*_arguments: Any) -> None:
    """Replaces fast_block: everything is unusual."""


def outcome(made: Engine, method: str, *arguments: Any, **options: Any) -> Any:
    """Return what a call gives or raises, in a form that can be compared."""
    try:
        result = getattr(made, method)(*arguments, **options)
    except StreamLSTMError as error:
        return type(error), str(error), error.position
    if method == "step_many":
        return result.tolist()
    Y, errors = result
    messages = {n: (type(error), str(error)) for n, error in errors.items()}
    return np.nan_to_num(Y, nan=-1).tolist(), messages


def everything(made: Engine) -> dict[Any, bytes]:
    return {stream: made.export_stream(stream) for stream in made.streams()}


IDS = st.one_of(
    st.lists(st.integers(0, 9), max_size=12),
    st.lists(st.integers(0, 9).map(lambda n: f"a stream {n}"), max_size=12),
    st.lists(st.integers(0, 15).map(str), max_size=12),
    st.lists(st.integers(0, 4).map(lambda n: "é" * (n + 1)), max_size=12),
    st.lists(st.one_of(st.integers(0, 5), st.integers(0, 5).map(str)), max_size=12),
    st.lists(st.sampled_from(["a", "", "a\0b", "\0a", "\ud800", "x" * 256, "é" * 128]), max_size=4),
    st.lists(st.sampled_from([1, -1, 2**64, 2**64 - 1, True, 1.0, None, b"a", ["a"]]), max_size=4),
)
SEQS = st.one_of(
    st.none(),
    st.lists(st.sampled_from([0, 1, 1, 1, 2, 3]), min_size=12, max_size=12),
    st.lists(st.sampled_from([0, 2**63, 2**63 + 1, 2**63 + 3]), min_size=12, max_size=12),
    st.lists(st.sampled_from([1, 1, 2, -1, 2**64, True, 1.5, "1"]), min_size=12, max_size=12),
)
TIMES = st.one_of(
    st.none(),
    st.lists(st.sampled_from([None, 0.5, 2]), min_size=12, max_size=12),
    st.lists(st.sampled_from([None, 1.5, np.nan, np.inf, 10**400, True]), min_size=12, max_size=12),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), IDS, SEQS, TIMES), min_size=1, max_size=6))
def test_the_fast_path_does_what_the_slow_path_does(blocks: list[Any]) -> None:
    fast, slow = Engine(MODEL, CAPACITY), Engine(MODEL, CAPACITY)
    for many, streams, seqs, times in blocks:
        method = "step_many" if many else "step_each"
        X = np.linspace(-1, 1, len(streams))[:, None]
        options = {
            "seqs": None if seqs is None else seqs[: len(streams)],
            "times": None if times is None else times[: len(streams)],
        }
        before = everything(fast)
        got = outcome(fast, method, streams, X, **options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stepping, "fast_block", no_fast_block)
            expected = outcome(slow, method, streams, X, **options)
        assert got == expected
        assert everything(fast) == everything(slow)
        assert fast.streams() == slow.streams()
        assert (len(fast), fast.steps) == (len(slow), slow.steps)
        if isinstance(got, tuple) and many:
            assert everything(fast) == before


def test_a_valid_block_takes_the_fast_path() -> None:
    made = Engine(MODEL, 100)
    for streams in (
        ["a", "b", "a"],
        ["é", "longer than a key", "a"],
        [1, 2, 1],
        (2**64 - 1, 5),
        [np.uint8(1), np.uint8(7)],
        np.array([3, 4], np.int16),
        np.arange(20)[::3],
        np.array([3, 4], ">u8"),
    ):
        count = len(streams)
        assert fast_block(made._table, streams, None, None, timed=False) is not None
        for seqs in ([0] * count, np.zeros(count, np.int32)):
            for times in ([None, 1] + [0.5] * (count - 2), np.ones(count)):
                block = fast_block(made._table, streams, seqs, times, timed=False)
                assert block is not None
                assert len(block.slots) == len(block.seqs) == len(block.times) == count


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">u8"])
def test_integer_arrays_of_any_kind(kind: str) -> None:
    made, twin = Engine(MODEL, 50), Engine(MODEL, 50)
    ids = np.array([3, 100, 3, 7, 0, 100], kind)
    X = np.linspace(-1, 1, 6)[:, None]
    expected = [twin.step(int(n), x) for n, x in zip(ids, X, strict=True)]
    assert np.array_equal(made.step_many(ids, X), expected)
    assert made.streams() == [3, 100, 7, 0]
    strided = np.stack([ids, ids + 1], axis=1)[:, 0]
    expected = [twin.step(int(n), x) for n, x in zip(ids, X, strict=True)]
    assert np.array_equal(made.step_many(strided, X), expected)
    assert made.streams() == [3, 100, 7, 0]


def test_arrays_that_are_not_ids() -> None:
    made = Engine(MODEL, 50)
    made.step_many([1, 2], [[0], [0]])
    before = everything(made)
    for ids, words in (
        (np.array([1, -2]), "an integer from 0 to 2\\*\\*64 - 1, got -2"),
        (np.array([True, False]), "got bool"),
        (np.array([1.0, 2.0]), "got float"),
        (np.array([[1], [2]]), "got list"),
        (np.array(["a", ""]), "1 to 255 bytes, got 0"),
        (np.array([1, None], object), "got NoneType"),
    ):
        with pytest.raises(StreamIdError, match=words) as raised:
            made.step_many(ids, [[0], [0]])
        assert raised.value.position == (0 if ids.dtype.kind in "bf" or ids.ndim > 1 else 1)
        assert everything(made) == before
    made.step_many(np.array(["a", "é"]), [[0], [0]])
    assert made.streams() == [1, 2, "a", "é"]


def test_numbers_and_times_are_stored() -> None:
    made = Engine(MODEL, 50)
    X = np.zeros((4, 1))
    made.step_many(["a", "b", "a", "c"], X, seqs=[1, 0, 2, 1], times=[1.0, 2.0, None, None])
    assert [made.last_seq(stream) for stream in "abc"] == [2, 0, 1]
    times = [made._table.time[made._table.slot(stream)] for stream in "abc"]
    assert times[:2] == [1.0, 2.0]
    assert np.isnan(times[2])
    made.step_many(np.arange(4), X, seqs=np.ones(4, np.int8), times=np.arange(4))
    assert [made.last_seq(stream) for stream in range(4)] == [1] * 4
    assert made._table.time[made._table.slot(3)] == 3


def test_numbers_at_the_end_of_their_range() -> None:
    made = Engine(MODEL, 5)
    made.step("a", [0])
    made._table.seq[made._table.slot("a")] = 2**64 - 2
    made.step_many(["a", "a"], [[0], [0]], seqs=[2**64 - 1, 0])
    for seqs in ([0, 1], [0, 2**64 - 1], np.array([0, 1])):
        with pytest.raises(StreamLSTMError, match="was applied before"):
            made.step_many(["a", "a"], [[0], [0]], seqs=seqs)
    assert made.last_seq("a") == 2**64 - 1


def test_a_str_subclass_is_taken_as_its_text() -> None:
    class Named(str):
        def __str__(self) -> str:
            return "something else"

    made = Engine(MODEL, 5)
    made.step(Named("a"), [0])
    made.step_many([Named("a"), "b"], [[0], [0]])
    made.step_many([1, Named("a")], [[0], [0]])
    assert made.streams() == ["a", "b", 1]


def test_packing() -> None:
    assert pack_ids(["a", "b"]) == "a\0b"
    assert pack_ids(["é", "b"]) == "é".encode().decode("latin-1") + "\0b"
    for streams in (["a", 1], [1, "a"], [1, True], [1.0], ["\ud800"], [np.int8(-1), 1]):
        assert pack_ids(streams) is None  # type: ignore[arg-type]
    for values in ([-1], [2**64], [True], [np.uint64(2**64 - 1), np.int8(-1)], [np.int8(-1)]):
        assert pack_unsigned(values) is None
    for times in ([np.nan], [None, np.nan], [None, np.inf], [True], ["1"], [10**400], "1"):
        assert pack_times(times) is None
    assert np.array_equal(pack_times([None, 2]), [np.nan, 2], equal_nan=True)  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(0, 8))
def test_rounds(slots: list[int], few: int) -> None:
    rounds, runs = split_rounds(np.array(slots, np.int64), few)
    assert sorted(np.concatenate([*rounds, *runs]).tolist()) == list(range(len(slots)))
    for turn, chosen in enumerate(rounds):
        assert chosen.tolist() == [
            n for n in range(len(slots)) if slots[:n].count(slots[n]) == turn
        ]
        assert len(chosen) > few
    left = [n for n in range(len(slots)) if slots[:n].count(slots[n]) >= len(rounds)]
    assert len({slots[n] for n in left}) <= few
    assert [run.tolist() for run in runs] == [
        [n for n in left if slots[n] == slot] for slot in sorted({slots[n] for n in left})
    ]
