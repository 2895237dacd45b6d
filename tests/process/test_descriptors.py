"""No descriptor left while they run: those that serve say so, and go on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from streamlstm import Client
from streamlstm.errors import RemoteError, WorkerTimeoutError

from .bridge_process import wait_until
from .conftest import MODEL, normal
from .descriptors import no_descriptor_left
from .fleet_process import FleetProcess

STREAMS = [f"pump-{n}" for n in range(20)]


def wait_for(fleet: FleetProcess, text: str) -> None:
    """Wait until the log has a text."""
    wait_until(lambda: any(text in line for line in fleet.lines), lambda: fleet.lines)


def test_a_fleet_and_its_gateway(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "model.safetensors")
    fleet = FleetProcess(tmp_path / "model.safetensors", tmp_path, "--gateway", "tcp://127.0.0.1:*")
    X, where = normal(len(STREAMS), 2), fleet.gateway()
    try:
        with Client(where["router"], timeout=30) as client:
            client.step_many(STREAMS, X, seqs=[1] * len(STREAMS))
            with no_descriptor_left(where["pid"]), Client(where["router"]):  # which waits
                assert client.last_seqs(STREAMS) == [1] * len(STREAMS)
                with pytest.raises(RemoteError, match="expected observation 2"):
                    client.step("pump-0", X[0], seq=9)
                client.reload()
                assert client.info()["streams"] == len(list(client.list_streams()))
                wait_for(fleet, "gateway: no connection can be accepted: Too many open files")
            with Client(where["router"], timeout=30) as newcomer:
                newcomer.step_many(STREAMS, X, seqs=[2] * len(STREAMS))
            with no_descriptor_left(fleet.process.pid):
                wait_for(fleet, "workers and commands that come now wait")
                with pytest.raises(WorkerTimeoutError, match="takes no connections now"):
                    fleet.ask("status")
                with pytest.raises(RemoteError, match="cannot be read: Too many open files"):
                    client.reload()
                os.kill(fleet.workers()["w0"]["pid"], signal.SIGKILL)
                wait_for(fleet, "w0 cannot be started: Too many open files")
                client.step_many(STREAMS, X)
                os.kill(where["pid"], signal.SIGKILL)
                wait_for(fleet, "gateway cannot be started: Too many open files")
            client.step_many(STREAMS, X)
        wait_for(fleet, "descriptors are free again")
        wait_until(
            lambda: all(each["router"] for each in fleet.ask("status")["workers"]),
            lambda: fleet.lines,
        )
    finally:
        status = fleet.stop()
    assert status == 0, fleet.lines
