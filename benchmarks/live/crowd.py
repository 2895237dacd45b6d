"""More streams than places: blocks of random streams against a worker that evicts to LMDB."""

import os
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import zmq

from streamlstm import Engine, wire
from streamlstm.client.client import Client
from streamlstm.loadtest import load
from streamlstm.loadtest.messages import Messages

from ..harness import Row
from . import processes
from .messages import BLOCK, blocks, model, observations

ORDERS = 4  # of all streams, sent in turn
SAMPLED = 200  # streams that are compared in the end
FASTEST = 20_000  # messages a second, at most


class Size(NamedTuple):
    """A sample of the worker, taken once a second."""

    second: float
    memory: int  # bytes
    file: int  # bytes


class Sampler(threading.Thread):
    """Samples memory and store of a worker once a second, until it is stopped."""

    def __init__(self, pid: int, store: Path) -> None:
        super().__init__(daemon=True)
        self.sizes: list[Size] = []
        self._process, self._data = psutil.Process(pid), store / "data.mdb"
        self._stopping = threading.Event()

    def run(self) -> None:
        """Sample."""
        start = time.monotonic()
        while True:
            memory, file = self._process.memory_info().rss, self._data.stat().st_size
            self.sizes.append(Size(time.monotonic() - start, memory, file))
            if self._stopping.wait(1.0):
                return

    def stop(self) -> None:
        """Take a last sample."""
        self._stopping.set()
        self.join()


def run(folder: Path, streams: int, capacity: int, seconds: float, loop: str) -> list[Row]:
    """Return a row for each tenth of the time and one for all of it; raise SystemExit if wrong."""
    ids: list[wire.StreamId] = [f"sensor-{n:06d}" for n in range(streams)]
    random = np.random.default_rng(0)
    order = [ids[n] for _ in range(ORDERS) for n in random.permutation(streams)]
    messages, file = blocks(order), folder / "model.safetensors"
    model().save(file)
    options = ["--capacity", str(capacity), "--when-full", "evict-idle"]
    options += ["--store", f"lmdb:{folder / 'store'}"]
    with (
        processes.worker(file, *options, loop=loop) as worker,
        processes.Sockets() as sockets,
        Client(worker.endpoints["router"], timeout=20) as client,
    ):
        socket = sockets.connect(zmq.DEALER, worker.endpoints["router"])
        load.throughput(socket, messages, 60, len(order) // BLOCK // ORDERS, 1)  # each once
        sampler = Sampler(worker.pid, folder / "store")
        sampler.start()
        before = client.info()
        taken = load.round_trips(socket, messages, seconds, int(FASTEST * seconds))
        after = client.info()
        sampler.stop()
        check(client, messages, order, len(order) // BLOCK // ORDERS, len(taken))
    commits = after["store"]["committed"] - before["store"]["committed"]
    return rows(taken, sampler.sizes, commits)


def rows(taken: Any, sizes: list[Size], commits: int) -> list[Row]:
    """Return a row for each tenth of the time and one for all of it."""
    ends = np.cumsum(taken) / 1e9
    edges = np.linspace(0, ends[-1], 11)
    made = [
        _row(f"{b:.0f} s", taken[(ends > a) & (ends <= b)], sizes, b) for a, b in pairwise(edges)
    ]
    whole = _row("all", taken, sizes, ends[-1])
    return [*made, {**whole, "commits/s": commits / ends[-1]}]


def _row(name: str, taken: Any, sizes: list[Size], second: float) -> Row:
    size = min(sizes, key=lambda size: abs(size.second - second))
    p50, p99, p999 = np.percentile(taken, (50, 99, 99.9)) / 1e6
    return {
        "until": name,
        "observations/s": BLOCK * len(taken) / (taken.sum() / 1e9),
        "p50 ms": p50,
        "p99 ms": p99,
        "p99.9 ms": p999,
        "longest ms": taken.max() / 1e6,
        "data.mdb MB": size.file / 1e6,
        "memory MB": size.memory / 1e6,
    }


def check(
    client: Client, messages: Messages, order: list[wire.StreamId], warm: int, sent: int
) -> None:
    """Compare some streams of the worker with an engine that applied the same."""
    engine, X = Engine(model(), len(order), threads=1), observations(len(order))
    kinds = len(messages.sizes)
    for n in [*range(warm), *(n % kinds for n in range(sent))]:
        part = slice(BLOCK * n, BLOCK * (n + 1))
        engine.step_many(order[part], X[part])
    for stream in order[:: len(order) // SAMPLED]:
        if stream in engine and client.export_stream(stream) != engine.export_stream(stream):
            raise SystemExit(f"stream {stream!r} is not in the state that it must have")


def load_average() -> str:
    """Return what else ran on the machine."""
    return f"load average {os.getloadavg()[0]:.1f}"
