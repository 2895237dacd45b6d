"""A program that does nothing but commit, until it is killed: the folder of a store.

Commit n writes n into all of many records, adds one record and removes that of the commit before.
On stdout it says `b` when a commit begins and `e` when it has ended.
"""

from __future__ import annotations

import os
import sys
import zlib

from streamlstm.serving.stores.header import HEADER_KEY, Header
from streamlstm.serving.stores.lmdb import LmdbStore

RECORDS, SIZE = 2_000, 800
HEADER = Header("f" * 64, SIZE)
KEYS = [f"stream-{n}".encode() for n in range(RECORDS)]


def record(key: bytes, commit: int) -> bytes:
    """The record of a key after a commit; no part of it is that of another."""
    head = commit.to_bytes(8, "little")
    return (head + zlib.crc32(key + head).to_bytes(4, "little")) * (SIZE // 12)


def extra(commit: int) -> bytes:
    return f"only-{commit}".encode()


def commit_in(store: LmdbStore) -> int:
    """The number of the commit that a store holds, whole; 0 if it is empty."""
    found = dict(store.items())
    assert HEADER_KEY not in found
    if not found:
        return 0
    commit = int.from_bytes(found[KEYS[0]][:8], "little")
    keys = [*KEYS, extra(commit)]
    assert found == {key: record(key, commit) for key in keys}
    assert store.count() == len(keys)
    return commit


def main() -> None:
    store = LmdbStore(sys.argv[1], HEADER)
    commit = commit_in(store)
    while True:
        commit += 1
        pairs = [(key, record(key, commit)) for key in [*KEYS, extra(commit)]]
        os.write(1, b"b")
        store.commit([extra(commit - 1)], pairs)
        os.write(1, b"e")


if __name__ == "__main__":
    main()
