"""A fleet on Ray that loses a machine: how soon it answers again, and when that is replaced.

    python -m benchmarks.fleet_ray [--rounds 3] [--json FILE]

A head and three machines, each a session of processes on this computer. Two machines have an agent
with one worker, the third is spare. One is killed with SIGKILL, or stopped with SIGSTOP, while a
client steps a stream of it: first answer, and until a worker serves on the spare one, seconds since
then. Once with Ray's default settings, once with those that docs/fleet-ray.md recommends. Then the
head, which keeps its list in Redis, is killed and started again while the client steps streams:
their longest pause, and whether the agents are the same processes.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from streamlstm import wire
from streamlstm.client.client import Client
from streamlstm.errors import StreamLSTMError

from .harness import Row, parser, report, steps
from .live.fleet import Load
from .live.messages import model, observations
from .live.ray_fleet import RayFleet
from .live.ray_machines import RECOMMENDED, RayMachines
from .live.redis_server import RedisServer

STREAMS = 200
HEAD_AWAY = 20.0  # seconds
TARGETS = {"first answer, killed": 3.0, "first answer, stopped": 3.0}


def lost(settings: Mapping[str, str], stops: bool) -> dict[str, float]:
    """Return the seconds until the streams of a lost machine are served, and it is replaced."""
    with _Run(settings) as run:
        run.cluster.add()
        machine = run.cluster.machines[run.fleet.status()["agents"][0]["machine"]]
        mine = run.stream_of(machine.address)
        began = time.perf_counter()
        machine.stop() if stops else machine.kill()
        run.client.step(mine, run.rows[0], seq=2)
        first = time.perf_counter() - began
        while machine.address in (there := run.serving()) or len(there) < 2:
            time.sleep(0.05)
        return {"first answer": first, "replaced": time.perf_counter() - began}


def head() -> dict[str, float]:
    """Return the longest pause of a stream while the head is killed and started again."""
    with _Run(RECOMMENDED, outlives=True) as run, ThreadPoolExecutor(1) as pool:
        before = [agent["pid"] for agent in run.fleet.status()["agents"]]
        longest, n = 0.0, 0
        restarted = pool.submit(run.cluster.restart_head, HEAD_AWAY)
        while not restarted.done():
            began = time.perf_counter()
            run.client.step(n % STREAMS, run.rows[n % 64])
            longest, n = max(longest, time.perf_counter() - began), n + 1
        restarted.result()
        after = [agent["pid"] for agent in run.fleet.status()["agents"]]
        return {"longest pause": longest, "agents that are the same": float(before == after)}


class _Run:
    """A fleet of two machines with a worker each, and a client."""

    def __init__(self, settings: Mapping[str, str], outlives: bool = False) -> None:
        self._open = ExitStack()
        with self._open as opening:  # closes what is open if the rest fails
            folder = Path(opening.enter_context(tempfile.TemporaryDirectory()))
            redis = opening.enter_context(RedisServer(folder))
            self.cluster = opening.enter_context(RayMachines(1, settings, outlives))
            self.cluster.add(2)
            file = folder / "model.safetensors"
            model().save(file)
            self.fleet = RayFleet(self.cluster, file, 2, 1, redis.url, folder / "fleet.json")
            self.client = opening.enter_context(Client(endpoints=self.fleet.file, timeout=60.0))
            self.rows = observations(64)
            for stream in range(STREAMS):
                self.client.step(stream, self.rows[0], seq=1)
            self._open = opening.pop_all()

    def stream_of(self, machine: str) -> int:
        """Return a stream that the worker of this machine has, and has committed."""
        routers = {each["machine"]: each["router"] for each in self.fleet.status()["workers"]}
        with Load(routers[machine], range(STREAMS)) as table:
            table.ask(routers[machine], wire.Barrier(1, 0))  # all is committed
            return next(
                stream
                for stream, partition in table.partition.items()
                if table.router[partition] == routers[machine]
            )

    def serving(self) -> set[str]:
        """Return the machines with a worker that serves, as an agent says that is there."""
        with suppress(StreamLSTMError):
            return {each["machine"] for each in self.fleet.ask("status")["workers"] if each["pid"]}
        return set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    for name, settings in (("default", {}), ("recommended", RECOMMENDED)):
        for what, stops in (("killed", False), ("stopped", True)):
            found = [lost(settings, stops) for _ in steps(range(options.rounds), f"{name}, {what}")]
            medians = {key: statistics.median(each[key] for each in found) for key in found[0]}
            rows.append({"machine": what, "Ray's settings": name, "unit": "s", **medians})
            ratios[f"first answer, {what}"] = medians["first answer"]
    away = head()
    ratios["agents that are the same"] = away.pop("agents that are the same")
    rows.append({"machine": "head away", "Ray's settings": "recommended", "unit": "s", **away})
    report("fleet_ray", rows, ratios, options.json, targets=TARGETS)


if __name__ == "__main__":
    main()
