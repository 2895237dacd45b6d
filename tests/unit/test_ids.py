"""The map from stream id to slot: against a dict, under collisions, growth and churn."""

import subprocess
import sys
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from streamlstm.engine.state_table import StateTable, StreamId
from streamlstm.errors import CapacityError, StreamIdError, UnknownStreamError
from streamlstm.kernels import hashing, id_index

INITIAL = np.arange(16, dtype=np.float32)
_BITS = 2**64 - 1


@njit
def _hash_integer(value):
    return hashing.hash_integer(value)


@njit
def _hash_text(buffer, start, length):
    return hashing.hash_text(buffer.ctypes.data + start, length)


@njit
def _find_text(head, buffer, start, length):
    return id_index.find_text(head, buffer, start, length)


@njit
def _find_integer(head, value):
    return id_index.find_integer(head, value)


def integer_with_hash(hashed: int) -> int:
    """Return the one integer that has this hash: the finaliser of splitmix64 backwards."""
    hashed ^= hashed >> 31 ^ hashed >> 62
    hashed = hashed * pow(0x94D049BB133111EB, -1, 2**64) & _BITS
    hashed ^= hashed >> 27 ^ hashed >> 54
    hashed = hashed * pow(0xBF58476D1CE4E5B9, -1, 2**64) & _BITS
    return hashed ^ hashed >> 30 ^ hashed >> 60


def text_hash(text: bytes) -> int:
    """Hash a text as hashing.py says, in Python's integers."""

    def fold(a: int, b: int) -> int:
        return (a * b >> 64) ^ (a * b & _BITS)

    def read(start: int, count: int) -> int:
        return int.from_bytes(text[start : start + count], "little")

    s0, s1, seed = 0x2D358DCCAA6C78A5, 0x8BB84B93962EACC9, 0x1FF5C2923A788D2C
    n = len(text)
    if n >= 16:
        for start in range(0, n - 16, 16):
            seed = fold(read(start, 8) ^ s1, read(start + 8, 8) ^ seed)
        a, b = read(n - 16, 8), read(n - 8, 8)
    elif n >= 4:
        shift = n // 8 * 4
        a = read(0, 4) << 32 | read(shift, 4)
        b = read(n - 4, 4) << 32 | read(n - 4 - shift, 4)
    else:
        a, b = text[0] << 16 | text[n // 2] << 8 | text[-1], 0
    return fold(fold(a ^ s1, b ^ seed) ^ s0 ^ n, s1 ^ seed)


def check(table: StateTable, expected: dict[StreamId, int]) -> None:
    """Compare a table with a dict of stream to slot, in order of arrival."""
    assert table.streams() == list(expected)
    assert [table.find(stream) for stream in expected] == list(expected.values())
    assert len(set(expected.values())) == len(expected) == len(table)
    assert table.room == table.capacity - len(expected)


def pack(streams: list[Any]) -> Any:
    if isinstance(streams[0], str):
        return "\0".join(streams).encode().decode("latin-1")
    return np.array(streams, np.uint64)


# --- the hash ---


def test_hashes_never_change() -> None:
    for value in (0, 1, 2, 12345, 2**63, _BITS):
        assert integer_with_hash(int(_hash_integer(np.uint64(value)))) == value
    assert int(_hash_integer(np.uint64(1))) == 0x5692161D100B05E5
    assert text_hash(b"pump-7") == 0x043893C7851CD131
    assert text_hash(b"a-longer-name-of-a-stream-0001") == 0xADC8474431FB8105


def test_text_is_hashed_as_hashing_says() -> None:
    rng = np.random.default_rng(0)
    for length in range(1, 256):
        buffer = rng.integers(0, 256, length + 10).astype(np.uint8)
        expected = text_hash(buffer[5 : 5 + length].tobytes())
        assert int(_hash_text(buffer, 5, length)) == expected


def test_every_byte_counts() -> None:
    for length in (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255):
        buffer = np.zeros(length, np.uint8)
        seen = {int(_hash_text(buffer, 0, length))}
        for n in range(length):
            buffer[:] = 0
            buffer[n] = 1
            seen.add(int(_hash_text(buffer, 0, length)))
        assert len(seen) == length + 1


def test_nothing_beyond_a_text_is_read() -> None:
    """Texts at both ends of readable memory, with pages that may not be read around them."""
    program = """
import ctypes, mmap
import numpy as np
from numba import njit
from streamlstm.kernels import hashing, id_index, id_lookup
from streamlstm.engine.state_table import StateTable

PAGE = mmap.PAGESIZE
memory = mmap.mmap(-1, 3 * PAGE)
whole = np.frombuffer(memory, np.uint8)
whole[:] = ord("x")
libc = ctypes.CDLL(None, use_errno=True)
for page in (0, 2):
    address = ctypes.c_void_p(whole.ctypes.data + page * PAGE)
    assert libc.mprotect(address, PAGE, mmap.PROT_READ & 0) == 0
readable = whole[PAGE : 2 * PAGE]
table = StateTable(600, np.zeros(16, np.float32))
for length in range(1, 256):
    assert table.claim("x" * length) == length - 1

@njit
def find(head, buffer, start, length):
    return id_index.find_text(head, buffer, start, length)

@njit
def claim(head, buffer, start, length):
    return id_index.claim_text_at(head, buffer.ctypes.data + start, length)

@njit
def split(buffer, start, length, starts):
    return id_lookup._split(buffer.ctypes.data + start, length, starts)

for length in range(1, 256):
    for start in (0, PAGE - length):
        assert find(table.head, readable, start, length) == length - 1
        assert split(readable, start, length, np.empty(2, np.int64))
for length in range(1, 256):
    for start in (0, PAGE - length):
        readable[:] = ord("y")
        if start == 0:
            assert claim(table.head, readable, start, length) in (254 + length, id_index.NEEDS_ROOM)
            table.claim("y" * length)
        assert claim(table.head, readable, start, length) == 254 + length
print("good")
"""
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert (shown.stdout, shown.returncode) == ("good\n", 0), shown.stderr


# --- one id at a time ---


def test_an_empty_table_finds_nothing() -> None:
    table = StateTable(3, INITIAL)
    buffer = np.frombuffer(b"abc\0", np.uint8).copy()
    assert table.streams() == []
    assert len(table) == 0
    for stream in (0, _BITS, "a", "é", "a" * 300, "\ud800", "", "\0a"):
        assert table.find(stream) < 0
    assert _find_integer(table.head, np.uint64(0)) == id_index.ABSENT
    assert _find_text(table.head, buffer, 0, 3) == id_index.ABSENT
    assert _find_text(table.head, buffer, 0, 0) == id_index.NO_ID
    assert _find_text(table.head, buffer, 3, 1) == id_index.NO_ID
    assert _find_text(table.head, np.zeros(300, np.uint8) + 65, 0, 256) == id_index.NO_ID
    with pytest.raises(UnknownStreamError):
        table.free("a")


def test_one_slot() -> None:
    table = StateTable(1, INITIAL)
    for turn in range(200):
        stream: StreamId = turn if turn % 2 else f"a stream of a long name, {turn}"
        assert table.claim(stream) == table.claim(stream) == 0
        with pytest.raises(CapacityError, match="all 1 places"):
            table.claim("another")
        check(table, {stream: 0})
        assert table.generation[0] == turn + 1
        table.free(stream)
        assert table.generation[0] == 0
        check(table, {})


def test_text_and_integers_never_meet() -> None:
    table = StateTable(20, INITIAL)
    key = int.from_bytes(b"sensor-1", "little")
    streams: list[StreamId] = ["5", 5, "sensor-1", key, "\x05", ord("5"), "5\x00", "5\x00\x00"]
    expected = {stream: table.claim(stream) for stream in streams}
    check(table, expected)
    for stream in streams[::2]:
        table.free(stream)
        del expected[stream]
        check(table, expected)


@pytest.mark.parametrize("stream", ["", "a" * 256, "\0a", "\ud800", "é" * 128])
def test_what_is_no_id_is_not_claimed(stream: str) -> None:
    table = StateTable(3, INITIAL)
    with pytest.raises(StreamIdError):
        table.claim(stream)
    check(table, {})


def test_compiled_code_finds_what_python_claimed() -> None:
    table = StateTable(1000, INITIAL)
    texts = ["x" * length for length in range(1, 256)] + ["é", "日本語のセンサー", "😀" * 63]
    expected: dict[StreamId, int] = {text: table.claim(text) for text in texts}
    expected |= {n: table.claim(n) for n in range(200)}
    check(table, expected)
    for text in texts:
        encoded = text.encode()
        buffer = np.frombuffer(b"\xff" * 3 + encoded + b"\xff" * 9, np.uint8).copy()
        assert _find_text(table.head, buffer, 3, len(encoded)) == expected[text]
    for n in range(200):
        assert _find_integer(table.head, np.uint64(n)) == expected[n]


def test_the_head_stays_where_it_is() -> None:
    table = StateTable(5000, INITIAL)
    address, head = table.address, table.head
    first = int(head[id_index.INDEX]), int(head[id_index.TEXTS])
    expected: dict[StreamId, int] = {}
    for n in range(5000):
        expected[f"a stream of a long name, {n}"] = n
        assert table.claim(f"a stream of a long name, {n}") == n
    assert (table.address, table.head.ctypes.data) == (address, address)
    assert int(head[id_index.INDEX]) != first[0]
    assert int(head[id_index.TEXTS]) != first[1]
    check(table, expected)


# --- collisions ---


@pytest.mark.parametrize("same", [0xFFFFFF0000000000, 0x000000FFFFFFFFFF, _BITS ^ 0xFF0000000])
def test_ids_whose_hashes_share_bits(same: int) -> None:
    """Top bits alike: entries look alike. Low bits alike: all want one place."""
    free = [bit for bit in range(64) if not same >> bit & 1][:8]
    fixed = 0x123456789ABCDEF0 & same
    streams = [
        integer_with_hash(fixed | sum(1 << bit for k, bit in enumerate(free) if n >> k & 1))
        for n in range(200)
    ]
    table = StateTable(300, INITIAL)
    expected: dict[StreamId, int] = {stream: table.claim(stream) for stream in streams}
    check(table, expected)
    rng = np.random.default_rng(1)
    for turn in range(300):
        gone = streams[rng.integers(len(streams))]
        if gone in expected:
            table.free(gone)
            del expected[gone]
        else:
            expected[gone] = table.claim(gone)
        if turn % 10 == 0:
            check(table, expected)
    check(table, expected)
    packed = np.array(streams, np.uint64)
    slots = table.claim_block(packed, len(packed))
    assert slots is not None
    assert slots.tolist() == [table.find(stream) for stream in streams]


# Hashes alike in their top 24 bits and their low 6: an entry of one is taken for the other's.
ALIKE = ("a stream 019360", "a stream 067353")
ALIKE_TOO = ("iemnmbma", int.from_bytes(b"iemnmbma", "little"))


@pytest.mark.parametrize(("one", "other"), [ALIKE, ALIKE[::-1], ALIKE_TOO, ALIKE_TOO[::-1]])
def test_entries_that_look_alike_are_told_apart(one: StreamId, other: StreamId) -> None:
    table = StateTable(10, INITIAL)
    assert table.claim(one) == 0
    assert table.find(other) == -1
    slots = table.claim_block(pack([other]), 1)
    assert slots is not None
    assert slots.tolist() == [1]
    check(table, {one: 0, other: 1})
    for stream, slot in ((one, 0), (other, 1)):
        slots = table.claim_block(pack([stream]), 1)
        assert slots is not None
        assert slots.tolist() == [slot]
    table.free(one)
    check(table, {other: 1})


def test_entries_at_the_end_of_the_index_go_on_at_its_start() -> None:
    table = StateTable(40, INITIAL)
    streams = [integer_with_hash(n << 40 | 63 - n % 2) for n in range(1, 31)]
    expected: dict[StreamId, int] = {stream: table.claim(stream) for stream in streams}
    assert int(table.head[id_index.MASK]) == 63
    while expected:
        gone = list(expected)[len(expected) // 2]
        table.free(gone)
        del expected[gone]
        check(table, expected)


# --- blocks ---


def test_a_block_that_finds_no_room_leaves_nothing_behind() -> None:
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
def test_a_block_of_what_is_no_id(streams: list[str]) -> None:
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
    table.seq[:3] = before = [4, 9, _BITS]
    for seqs, good in (
        ([5, 10, 6, 0, 7], True),
        ([0, 0, 0, 0, 0], True),
        ([5, 0, 0, 0, 6], True),
        ([5, 10, 6, 0, 8], False),
        ([5, 10, 5, 0, 6], False),
        ([6, 0, 0, 0, 0], False),
        ([4, 0, 0, 0, 0], False),
        ([0, 0, 0, 1, 0], False),
        ([0, 0, 0, _BITS, 0], False),
    ):
        assert table.seqs_follow(slots, np.array(seqs, np.uint64)) == good
        assert table.seq[:3].tolist() == before


# --- the whole table against a dict ---

SOME_IDS = st.one_of(
    st.integers(0, 30),
    st.integers(0, _BITS),
    st.sampled_from([integer_with_hash(n << 24) for n in range(20)]),
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


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 150), st.lists(ACTIONS, max_size=60))
def test_a_table_is_a_dict_with_a_limit(capacity: int, actions: list[tuple[str, Any]]) -> None:
    table = StateTable(capacity, INITIAL)
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


# --- memory ---


def test_streams_that_come_and_go_leave_no_memory_behind() -> None:
    table = StateTable(50, INITIAL)
    for n in range(20_000):
        if n >= 50:
            table.free(f"{n - 50} of the streams with long names")
        table.claim(f"{n} of the streams with long names")
    assert table.head[id_index.TEXT_SIZE] < 20_000
    assert table.head[id_index.MASK] < 256
    check(
        table,
        {
            f"{n} of the streams with long names": table.slot(f"{n} of the streams with long names")
            for n in range(19_950, 20_000)
        },
    )


def test_a_large_capacity_costs_nothing_until_it_is_used() -> None:
    process = psutil.Process()
    StateTable(10, INITIAL).claim(1)
    before = process.memory_info().rss
    table = StateTable(2_000_000, np.ones(128, np.float32))
    for n in range(100):
        table.claim(n)
    # Three arrays of which one page of 2 MiB each has been touched, and some room for others.
    assert process.memory_info().rss - before < 16 * 2**20
    assert table.rows.ctypes.data % 64 == 0
    check(table, {n: n for n in range(100)})
