"""Real workers over damaged stores: refused with a sentence, or served without confirmation.

Whatever happens to the files of an LMDB store, before or while a worker uses it, no signal ends the
worker, no barrier is confirmed that is not safe, and no store begins anew in silence.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
import zmq

from streamlstm import Engine, wire
from streamlstm.client.client import Client
from streamlstm.client.replay.publisher import ReplayingPublisher
from streamlstm.errors import RemoteError

from .conftest import FREE_PORTS, MODEL, Sockets, WorkerProcess

STREAMS = [f"pump-{n}" for n in range(300)]
PAGE = 4096


def step_all(client: Client, seq: int) -> None:
    client.step_many(STREAMS, np.full((len(STREAMS), 2), seq), seqs=[seq] * len(STREAMS))


def store_of(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.info()["store"]
    return found


@pytest.fixture
def start(model_file: Path, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Start workers over one store; those that still run at the end are stopped."""
    started: list[WorkerProcess] = []

    def run(*options: str) -> WorkerProcess:
        where = f"lmdb:{tmp_path / 'store'}"
        started.append(WorkerProcess(model_file, "--store", where, "--commit-ms", "5", *options))
        return started[-1]

    yield run
    for process in started:
        process.stop(signal.SIGKILL)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "streamlstm", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done


def refused(model: Path, folder: Path) -> str:
    """What `streamlstm serve` says on stderr when it does not start over a store."""
    done = run("serve", str(model), "--store", f"lmdb:{folder}", *FREE_PORTS)
    assert done.returncode == 1, (done.returncode, done.stderr)
    return done.stderr


@pytest.fixture(scope="module")
def closed(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that a worker has closed; its last page is in use."""
    folder = tmp_path_factory.mktemp("closed") / "store"
    worker = WorkerProcess(model_file, "--store", f"lmdb:{folder}", "--commit-ms", "5")
    with worker.client() as client:
        step_all(client, 1)
    assert worker.stop() == 0
    assert run("store", "backup", str(folder), str(folder.with_name("compact"))).returncode == 0
    return folder.with_name("compact")


def cut_to(size: Callable[[int], int]) -> Callable[[Path], None]:
    return lambda data: os.truncate(data, size(data.stat().st_size))


def write_at(page: Callable[[int], int], content: bytes) -> Callable[[Path], None]:
    def damage(data: Path) -> None:
        with data.open("r+b") as file:
            file.seek(PAGE * page(data.stat().st_size // PAGE))
            file.write(content)

    return damage


DAMAGES = {
    "cut to 8 KiB": cut_to(lambda size: 2 * PAGE),
    "cut to half": cut_to(lambda size: size // 2),
    "cut by a page": cut_to(lambda size: size - PAGE),
    "cut within the first page": cut_to(lambda size: 100),
    "empty": cut_to(lambda size: 0),
    "deleted": Path.unlink,
    "a zeroed page": write_at(lambda pages: pages // 2, bytes(PAGE)),
    "a zeroed first page": write_at(lambda pages: 0, bytes(PAGE)),
    "garbage": lambda data: data.write_bytes(np.random.default_rng(1).bytes(10 * PAGE)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_store_is_refused(
    model_file: Path, closed: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(closed, tmp_path / "store")
    damage(data := folder / "data.mdb")
    before = data.read_bytes() if data.exists() else None
    said = refused(model_file, folder)
    assert f"streamlstm: lmdb:{folder}: " in said
    assert "restore it from a backup" in said
    assert (data.read_bytes() if data.exists() else None) == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cut to half", "is damaged"),
        ("cut within the first page", "is damaged"),
        ("a zeroed page", "is damaged"),
        ("deleted", "is missing"),
    ],
)
def test_a_damaged_store_is_neither_sound_nor_copied(
    closed: Path, tmp_path: Path, name: str, said: str
) -> None:
    folder, copy = shutil.copytree(closed, tmp_path / "store"), tmp_path / "copy"
    DAMAGES[name](folder / "data.mdb")
    for command in (["check", str(folder)], ["backup", str(folder), str(copy)]):
        done = run("store", *command)
        assert done.returncode == 1
        assert said in done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_worker_that_was_killed_does_not_hide_damage(start: Any, tmp_path: Path) -> None:
    worker = start()
    with worker.client() as client:
        step_all(client, 1)
        while store_of(client)["pending"]:
            pass
    worker.stop(signal.SIGKILL)
    again = start()
    with again.client() as client:
        assert client.last_seqs(STREAMS) == [1] * len(STREAMS)


class Barriers:
    """Sends barriers to a worker, and tells which were confirmed."""

    def __init__(self, sockets: Sockets, worker: WorkerProcess) -> None:
        self._socket = sockets.connect(zmq.DEALER, worker.endpoints["router"])
        self._sent = 0

    def send(self) -> None:
        self._socket.send(wire.encode(wire.Barrier(self._sent, 0)))
        self._sent += 1

    def confirmed(self, seconds: float) -> bool:
        """Return whether the next barrier is confirmed within a time."""
        if not self._socket.poll(1000 * seconds):
            return False
        assert isinstance(wire.decode_reply(self._socket.recv()), wire.Done)
        return True


@pytest.fixture
def stored(closed: Path, tmp_path: Path) -> Path:
    """The folder of the store of `start`, with all streams."""
    return shutil.copytree(closed, tmp_path / "store")


def running(start: Any, *options: str) -> tuple[WorkerProcess, Client]:
    """Return a worker over a store of all streams, of which one is in memory, and a client."""
    worker: WorkerProcess = start(*options)
    client = worker.client()
    client.step(STREAMS[0], [2.0, 2.0], seq=2)
    while store_of(client)["pending"]:
        pass
    return worker, client


def wait_until_failing(client: Client) -> str:
    while (failed := store_of(client))["failing"] is None:
        pass
    return str(failed["error"])


@pytest.mark.parametrize(
    ("gone", "loop"), [("data.mdb", "native"), ("data.mdb", "python"), (".", "native")]
)
def test_a_deleted_store_is_written_again_before_a_barrier_is_confirmed(
    start: Any, stored: Path, sockets: Sockets, gone: str, loop: str
) -> None:
    worker, client = running(start, "--loop", loop)
    with client:
        path = stored / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        barriers = Barriers(sockets, worker)
        barriers.send()
        assert barriers.confirmed(20)
        worker.stop(signal.SIGKILL)
    assert "data.mdb was deleted while it was in use" in worker.said
    assert "was written again, with 300 streams" in worker.said
    again = start()
    with again.client() as client:
        assert client.last_seqs(STREAMS) == [2] + [1] * (len(STREAMS) - 1)
    assert again.stop() == 0


def test_no_barrier_is_confirmed_while_another_file_is_in_its_place(
    start: Any, stored: Path, sockets: Sockets, closed: Path
) -> None:
    worker, client = running(start)
    data = stored / "data.mdb"
    with client:
        os.replace(shutil.copy(closed / "data.mdb", stored / "other"), data)
        assert "was replaced by another file" in wait_until_failing(client)
        barriers = Barriers(sockets, worker)
        barriers.send()
        y = client.step(STREAMS[0], [3.0, 3.0], seq=3)  # predictions go on
        assert np.isfinite(y).all()
        assert not barriers.confirmed(0.1)
        data.rename(stored / "not mine")
        assert barriers.confirmed(20)
    assert worker.stop() == 0
    with start().client() as client:
        assert client.last_seqs(STREAMS) == [3] + [1] * (len(STREAMS) - 1)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_to(lambda size: 2 * PAGE), "was cut short while it was in use"),
        (cut_to(lambda size: size // 2), "was cut short while it was in use"),
        (cut_to(lambda size: 0), "was cut short while it was in use"),
        (write_at(lambda pages: pages // 2, bytes(PAGE * 20)), "was changed by another program"),
    ],
)
def test_a_file_that_is_damaged_meanwhile_is_neither_read_nor_confirmed(
    start: Any, stored: Path, sockets: Sockets, damage: Callable[[Path], None], said: str
) -> None:
    worker, client = running(start)
    with client:
        damage(stored / "data.mdb")
        with pytest.raises(RemoteError) as caught:
            list(client.list_streams())
        assert caught.value.code == "busy"
        assert said in wait_until_failing(client)
        barriers = Barriers(sockets, worker)
        barriers.send()
        assert np.isfinite(client.step(STREAMS[0], [3.0, 3.0], seq=3)).all()
        with pytest.raises(RemoteError) as caught:  # it may be in the store
            client.step(STREAMS[1], [3.0, 3.0], seq=2)
        assert caught.value.code == "busy"
        assert not barriers.confirmed(0.1)
    assert worker.stop() == 1
    assert "1 changes are lost" in worker.said
    assert "Traceback" not in worker.said


def test_a_file_that_was_only_touched_is_checked_and_used_further(
    start: Any, stored: Path, sockets: Sockets
) -> None:
    worker, client = running(start)
    with client:
        (stored / "data.mdb").touch()
        barriers = Barriers(sockets, worker)
        barriers.send()
        assert barriers.confirmed(20)
        assert len(list(client.list_streams())) == len(STREAMS)
    assert worker.stop() == 0
    assert "was changed by another program" in worker.said


def test_a_backup_of_a_store_in_use_starts_a_worker(
    start: Any, stored: Path, model_file: Path, tmp_path: Path
) -> None:
    engine = Engine(MODEL, threads=1)
    _, client = running(start)
    with client:
        copy = tmp_path / "backups" / "monday"
        for seq in (2, 3):  # the backup is of a moment between them
            client.step_many(STREAMS[1:], np.full((299, 2), seq), seqs=[seq] * 299)
            while store_of(client)["pending"]:
                pass
            if seq == 2:
                done = run("store", "backup", str(stored), str(copy))
                assert (done.returncode, done.stderr) == (0, "")
                assert done.stdout.startswith(f"wrote {copy}: 300 streams, ")
        assert run("store", "check", str(stored)).returncode == 0
        shown = json.loads(run("store", "info", str(stored), "--json").stdout)
        assert (shown["streams"], shown["state"]) == (300, "in use by a worker")
        assert shown["model"] == MODEL.fingerprint
    again = run("store", "backup", str(stored), str(copy))
    assert again.returncode == 1
    assert "expected a folder that does not exist, or an empty one" in again.stderr
    assert not [path for path in copy.parent.iterdir() if path != copy]
    for seq in (1, 2):
        engine.step_many(STREAMS, np.full((len(STREAMS), 2), seq), seqs=[seq] * len(STREAMS))
    restored = WorkerProcess(model_file, "--store", f"lmdb:{copy}")
    with restored.client() as client:
        assert client.last_seqs(STREAMS) == [2] * len(STREAMS)
        assert client.export_stream(STREAMS[7]) == engine.export_stream(STREAMS[7])
    assert restored.stop() == 0


def test_info_of_a_store_is_a_table(closed: Path) -> None:
    done = run("store", "info", f"lmdb:{closed}")
    assert done.returncode == 0
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert shown["streams"] == "300"
    assert shown["state"] == "closed by its worker"
    assert shown["restarts"] == "0 of all streams"
    assert "there is no store" in run("store", "info", str(closed.parent)).stderr
    assert run("store", "check").returncode == 2


def test_a_publisher_hears_which_stream_has_a_damaged_record(start: Any, tmp_path: Path) -> None:
    worker = start()
    with worker.client() as client:
        step_all(client, 1)
    assert worker.stop() == 0
    bad = STREAMS[7]
    with lmdb.open(str(tmp_path / "store")) as env, env.begin(write=True) as write:
        record = bytearray(write.get(bad.encode()))
        record[20] ^= 1
        write.put(bad.encode(), bytes(record))
    router = start().endpoints["router"]
    with pytest.raises(RemoteError) as raised, ReplayingPublisher(router, timeout=30) as publisher:
        publisher.send_many(STREAMS, np.ones((len(STREAMS), 2)))
    assert (raised.value.code, raised.value.stream) == ("busy", bad)
    assert "streamlstm forget" in str(raised.value)
