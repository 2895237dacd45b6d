"""A damaged store is refused with a sentence, whatever is damaged; LMDB never gets to see it.

LMDB ends the process by a signal where it meets a damaged page. So a child opens damaged copies of
a store, one after the other, and reports on each.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest

from streamlstm.errors import StoreError
from streamlstm.serving.stores.header import Header
from streamlstm.serving.stores.lmdb import LmdbStore
from streamlstm.serving.stores.lmdb.seal import Seal
from streamlstm.serving.stores.lmdb.snapshot import Snapshot

PAGE = 4096
HEADER = Header("f" * 64, 800)
RECORDS = {f"stream-{n}".encode(): bytes([n % 251]) * 800 for n in range(150)}
LARGE = {f"large-{n}".encode(): bytes([n]) * 9000 for n in range(4)}  # in pages of their own
CHILD = """
import json, os, random, shutil, sys
from pathlib import Path
from streamlstm.errors import StoreError
from streamlstm.serving.stores.lmdb import LmdbStore
from tests.unit.test_store_damage import HEADER, LARGE, PAGE, RECORDS

sound, damaged, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
for page in range((sound / "data.mdb").stat().st_size // PAGE):
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(sound, damaged)
    with (damaged / "data.mdb").open("r+b") as data:
        if kind == "cut":
            data.truncate(PAGE * page)
        else:
            data.seek(PAGE * page)
            data.write(bytes(PAGE) if kind == "zeroed" else random.Random(page).randbytes(PAGE))
    try:
        store = LmdbStore(str(damaged), HEADER)
    except StoreError as error:
        print(json.dumps(str(error)))
        continue
    found = dict(store.items())
    differ = sum(found[key] != record for key, record in (RECORDS | LARGE).items())
    store.commit([], list(RECORDS.items()))
    listed = len(store.page(b"", b"", 1000))
    store.close()
    print(json.dumps([listed, differ]))
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with free pages, whose tree has branches, after many commits."""
    folder = tmp_path_factory.mktemp("sound") / "store"
    random = np.random.default_rng(3)
    store = LmdbStore(str(folder), HEADER)
    store.commit([], list((RECORDS | LARGE).items()))
    for _ in range(5):
        some = random.choice(list(RECORDS), 40, replace=False).tolist()
        store.commit(some[:5], [])
        store.commit([], [(key, RECORDS[key]) for key in some])
    store.close()
    return folder


@pytest.mark.parametrize("kind", ["cut", "zeroed", "garbage"])
def test_every_page_in_turn(sound: Path, tmp_path: Path, kind: str) -> None:
    program = [sys.executable, "-c", CHILD, str(sound), str(tmp_path / "store"), kind]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])
    outcomes: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == (sound / "data.mdb").stat().st_size // PAGE
    refused = [said for said in outcomes if isinstance(said, str)]
    assert all("restore it from a backup" in said for said in refused)
    assert len(refused) > len(RECORDS) // 4 + 3  # the pages that are in use
    opened = [found for found in outcomes if not isinstance(found, str)]
    for listed, differ in opened:  # a free page, or one within a large record
        assert listed == len(RECORDS) + len(LARGE)
        assert differ <= 1
    assert sum(differ for _, differ in opened) <= 2 * len(LARGE)  # those their hashes tell


def refusal(folder: Path) -> str:
    with pytest.raises(StoreError) as caught:
        LmdbStore(str(folder), HEADER)
    return str(caught.value)


@pytest.mark.parametrize(
    "left", [["lock.mdb"], ["streamlstm.json"], ["lock.mdb", "streamlstm.json"]]
)
def test_a_data_file_that_is_gone_is_not_made_anew(tmp_path: Path, left: list[str]) -> None:
    store = LmdbStore(str(tmp_path), HEADER)
    store.commit([], list(RECORDS.items()))
    store.close()
    for name in ("data.mdb", "lock.mdb", "streamlstm.json"):
        if name not in left:
            (tmp_path / name).unlink()
    assert f"data.mdb is missing, though {sorted(left)[-1]} shows" in refusal(tmp_path)
    assert not (tmp_path / "data.mdb").exists()


@pytest.mark.parametrize("former", [False, True])
def test_an_empty_data_file_is_not_a_new_store(tmp_path: Path, former: bool) -> None:
    if not former:  # one that was made before stores were sealed has no such file
        LmdbStore(str(tmp_path), HEADER).close()
    (tmp_path / "data.mdb").write_bytes(b"")
    assert "data.mdb is empty (0 bytes)" in refusal(tmp_path)


def test_an_environment_without_streams_of_ours_is_refused(tmp_path: Path) -> None:
    lmdb.open(str(tmp_path)).close()
    assert "expected a store of streamlstm" in refusal(tmp_path)


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".streamlstm-abc").mkdir()  # of a data file that was not completed
    (tmp_path / ".streamlstm-abc" / "data.mdb").write_bytes(b"part")
    LmdbStore(str(tmp_path), HEADER).close()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"notes.txt", "lost+found", "data.mdb", "lock.mdb", "streamlstm.json"}


def test_a_store_that_was_made_before_it_was_sealed_is_opened(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path)) as env, env.begin(write=True) as write:
        write.put(b"\0streamlstm", HEADER.encode())
        write.put(b"a", b"record")
    store = LmdbStore(str(tmp_path), HEADER)
    assert store.get([b"a"]) == [b"record"]
    store.close()


READER = """
import sys
from streamlstm.serving.stores.lmdb.snapshot import Snapshot
snapshot = Snapshot(sys.argv[1])
print(snapshot.count, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("commits", [1, 2])
def test_a_deleted_file_is_written_again_beside_a_reader(tmp_path: Path, commits: int) -> None:
    """The reader keeps LMDB's table of transactions, which is that of the former file."""
    store = LmdbStore(str(tmp_path), HEADER)
    for _ in range(commits):
        store.commit((), list(RECORDS.items()))
    program = [sys.executable, "-c", READER, str(tmp_path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"%d\n" % len(RECORDS)
        (tmp_path / "data.mdb").unlink()
        assert not store.intact
        store.commit((), [(b"new", b"record")])
        assert store.intact
        assert store.count() == len(RECORDS) + 1
        assert store.get([b"stream-7", b"new"]) == [RECORDS[b"stream-7"], b"record"]
        store.commit([b"new"], [])
        reader.communicate()
    store.close()
    store = LmdbStore(str(tmp_path), HEADER)
    assert dict(store.items()) == RECORDS
    store.close()


def test_a_backup_is_restored_beside_a_reader_of_the_former_file(
    sound: Path, tmp_path: Path
) -> None:
    store = LmdbStore(str(tmp_path), HEADER)
    store.commit((), list(RECORDS.items()))
    store.close()
    program = [sys.executable, "-c", READER, str(tmp_path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"%d\n" % len(RECORDS)
        shutil.copy(sound / "data.mdb", tmp_path / "restored")
        (tmp_path / "restored").rename(tmp_path / "data.mdb")
        with pytest.raises(StoreError, match=r"reads the former data\.mdb is still running"):
            Snapshot(str(tmp_path))
        store = LmdbStore(str(tmp_path), HEADER)
        assert dict(store.items()) == RECORDS | LARGE
        with Snapshot(str(sound)) as other:
            assert other.count == len(RECORDS | LARGE)
        reader.communicate()
    store.close()


def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of the checks that will be made."""
    from streamlstm.serving.stores.lmdb import store

    made: list[str] = []
    real = store.check_structure

    def check(place: str, data: Path) -> None:
        made.append(place)
        real(place, data)

    monkeypatch.setattr(store, "check_structure", check)
    return made


def test_what_is_known_to_be_sound_is_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = checks(monkeypatch)
    for _ in range(3):
        store = LmdbStore(str(tmp_path / "store"), HEADER)
        store.commit([], list(RECORDS.items()))
        store.close()
    assert Seal(tmp_path / "store").is_closed
    assert not made
    with lmdb.open(str(tmp_path / "store")) as env, env.begin(write=True) as write:
        write.put(b"a", b"changed by another program")
    for _ in range(2):
        LmdbStore(str(tmp_path / "store"), HEADER).close()
    assert len(made) == 1
    (tmp_path / "store" / "streamlstm.json").write_text("{")
    LmdbStore(str(tmp_path / "store"), HEADER).close()
    assert len(made) == 2
    (tmp_path / "store").rename(tmp_path / "moved")
    LmdbStore(str(tmp_path / "moved"), HEADER).close()
    assert len(made) == 2


def test_a_note_of_before_a_restart_of_the_machine_counts_only_if_the_store_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LmdbStore(str(tmp_path), HEADER)
    store.commit([], list(RECORDS.items()))
    status = store._guard.known
    assert Seal(tmp_path).fits(status)
    note = tmp_path / "streamlstm.json"
    note.write_text(note.read_text().replace('"boot": "', '"boot": "another-'))
    assert not Seal(tmp_path).fits(status)
    store.close()
    assert Seal(tmp_path).fits(status)
    assert '"boot": null' in note.read_text()


CUT_MEANWHILE = """
import os, sys
from streamlstm.errors import StoreError
from tests.unit.test_store_damage import HEADER, LmdbStore

store = LmdbStore(sys.argv[1], HEADER)
items = store.items()
next(items)
os.truncate(sys.argv[1] + "/data.mdb", 2 * 4096)
try:
    print(len(list(items)))
except StoreError as error:
    print(error)
"""


def test_a_file_that_is_cut_short_while_it_is_read_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = LmdbStore(str(folder), HEADER)
    record = bytes(3_000)  # a page each, so that what is read next is not in a page read before
    store.commit([], [(b"%06d" % n, record) for n in range(5_000)])
    store.close()
    done = subprocess.run(
        [sys.executable, "-c", CUT_MEANWHILE, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert "was cut short while it was in use" in done.stdout
