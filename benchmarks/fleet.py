"""What a fleet costs on one machine: pauses of streams that move, and what a second worker brings.

    python -m benchmarks.fleet [--only moves|kills|workers] [--store lmdb|redis] [--json [FILE]]

The streams of one partition move between two workers and back, while an open loop sends numbered
observations to them and to others (H = 64); a pause is the longest time from when an observation
of a moved stream was due to its answer. Workers have folders of LMDB, and then one Redis for all,
if there is a redis-server. A worker is killed with SIGKILL while a client steps one of
its streams, and then all of them: first answer, and all streams back, seconds since the kill. Two
workers against one, one STEP a message: each worker
has one core for all its threads, and compiled threads in this process send on whatever is left; the
ratio is that of steps in a core-second that the sender has not taken.
"""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zmq

from streamlstm import wire
from streamlstm.client.client import Client
from streamlstm.engine.partitions import partitions_of
from streamlstm.loadtest import load
from streamlstm.loadtest.load import LoadError

from .harness import Row, parser, report, steps
from .live.fleet import Answer, Fleet, Load, ids_of
from .live.messages import model, observations, one_a_message
from .live.processes import Sockets
from .live.redis_server import RedisServer, redis_server

PARTITION = 3  # that moves
OTHERS = 1_200  # streams of other partitions
RATE = 10_000  # observations per second
SECONDS, MOVE_AT, DURING = 3.0, 1.5, 0.25
MOVES = 6  # of each number of streams
KILLS = 3  # of each number of streams
BLOCK = 1_024  # streams of a call
ROUNDS, TURN = 5, 2.0
MOST_TURNS = 10  # until one in which no stream moves
CONNECTIONS = 3  # to each worker, so that it never waits for the sender
CORES = sorted(os.sched_getaffinity(0))[:2]
TARGETS = {
    "moves 1000": 20.0,
    "moves 10000": 100.0,
    "moves 1000, redis": 20.0,
    "moves 10000, redis": 100.0,
    "first answer of 5000": 0.1,
    "back 5000": 0.5,
    "back 100000": 3.0,
    "two workers": 1.7,
}


def moves(file: Path, store: str, ratios: dict[str, Any]) -> list[Row]:
    """Return the pauses of moves with a store; note the medians of the longest."""
    rows = []
    for streams in (1_000, 10_000):
        more, longest = _moves(file, f"{store}-{streams}", streams)
        rows += more
        ratios[f"moves {streams}{'' if store.startswith('lmdb') else ', redis'}"] = longest
    return rows


def _moves(file: Path, store: str, streams: int) -> tuple[list[Row], float]:
    """Return the pauses of moves of ``streams`` streams, and the median of them in ms."""
    options = ("--store", store, "--capacity", str(4 * streams + 8 * OTHERS))
    with Fleet(file, 2, *options) as fleet:
        moved = ids_of(PARTITION, streams)
        others = [stream for p in range(100, 100 + OTHERS) for stream in ids_of(p % 900 + 100, 1)]
        others = list(dict.fromkeys(others))
        with Load(fleet.workers()["w0"]["router"], moved + others) as running:
            running.fill()
            rng, found = np.random.default_rng(0), []
            for turn in steps(range(MOVES + 1), f"moves of {streams} streams"):
                order = [
                    (moved if flag else others)[place % (streams if flag else len(others))]
                    for flag, place in zip(
                        (rng.random(int(RATE * SECONDS)) < 0.5).tolist(),
                        rng.integers(2**31, size=int(RATE * SECONDS)).tolist(),
                        strict=True,
                    )
                ]
                after = "w1" if turn % 2 == 0 else "w0"
                mover = threading.Thread(target=fleet.ask, args=("move", PARTITION, after))
                answers = running.run(order, RATE, [(MOVE_AT, mover.start)])
                mover.join()
                if turn:  # the first one compiles
                    found.append(_pauses(answers, set(moved)))
    medians = {key: statistics.median(each[key] for each in found) for key in found[0]}
    kind = "LMDB" if store.startswith("lmdb") else "Redis"
    row: Row = {"question": f"{streams} streams move, {kind}", "unit": "ms", **medians}
    return [row], medians["longest pause"]


def _pauses(answers: list[Answer], moved: set[int]) -> dict[str, float]:
    """Return the longest pause of moved streams, and the p99 of others before and during it."""
    due = np.array([answer.due for answer in answers])
    taken = np.array([answer.came for answer in answers]) - due
    is_moved = np.array([answer.stream in moved for answer in answers])
    before = ~is_moved & (due > 0.2) & (due < MOVE_AT)
    during = ~is_moved & (due >= MOVE_AT) & (due < MOVE_AT + DURING)
    return {
        "longest pause": float(taken[is_moved & (due > MOVE_AT - 0.2)].max()) * 1e3,
        "others before, p99": float(np.percentile(taken[before], 99)) * 1e3,
        "others during, p99": float(np.percentile(taken[during], 99)) * 1e3,
    }


def kills(file: Path, folder: Path, streams: int) -> tuple[list[Row], dict[str, float]]:
    """Return how soon ``streams`` streams of a worker that is killed are served by another one."""
    found = []
    for turn in steps(range(KILLS + 1), f"kills of a worker with {streams} streams"):
        place = folder / f"kills-{streams}-{turn}"
        store = ("--store", f"lmdb:{place}", "--capacity", str(4 * streams), "--commit-ms", "20")
        with Fleet(file, 2, *store) as fleet, Client(endpoints=fleet.file, timeout=60.0) as client:
            killed = fleet.workers()["w0"]
            with Load(killed["router"], range(3 * streams)) as table:
                mine = [
                    stream
                    for stream, partition in table.partition.items()
                    if table.router[partition] == killed["router"]
                ][:streams]
                rows = observations(len(mine))
                _step_all(client, mine, rows, 1)
                table.ask(killed["router"], wire.Barrier(1, 0))  # all is committed
            began = time.perf_counter()
            os.kill(killed["pid"], signal.SIGKILL)
            client.step(mine[0], rows[0], seq=2)
            first = time.perf_counter() - began
            _step_all(client, mine[1:], rows[1:], 2)
            if turn:
                found.append({"first answer": first, "all back": time.perf_counter() - began})
    medians = {key: statistics.median(each[key] for each in found) for key in found[0]}
    row: Row = {"question": f"killed with {streams} streams", "unit": "s", **medians}
    return [row], medians


def _step_all(client: Client, streams: list[int], rows: Any, seq: int) -> None:
    for first in range(0, len(streams), BLOCK):
        part = slice(first, first + BLOCK)
        client.step_many(streams[part], rows[part], seqs=[seq] * len(streams[part]))


def workers(file: Path) -> tuple[list[Row], float]:
    """Return the rates of one and two workers, and the ratio of them."""
    with Fleet(file, 1) as one, Fleet(file, 2) as two, Sockets() as sockets:
        cases = {"one worker": _Feeders(one, sockets), "two workers": _Feeders(two, sockets)}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
        for turn in steps(range(ROUNDS + 1), "one worker and two"):
            for name, feeders in cases.items():
                measured = feeders.turn()
                if turn:
                    found[name].append(measured)
    rows: list[Row] = []
    for name, turns in found.items():
        medians = {key: statistics.median(each[key] for each in turns) for key in turns[0]}
        rows.append({"question": name, "unit": "steps/s", **medians})
    ratio = statistics.median(
        2 * b["steps a core-second"] / a["steps a core-second"]
        for a, b in zip(*found.values(), strict=True)
    )
    return rows, ratio


class _Feeders:
    """A compiled thread for each worker of a fleet, which sends it the streams that it has."""

    def __init__(self, fleet: Fleet, sockets: Sockets) -> None:
        self._fleet = fleet
        fleet.settle()
        self._routers = [worker["router"] for worker in fleet.workers().values()]
        self._sockets = {
            router: [sockets.connect(zmq.DEALER, router) for _ in range(CONNECTIONS)]
            for router in self._routers
        }
        self._processes = [psutil.Process(each["pid"]) for each in fleet.workers().values()]
        for core, process in zip(CORES, self._processes, strict=False):
            for thread in process.threads():
                os.sched_setaffinity(thread.id, {core})
        self._rest = set(CORES[len(self._processes) :]) or set(CORES)

    def _feeds(self) -> list[tuple[Any, Any]]:
        """Return sockets, and what each sends: the streams that its worker has now."""
        self._fleet.settle()
        streams = [f"sensor-{n:06d}" for n in range(4_000)]
        with Load(self._routers[0], range(1)) as table:
            routers = [table.router[p] for p in partitions_of(streams).tolist()]
        pairs = list(zip(streams, routers, strict=True))
        return [
            (socket, one_a_message([s for s, r in pairs if r == router]))
            for router, connected in self._sockets.items()
            for socket in connected
        ]

    def turn(self) -> dict[str, float]:
        """Send for some seconds; return rates, and the processor time that each side took.

        Again, if the fleet has moved streams meanwhile to balance what its workers do.
        """
        said = ""
        for _ in range(MOST_TURNS):
            try:
                return self._turn(self._feeds())
            except LoadError as error:
                said = str(error)
        raise SystemExit(f"nothing was measured in {MOST_TURNS} turns: {said}")

    def _turn(self, feeds: list[tuple[Any, Any]]) -> dict[str, float]:
        os.sched_setaffinity(0, self._rest)
        before = self._seconds()
        own, start = time.process_time(), time.perf_counter()
        with ThreadPoolExecutor(len(feeds)) as pool:
            asked = list(pool.map(lambda feed: load.throughput(feed[0], feed[1], TURN), feeds))
        elapsed = time.perf_counter() - start
        generator = time.process_time() - own
        taken = sum(b - a for a, b in zip(before, self._seconds(), strict=True))
        answered = sum(each.answered for each in asked)
        shared = generator if len(self._processes) == len(CORES) else 0.0
        room = len(self._processes) * elapsed - shared
        return {
            "rate": answered / elapsed,
            "load's cores": generator / elapsed,
            "workers' cores": taken / elapsed,
            "steps a core-second": answered / room,
        }

    def _seconds(self) -> list[float]:
        return [sum(process.cpu_times()[:2]) for process in self._processes]


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--only", choices=("moves", "kills", "workers"))
    arguments.add_argument("--store", choices=("lmdb", "redis"), help="of the moves; both")
    options = arguments.parse_args()
    rows: list[Row] = []
    ratios: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "model.safetensors"
        model().save(file)
        if options.only in (None, "moves"):
            if options.store in (None, "lmdb"):
                rows += moves(file, f"lmdb:{folder}/moves", ratios)
            if options.store in (None, "redis") and redis_server() is not None:
                with RedisServer(folder) as redis:
                    rows += moves(file, f"{redis.url}?prefix=moves", ratios)
        if options.only in (None, "kills"):
            for streams in (5_000, 100_000):
                more, times = kills(file, folder, streams)
                rows += more
                ratios[f"first answer of {streams}"] = times["first answer"]
                ratios[f"back {streams}"] = times["all back"]
        if options.only in (None, "workers"):
            more, ratios["two workers"] = workers(file)
            rows += more
    report("fleet", rows, ratios, options.json, targets=TARGETS)


if __name__ == "__main__":
    main()
