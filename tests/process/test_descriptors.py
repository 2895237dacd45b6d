"""No descriptor left while they run: those that serve say so, and go on."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.live.broker_peers import MqttPeer
from benchmarks.live.brokers import Mosquitto
from streamlstm import Client, ReplayingPublisher
from streamlstm.errors import RemoteError, WorkerTimeoutError

from .bridge_process import BridgeProcess, needs, wait_until
from .conftest import MODEL, WorkerProcess, normal
from .descriptors import no_descriptor_left
from .fleet_process import FleetProcess
from .test_bridges import Load, worker
from .web_process import WebProcess, ask

__all__ = ["worker"]

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


@pytest.mark.parametrize("command", [("gateway", "http"), ("web",)])
def test_what_speaks_http(command: tuple[str, ...], tmp_path: Path) -> None:
    started = WorkerProcess(tmp_path / "worker", "--detector", serves="temperature")
    web = WebProcess(
        *command, *(f"--{name}={started.endpoints[name]}" for name in ("router", "xpub"))
    )
    url = urlsplit(web.url)
    assert url.hostname is not None
    assert url.port is not None
    kept = http.client.HTTPConnection(url.hostname, url.port, timeout=20)

    def get(path: str) -> tuple[int, bytes]:
        kept.request("GET", path)
        response = kept.getresponse()
        return response.status, response.read()

    try:
        assert get("/")[0] == 200
        with no_descriptor_left(web.process.pid, whatever_is_closed=True):
            for path in ("/", "/static/nothing", "/static/index.html"):
                status, body = get(path)
                assert (status, b"Too many open files" in body) in {(503, True), (404, False)}
            with socket.create_connection((url.hostname, url.port), 20):
                assert web.process.stderr is not None
                said = ""
                while "no connection can be accepted: Too many open files" not in said:
                    said += web.process.stderr.readline()
            assert "Traceback" not in said
            if command != ("web",):  # which is connected
                assert b"no connection can be made: Too many" in get("/healthz")[1]
        wait_until(lambda: ask(f"{web.url}/healthz")[0] == 200, said)
        assert ask(web.url)[0] == 200
    finally:
        kept.close()
        status = web.stop()
        started.stop()
    assert status == 0


def test_a_publisher(
    worker: Callable[[], WorkerProcess], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its worker is at another place, and the file that says so cannot be read."""
    first = worker()
    with ReplayingPublisher(endpoints=tmp_path / "model.endpoints.json", retry=0.1) as publisher:
        publisher.send("pump-0", [1.0, 2.0])
        publisher.flush()
        first.stop(signal.SIGKILL)
        second = worker()
        with no_descriptor_left(os.getpid(), whatever_is_closed=True):
            publisher.send("pump-0", [1.0, 2.0])
            wait_until(lambda: "no connection can be made: Too many" in caplog.text, caplog.text)
        publisher.flush()
    with second.client() as client:
        assert client.last_seqs(["pump-0"]) == [2]


@needs(Mosquitto)
def test_a_bridge(worker: Callable[[], WorkerProcess], tmp_path: Path) -> None:
    """Its worker is killed, and started again, while it cannot connect to another one."""
    with Mosquitto(tmp_path / "broker") as broker, closing(MqttPeer(broker.url)) as peer:
        load, first = Load(peer), worker()
        where = ("--url", broker.url, "--endpoints", str(tmp_path / "model.endpoints.json"))
        with BridgeProcess("mqtt", *MqttPeer.options, *where) as bridge:
            load.send(2)
            load.wait(bridge)
            with no_descriptor_left(bridge.process.pid, whatever_is_closed=True):
                load.send(2)
                load.wait(bridge)
                first.stop(signal.SIGKILL)
                second = worker()
                load.send(2)
                bridge.wait_for("no connection can be made: Too many open files")
            load.send(2)
            load.wait(bridge)
            assert bridge.stop() == 0, bridge.said
        with second.client() as client:
            load.check_state(client)
