"""The index from stream id to slot: single ids, collisions, growth and memory."""

import numpy as np
import psutil
import pytest
from numba import njit

from streamlstm.engine.ids import StreamId
from streamlstm.engine.state_table import StateTable
from streamlstm.errors import CapacityError, StreamIdError, UnknownStreamError
from streamlstm.kernels import id_index, keyed_hash

from .id_tables import (
    INITIAL,
    MAX_HASH,
    check,
    keyed_text_hash,
    keys_of,
    longest_run,
    pack,
    set_keys,
    table_without_secret,
)


@njit
def _find_text(head, buffer, start, length):
    return id_index.find_text(head, buffer, start, length)


@njit
def _find_integer(head, value):
    return id_index.find_integer(head, value)


# --- one id at a time ---


def test_an_empty_table_finds_nothing() -> None:
    table = StateTable(3, INITIAL)
    buffer = np.frombuffer(b"abc\0", np.uint8).copy()
    assert table.streams() == []
    assert len(table) == 0
    for stream in (0, MAX_HASH, "a", "é", "a" * 300, "\ud800", "", "\0a"):
        assert table.find(stream) < 0
    assert _find_integer(table.head, np.uint64(0)) == id_index.ABSENT
    assert _find_text(table.head, buffer, 0, 3) == id_index.ABSENT
    assert _find_text(table.head, buffer, 0, 0) == id_index.INVALID_ID
    assert _find_text(table.head, buffer, 3, 1) == id_index.INVALID_ID
    assert _find_text(table.head, np.zeros(300, np.uint8) + 65, 0, 256) == id_index.INVALID_ID
    with pytest.raises(UnknownStreamError):
        table.free("a")


def test_one_slot() -> None:
    table = StateTable(1, INITIAL)
    for turn in range(200):
        stream: StreamId = turn if turn % 2 else f"a stream of a long name, {turn}"
        assert table.claim(stream) == table.claim(stream) == 0
        with pytest.raises(CapacityError, match="all 1 slots"):
            table.claim("another")
        check(table, {stream: 0})
        assert table.generation[0] == turn + 1
        table.free(stream)
        assert table.generation[0] == 0
        check(table, {})


def test_text_and_integers_are_different_ids() -> None:
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
def test_an_invalid_id_gets_no_slot(stream: str) -> None:
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


def test_the_head_never_moves() -> None:
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


@pytest.mark.parametrize("same", [0xFFFFFF0000000000, 0x000000FFFFFFFFFF, MAX_HASH ^ 0xFF0000000])
def test_ids_whose_hashes_share_bits(same: int) -> None:
    """Top bits alike: entries look alike. Low bits alike: all want one place."""
    free = [bit for bit in range(64) if not same >> bit & 1][:8]
    fixed = 0x123456789ABCDEF0 & same
    streams = [
        fixed | sum(1 << bit for k, bit in enumerate(free) if n >> k & 1) for n in range(200)
    ]
    table = table_without_secret(300)
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


# With keys of 0 but for one, two halves of a text may change places, and every integer has one
# hash, which can be that of a text.
ALIKE = ("a streamof water", "of watera stream")
ALIKE_TOO = ("iemnmbma", int.from_bytes(b"iemnmbma", "little"))


@pytest.mark.parametrize(("one", "other"), [ALIKE, ALIKE[::-1], ALIKE_TOO, ALIKE_TOO[::-1]])
def test_ids_with_equal_entries_are_distinguished(one: StreamId, other: StreamId) -> None:
    table = StateTable(10, INITIAL)
    set_keys(table, {keyed_hash.MIX_HIGH: 1})
    hashed = keyed_text_hash(keys_of(table), str(one if isinstance(one, str) else other).encode())
    set_keys(table, {keyed_hash.MIX_HIGH: 1, keyed_hash.ADD_HIGH: hashed})
    assert table.claim(one) == 0
    assert table.find(other) == -1
    slots = table.claim_block(pack([other]), 1)
    assert slots is not None
    assert slots.tolist() == [1]
    check(table, {one: 0, other: 1})
    entries = table._index[table._index != 0]
    assert longest_run(table) == 2
    assert entries[0] >> np.uint64(40) == entries[1] >> np.uint64(40)
    for stream, slot in ((one, 0), (other, 1)):
        slots = table.claim_block(pack([stream]), 1)
        assert slots is not None
        assert slots.tolist() == [slot]
    table.free(one)
    check(table, {other: 1})


def test_a_probe_wraps_around_at_the_end_of_the_index() -> None:
    table = table_without_secret(40)
    streams = [n << 40 | 63 - n % 2 for n in range(1, 31)]
    expected: dict[StreamId, int] = {stream: table.claim(stream) for stream in streams}
    assert int(table.head[id_index.MASK]) == 63
    while expected:
        gone = list(expected)[len(expected) // 2]
        table.free(gone)
        del expected[gone]
        check(table, expected)


# --- memory ---


def test_churn_does_not_grow_the_index() -> None:
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


def test_a_large_capacity_takes_no_memory_until_it_is_used() -> None:
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
