"""Does a worker stay as it is? Minutes under full load, with its memory watched.

    python -m benchmarks.soak [--minutes 10] [--loop native] [--json FILE]

All at once: a window of STEPs, a window of STEPS, observations pushed as fast as they are taken,
and a subscriber of all that is pushed. Every answer is looked at. Resident memory is read once a
second; it is flat if it ends within 2 % of what it was after the warm-up, a tenth of the time.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import zmq

from streamlstm.client.client import Client

from .harness import Row, parser, report, steps
from .live import load, processes
from .live.messages import BLOCK, STREAMS, blocks, model, one_a_message

FED = 1_000  # streams that are pushed
BLOCK_WINDOW = 8
TURN = 0.5  # seconds of a call of compiled code
WARM = 0.1  # of the time
FLAT = 1.02
QUIET_SECONDS = 10.0  # in which the worker has to apply what is queued at the end
LAST = 5  # samples of memory that are averaged


class Pull:
    """One kind of load in a thread of its own, until it is stopped or fails.

    Parameters
    ----------
    turn : callable
        Does its part for ``TURN`` seconds; returns how many predictions that brought.
    """

    def __init__(self, turn: Callable[[], int]) -> None:
        self.done = 0
        self.error: Exception | None = None
        self._turn, self._stopping = turn, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.done += self._turn()
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        """Let it come to the end of its turn."""
        self._stopping.set()
        self._thread.join()


class Sample(NamedTuple):
    """What was read in one second."""

    second: float
    memory: int  # bytes
    steps: int  # observations that the worker has applied since its start


def connect(worker: processes.Process, sockets: processes.Sockets) -> tuple[Any, Any, Any, Any]:
    """Return the sockets of every load, with all streams known and the subscription in place."""
    asking = sockets.connect(zmq.DEALER, worker.endpoints["router"])
    blocking = sockets.connect(zmq.DEALER, worker.endpoints["router"])
    feeding = sockets.connect(zmq.PUSH, worker.endpoints["pull"])
    hearing = sockets.connect(zmq.SUB, worker.endpoints["xpub"], RCVHWM=0, SUBSCRIBE=b"fed-")
    load.throughput(asking, one_a_message(), 60, STREAMS)
    # ZeroMQ does not tell when a subscription has arrived: ask until something is heard.
    for _ in range(100):
        load.throughput(asking, one_a_message(["fed-first"]), 1, 1)
        if load.listen(hearing, TURN):
            return asking, blocking, feeding, hearing
    raise SystemExit("the subscriber heard nothing")


def pulls(asking: Any, blocking: Any, feeding: Any, hearing: Any) -> dict[str, Pull]:
    """Start every kind of load."""
    one, many = one_a_message(), blocks()
    fed = one_a_message([f"fed-{n:06d}" for n in range(FED)])
    return {
        "STEP": Pull(lambda: load.throughput(asking, one, TURN).answered),
        "STEPS": Pull(
            lambda: BLOCK * load.throughput(blocking, many, TURN, window=BLOCK_WINDOW).answered
        ),
        "pushed": Pull(lambda: load.feed(feeding, fed, TURN)),
        "heard": Pull(lambda: load.listen(hearing, TURN)),
    }


def watch(
    worker: processes.Process, client: Client, running: dict[str, Pull], seconds: int
) -> list[Sample]:
    """Read memory and counts once a second."""
    process, start = psutil.Process(worker.pid), time.monotonic()
    samples = []
    for second in steps(range(seconds), "soak"):
        time.sleep(max(0.0, start + second + 1 - time.monotonic()))
        applied = client.info()["counters"]["steps"]
        samples.append(Sample(time.monotonic() - start, process.memory_info().rss, applied))
        check(running)
    return samples


def check(running: dict[str, Pull]) -> None:
    """End the benchmark if a load has failed."""
    for name, pull in running.items():
        if pull.error is not None:
            raise SystemExit(f"{name}: {pull.error}")


def settle(client: Client) -> dict[str, Any]:
    """Return the worker's counters when nothing is on its way any more."""
    deadline, before = time.monotonic() + QUIET_SECONDS, -1
    while True:
        counters: dict[str, Any] = client.info()["counters"]
        if counters["steps"] == before:
            return counters
        if time.monotonic() > deadline:
            raise SystemExit(f"the worker was still busy after {QUIET_SECONDS:g} s: {counters}")
        before = counters["steps"]
        time.sleep(0.5)


def minutes(samples: list[Sample]) -> list[Row]:
    """Return a line for each minute, the last one perhaps shorter."""
    rows: list[Row] = []
    before = Sample(0.0, 0, 0)
    for start in range(0, len(samples), 60):
        part = samples[start : start + 60]
        if start == 0 and len(part) > 1:
            before, part = part[0], part[1:]  # what came before the first sample is not known
        taken = part[-1].second - before.second
        rows.append(
            {
                "minute": str(start // 60 + 1),
                "predictions/s": (part[-1].steps - before.steps) / max(taken, 1e-9),
                "memory MB": statistics.median(sample.memory for sample in part) / 1e6,
                "highest MB": max(sample.memory for sample in part) / 1e6,
            }
        )
        before = part[-1]
    return rows


def books(running: dict[str, Pull], first: int, counters: dict[str, Any]) -> str:
    """Compare what was asked with what the worker counted; ``first`` it had applied before."""
    asked = sum(running[name].done for name in ("STEP", "STEPS", "pushed")) + first
    if counters["steps"] != asked or counters["dropped_answers"] or counters["errors"]:
        raise SystemExit(f"{asked} observations were sent, and the worker says {counters}")
    missed = running["pushed"].done - running["heard"].done
    if missed and not counters["subscriber_overflows"]:
        raise SystemExit(f"{missed} publications were lost, and the worker says {counters}")
    return (
        f"{asked:,} observations, each applied once; {running['heard'].done:,} of "
        f"{running['pushed'].done:,} that were pushed were heard by the subscriber, whose queue "
        f"was full {counters['subscriber_overflows']:,} times."
    )


def main() -> None:
    """Load a worker for so long and print what became of it."""
    options = parser(__doc__ or "")
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--loop", choices=("native", "python"), default="native")
    arguments = options.parse_args()
    if not 0.05 <= arguments.minutes <= 10_000:
        options.error("expected 0.05 to 10,000 minutes")
    processes.ended_by_sigterm()
    seconds = max(3, round(60 * arguments.minutes))
    with tempfile.TemporaryDirectory() as folder, processes.Sockets() as sockets:
        file = Path(folder) / "model.safetensors"
        model().save(file)
        with (
            processes.worker(file, loop=arguments.loop) as worker,
            Client(worker.endpoints["router"], timeout=20) as client,
        ):
            load_sockets = connect(worker, sockets)
            first = client.info()["counters"]["steps"]
            running = pulls(*load_sockets)
            try:
                samples = watch(worker, client, running, seconds)
                for name in ("pushed", "STEP", "STEPS"):
                    running[name].stop()
                counters = settle(client)
            finally:
                for pull in running.values():  # the subscriber last: it hears all that was sent
                    pull.stop()
            check(running)
            note = books(running, first, counters)
    memory = np.array([sample.memory for sample in samples]) / 1e6
    warm = round(WARM * len(memory))
    begin = float(np.median(memory[warm : warm + LAST]))
    end = float(np.median(memory[-LAST:]))
    rows = minutes(samples)
    rows.append({"minute": "after warm-up", "memory MB": begin})
    rows.append({"minute": "at the end", "memory MB": end, "highest MB": float(memory.max())})
    ratios = {"memory at the end against after warm-up": end / begin}
    report("soak", rows, ratios, arguments.json, note, dict.fromkeys(ratios, FLAT))


if __name__ == "__main__":
    main()
