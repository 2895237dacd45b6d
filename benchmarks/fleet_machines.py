"""A fleet on three machines that loses one: how soon its streams are answered again.

    python -m benchmarks.fleet_machines [--rounds 5] [--json [FILE]]

Three agents with a worker each are the machines, with one Redis, on this computer. One is lost
(stopped, then killed, with all that is on it), or the one that leads, or one stands still, while a
client steps a stream of it: first answer, seconds since then. Leases run for 2 s from their last
renewal, of which there is one in 0.4 s; that of the machine that leads for 1.5 s.
"""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from streamlstm import wire
from streamlstm.client.client import Client

from .harness import Row, parser, report, steps
from .live.fleet import Fleet, Load
from .live.messages import model, observations
from .live.redis_server import RedisServer

STREAMS = 200
TARGETS = {
    "first answer, lost": 3.0,
    "first answer, leader lost": 3.0,
    "first answer, stopped": 3.0,
}


def lost(which: str) -> float:
    """Return the seconds from the end of a machine until another one answers for its streams."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        redis = opened.enter_context(RedisServer(folder))
        model().save(folder / "model.safetensors")
        agents = {name: _agent(folder, redis.url, name) for name in "abc"}
        for agent in agents.values():
            opened.callback(agent.stop)
        while not agents["c"].ask("status")["settled"]:
            time.sleep(0.05)
        leader = agents["c"].leader()
        gone = leader if which == "leader lost" else next(n for n in "abc" if n != leader)
        staying = next(agent for name, agent in agents.items() if name != gone)
        workers = staying.workers()
        router = workers[f"{gone}.w0"]["router"]
        pids = [workers[f"{gone}.w0"]["pid"], agents[gone].pid]
        rows = observations(2)
        with (
            Client(endpoints=staying.file, timeout=60.0) as client,
            Load(router, range(STREAMS)) as table,
        ):
            mine = next(s for s, p in table.partition.items() if table.router[p] == router)
            client.step(mine, rows[0], seq=1)
            table.ask(router, wire.Barrier(1, 0))  # it is committed
            began = time.perf_counter()
            _signal(pids, signal.SIGSTOP)
            if which != "stopped":
                _signal(pids, signal.SIGKILL)
            client.step(mine, rows[1], seq=2)
            took = time.perf_counter() - began
        _signal(pids, signal.SIGCONT)
        return took


def _agent(folder: Path, store: str, name: str) -> Fleet:
    where = ("--join", "--machine", name, "--store", store)
    return Fleet(folder / "model.safetensors", 1, *where, file=folder / f"{name}.json")


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    for which in ("lost", "leader lost", "stopped"):
        found = [lost(which) for _ in steps(range(options.rounds), which)]
        median = statistics.median(found)
        ratios[f"first answer, {which}"] = median
        row: Row = {"machine": which, "unit": "s", "median": median, "longest": max(found)}
        rows.append(row)
    report("fleet_machines", rows, ratios, options.json, targets=TARGETS)


if __name__ == "__main__":
    main()
