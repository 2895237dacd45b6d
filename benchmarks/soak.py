"""Does a worker's memory stay flat? Minutes under full load.

    python -m benchmarks.soak [--minutes 10] [--loop native] [--json FILE]
    python -m benchmarks.soak --streams 50000 --capacity 5000 [--seconds 600] [--folder PLACE]

The loads run concurrently: a window of STEPs, a window of STEPS, observations pushed as fast as
they are accepted, and a subscriber of all that is pushed. Every reply is checked. Resident memory
is sampled once a second; it is flat if it ends within 2 % of its value after the warm-up, which is
a tenth of the time.

With ``--streams`` the load is another: one client steps blocks of 256 of that many streams, in
random order, at a worker with room for ``--capacity`` of them that evicts the others to LMDB. It
shows how long those wait who need room, and whether file and memory level off. PLACE is the parent
folder of the store.
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
from streamlstm.loadtest import load

from .harness import Row, parser, report, steps
from .live import crowd, processes
from .live.messages import BLOCK, STREAMS, blocks, model, one_a_message

FED = 1_000  # streams that are pushed
BLOCK_WINDOW = 8
TURN = 0.5  # seconds of a call of compiled code
WARM = 0.1  # of the time
FLAT = 1.02
SETTLE_SECONDS = 10.0  # in which the worker must apply what is queued at the end
LAST = 5  # samples of memory that are averaged


class LoadThread:
    """One kind of load in a thread, until it is stopped or fails.

    Parameters
    ----------
    turn : callable
        Runs the load for ``TURN`` seconds; returns the number of predictions.
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
        """Stop after the current turn."""
        self._stopping.set()
        self._thread.join()


class Sample(NamedTuple):
    """A sample of the worker, taken once a second."""

    second: float
    memory: int  # bytes
    steps: int  # observations that the worker has applied since its start


def connect(worker: processes.Process, sockets: processes.Sockets) -> tuple[Any, Any, Any, Any]:
    """Return the sockets of all loads, with all streams known and the subscription active."""
    stepping = sockets.connect(zmq.DEALER, worker.endpoints["router"])
    stepping_blocks = sockets.connect(zmq.DEALER, worker.endpoints["router"])
    pushing = sockets.connect(zmq.PUSH, worker.endpoints["pull"])
    subscribing = sockets.connect(zmq.SUB, worker.endpoints["xpub"], RCVHWM=0, SUBSCRIBE=b"fed-")
    load.throughput(stepping, one_a_message(), 60, STREAMS)
    # ZeroMQ does not report when a subscription is active: step until something is published.
    for _ in range(100):
        load.throughput(stepping, one_a_message(["fed-first"]), 1, 1)
        if load.listen(subscribing, TURN):
            return stepping, stepping_blocks, pushing, subscribing
    raise SystemExit("the subscriber received nothing")


def start_loads(
    stepping: Any, stepping_blocks: Any, pushing: Any, subscribing: Any
) -> dict[str, LoadThread]:
    """Start all loads."""
    one, many = one_a_message(), blocks()
    fed = one_a_message([f"fed-{n:06d}" for n in range(FED)])
    return {
        "STEP": LoadThread(lambda: load.throughput(stepping, one, TURN).answered),
        "STEPS": LoadThread(
            lambda: (
                BLOCK * load.throughput(stepping_blocks, many, TURN, window=BLOCK_WINDOW).answered
            )
        ),
        "pushed": LoadThread(lambda: load.feed(pushing, fed, TURN)),
        "heard": LoadThread(lambda: load.listen(subscribing, TURN)),
    }


def watch(
    worker: processes.Process, client: Client, running: dict[str, LoadThread], seconds: int
) -> list[Sample]:
    """Sample memory and steps once a second."""
    process, start = psutil.Process(worker.pid), time.monotonic()
    samples = []
    for second in steps(range(seconds), "soak"):
        time.sleep(max(0.0, start + second + 1 - time.monotonic()))
        applied = client.info()["counters"]["steps"]
        samples.append(Sample(time.monotonic() - start, process.memory_info().rss, applied))
        check(running)
    return samples


def check(running: dict[str, LoadThread]) -> None:
    """End the benchmark if a load has failed."""
    for name, thread in running.items():
        if thread.error is not None:
            raise SystemExit(f"{name}: {thread.error}")


def settle(client: Client) -> dict[str, Any]:
    """Return the worker's counters when no message is in flight."""
    deadline, before = time.monotonic() + SETTLE_SECONDS, -1
    while True:
        counters: dict[str, Any] = client.info()["counters"]
        if counters["steps"] == before:
            return counters
        if time.monotonic() > deadline:
            raise SystemExit(f"the worker was still busy after {SETTLE_SECONDS:g} s: {counters}")
        before = counters["steps"]
        time.sleep(0.5)


def minutes(samples: list[Sample]) -> list[Row]:
    """Return a row for each minute; the last one may be shorter."""
    rows: list[Row] = []
    before = Sample(0.0, 0, 0)
    for start in range(0, len(samples), 60):
        part = samples[start : start + 60]
        if start == 0 and len(part) > 1:
            before, part = part[0], part[1:]  # the steps before the first sample are unknown
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


def reconcile(running: dict[str, LoadThread], first: int, counters: dict[str, Any]) -> str:
    """Compare the messages sent with the worker's counters; ``first`` were applied before."""
    sent = sum(running[name].done for name in ("STEP", "STEPS", "pushed")) + first
    if counters["steps"] != sent or counters["dropped_answers"] or counters["errors"]:
        raise SystemExit(f"{sent} observations were sent, and the worker says {counters}")
    missed = running["pushed"].done - running["heard"].done
    if missed and not counters["subscriber_overflows"]:
        raise SystemExit(f"{missed} publications were lost, and the worker says {counters}")
    return (
        f"{sent:,} observations, each applied once; {running['heard'].done:,} of "
        f"{running['pushed'].done:,} that were pushed were heard by the subscriber, whose queue "
        f"was full {counters['subscriber_overflows']:,} times."
    )


def main() -> None:
    """Run the benchmark and print the results."""
    options = parser(__doc__ or "")
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--loop", choices=("native", "python"), default="native")
    options.add_argument("--streams", type=int, help="instead: so many, through --capacity places")
    options.add_argument("--capacity", type=int, default=5_000)
    options.add_argument("--seconds", type=float, help="instead of --minutes")
    options.add_argument("--folder", help="parent folder of the store")
    arguments = options.parse_args()
    if arguments.seconds is not None:
        arguments.minutes = arguments.seconds / 60
    if not 0.05 <= arguments.minutes <= 10_000:
        options.error("expected 0.05 to 10,000 minutes")
    processes.exit_on_sigterm()
    seconds = max(3, round(60 * arguments.minutes))
    if arguments.streams is not None:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            rows = crowd.run(
                Path(folder), arguments.streams, arguments.capacity, seconds, arguments.loop
            )
        report("soak", rows, {}, arguments.json, crowd.load_average())
        return
    with tempfile.TemporaryDirectory() as folder, processes.Sockets() as sockets:
        file = Path(folder) / "model.safetensors"
        model().save(file)
        with (
            processes.worker(file, loop=arguments.loop) as worker,
            Client(worker.endpoints["router"], timeout=20) as client,
        ):
            load_sockets = connect(worker, sockets)
            first = client.info()["counters"]["steps"]
            running = start_loads(*load_sockets)
            try:
                samples = watch(worker, client, running, seconds)
                for name in ("pushed", "STEP", "STEPS"):
                    running[name].stop()
                counters = settle(client)
            finally:
                for (
                    thread
                ) in running.values():  # the subscriber last: it receives all that was sent
                    thread.stop()
            check(running)
            note = reconcile(running, first, counters)
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
