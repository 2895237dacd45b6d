"""What may go wrong with a fleet: each is told in one sentence, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zmq

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.errors import EndpointError
from streamlstm.fleet.endpoints import claimed
from streamlstm.serving.stores.lmdb.folder import OF_A_FLEET

from ..contract.models import random_model
from .conftest import MODEL, WorkerProcess
from .fleet_process import FleetProcess, PlainSockets

STREAMS = [f"pump-{n}" for n in range(20)]
OTHER = random_model([LSTM(2, 10), Dense(10, 3)], seed=9)


def refused(folder: Path, *options: str, file: str = "other.json") -> str:
    """Start a fleet that cannot start; return what it says."""
    shown = subprocess.run(
        [
            *(sys.executable, "-m", "streamlstm", "fleet", str(folder / "model.safetensors")),
            *("--endpoints", str(folder / file), "--threads", "1", *options),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 1, shown.stderr
    assert "Traceback" not in shown.stderr
    return shown.stderr


class Told:
    """Streams, and an engine that gets the same observations."""

    def __init__(self, router: str) -> None:
        self.engine, self.seq, self.router = Engine(MODEL), 0, router

    def step(self) -> None:
        """Send an observation of each stream, and compare the prediction."""
        self.seq += 1
        sockets = PlainSockets(self.router)
        try:
            for stream in STREAMS:
                x = [0.5, float(self.seq)]
                y = self.engine.step(stream, x, seq=self.seq)
                assert (sockets.step(stream, self.seq, x).values == y).all()
        finally:
            sockets.close()

    def send_again(self) -> None:
        """Send again what the last commit of a worker that was killed does not have."""
        sockets = PlainSockets(self.router)
        for stream in STREAMS:
            last = sockets.ask(stream, wire.Last([stream]))
            assert isinstance(last, wire.Done)
            for seq in range(last.value[0] + 1, self.seq + 1):
                sockets.step(stream, seq, [0.5, float(seq)])
        sockets.close()


def kill_and_wait(fleet: FleetProcess, name: str, port: int | None = None) -> dict[str, str]:
    """Kill a worker, take a port of it, and wait until it is back; return where it is then."""
    before = fleet.workers()[name]
    os.kill(before["pid"], signal.SIGKILL)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while port is not None:
            with suppress(OSError):  # while the one that was killed has it
                taken.bind(("127.0.0.1", port))
                taken.listen()
                break
        found = before
        while found["pid"] in (None, before["pid"]) or not fleet.ask("status")["settled"]:
            time.sleep(0.02)
            found = fleet.workers()[name]
    return {kind: found[kind] for kind in ("router", "pull", "xpub")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    MODEL.save(folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def told(folder: Path) -> Told:
    """Streams of a single worker, whose store the fleet is started on."""
    worker = WorkerProcess(folder / "model.safetensors", f"--store=lmdb:{folder / 'streams'}")
    told = Told(worker.endpoints["router"])
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.connect(told.router)
        told.seq = 1
        for stream in STREAMS:
            y = told.engine.step(stream, [0.5, 1.0], seq=1)
            dealer.send(wire.encode(wire.Step(stream, 1, np.float32([0.5, 1.0]).tobytes())))
            reply = wire.decode_reply(dealer.recv())
            assert isinstance(reply, wire.Prediction)
            assert (reply.values == y).all()
    worker.stop()
    return told


@pytest.fixture(scope="module")
def fleet(folder: Path, told: Told) -> Iterator[FleetProcess]:
    fleet = FleetProcess(folder / "model.safetensors", folder)
    told.router = fleet.workers()["w0"]["router"]
    yield fleet
    assert fleet.stop() == 0, "".join(fleet.lines)


def test_the_store_of_a_single_worker_becomes_that_of_a_fleet(
    fleet: FleetProcess, told: Told
) -> None:
    told.step()
    while not fleet.ask("status")["settled"]:
        told.step()
    assert all(each["partitions"] > 0 for each in fleet.ask("status")["workers"])


def test_another_fleet_or_worker_leaves_this_one_alone(
    fleet: FleetProcess, told: Told, folder: Path
) -> None:
    store = f"--store=lmdb:{folder / 'streams'}"
    assert "another fleet, or a worker, uses it" in refused(folder, store)
    with (
        pytest.raises(EndpointError, match="a fleet that runs has written it"),
        claimed(fleet.endpoints),
    ):
        pass
    shown = subprocess.run(
        [sys.executable, "-m", "streamlstm", "serve", str(folder / "model.safetensors"), store],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 1
    assert "is the folder of a fleet" in shown.stderr
    told.step()


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(folder, f"--router=tcp://127.0.0.1:{port}", "--workers", "1")
    assert f"127.0.0.1:{port}: is taken" in said
    assert "w0 could not start, so the fleet has not started" in said


def test_a_worker_whose_time_is_over_is_sent_away(fleet: FleetProcess, told: Told) -> None:
    """As one that was stopped for a week says hello to a fleet that has given it up."""
    control = json.loads(fleet.endpoints.read_text())["fleet"]
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.set(zmq.ROUTING_ID, b"woken")
        dealer.set(zmq.RCVTIMEO, 20_000)
        dealer.connect(control)
        where = ["tcp://127.0.0.1:1"] * 3
        dealer.send(wire.encode_control("hello", "w0", 1, *where, MODEL.fingerprint, "0", ""))
        name, (sentence,) = wire.decode_control(dealer.recv())
    assert name == "refused"
    assert "its time as w0 is over" in sentence
    told.step()


def test_half_of_the_workers_gone(fleet: FleetProcess, told: Told) -> None:
    """The one that is started again is where it was, unless somebody else is there by then."""
    told.router = fleet.workers()["w0"]["router"]
    before = fleet.workers()["w1"]
    where = kill_and_wait(fleet, "w1")
    moved = [kind for kind in where if where[kind] != before[kind]]
    told_of = [line for line in fleet.lines if "cannot be had again" in line]
    assert len(told_of) == len(moved) < 3  # another program may have had a port meanwhile
    told.send_again()
    told.step()
    assert any("INFO w1 ended with status -9 (SIGKILL)" in line for line in fleet.lines)
    port = int(where["pull"].rpartition(":")[2])
    there = kill_and_wait(fleet, "w1", port)
    assert where["pull"] != there["pull"]
    said = f"port {port}, where this worker was before, cannot be had again"
    assert any(said in line for line in fleet.lines)
    told.send_again()
    told.step()


def test_a_store_that_is_deleted_is_written_again(
    fleet: FleetProcess, told: Told, folder: Path
) -> None:
    while not fleet.ask("status")["settled"]:
        told.step()
    shutil.rmtree(folder / "streams", ignore_errors=True)  # but for what is written meanwhile
    told.step()
    table = folder / "streams" / OF_A_FLEET
    workers = len(fleet.workers())
    while not table.exists() or len([*table.parent.glob("worker-*/data.mdb")]) < workers:
        told.step()
    assert fleet.stop() == 0, "".join(fleet.lines)
    with pytest.raises(EndpointError, match="cannot be read"):
        fleet.ask("scale", 3)


def test_another_model_is_refused(folder: Path, told: Told) -> None:
    """After the fleet of this file has stopped; with the right model it has everything."""
    store = f"--store=lmdb:{folder / 'streams'}"
    OTHER.save(folder / "model.safetensors")
    said = refused(folder, store)
    assert "holds streams of the model" in said
    assert "could not start, so the fleet has not started" in said
    MODEL.save(folder / "model.safetensors")
    again = FleetProcess(folder / "model.safetensors", folder)
    told.router = again.workers()["w0"]["router"]
    told.step()
    again.process.send_signal(signal.SIGINT)
    assert again.stop() == 0, "".join(again.lines)
    assert not again.endpoints.exists()
