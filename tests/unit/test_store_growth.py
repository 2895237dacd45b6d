"""The file of a store grows to what its streams and a few commits need, and no further."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamlstm.serving.stores.header import Header
from streamlstm.serving.stores.lmdb import LmdbStore

STREAMS, CHANGED, SIZE = 1000, 100, 536
HEADER = Header("f" * 64, SIZE)
READER = """
import sys
from streamlstm.serving.stores.lmdb.snapshot import Snapshot
snapshot = Snapshot(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def pages_after(store: LmdbStore, commits: int, random: np.random.Generator) -> int:
    for _ in range(commits):
        some = random.choice(STREAMS, CHANGED, replace=False)
        store.commit((), [(f"stream-{n}".encode(), bytes(SIZE)) for n in some])
    return store.pages().total


def test_it_levels_off(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    store = LmdbStore(str(tmp_path), HEADER)
    level = pages_after(store, 80, random)
    assert pages_after(store, 120, random) <= 1.05 * level
    # A commit changes a page for each record at most; the last two wait to be used again.
    assert level <= store.pages().used + 3 * CHANGED + 20
    store.close()


@pytest.mark.parametrize("end", ["closes", "killed"])
def test_a_reader_holds_pages_only_as_long_as_it_lives(tmp_path: Path, end: str) -> None:
    random = np.random.default_rng(1)
    store = LmdbStore(str(tmp_path), HEADER)
    level = pages_after(store, 50, random)
    program = [sys.executable, "-c", READER, str(tmp_path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"open\n"
        held = pages_after(store, 20, random)
        if end == "killed":
            reader.send_signal(signal.SIGKILL)
        reader.communicate()
    assert held > 1.5 * level
    assert pages_after(store, 60, random) <= 1.1 * held
    store.close()
