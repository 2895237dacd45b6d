"""What tests of the id index share: hashes in Python's integers, and a comparison with a dict."""

from typing import Any

import numpy as np

from streamlstm.engine.ids import StreamId
from streamlstm.engine.state_table import StateTable

INITIAL = np.arange(16, dtype=np.float32)
MAX_HASH = 2**64 - 1


def integer_with_hash(hashed: int) -> int:
    """Return the one integer that has this hash: the finaliser of splitmix64 backwards."""
    hashed ^= hashed >> 31 ^ hashed >> 62
    hashed = hashed * pow(0x94D049BB133111EB, -1, 2**64) & MAX_HASH
    hashed ^= hashed >> 27 ^ hashed >> 54
    hashed = hashed * pow(0xBF58476D1CE4E5B9, -1, 2**64) & MAX_HASH
    return hashed ^ hashed >> 30 ^ hashed >> 60


def text_hash(text: bytes) -> int:
    """Hash a text as hashing.py says, in Python's integers."""

    def fold(a: int, b: int) -> int:
        return (a * b >> 64) ^ (a * b & MAX_HASH)

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
    assert table.free_slots == table.capacity - len(expected)


def pack(streams: list[Any]) -> Any:
    if isinstance(streams[0], str):
        return "\0".join(streams).encode().decode("latin-1")
    return np.array(streams, np.uint64)
