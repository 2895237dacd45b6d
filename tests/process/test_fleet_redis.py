"""A fleet whose workers share a Redis: leases, fencing, and a Redis that goes and comes back."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streamlstm import LSTM, Dense, Engine, Model, wire
from streamlstm.engine.partitions import partitions_of
from streamlstm.errors import BadValueError, StoreError
from streamlstm.fleet.table_redis import open_table

from ..contract.models import random_model
from ..redis_server import Redis, needs_redis
from .conftest import MODEL
from .fleet_process import FleetProcess, PlainSockets

pytestmark = needs_redis
STREAMS: list[int | str] = [*range(40), *(f"pump-{n}" for n in range(40))]
PARTITIONS = partitions_of(STREAMS)
LATER = random_model([LSTM(2, 9), Dense(9, 3)], scaled=True, seed=31)  # other weights than MODEL


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture(scope="module")
def fleet(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcess]:
    folder = tmp_path_factory.mktemp("fleet")
    MODEL.save(folder / "model.safetensors")
    fleet = FleetProcess(folder / "model.safetensors", folder, "--store", redis.url, workers=3)
    yield fleet
    print("".join(fleet.lines))  # shown if a test fails
    assert fleet.stop() == 0


class Source:
    """Numbered observations of all streams, sent again from where a worker lost them."""

    def __init__(self, fleet: FleetProcess) -> None:
        self._fleet, self._sent = fleet, 0
        self.reference = Engine(Model.load(fleet.endpoints.parent / "model.safetensors"))
        self._random = np.random.default_rng(5)
        self._rows: list[NDArray[np.float32]] = []
        self.connect()

    def connect(self) -> None:
        """Ask a worker that answers for the table."""
        self.sockets = PlainSockets(next(iter(self.serving().values())))

    def serving(self) -> dict[str, str]:
        """Return the routers of the workers that have partitions, by name."""
        workers = self._fleet.workers().values()
        return {each["name"]: each["router"] for each in workers if each["partitions"]}

    def send(self, rounds: int = 1) -> None:
        """Step every stream so often, after what a worker has lost of it."""
        for _ in range(rounds):
            self._rows.append(self._random.normal(size=(len(STREAMS), 2)).astype(np.float32))
            for stream, x in zip(STREAMS, self._rows[-1], strict=True):
                self.reference.step(stream, x, seq=len(self._rows))
        for n, stream in enumerate(STREAMS):
            last = self.sockets.ask(stream, wire.Last([stream]))
            assert isinstance(last, wire.Done), last
            for seq in range(last.value[0] + 1, len(self._rows) + 1):
                self.sockets.step(stream, seq, self._rows[seq - 1][n].tolist())

    def check(self) -> None:
        """Compare all states with the reference; and only one worker answers for a stream."""
        wait_until(lambda: self._fleet.ask("status")["settled"])
        for stream in STREAMS:
            wait_until(partial(self._is_here_only, stream))  # it may move just now
            state = self.sockets.ask(stream, wire.Export(stream))
            assert isinstance(state, wire.Done)
            assert state.value == self.reference.export_stream(stream)

    def _is_here_only(self, stream: int | str) -> bool:
        serving = self.serving().values()
        replies = [self.sockets.request(router, wire.Last([stream])) for router in serving]
        codes = [reply.code if isinstance(reply, wire.Error) else "here" for reply in replies]
        return sorted(codes) == ["here"] + ["moved"] * (len(codes) - 1)

    def close(self) -> None:
        self.sockets.close()


@pytest.fixture(scope="module")
def source(fleet: FleetProcess) -> Iterator[Source]:
    source = Source(fleet)
    yield source
    source.close()


def in_memory(fleet: FleetProcess) -> int:
    return sum(each["streams"] or 0 for each in fleet.ask("status")["workers"])


def wait_until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def move(fleet: FleetProcess, source: Source, partition: int) -> None:
    """Let a partition go to another worker, when it does not move anyway."""
    here = source.sockets.routers[partition]
    name = next(name for name, router in source.serving().items() if router != here)

    def asked() -> bool:
        with suppress(BadValueError):
            fleet.ask("move", partition, name)
            return True
        return False

    wait_until(asked)


def test_streams_move_and_are_in_the_store_once(
    fleet: FleetProcess, source: Source, redis: Redis
) -> None:
    source.send(2)
    for partition in PARTITIONS[::4].tolist():
        move(fleet, source, partition)
    source.send(2)
    source.check()
    with redis.client() as server:
        wait_until(lambda: server.hlen("streamlstm:streams") == len(STREAMS) + 1)


def test_all_workers_change_the_model(fleet: FleetProcess, source: Source) -> None:
    """And those in the tests after this one read what was written under the model before."""
    source.send()
    folder = fleet.endpoints.parent
    LATER.save(folder / "next.safetensors")
    shutil.move(folder / "next.safetensors", folder / "model.safetensors")
    fleet.ask("reload", False, False)
    wait_until(lambda: fleet.ask("status")["reload"]["state"] == "done")
    assert fleet.ask("status")["reload"]["done"] == sorted(fleet.workers())
    source.reference.reload(LATER)
    source.send()
    source.check()


def test_what_is_forgotten_stays_so_when_it_moves(fleet: FleetProcess, source: Source) -> None:
    """With what was not committed yet: the store still has a stream that was forgotten."""
    ask = source.sockets.ask
    streams = [f"lost-{n}" for n in range(20)]
    for stream in streams:
        ask(stream, wire.Step(stream, 1, np.ones(2, np.float32).tobytes()))
    time.sleep(0.3)  # so that they are committed; were they not, the test would still pass
    for stream in streams:
        partition = int(partitions_of([stream])[0])
        here = source.sockets.routers[partition]
        assert isinstance(ask(stream, wire.Forget(stream)), wire.Done)
        move(fleet, source, partition)
        reply = ask(stream, wire.Last([stream]))
        while source.sockets.routers[partition] == here:
            reply = ask(stream, wire.Last([stream]))
        assert isinstance(reply, wire.Done)
        assert reply.value == [0]


def test_a_second_fleet_is_refused(fleet: FleetProcess, redis: Redis) -> None:
    with pytest.raises(StoreError, match=f"in use by a fleet, process {fleet.process.pid} on"):
        open_table(redis.url)


@pytest.mark.exhaustive
def test_a_killed_worker_s_streams_are_looked_up_by_the_others(
    fleet: FleetProcess, source: Source
) -> None:
    name = next(iter(source.serving()))
    before = fleet.workers()[name]["pid"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: fleet.workers()[name]["pid"] not in (None, before))
    source.close()
    source.connect()
    source.send()
    source.check()


def test_a_worker_that_was_stopped_commits_nothing_and_joins_again(
    fleet: FleetProcess, source: Source, redis: Redis
) -> None:
    wait_until(lambda: len(source.serving()) == 3 and not fleet.ask("status")["moving"])
    name = next(iter(source.serving()))
    pid = fleet.workers()[name]["pid"]
    source.send()  # and what is not committed of it is lost with the worker
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: name not in source.serving())
        source.close()
        source.connect()
        source.send(2)
        with redis.client() as server:
            before = server.hgetall("streamlstm:streams")
            wait_until(lambda: server.hgetall("streamlstm:streams") != before)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: fleet.workers()[name]["pid"] not in (None, pid))
    wait_until(lambda: name in source.serving())
    assert any(
        f" {name}: " in line and "others have its streams now" in line for line in fleet.lines
    )
    source.send()
    source.check()


@pytest.mark.exhaustive
def test_a_fleet_whose_supervisor_was_killed_goes_on(
    fleet: FleetProcess, redis: Redis, tmp_path: Path
) -> None:
    model = fleet.endpoints.parent / "model.safetensors"
    where = ("--store", f"{redis.url}?prefix=second", "--commit-ms", "60000")
    first = FleetProcess(model, tmp_path, *where)
    sockets = PlainSockets(next(iter(first.workers().values()))["router"])
    for stream in STREAMS:
        sockets.step(stream, 1, [1.0, 2.0])
    sockets.close()
    first.process.kill()
    first.process.wait()
    second = FleetProcess(model, tmp_path, *where, "--preload")
    wait_until(lambda: in_memory(second) == len(STREAMS))  # though nobody has asked for them
    sockets = PlainSockets(next(iter(second.workers().values()))["router"])
    for stream in STREAMS:  # its workers have committed what nobody had asked them to
        assert sockets.step(stream, 2, [1.0, 2.0]).seq == 2
    sockets.close()
    assert second.stop() == 0
    first.stop()


def test_redis_goes_and_comes_back(fleet: FleetProcess, source: Source, redis: Redis) -> None:
    wait_until(lambda: not fleet.ask("status")["moving"])
    before = {name: each["pid"] for name, each in fleet.workers().items()}
    redis.kill()
    wait_until(lambda: sum("it answers busy until" in line for line in fleet.lines) >= len(before))
    routers = source.serving().values()
    said = [source.sockets.request(router, wire.Last([STREAMS[0]])) for router in routers]
    assert {reply.code for reply in said if isinstance(reply, wire.Error)} == {"busy", "moved"}
    assert any("cannot reach the store" in str(reply) for reply in said)
    redis.start()
    source.send()
    source.check()
    assert {name: each["pid"] for name, each in fleet.workers().items()} == before


def test_a_redis_that_has_lost_all_gets_it_again(
    fleet: FleetProcess, source: Source, redis: Redis
) -> None:
    source.send()
    with redis.client() as server:
        wait_until(lambda: not fleet.ask("status")["moving"])
        server.flushall()
        wait_until(lambda: server.hlen("streamlstm:streams") == len(STREAMS) + 1)
    source.send()
    source.check()
