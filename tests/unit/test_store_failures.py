"""A store that fails: predictions go on, and everything is written when it works again."""

from __future__ import annotations

import fcntl
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.errors import StoreError
from streamlstm.serving.service import Service
from streamlstm.serving.stores import outage
from streamlstm.serving.stores.checkpointer import Checkpointer
from streamlstm.serving.stores.header import Header
from streamlstm.serving.stores.lmdb import LmdbStore

from ..contract.models import random_model
from .test_store import exports, opened, read_back

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])
NOBODY = 65534


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "RETRY_SECONDS", 0.005)


def turn_until(checkpointer: Checkpointer, failing: bool) -> None:
    while (checkpointer.status()["failing"] is not None) != failing or (
        not failing and checkpointer.status()["pending"]
    ):
        checkpointer.turn()
        checkpointer.wait(0.001)


@contextmanager
def no_larger_files(size: int) -> Iterator[None]:
    """As on a full disk: no file of this process may grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def not_to_be_written(folder: Path) -> Iterator[None]:
    """Take the right to write to a folder and its files, from root too."""
    paths = [folder, *folder.iterdir()]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    where = f"lmdb:{tmp_path / 'store'}"
    engine = Engine(MODEL, threads=1)
    with opened(engine, where, 0.0) as checkpointer:
        engine.step_many(range(100), np.ones((100, 2)))
        turn_until(checkpointer, failing=False)
        committed = checkpointer.committed
        with no_larger_files((tmp_path / "store" / "data.mdb").stat().st_size):
            engine.step_many(range(5000), np.ones((5000, 2)))
            turn_until(checkpointer, failing=True)
            for _ in range(20):  # it is tried again and again, and the log has one line
                engine.step_many(range(5000), np.ones((5000, 2)))
                checkpointer.turn()
                checkpointer.wait(0.01)
            status = checkpointer.status()
            assert "cannot be written" in status["error"]
            assert (status["committed"], status["pending"] >= 5000) == (committed, True)
            assert checkpointer.ticket() > committed
            assert checkpointer._store.count() == 100
        assert sum("cannot be written" in line.message for line in caplog.records) == 1
        turn_until(checkpointer, failing=False)
        assert sum("written again" in line.message for line in caplog.records) == 1
        checkpointer.finish()
        assert checkpointer.ticket() == checkpointer.committed
    assert read_back(where) == exports(engine)


@contextmanager
def disk_full_at_the_end_of_a_commit(folder: Path) -> Iterator[None]:
    """Let LMDB write its pages, but not the one that ends a commit, for which it has a file."""
    ends = os.stat(folder / "data.mdb").st_ino
    (file,) = (
        int(name)
        for name in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{name}")
        and os.stat(f"/proc/self/fd/{name}").st_ino == ends
        and fcntl.fcntl(int(name), fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
    )
    kept, full = os.dup(file), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file)
    try:
        yield
    finally:
        os.dup2(kept, file)
        os.close(kept)
        os.close(full)


@pytest.mark.parametrize("reads", [True, False])
def test_a_disk_that_is_full_at_the_end_of_a_commit(
    reads: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """LMDB refuses to do anything after that; the store is opened once more."""
    store = LmdbStore(str(tmp_path / "store"), Header("f" * 64, 800))
    try:
        store.commit((), [(b"a", b"first")])
        with (
            disk_full_at_the_end_of_a_commit(tmp_path / "store"),
            pytest.raises(StoreError, match=r"cannot be written: .*No space left on device"),
        ):
            store.commit((), [(b"a", b"second")])
        if reads:
            with pytest.raises(StoreError, match="MDB_PANIC"):
                store.get([b"a"])
            assert store.get([b"a"]) == [b"first"]
            assert store.page(b"", b"", 9) == [(b"a", b"first")]
        else:
            with pytest.raises(StoreError, match="MDB_PANIC"):
                store.commit((), [(b"a", b"second")])
        store.commit((), [(b"a", b"second")])
        assert store.get([b"a"]) == [b"second"]
        assert store.intact
    finally:
        store.close()
    assert "was changed" not in caplog.text


def test_a_worker_that_stops_while_the_disk_is_full_logs_what_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = f"lmdb:{tmp_path / 'store'}"
    engine = Engine(MODEL, threads=1)
    with opened(engine, where, 0.0) as checkpointer:
        with no_larger_files((tmp_path / "store" / "data.mdb").stat().st_size):
            engine.step_many(range(5000), np.ones((5000, 2)))
            checkpointer.finish()
        assert "5000 changes are lost" in caplog.text
    assert read_back(where) == {}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anyone can get to, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_read_only_store(open_folder: Path) -> None:
    where = f"lmdb:{open_folder}"
    first = Engine(MODEL, threads=1)
    with opened(first, where) as checkpointer:
        first.step_many(["a", "b"], np.ones((2, 2)))
        checkpointer.finish()
    engine = Engine(MODEL, threads=1)
    with not_to_be_written(open_folder):
        checkpointer = opened(engine, where, 0.0)
        checkpointer.stored.restore(["a", "c"])
        assert exports(engine) == {"a": first.export_stream("a")}
        engine.step("a", [1.0, 2.0])
        turn_until(checkpointer, failing=True)
        assert "read-only" in checkpointer.status()["error"]
        checkpointer.stored.restore(["b"])
        assert "b" in engine
    turn_until(checkpointer, failing=False)
    checkpointer.finish()
    checkpointer.close()
    assert read_back(where) == exports(engine)


def test_a_stream_that_cannot_be_read_is_not_reset(tmp_path: Path) -> None:
    """A stream that may be in the store has no first observation until that is known."""
    where = f"lmdb:{tmp_path / 'store'}"
    engine = Engine(MODEL, threads=1)
    with opened(engine, where) as checkpointer:
        engine.step("a", [1.0, 2.0])
        checkpointer.finish()
    with lmdb.open(where[5:]) as env, env.begin(write=True) as write:
        write.put(b"a", b"junk")
    engine = Engine(MODEL, threads=1)
    engine.step("here", [0.0, 0.0])
    with opened(engine, where) as checkpointer:
        service = Service(engine, checkpointer=checkpointer)
        x = wire.to_floats([1.0, 2.0])
        steps = [wire.Step("a", 1, x), wire.Step("here", 1, x), wire.Steps(["a"], None, x)]
        answers = service.handle([wire.encode(step) for step in steps])
        assert [a.error.code if a.error else None for a in answers] == ["busy", None, "busy"]
        assert answers[0].error == wire.Error("a", 1, "busy", str(answers[0].error.message))
        assert "damaged" in answers[0].error.message
        assert service.counters.as_map()["errors"] == {"busy": 2}
        assert "a" not in engine


INTERRUPTED = """
import sys
from streamlstm.serving.stores.lmdb import LmdbStore
from streamlstm.serving.stores.header import Header

store = LmdbStore(sys.argv[1], Header("00", 8))
begin = max([int.from_bytes(v, "little") for v in store.get([b"stream-0"]) if v] or [0])
for n in range(begin + 1, 10**9):
    record = n.to_bytes(8, "little")
    store.commit([], [(b"stream-%d" % k, record) for k in range(3000)])
    print(n, flush=True)
"""


def test_a_commit_that_is_interrupted_leaves_the_one_before_whole(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    certain = 0
    for _ in range(15):
        child = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        for _ in range(int(random.integers(2, 12))):
            certain = int(child.stdout.readline())
        for _ in range(int(random.integers(0, 200_000))):
            pass  # to be somewhere within a commit
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate()
        certain = int(rest.split("\n")[-2]) if "\n" in rest else certain
        store = LmdbStore(str(tmp_path / "store"), Header("00", 8))
        found = {int.from_bytes(record, "little") for _, record in store.items()}
        assert store.count() == 3000
        store.close()
        assert len(found) == 1
        assert found.pop() in (certain, certain + 1)


FULL = """
import os, sys
from pathlib import Path
from streamlstm.errors import StoreError
from streamlstm.serving.stores.header import Header
from streamlstm.serving.stores.lmdb import LmdbStore
place = Path(sys.argv[1])
with (place / "other").open("wb", buffering=0) as other:
    try:
        while other.write(bytes(4096)):
            pass
    except OSError:
        pass
    for left in range(5):  # pages of the disk
        other.truncate(other.tell() - 4096 * left)
        try:
            LmdbStore(str(place / "store"), Header("m", 8)).close()
        except StoreError as error:
            print(error)
"""


def test_a_store_that_is_opened_on_a_full_disk(tmp_path: Path) -> None:
    """LMDB writes its lock file through a map, and the system would end the process (SIGBUS)."""
    mount = f"mount -t tmpfs -o size=256k streamlstm {tmp_path} && exec "
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*inside, f"{mount} true"]).returncode:
        pytest.skip("needs unshare, and the right to mount a tmpfs in a namespace of its own")
    child = shlex.join([sys.executable, "-c", FULL, str(tmp_path)])
    shown = subprocess.run([*inside, mount + child], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, (shown.returncode, shown.stderr)
    said = shown.stdout.splitlines()
    assert len(said) >= 3
    assert all("cannot be opened: " in line and "No space left" in line for line in said)
