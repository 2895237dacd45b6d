"""Records this machine's metrics at ten samples a second under an artificial load.

The shipped model was trained on such a recording. The load is drawn from a seed, so its schedule
can be reproduced: phases of 15 to 25 seconds, one kind after the other,

    idle      nothing
    restless  CPU bursts and small writes at random times, as on a desktop
    one-core  CPU bursts on one core, on and off with a period of 0.8 to 4 seconds
    two-cores the same on two cores, each with its own period
    sine      CPU duty as a sine or a ramp of 2 to 8 seconds
    busy      one or two cores without a pause
    disk      files written, fsynced and deleted, in bursts or as a trickle
    loopback  TCP traffic over 127.0.0.1, in bursts, as a ramp or as a sine
    memory    memory allocated and freed, in steps, ramps and sines
    mixture   two or three of these at once

The model is for machines that run the demo, so run the demo during the recording:

    python workers/demo.py --model ANY_MODEL --seconds 1200 &
    python examples/record_host.py --seconds 1200 --out examples/data/host.csv.gz
"""

import argparse
import contextlib
import gzip
import io
import math
import multiprocessing
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from streamlstm.data.host import SAMPLES_PER_SECOND, HostSampler

KINDS = (
    *("idle", "restless", "one-core", "sine", "idle", "two-cores"),
    *("disk", "restless", "loopback", "memory", "busy", "mixture"),
)
PERIODS = (0.8, 1.2, 1.6, 2.0, 3.0, 4.0)  # seconds
SHARES = (0.3, 0.5, 0.7)
PIECE = 60  # seconds of a stream: a model must also learn how streams start
SLICE = 0.02  # seconds between two looks at the schedule


@dataclass(frozen=True)
class Shape:
    """A periodic intensity between `low` and `high`; the period is in seconds."""

    form: str
    period: float
    share: float = 0.5  # of a period that a square is on
    low: float = 0.0
    high: float = 1.0

    def at(self, seconds: float) -> float:
        """Return the intensity at a time since the start of the phase."""
        cell, turn = divmod(seconds / self.period, 1)
        # Each period has one burst, at a random time.
        wait = random.Random(f"{cell} {self}").random() * (1 - self.share)
        level = {
            "random": float(wait <= turn < wait + self.share),
            "square": float(turn < self.share),
            "sine": 0.5 - 0.5 * math.cos(2 * math.pi * turn),
            "ramp": turn,
            "steady": 1.0,
        }[self.form]
        return self.low + (self.high - self.low) * level


@dataclass(frozen=True)
class Phase:
    """A phase of the schedule: its loads and their shapes."""

    start: float
    end: float
    kind: str
    loads: dict[str, Shape]


def schedule(seconds: float, seed: int) -> list[Phase]:
    """Draw phases for a duration of `seconds`."""
    draw = random.Random(seed)
    phases: list[Phase] = []
    start = 0.0
    while start < seconds:
        kind = KINDS[len(phases) % len(KINDS)]
        end = start + draw.uniform(15, 25)
        loads: dict[str, Shape] = {}
        for part in draw.sample(KINDS[2:-2], draw.choice((2, 3))) if kind == "mixture" else [kind]:
            loads |= _loads(part, draw)
        phases.append(Phase(start, min(end, seconds), kind, loads))
        start = end
    return phases


def _loads(kind: str, draw: random.Random) -> dict[str, Shape]:
    """Draw the loads of one kind; CPU in cores, disk and loopback in bytes/s, memory as a share."""
    core, other = draw.sample(("cpu-0", "cpu-1"), 2)

    def bursts(high: float) -> Shape:
        return Shape("square", draw.choice(PERIODS), draw.choice(SHARES), 0.0, high)

    def any_form(low: float, high: float) -> Shape:
        form = draw.choice(("square", "square", "sine", "ramp"))
        return Shape(form, draw.choice(PERIODS) * 2, draw.choice(SHARES), low, high)

    if kind == "restless":
        return {
            core: Shape("random", draw.uniform(0.6, 2), draw.uniform(0.1, 0.3), 0.0, 0.9),
            other: Shape("random", draw.uniform(1, 3), draw.uniform(0.05, 0.2), 0.0, 0.9),
            "disk": Shape("random", draw.uniform(2, 6), 0.1, 0.0, 10 ** draw.uniform(4.5, 6)),
        }
    if kind == "one-core":
        return {core: bursts(draw.choice((0.6, 0.8, 1.0)))}
    if kind == "two-cores":
        return {core: bursts(draw.choice((0.7, 1.0))), other: bursts(draw.choice((0.5, 0.9)))}
    if kind == "sine":
        form = draw.choice(("sine", "sine", "ramp"))
        return {core: Shape(form, 2 * draw.choice(PERIODS), 0.5, 0.05, draw.uniform(0.6, 1))}
    if kind == "busy":
        busy = Shape("steady", 1.0, high=draw.choice((0.7, 1.0)))
        return {core: busy, other: busy} if draw.random() < 0.3 else {core: busy}
    if kind == "disk":
        return {"disk": any_form(0.0, 10 ** draw.uniform(5, 7.3))}
    if kind == "loopback":
        low = draw.choice((0.0, 1e3))
        return {"loopback": any_form(low, 10 ** draw.uniform(4, 7.5))}
    if kind == "memory":
        return {"memory": any_form(0.0, draw.uniform(0.01, 0.06))}
    return {}


def _levels(load: str, phases: list[Phase], start: float) -> Iterator[float]:
    """Yield the current intensity of a load until the schedule ends."""
    for phase in phases:
        shape = phase.loads.get(load)
        while (now := time.monotonic() - start) < phase.end:
            yield shape.at(now - phase.start) if shape else 0.0


def work_cpu(load: str, phases: list[Phase], start: float) -> None:
    """Spin for a fraction of every slice, on the core in the name of the load."""
    core = int(load.removeprefix("cpu-"))
    if hasattr(os, "sched_setaffinity") and core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})
    for duty in _levels(load, phases, start):
        until = time.perf_counter() + duty * SLICE
        while time.perf_counter() < until:
            pass
        time.sleep(SLICE * (1 - duty) + 0.0001)


def work_disk(load: str, phases: list[Phase], start: float) -> None:
    """Write and fsync one file per 100 ms; keep the last ten files."""
    block = os.urandom(1 << 20)
    with tempfile.TemporaryDirectory(prefix=".load-", dir=".") as folder:
        for count, rate in enumerate(_levels(load, phases, start)):
            if rate > 0:
                path = Path(folder, str(count % 10))
                path.unlink(missing_ok=True)
                with path.open("wb") as file:
                    left = int(rate * 0.1)
                    while left > 0:
                        left -= file.write(block[:left])
                    os.fsync(file.fileno())
            time.sleep(0.1)


def work_loopback(load: str, phases: list[Phase], start: float) -> None:
    """Send bytes over a TCP connection to this process."""
    with _tcp_pair() as (here, there):
        for rate in _levels(load, phases, start):
            left = int(rate * SLICE)
            while left > 0:
                size = min(left, 32768)
                here.sendall(bytes(size))
                left -= len(there.recv(size, socket.MSG_WAITALL))
            time.sleep(SLICE)


def work_memory(load: str, phases: list[Phase], start: float) -> None:
    """Allocate a fraction of the machine's memory in blocks of 4 MiB."""
    size = 1 << 22
    total = psutil.virtual_memory().total
    blocks: list[bytes] = []
    for share in _levels(load, phases, start):
        wanted = int(share * total / size)
        if wanted > len(blocks):
            blocks.extend(bytes([1]) * size for _ in range(min(wanted - len(blocks), 16)))
        else:
            del blocks[wanted:]
        time.sleep(SLICE)


class _tcp_pair:  # noqa: N801 - reads as a function
    """Two connected TCP sockets on the loopback interface."""

    def __enter__(self) -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._here = socket.create_connection(listener.getsockname())
            self._there, _ = listener.accept()
        self._here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._here, self._there

    def __exit__(self, *_: object) -> None:
        self._here.close()
        self._there.close()


WORK: dict[str, Callable[[str, list[Phase], float], None]] = {
    "cpu-0": work_cpu,
    "cpu-1": work_cpu,
    "disk": work_disk,
    "loopback": work_loopback,
    "memory": work_memory,
}


def _work(load: str, phases: list[Phase], start: float) -> None:
    """Run one load in a child process."""
    WORK[load](load, phases, start)


def record(seconds: float, out: io.TextIOBase, sitting: str) -> int:
    """Write a row ``time,stream,value`` for every sample; return the number of missed slots.

    A missed slot (the machine was too busy to sample in time) gets the next sample, so that the
    rows form a regular grid.
    """
    sampler = HostSampler()
    start = time.monotonic()
    slot = missed = 0
    while slot < seconds * SAMPLES_PER_SECOND:
        due = start + (slot + 1) / SAMPLES_PER_SECOND
        time.sleep(max(due - time.monotonic(), 0.0))
        sample = sampler.sample()
        now = max(int((time.monotonic() - start) * SAMPLES_PER_SECOND), slot + 1)
        missed += now - slot - 1
        while slot < now:
            piece = slot // (PIECE * SAMPLES_PER_SECOND)
            slot += 1
            for stream, value in sample.items():
                name = f"{sitting}.{piece}/{stream}"
                out.write(f"{slot / SAMPLES_PER_SECOND:.1f},{name},{value:.5g}\n")
    return missed


def main() -> None:
    """Record, with the load unless --no-load is given."""
    parser = argparse.ArgumentParser(description="Record this machine's metrics under a load.")
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--out", type=Path, default=Path("host.csv.gz"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sitting", default="1", help="first part of the stream names")
    parser.add_argument("--append", action="store_true", help="add a sitting to the file")
    parser.add_argument("--no-load", action="store_true", help="record without a load")
    parser.add_argument("--show", action="store_true", help="print the schedule and exit")
    options = parser.parse_args()
    phases = schedule(options.seconds, options.seed)
    if options.show:
        for phase in phases:
            loads = ", ".join(f"{load} {shape}" for load, shape in phase.loads.items())
            print(f"{phase.start:7.1f} {phase.kind:10} {loads}")
        return
    spawn = multiprocessing.get_context("spawn")
    start = time.monotonic()
    workers = [
        spawn.Process(target=_work, args=(load, phases, start), daemon=True) for load in WORK
    ]
    if options.no_load:
        workers = []
    for worker in workers:
        worker.start()
    with contextlib.suppress(PermissionError):
        os.nice(-10)  # samples must be on time under load
    with gzip.open(options.out, "at" if options.append else "wt", compresslevel=9) as out:
        if not options.append:
            out.write("time,stream,value\n")
        missed = record(options.seconds, out, options.sitting)
    for worker in workers:
        worker.join()  # each ends with the schedule, and cleans up
    print(f"{options.out}: {options.seconds:g} s, {missed} slots missed", file=sys.stderr)


if __name__ == "__main__":
    main()
