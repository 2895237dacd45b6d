"""Blocks of ids, and the whole index against a dict."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm.engine.ids import StreamId
from streamlstm.engine.state_table import StateTable
from streamlstm.errors import CapacityError, UnknownStreamError
from streamlstm.kernels import id_index

from .id_tables import INITIAL, MAX_HASH, check, pack, table_without_secret


def test_a_block_that_does_not_fit_changes_nothing() -> None:
    table = StateTable(100, INITIAL)
    expected: dict[StreamId, int] = {n: table.claim(n) for n in range(60)}
    table.free(7)
    del expected[7]
    generation = table.generation.copy()
    for streams in (list(range(40, 120)), [f"a long name {n}" for n in range(42)]):
        assert table.claim_block(pack(streams), len(streams)) is None
        check(table, expected)
        assert np.array_equal(table.generation, generation)
        assert table.head[id_index.TEXT_LIVE] == table.head[id_index.TEXT_USED] == 0
    full = [f"a long name {n}" for n in range(41)]
    slots = table.claim_block(pack(full * 3), 123)
    assert slots is not None
    assert table.repeats
    expected |= dict(zip(full, slots.tolist(), strict=False))
    check(table, expected)


@pytest.mark.parametrize(
    "streams", [["a", ""], ["", "a"], [""], ["a" * 256], ["b", "a" * 256], ["a", "b\0c"], ["\0a"]]
)
def test_a_block_with_an_invalid_id(streams: list[str]) -> None:
    table = StateTable(10, INITIAL)
    assert table.claim_block("\0".join(streams), len(streams)) is None
    check(table, {})


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 128, 1000])
def test_repeats_are_seen(count: int) -> None:
    table = StateTable(3000, INITIAL)
    for streams in (list(range(count)), [f"{n}" for n in range(count)]):
        for _ in range(2):
            slots = table.claim_block(pack(streams), count)
            assert slots is not None
            assert not table.repeats
            assert len(set(slots.tolist())) == count
        again = [*streams[:-1], streams[0]]
        assert table.claim_block(pack(again), count) is not None
        assert table.repeats == (count > 1)
        fresh = [n + 5000 if isinstance(n, int) else n + "x" for n in streams[:2]] * 2
        assert table.claim_block(pack(fresh), len(fresh)) is not None
        assert table.repeats


def test_numbers_are_checked_and_nothing_changes() -> None:
    table = StateTable(10, INITIAL)
    slots = np.array([0, 1, 0, 2, 0], np.int64)
    assert table.claim_block(np.arange(3, dtype=np.uint64), 3) is not None
    table.seq[:3] = before = [4, 9, MAX_HASH]
    for seqs, good in (
        ([5, 10, 6, 0, 7], True),
        ([0, 0, 0, 0, 0], True),
        ([5, 0, 0, 0, 6], True),
        ([5, 10, 6, 0, 8], False),
        ([5, 10, 5, 0, 6], False),
        ([6, 0, 0, 0, 0], False),
        ([4, 0, 0, 0, 0], False),
        ([0, 0, 0, 1, 0], False),
        ([0, 0, 0, MAX_HASH, 0], False),
    ):
        assert table.seqs_follow(slots, np.array(seqs, np.uint64)) == good
        assert table.seq[:3].tolist() == before


# --- the whole table against a dict ---

SOME_IDS = st.one_of(
    st.integers(0, 30),
    st.integers(0, MAX_HASH),
    st.integers(0, 30).map(str),
    st.text("ab", min_size=1, max_size=3),
    st.integers(0, 60).map(lambda n: "ñ-long-name-" * 3 + str(n)),
    st.integers(1, 255).map(lambda n: "z" * n),
)
INTEGERS = st.lists(st.integers(0, 300), min_size=1, max_size=100)
TEXTS = st.lists(st.integers(0, 300).map(lambda n: "x" * (n % 20) + str(n)), min_size=1)
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["claim", "claim", "find", "free"]), SOME_IDS),
    st.tuples(st.just("block"), st.one_of(INTEGERS, TEXTS)),
    st.tuples(st.just("free some"), st.integers(2, 5)),
)
COLLIDING = st.integers(0, 200).map(lambda n: n << 40)
COLLIDING_ACTIONS = st.one_of(
    st.tuples(st.sampled_from(["claim", "find", "free"]), COLLIDING),
    st.tuples(st.just("block"), st.lists(COLLIDING, min_size=1, max_size=100)),
    st.tuples(st.just("free some"), st.integers(2, 5)),
)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 150), st.lists(ACTIONS, max_size=60))
def test_an_index_is_a_dict_with_a_capacity(capacity: int, actions: list[tuple[str, Any]]) -> None:
    _compare_with_a_dict(StateTable(capacity, INITIAL), actions)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 150), st.integers(1, 40), st.lists(COLLIDING_ACTIONS, max_size=60))
def test_an_index_whose_ids_collide_is_a_dict(
    capacity: int, limit: int, actions: list[tuple[str, Any]]
) -> None:
    """All integers want one place; beyond a limit the index gets other keys, and loses nothing."""
    table = table_without_secret(capacity)
    table.head[id_index.PROBE_LIMIT] = limit
    _compare_with_a_dict(table, actions)


def _compare_with_a_dict(table: StateTable, actions: list[tuple[str, Any]]) -> None:
    capacity = table.capacity
    expected: dict[StreamId, int] = {}
    for action, what in actions:
        if action == "find":
            assert table.find(what) == expected.get(what, -1)
        elif action == "claim":
            if what in expected or len(expected) < capacity:
                slot = table.claim(what)
                assert expected.get(what, slot) == slot
                if what not in expected:
                    assert np.array_equal(table.rows[slot], INITIAL)
                    assert table.seq[slot] == 0
                    assert np.isnan(table.time[slot])
                expected[what] = slot
                table.rows[slot] = slot
                table.seq[slot], table.time[slot] = 3, 1.5
            else:
                with pytest.raises(CapacityError):
                    table.claim(what)
        elif action == "free":
            if what in expected:
                table.free(what)
                del expected[what]
            else:
                with pytest.raises(UnknownStreamError):
                    table.free(what)
        elif action == "block":
            fresh = dict.fromkeys(stream for stream in what if stream not in expected)
            slots = table.claim_block(pack(what), len(what))
            if len(expected) + len(fresh) > capacity:
                assert slots is None
            else:
                assert slots is not None
                expected |= {s: n for s, n in zip(what, slots.tolist(), strict=True) if s in fresh}
                assert slots.tolist() == [expected[stream] for stream in what]
                assert table.repeats == (len(set(what)) < len(what))
        else:
            for stream in list(expected)[::what]:
                table.free(stream)
                del expected[stream]
        check(table, expected)
