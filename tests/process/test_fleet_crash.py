"""Workers and supervisors of a real fleet are killed: no observation is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from streamlstm import Engine, Model, wire
from streamlstm.engine.ids import StreamId
from streamlstm.errors import BadValueError

from .conftest import MODEL
from .fleet_process import FleetProcess, SurvivingSockets

STREAMS: list[StreamId] = [*range(30), *(f"pump-{n}" for n in range(30))]


class Fleet:
    """A fleet that is killed and started again, what was sent to it, and what must come of it."""

    def __init__(self, folder: Path, *options: str, workers: int) -> None:
        self.folder, self._options = folder, options
        self.model = folder / "model.safetensors"
        MODEL.save(self.model)
        self.reference = Engine(Model.load(self.model))
        self.sent = 0
        self.start(workers)

    def start(self, workers: int) -> None:
        self.process = FleetProcess(self.model, self.folder, *self._options, workers=workers)
        self.sockets = SurvivingSockets(self.process)

    def value(self, n: int, seq: int) -> np.ndarray:
        return np.float32([np.sin(n + 0.3 * seq), np.cos(3 * n + seq)])

    def send(self) -> None:
        """Send the next observation of each stream, and before it what was lost of it."""
        self.sent += 1
        for n, stream in enumerate(STREAMS):
            expected = self.reference.step(stream, self.value(n, self.sent), seq=self.sent)
            seq = self.sent
            while seq <= self.sent:
                step = wire.Step(stream, seq, self.value(n, seq).tobytes())
                reply = self.sockets.ask(stream, step)
                if isinstance(reply, wire.Error):
                    assert reply.code in ("gap", "duplicate"), reply
                    assert reply.number is not None
                    seq = reply.number  # what it has; sent again from there
                elif seq == self.sent:
                    assert isinstance(reply, wire.Prediction)
                    assert (reply.values == expected).all()
                seq += 1

    def check(self) -> None:
        """Compare all states with those of an engine that nothing has happened to."""
        for stream in STREAMS:
            reply = self.sockets.ask(stream, wire.Export(stream))
            assert isinstance(reply, wire.Done), reply
            assert reply.value == self.reference.export_stream(stream), stream

    def kill(self, name: str) -> None:
        os.kill(self.process.workers()[name]["pid"], signal.SIGKILL)

    def settle(self) -> None:
        """Wait until every worker serves and nothing is copied or moved."""
        deadline = time.monotonic() + 60
        while not self.process.ask("status")["settled"]:
            assert time.monotonic() < deadline, "".join(self.process.lines)
            time.sleep(0.05)

    def kill_supervisor(self) -> None:
        """Kill the supervisor, and wait until its workers have ended."""
        pids = [each["pid"] for each in self.process.workers().values() if each["pid"]]
        self.process.process.kill()
        for pid in pids:
            with suppress(ProcessLookupError):
                while True:
                    os.kill(pid, 0)
                    time.sleep(0.01)
        self.stop()

    def stop(self) -> int:
        self.sockets.close()
        return self.process.stop()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet"), "--commit-ms", "20", workers=3) as fleet:
        yield fleet
        assert fleet.stop() == 0


def test_streams_of_a_killed_worker_go_on_at_the_others(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.send()
    fleet.kill("w0")
    fleet.send()
    fleet.check()
    fleet.settle()
    assert [each["restarts"] for each in fleet.process.workers().values()] == [1, 0, 0]
    assert all(each["partitions"] for each in fleet.process.workers().values())
    assert not (fleet.folder / "streams" / "worker-w0.0").exists()
    fleet.send()
    fleet.check()


def test_a_second_worker_is_killed_while_streams_of_the_first_are_copied(fleet: Fleet) -> None:
    fleet.kill("w1")
    while fleet.process.workers()["w1"]["partitions"]:
        time.sleep(0.001)
    fleet.kill("w2")
    fleet.send()
    fleet.check()
    fleet.settle()
    fleet.check()


def test_a_fleet_goes_on_whose_supervisor_was_killed_while_streams_moved(fleet: Fleet) -> None:
    fleet.process.ask("drain", "w0")
    fleet.send()
    fleet.kill_supervisor()
    fleet.start(2)
    fleet.send()
    fleet.check()
    fleet.settle()
    fleet.check()


def test_the_only_worker_goes_on_with_its_own_folder(fleet: Fleet) -> None:
    fleet.process.ask("scale", 1)
    fleet.settle()
    (name,) = fleet.process.workers()
    folders = sorted(path.name for path in (fleet.folder / "streams").glob("worker-*"))
    assert len(folders) == 1
    fleet.kill(name)
    fleet.send()
    fleet.check()
    assert sorted(path.name for path in (fleet.folder / "streams").glob("worker-*")) == folders


def test_what_is_lost_without_a_store_is_said(tmp_path: Path) -> None:
    with Fleet(tmp_path, "--store", "memory", workers=2) as fleet:
        fleet.send()
        fleet.kill("w0")
        fleet.send()
        fleet.check()
        said = "their streams begin anew: --store memory keeps nothing"
        assert any(said in each for each in fleet.process.lines)
        fleet.kill_supervisor()


EVICTING = ("--when-full", "evict-idle", "--capacity", "24", "--idle-ttl", "0.5")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("seed", "options"), [(0, ()), (1, EVICTING)], ids=["in memory", "evicting"]
)
def test_kills_at_any_point_of_moves(tmp_path: Path, seed: int, options: tuple[str, ...]) -> None:
    chance = random.Random(seed)
    with Fleet(tmp_path, "--commit-ms", "50", *options, workers=3) as fleet:
        for _ in range(2):
            fleet.send()
            with suppress(BadValueError):  # it is on its way, or there is no such worker
                if chance.random() < 0.5:
                    fleet.process.ask("scale", chance.randint(2, 4))
                else:
                    fleet.process.ask("move", chance.randrange(wire.PARTITIONS), "w1")
            time.sleep(chance.random() * 0.3)
            if chance.random() < 0.3:
                fleet.kill_supervisor()
                fleet.start(3)
            else:
                serving = [k for k, each in fleet.process.workers().items() if each["pid"]]
                for name in chance.sample(serving, min(len(serving), chance.randint(1, 2))):
                    with suppress(ProcessLookupError):
                        fleet.kill(name)
            fleet.send()
            fleet.check()
        fleet.settle()
        fleet.check()
        assert fleet.stop() == 0
