"""SIGKILL in the middle of a commit: the one before it is there, whole."""

from __future__ import annotations

import random
import select
import subprocess
import sys
from pathlib import Path

from streamlstm.serving.stores.lmdb import LmdbStore

from .committing_child import HEADER, commit_in

KILLS = 30


def test_a_commit_that_is_killed_leaves_the_one_before(tmp_path: Path) -> None:
    chance = random.Random(12)
    before = inside = kept = 0
    for _ in range(KILLS):
        program = [sys.executable, "-m", "tests.process.committing_child", str(tmp_path)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, bufsize=0) as child:
            assert child.stdout is not None
            said = b""
            for _ in range(chance.randrange(1, 6)):  # some commits, then a part of one
                said += child.stdout.read(1)
            select.select([], [], [], chance.uniform(0, 0.03))
            child.kill()
            said += child.stdout.read()
        store = LmdbStore(str(tmp_path), HEADER)
        commit = commit_in(store)
        store.close()
        ended = before + said.count(b"e")
        begun = before + said.count(b"b")
        assert ended <= commit <= begun
        inside += begun > ended
        kept += commit == ended < begun
        before = commit
    assert inside > KILLS / 3  # the kill came within a commit ...
    assert kept > 0  # ... and early enough to undo it
