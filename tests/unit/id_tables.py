"""What tests of the id index share: hashes in Python's integers, and a comparison with a dict."""

from typing import Any

import numpy as np

from streamlstm.engine.id_index import IdIndex
from streamlstm.engine.ids import StreamId
from streamlstm.engine.state_table import StateTable
from streamlstm.kernels import id_index, keyed_hash

INITIAL = np.arange(16, dtype=np.float32)
MAX_HASH = 2**64 - 1


# --- the stable hash ---


def _fold(a: int, b: int) -> int:
    return (a * b >> 64) ^ (a * b & MAX_HASH)


def _words(text: bytes) -> list[tuple[int, int]]:
    """Return a text as pairs of 64 bits: 16 bytes each, the last 16 of them in the last pair."""

    def read(start: int, count: int) -> int:
        return int.from_bytes(text[start : start + count], "little")

    n = len(text)
    if n >= 16:
        starts = [*range(0, n - 16, 16), n - 16]
        return [(read(start, 8), read(start + 8, 8)) for start in starts]
    if n >= 4:
        shift = n // 8 * 4
        a = read(0, 4) << 32 | read(shift, 4)
        return [(a, read(n - 4, 4) << 32 | read(n - 4 - shift, 4))]
    return [(text[0] << 16 | text[n // 2] << 8 | text[-1], 0)]


def text_hash(text: bytes) -> int:
    """Hash a text as hashing.py says, in Python's integers."""
    s0, s1, seed = 0x2D358DCCAA6C78A5, 0x8BB84B93962EACC9, 0x1FF5C2923A788D2C
    *before, (a, b) = _words(text)
    for first, second in before:
        seed = _fold(first ^ s1, second ^ seed)
    return _fold(_fold(a ^ s1, b ^ seed) ^ s0 ^ len(text), s1 ^ seed)


# --- the keyed hash ---


def keyed_integer_hash(keys: list[int], value: int) -> int:
    """Hash an integer as keyed_hash.py says, in Python's integers."""
    add_low, add_high, times_low, times_high, mix_low, mix_high = keys[:6]
    total = (times_high << 64 | times_low) * value + (add_high << 64 | add_low)
    return _fold(total >> 64 & MAX_HASH ^ mix_low, mix_high)


def keyed_text_hash(keys: list[int], text: bytes) -> int:
    """Hash a text as keyed_hash.py says, in Python's integers."""
    *before, last = _words(text)
    total = len(text) << 64
    pairs = zip([last, *before], zip(keys[6::2], keys[7::2], strict=True), strict=False)
    for (a, b), (key_a, key_b) in pairs:
        total += (a + key_a & MAX_HASH) * (b + key_b & MAX_HASH)
    return _fold(total & MAX_HASH ^ keys[4], total >> 64 & MAX_HASH ^ keys[5])


def keys_of(table: IdIndex) -> list[int]:
    """Return the secret keys of a table."""
    return [int(key) for key in table.head[id_index.HASH_KEYS :].view(np.uint64)]


def set_keys(table: IdIndex, keys: dict[int, int]) -> None:
    """Give a table keys of which all but these are 0; they stay until its index grows."""
    words, index = np.zeros(keyed_hash.KEYS, np.uint64), np.zeros_like(table._index)
    for key, value in keys.items():
        words[key] = value
    table._call.move_index(table.address, index.ctypes.data, len(index), words.ctypes.data)
    table._index = index
    table.head[id_index.PROBE_LIMIT] = id_index.PROBES


def table_without_secret(capacity: int) -> StateTable:
    """Return an empty table, large enough from the first, in which an integer is its own hash."""
    table = StateTable(capacity, INITIAL)
    table.reserve(capacity, 0)
    set_keys(table, {keyed_hash.TIMES_HIGH: 1, keyed_hash.MIX_HIGH: 1})
    return table


def longest_run(table: IdIndex) -> int:
    """Return the length of the longest run of occupied places in the index of a table."""
    free = np.flatnonzero(table._index == 0)
    return int(np.diff(free, append=free[0] + len(table._index)).max()) - 1


# --- tables ---


def check(table: StateTable, expected: dict[StreamId, int]) -> None:
    """Compare a table with a dict of stream to slot, in order of arrival."""
    assert table.streams() == list(expected)
    assert [table.find(stream) for stream in expected] == list(expected.values())
    assert len(set(expected.values())) == len(expected) == len(table)
    assert table.free_slots == table.capacity - len(expected)


def pack(streams: list[Any]) -> Any:
    if isinstance(streams[0], str):
        return "\0".join(streams).encode().decode("latin-1")
    return np.array(streams, np.uint64)
