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


def integer_with_hash(hashed: int) -> int:
    """Return the one integer that has this stable hash: the finaliser of splitmix64 backwards."""
    hashed ^= hashed >> 31 ^ hashed >> 62
    hashed = hashed * pow(0x94D049BB133111EB, -1, 2**64) & MAX_HASH
    hashed ^= hashed >> 27 ^ hashed >> 54
    hashed = hashed * pow(0xBF58476D1CE4E5B9, -1, 2**64) & MAX_HASH
    return hashed ^ hashed >> 30 ^ hashed >> 60


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


def texts_with_one_hash(count: int) -> list[str]:
    """Return texts of 32 bytes that all have one stable hash: a factor of a product is zero."""
    n = 0
    while True:
        begin = f"a stream {n:07}"
        (words,) = _words(begin.encode())
        seed = _fold(words[0] ^ 0x8BB84B93962EACC9, words[1] ^ 0x1FF5C2923A788D2C)
        end = seed.to_bytes(8, "little")
        if end.isascii() and end.decode().isprintable():
            return [f"{begin}{n:08x}{end.decode()}" for n in range(count)]
        n += 1


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


def random_keys(rng: np.random.Generator) -> list[int]:
    return [int(key) for key in rng.integers(0, MAX_HASH, keyed_hash.KEYS, np.uint64, True)]


def keys_of(table: IdIndex) -> list[int]:
    """Return the secret keys of a table."""
    return [int(key) for key in table.head[id_index.HASH_KEYS :].view(np.uint64)]


def set_keys(table: IdIndex, keys: dict[int, int]) -> None:
    """Give an empty table keys of which all but these are 0; they stay until its index grows."""
    assert len(table) == 0
    head = table.head.view(np.uint64)
    head[id_index.HASH_KEYS :] = 0
    for key, value in keys.items():
        head[id_index.HASH_KEYS + key] = value


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
