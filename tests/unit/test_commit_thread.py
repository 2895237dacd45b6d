"""The thread that commits: a signal does not end its looks at the store."""

from __future__ import annotations

import signal
import threading
from contextlib import closing
from pathlib import Path

import pytest

from streamlstm.serving.stores import commit_thread
from streamlstm.serving.stores.commit_thread import CommitThread
from streamlstm.serving.stores.header import Header
from streamlstm.serving.stores.lmdb import LmdbStore
from streamlstm.serving.stores.outage import Outage


class Checked(LmdbStore):
    """A store that says when it is looked at."""

    checked = threading.Event()

    def check(self) -> None:
        super().check()
        self.checked.set()


def test_signals_do_not_end_the_looks_at_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait of queue.SimpleQueue goes on for ever after a signal at its deadline."""
    monkeypatch.setattr(commit_thread, "CHECK_SECONDS", 0.002)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    store = Checked(str(tmp_path), Header("ab" * 16, 9))
    try:
        with closing(CommitThread(store, Outage("read"), lambda: None)) as thread:
            assert thread._thread.ident is not None
            for _ in range(20_000):
                signal.pthread_kill(thread._thread.ident, signal.SIGUSR1)
            store.checked.clear()
            assert store.checked.wait(20)
    finally:
        signal.signal(signal.SIGUSR1, before)
