"""A fleet on three machines: agents here with names of their own, and one Redis."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlstm import LSTM, Client, Dense, Engine, ReplayingPublisher
from streamlstm.client.keys import new_key
from streamlstm.errors import WorkerTimeoutError
from streamlstm.fleet.question import ask

from ..contract.models import random_model
from ..redis_server import Redis, needs_redis
from .conftest import MODEL
from .descriptors import no_descriptor_left

pytestmark = needs_redis
STREAMS: list[int | str] = [*range(40), *(f"pump-{n}" for n in range(40))]
TIMEOUT = 120.0
ANYWHERE = "tcp://127.0.0.1:*"
OTHER = random_model([LSTM(2, 10), Dense(10, 3)], seed=9)
ANOTHER = random_model([LSTM(2, 9), Dense(9, 3)], scaled=True, seed=9)  # of the same layout

CLOCK_AHEAD = """import time
now = time.time
time.time = lambda: now() + 366 * 86400
"""


def wait_until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Machine:
    """The agent of a machine, and its log."""

    def __init__(self, folder: Path, store: str, name: str, *options: str) -> None:
        """Start one, whose model and endpoints are in files of its own in a folder."""
        self.name, self.endpoints = name, folder / f"{name}.json"
        self.endpoints.unlink(missing_ok=True)
        self.model = folder / f"{name}.safetensors"
        if not self.model.exists():
            MODEL.save(self.model)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamlstm", "fleet", str(self.model), "--join"),
                *("--machine", name, "--store", store, "--endpoints", str(self.endpoints)),
                *("--workers", "1", "--threads", "1", "--commit-ms", "100", *options),
            ],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(folder / f"clock-of-{name}")},
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    def ready(self) -> Machine:
        wait_until(lambda: self.endpoints.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.lines
        return self

    def ask(self, *question: Any) -> dict[str, Any]:
        return ask(self.endpoints, *question)

    def leads(self) -> bool:
        """Tell whether it leads, as it knows itself."""
        return bool(json.loads(self.endpoints.read_text())["leader"] == self.name)

    def workers(self) -> dict[str, dict[str, Any]]:
        """Return the workers of all machines, as this one knows them."""
        with suppress(WorkerTimeoutError):  # while another one begins to lead
            return {each["name"]: each for each in self.ask("status")["workers"]}
        return {}

    def pids(self) -> list[int]:
        """Return the processes on this machine, the agent's last."""
        found = json.loads(self.endpoints.read_text())["workers"]
        mine = [each["pid"] for each in found if each["machine"] == self.name and each["pid"]]
        return [*mine, self.process.pid]

    def signal(self, number: int) -> None:
        """Send a signal to every process on this machine."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def lose(self) -> None:
        """End it as if it had lost its power: nothing on it does anything any more."""
        self.signal(signal.SIGSTOP)
        self.signal(signal.SIGKILL)
        self.join()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.join()

    def join(self) -> int:
        status = self.process.wait(TIMEOUT)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    def said(self) -> str:
        """Return what it said when it ended by itself."""
        assert self.join() == 1, self.lines
        said = "".join(self.lines)
        assert "Traceback" not in said
        return said


class Machines:
    """Machines by their names, and who leads; all have one key."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder, self.store = folder, store
        self.running: dict[str, Machine] = {}
        self.key, self.server = new_key("fleet", folder)
        self.keys = ("--key", str(self.key), "--allow", str(folder))

    def start(self, *names: str) -> None:
        for name in names:
            self.running[name] = Machine(self.folder, self.store, name, *self.keys)
        for name in names:
            self.running[name].ready()

    def any(self) -> Machine:
        return next(iter(self.running.values()))

    def leader(self) -> str:
        """Return who leads."""
        name: str = json.loads(self.any().endpoints.read_text())["leader"]
        return name

    def settle(self) -> None:
        """Wait until every worker of every machine serves, and nothing moves."""

        def settled() -> bool:
            with suppress(WorkerTimeoutError):
                found = self.any().ask("status")
                there = {each["machine"] for each in found["workers"]}
                return found["settled"] and there == set(self.running)
            return False

        wait_until(settled)


class Source:
    """Publishes observations of all streams in a thread until :meth:`check`."""

    def __init__(self, machines: Machines, folder: Path, endpoints: Path) -> None:
        self.reference = Engine(MODEL)
        self._machines, self._random = machines, np.random.default_rng(3)
        self.expected: dict[int, np.ndarray] = {}
        self.wrong: list[tuple[int | str, int]] = []
        self.rounds, self._over = 0, threading.Event()
        self._publisher = ReplayingPublisher(
            endpoints=endpoints,
            key=machines.key,
            server=machines.server,
            journal=folder / "journal",
            on_prediction=self._note,
            linger=TIMEOUT,
            timeout=TIMEOUT,
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _note(self, stream: int | str, seq: int, y: np.ndarray) -> None:
        if not np.array_equal(y, self.expected[seq][STREAMS.index(stream)]):
            self.wrong.append((stream, seq))

    def _run(self) -> None:
        while not self._over.wait(0.02):
            rows = self._random.normal(size=(len(STREAMS), 2)).astype(np.float32)
            self.rounds += 1
            self.expected[self.rounds] = self.reference.step_many(STREAMS, rows)
            self._publisher.send_many(STREAMS, rows)

    def check(self) -> None:
        """Let all be confirmed, then compare every state with the reference."""
        self._over.set()
        self._thread.join()
        self._publisher.flush(TIMEOUT)
        self._publisher.close()
        assert not self.wrong
        keys = {"key": self._machines.key, "server": self._machines.server}
        with Client(endpoints=self._machines.any().endpoints, timeout=TIMEOUT, **keys) as client:
            assert client.last_seqs(STREAMS) == [self.rounds] * len(STREAMS)
            for stream in STREAMS:
                self.reference.import_stream("seen", client.export_stream(stream))
                assert self.reference.last_seq("seen") == self.rounds
                y = self.reference.step("seen", [1.0, 2.0])
                assert np.array_equal(self.reference.step(stream, [1.0, 2.0]), y), stream


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture(scope="module")
def machines(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("machines")
    (folder / "clock-of-b").mkdir()
    (folder / "clock-of-b" / "sitecustomize.py").write_text(CLOCK_AHEAD)
    made = Machines(folder, redis.url)
    try:
        made.start("a")
        made.start("b", "c")
        yield made
    finally:
        statuses = {name: machine.stop() for name, machine in made.running.items()}
        for machine in made.running.values():
            print(f"--- {machine.name}", "".join(machine.lines), sep="\n")  # if a test fails
    assert set(statuses.values()) == {0}, statuses


def test_nothing_is_lost_with_machines_that_are_lost_stopped_and_woken(
    machines: Machines, tmp_path: Path
) -> None:
    """The one that leads is lost, another one stands still and wakes; publishers send again.

    The clock of one of them is a year ahead.
    """
    machines.settle()
    assert machines.leader() == "a"
    b, c = machines.running["b"], machines.running["c"]
    source = Source(machines, tmp_path, c.endpoints)
    before = {name: each["pid"] for name, each in c.workers().items()}
    machines.running.pop("a").lose()
    wait_until(lambda: c.workers() and set(c.workers()) == {"b.w0", "c.w0"})
    after = {name: each["pid"] for name, each in c.workers().items()}
    assert after == {name: before[name] for name in ("b.w0", "c.w0")}  # they went on
    machines.start("a")  # as an empty one
    machines.settle()
    stopped = machines.running[machines.leader()]
    others = [each for each in machines.running.values() if each is not stopped]
    stopped.signal(signal.SIGSTOP)
    wait_until(
        lambda: (
            others[0].workers()
            and not any(each["machine"] == stopped.name for each in others[0].workers().values())
        )
    )
    rounds = source.rounds
    wait_until(lambda: source.rounds > rounds + 5)
    stopped.signal(signal.SIGCONT)
    machines.settle()
    source.check()
    assert b.process.poll() is None


def test_who_may_not_join_is_told_why(machines: Machines, tmp_path: Path) -> None:
    """All at the same time; the fleet does not notice."""
    machines.settle()
    before = {name: each["pid"] for name, each in machines.any().workers().items()}
    OTHER.save(tmp_path / "d.safetensors")
    here, keys = (tmp_path, machines.store), machines.keys
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = {
            "d has another model": Machine(*here, "d", *keys),
            "--machine b: a machine of this name is in the fleet": Machine(*here, "b", *keys),
            f"127.0.0.1:{port}: is taken": Machine(
                *here, "e", *keys, "--router", f"tcp://127.0.0.1:{port}", "--control", ANYWHERE
            ),
            "has another key than this one, or none": Machine(*here, "f"),
            "expected an address that it has": Machine(*here, "g", *keys, "--router", "tcp://*:*"),
        }
        for sentence, machine in refused.items():
            assert sentence in machine.said(), machine.lines
    assert "e.w0 could not start, so the machine e has not joined" in "".join(
        refused[f"127.0.0.1:{port}: is taken"].lines
    )
    machines.settle()
    assert {name: each["pid"] for name, each in machines.any().workers().items()} == before


def test_who_begins_to_lead_does_not_wait_for_workers_that_have_left_unheard(
    machines: Machines,
) -> None:
    """An agent ends before it has joined the next leader; its worker gives up its membership."""
    machines.settle()
    leader = machines.running.pop(machines.leader())
    silent, last = machines.running.values()
    silent.process.send_signal(signal.SIGSTOP)
    leader.lose()
    wait_until(last.leads)
    silent.process.kill()
    machines.running.pop(silent.name).join()
    machines.settle()
    machines.start(leader.name, silent.name)


def test_a_model_goes_to_all_machines_and_one_that_is_drained_ends(machines: Machines) -> None:
    machines.settle()
    a, b, c = (machines.running[name] for name in "abc")
    ANOTHER.save(c.model)
    with no_descriptor_left(b.process.pid):  # it cannot write the new model down
        c.ask("reload", False, False)
        wait_until(lambda: c.ask("status")["reload"]["state"] == "refused")
    c.ask("reload", False, False)
    wait_until(lambda: c.ask("status")["reload"]["state"] == "done")
    assert c.ask("status")["reload"]["done"] == ["a.w0", "b.w0", "c.w0"]
    before = a.workers()["a.w0"]["pid"]
    os.kill(before, signal.SIGKILL)  # it starts again with what its machine was given
    wait_until(lambda: (found := a.workers()) and found["a.w0"]["pid"] not in (0, before))
    machines.settle()
    b.ask("scale", 2, "c")
    machines.settle()
    assert [name for name in b.workers() if name.startswith("c.")] == ["c.w0", "c.w1"]
    a.ask("drain", "b")
    assert machines.running.pop("b").join() == 0
    machines.settle()
    assert set(a.workers()) == {"a.w0", "c.w0", "c.w1"}
