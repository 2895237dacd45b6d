"""What a person who runs a fleet sees and does: commands against one real fleet."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.fleet.endpoints import claimed

from ..contract.models import random_model
from .conftest import MODEL
from .fleet_process import FleetProcess, PlainSockets

STREAMS = [f"pump-{n}" for n in range(30)]
# The same layout with other weights, and another layout.
LATER = random_model([LSTM(2, 9), Dense(9, 3)], scaled=True, seed=31)
OTHER = random_model([LSTM(2, 10), Dense(10, 3)], seed=9)

STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) (.*)")


def run(*arguments: str, folder: Path, status: int = 0) -> str:
    """Run a command in a folder and return what it printed."""
    shown = subprocess.run(
        [sys.executable, "-m", "streamlstm", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == status, shown.stdout + shown.stderr
    assert "Traceback" not in shown.stderr
    return shown.stdout if status == 0 else shown.stderr


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcess]:
    folder = tmp_path_factory.mktemp("fleet")
    MODEL.save(folder / "model.safetensors")
    options = ("--metrics", "127.0.0.1:*", "--capacity", "1000")
    fleet = FleetProcess(folder / "model.safetensors", folder, *options)
    yield fleet
    assert fleet.stop() == 0, "".join(fleet.lines)


@pytest.fixture
def sockets(fleet: FleetProcess) -> Iterator[PlainSockets]:
    sockets = PlainSockets(next(iter(fleet.workers().values()))["router"])
    yield sockets
    sockets.close()


@pytest.fixture
def folder(fleet: FleetProcess) -> Path:
    return fleet.endpoints.parent


def test_status_says_what_each_worker_has_and_does(
    fleet: FleetProcess, sockets: PlainSockets, folder: Path
) -> None:
    for seq in range(1, 4):
        for stream in STREAMS:
            sockets.step(stream, seq, [0.5, seq])
    found = fleet.ask("status")
    while sum(each["streams"] or 0 for each in found["workers"]) < len(STREAMS) or not any(
        each["rate"] for each in found["workers"]
    ):
        time.sleep(0.05)
        found = fleet.ask("status")
    shown = json.loads(run("fleet", "status", "--json", folder=folder))
    assert shown["settled"]
    assert [each["name"] for each in shown["workers"]] == ["w0", "w1"]
    for each in shown["workers"]:
        assert each["partitions"] == 512
        assert each["pid"] == fleet.workers()[each["name"]]["pid"]
        assert len(STREAMS) <= each["capacity"] <= 1000
    lines = run("fleet", "status", folder=folder).splitlines()
    assert lines[0].split()[:4] == ["worker", "pid", "partitions", "streams"]
    assert lines[-2].split()[:4] == ["all", "2", "1,024", str(len(STREAMS))]
    assert lines[-1] == f"{len(STREAMS)} streams in memory, of 1,000 that may be"
    info = json.loads(run("info", "--endpoints", "fleet.json", "--json", folder=folder))
    assert (info["capacity"], shown["capacity"]) == (1000, 1000)


def test_every_line_of_the_log_has_a_time(fleet: FleetProcess) -> None:
    said = [STAMP.match(line) for line in fleet.lines]
    assert all(said), fleet.lines
    assert {"w0: ready; Ctrl-C stops", "ready; Ctrl-C stops"} <= {each[2] for each in said}


def test_metrics_of_all_workers_stand_at_one_address(fleet: FleetProcess) -> None:
    (url,) = [line.split()[-1] for line in fleet.lines if " INFO metrics " in line]
    with urllib.request.urlopen(url, timeout=20) as response:
        text = response.read().decode()
    for worker in ("w0", "w1"):
        assert f'streamlstm_worker_up{{worker="{worker}"}} 1.0' in text
        assert f'streamlstm_steps_total{{worker="{worker}"}}' in text


def test_top_shows_every_worker_of_a_fleet(fleet: FleetProcess, folder: Path) -> None:
    routers = [each["router"] for each in fleet.workers().values()]
    for address in (("--endpoints", "fleet.json"), ("--router", routers[1])):
        lines = run("top", *address, "--once", "--every", "0.1", folder=folder).splitlines()
        assert [line.split()[0] for line in lines] == ["worker", "w0", "w1", "all"]


def test_streams_info_and_forget_speak_for_all_workers(fleet: FleetProcess, folder: Path) -> None:
    routers = [each["router"] for each in fleet.workers().values()]
    for address in (("--endpoints", "fleet.json"), ("--router", routers[1])):
        left = sorted(STREAMS)
        listed = run("streams", *address, folder=folder).splitlines()
        assert [line.split()[0] for line in listed] == left
        info = json.loads(run("info", *address, "--json", folder=folder))
        assert info["streams"] == len(left)
        assert sorted(info["workers"]) == ["w0", "w1"]
        run("forget", left[0], *address, folder=folder)
        STREAMS.remove(left[0])


def test_the_model_changes_in_all_workers_or_in_none(
    fleet: FleetProcess, sockets: PlainSockets, folder: Path
) -> None:
    file = folder / "model.safetensors"
    OTHER.save(folder / "next.safetensors")
    shutil.move(folder / "next.safetensors", file)
    said = run("fleet", "reload", folder=folder, status=1)
    assert "no worker has changed its model" in said
    reference = Engine(MODEL)
    for stream in STREAMS:
        for seq in range(1, 4):
            reference.step(stream, [0.5, seq], seq=seq)
        y = reference.step(stream, [0.5, 4.0], seq=4)
        assert (sockets.step(stream, 4, [0.5, 4.0]).values == y).all()
    LATER.save(folder / "next.safetensors")
    shutil.move(folder / "next.safetensors", file)
    shown = run("fleet", "reload", "--at-once", folder=folder)
    assert "all streams continue with their state" in shown
    assert "workers: w0, w1" in shown
    reference.reload(LATER)
    for stream in STREAMS:
        y = reference.step(stream, [0.5, 5.0], seq=5)
        assert (sockets.step(stream, 5, [0.5, 5.0]).values == y).all()
    # A client may ask any worker; all change, or none.
    router = fleet.workers()["w1"]["router"]
    done = sockets.request(router, wire.Reload(False))
    assert isinstance(done, wire.Done)
    assert done.value["before"] == done.value["model"] == LATER.fingerprint
    OTHER.save(file)
    error = sockets.request(router, wire.Reload(False))
    assert isinstance(error, wire.Error)
    assert "has changed" in error.message  # Nothing, says this one; no worker, if another refuses
    # A worker that is started now has the model of the others.
    run("fleet", "scale", "3", folder=folder)
    for stream in STREAMS:
        y = reference.step(stream, [0.5, 6.0], seq=6)
        assert (sockets.step(stream, 6, [0.5, 6.0]).values == y).all()
    assert all(each["partitions"] > 0 for each in fleet.ask("status")["workers"])


def test_scale_waits_while_the_fleet_starts_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    command = [sys.executable, "-m", "streamlstm", "fleet", "scale", "4", "--endpoints", str(path)]
    with claimed(path):
        scale = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert scale.stderr is not None
        line = scale.stderr.readline()  # no fleet is ready, and none will be
    assert f"waits until the fleet is ready that starts (process {os.getpid()})" in line
    with scale:
        assert "has ended before it was ready; its log says why" in scale.stderr.read()
    assert scale.returncode == 1
