"""Where a worker may be reached: IPv6, interfaces, and the files of local sockets."""

from __future__ import annotations

import asyncio
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from streamlstm.client.aio.client import AsyncClient
from streamlstm.client.client import Client
from streamlstm.client.publisher import Publisher
from streamlstm.client.replay.publisher import ReplayingPublisher
from streamlstm.client.subscriber import Subscriber

from .conftest import WorkerProcess, normal

X = normal(2)


def on(address: str) -> list[str]:
    """Return options that bind all sockets to an address, at ports that the system chooses."""
    return [
        part for name in ("router", "pull", "xpub") for part in (f"--{name}", f"tcp://{address}:*")
    ]


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here; a loopback interface with ::1 runs it")
def test_everyone_reaches_a_worker_at_an_address_of_ipv6(model_file: Path) -> None:
    worker = WorkerProcess(model_file, *on("[::1]"), "--metrics", "[::1]:*")
    router, pull, xpub = (worker.endpoints[name] for name in ("router", "pull", "xpub"))
    try:
        assert router.startswith("tcp://[::1]:")

        async def ask() -> None:
            async with AsyncClient(router, timeout=20) as client:
                await client.step("asked", X)

        with Client(router, timeout=20) as client, Subscriber(xpub, timeout=20) as subscriber:
            while not client.info()["subscriptions"]:
                pass
            client.step("stepped", X)
            asyncio.run(ask())
            with Publisher(pull, timeout=20) as publisher:
                publisher.send("published", X)
            with ReplayingPublisher(router, timeout=20) as replaying:
                replaying.send("replayed", X)
            heard = {subscriber.receive().stream for _ in range(4)}
        assert heard == {"stepped", "asked", "published", "replayed"}
        with urlopen(worker.endpoints["metrics"]) as response:
            assert b"streamlstm_steps_total 4" in response.read()
        command = [sys.executable, "-m", "streamlstm", "info", "--router", router]
        assert subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    finally:
        assert worker.stop() == 0


def test_a_loopback_interface_is_loopback(model_file: Path) -> None:
    worker = WorkerProcess(model_file, *on("lo"), "--metrics", "lo:*")
    try:
        assert worker.endpoints["router"].startswith("tcp://127.0.0.1:")
        with worker.client() as client:
            client.step("a", X)
    finally:
        assert worker.stop() == 0


def local(folder: Path) -> list[str]:
    return [
        part
        for name in ("router", "pull", "xpub")
        for part in (f"--{name}", f"ipc://{folder / name}")
    ]


def test_files_of_local_sockets_go_with_their_worker(model_file: Path, tmp_path: Path) -> None:
    names = ("router", "pull", "xpub")
    first = WorkerProcess(model_file, *local(tmp_path))
    assert all(stat.S_ISSOCK((tmp_path / name).stat().st_mode) for name in names)
    first.stop(signal.SIGKILL)
    assert all((tmp_path / name).exists() for name in names)
    second = WorkerProcess(model_file, *local(tmp_path))  # takes over what nobody listens at
    try:
        with second.client() as client:
            client.step("a", X)
            with pytest.raises(AssertionError, match="is taken"):
                WorkerProcess(model_file, *local(tmp_path))
            client.step("a", X)
    finally:
        assert second.stop() == 0
    assert not any((tmp_path / name).exists() for name in names)


def test_a_path_that_another_process_has_taken_over_stays(model_file: Path, tmp_path: Path) -> None:
    worker = WorkerProcess(model_file, *local(tmp_path))
    (tmp_path / "router").unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "router"))
        assert worker.stop() == 0
        assert (tmp_path / "router").exists()
    assert not (tmp_path / "pull").exists()


def test_a_listener_whose_queue_is_full_listens(model_file: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as owner, socket.socket(socket.AF_UNIX) as waiting:
        owner.bind(str(tmp_path / "router"))
        owner.listen(0)
        waiting.setblocking(False)
        waiting.connect(str(tmp_path / "router"))
        with pytest.raises(AssertionError, match="is taken"):
            WorkerProcess(model_file, *local(tmp_path))
