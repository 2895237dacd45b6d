"""A fleet on a real Ray cluster: a head and three machines here, each a session of processes.

One fleet, one story, since a cluster takes seconds to start.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import numpy as np
import psutil
import pytest

from benchmarks.live.ray_fleet import RayFleet
from benchmarks.live.ray_machines import RECOMMENDED, RayMachines
from streamlstm import Engine, Model, ReplayingPublisher
from streamlstm.client.client import Client
from streamlstm.errors import StreamLSTMError

from ..redis_server import Redis, needs_redis
from .conftest import MODEL

pytestmark = [
    needs_redis,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'ray>=2.60'"),
]
STREAMS: list[int | str] = [*range(30), *(f"pump-{n}" for n in range(30))]
SETTINGS = {  # a machine of this test is never merely busy for so long
    **RECOMMENDED,
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_initial_delay_ms": "0",
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayFleet]:
    """Start a fleet on two of three machines, with a worker each."""
    folder = tmp_path_factory.mktemp("fleet")
    MODEL.save(folder / "model.safetensors")
    with Redis(folder) as redis, RayMachines(1, SETTINGS) as cluster:
        cluster.add(3)
        yield RayFleet(
            cluster, folder / "model.safetensors", 2, 1, redis.url, folder / "fleet.json"
        )


class Source:
    """Publishes observations of all streams to a fleet, and to an engine that nothing disturbs."""

    def __init__(self, fleet: RayFleet) -> None:
        self._fleet = fleet
        self._reference = Engine(Model.load(fleet.file.parent / "model.safetensors"))
        self._publisher = ReplayingPublisher(endpoints=fleet.file, timeout=60.0)
        self._random = np.random.default_rng(7)

    def send(self, rounds: int) -> None:
        """Send rows, and wait until all are committed."""
        for _ in range(rounds):
            rows = self._random.normal(size=(len(STREAMS), 2)).astype(np.float32)
            self._publisher.send_many(STREAMS, rows)
            self._reference.step_many(STREAMS, rows)
        self._publisher.flush(60.0)

    def check(self) -> None:
        """Compare what the fleet says of one more row with the reference, bit by bit."""
        self._publisher.close()
        rows = self._random.normal(size=(len(STREAMS), 2)).astype(np.float32)
        with Client(endpoints=self._fleet.file, timeout=60.0) as client:
            assert (
                client.step_many(STREAMS, rows) == self._reference.step_many(STREAMS, rows)
            ).all()


def machines(fleet: RayFleet) -> set[str]:
    """Return the machines with a worker that serves, as an agent says that is there."""
    with suppress(StreamLSTMError):
        return {each["machine"] for each in fleet.ask("status")["workers"] if each["router"]}
    return set()


def in_file(fleet: RayFleet) -> set[str]:
    """Return the same as clients read it in the file."""
    found = json.loads(fleet.file.read_text())["workers"]
    return {each["machine"] for each in found if each["router"]}


def wait_until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_machines_are_lost_replaced_and_leave(fleet: RayFleet) -> None:
    status = fleet.status()
    lost, other = (agent["machine"] for agent in status["agents"])
    assert {lost, other} < set(fleet.cluster.machines)  # one on each of two
    assert {each["router"].split(":")[1] for each in status["workers"]} == {
        f"//{lost}",
        f"//{other}",
    }
    source = Source(fleet)
    source.send(3)

    # A machine is lost: the other one has its streams, and Ray starts the agent on the third.
    fleet.cluster.kill(lost)
    source.send(3)
    wait_until(lambda: len(machines(fleet) - {lost}) == 2)
    source.send(3)
    # No command was given since, but the file has the workers of now: agents see it here.
    wait_until(lambda: in_file(fleet) == machines(fleet))

    # An actor is killed: its agent ends with it, and another one comes to its place.
    [agent] = [each for each in fleet.status()["agents"] if each["machine"] == other]
    process = psutil.Process(agent["pid"])
    os.kill(process.ppid(), signal.SIGKILL)
    process.wait(30)
    source.send(3)
    wait_until(lambda: len(machines(fleet)) == 2)

    # A machine leaves: the other has all.
    fleet.command("scale", "--machines", "1")
    [agent] = fleet.status()["agents"]
    assert machines(fleet) == {agent["machine"]}
    source.send(1)
    source.check()

    with pytest.raises(RuntimeError, match="is there already, 1 machines"):
        RayFleet(fleet.cluster, fleet.model, 1, 1, fleet.store, fleet.file)
    fleet.command("down")
    assert not psutil.pid_exists(agent["pid"])
    with pytest.raises(RuntimeError, match=r"fleet\.json: cannot be read"):
        fleet.command("status")
