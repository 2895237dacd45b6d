"""Blocks that are shared among threads: the gain on quiet cores, the cost where one is busy.

    python -m benchmarks.threads [--json FILE] [--rounds N]

Two LSTM layers of 64 units over 8 features; blocks of 32, 256 and 4,096 streams, on one thread and
on two. Busy means: another process computes without a pause on one of the cores. Every block is
timed; each figure is the median of several rounds, in which one and two threads take turns. On a
machine with other work the quiet figures are not quiet: the load before the start is in the note.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from streamlstm import LSTM, Engine, Model

from .harness import Row, parser, report, steps

F, H = 8, 64
BLOCKS = (32, 256, 4096)
SECONDS = 0.4  # of each case in a round,
LEAST = 120  # and the least number of blocks, for a 99th percentile


class Times(NamedTuple):
    """Percentiles of the time of a block in us, medians over the rounds."""

    p50: float
    p99: float
    mean: float


def _model() -> Model:
    rng = np.random.default_rng(H)
    layers = [LSTM(F, H), LSTM(H, H)]
    weights = [
        {n: rng.uniform(-1, 1, s) / H**0.5 for n, s in layer.parameters().items()}
        for layer in layers
    ]
    return Model(layers, weights)


@contextmanager
def busy_core() -> Iterator[None]:
    """Let another process compute on the last core without a pause."""
    core = max(os.sched_getaffinity(0))
    program = f"import os\nos.sched_setaffinity(0, [{core}])\nprint(flush=True)\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def round_of(engine: Engine, count: int) -> list[float]:
    """Step blocks of ``count`` streams for a while; return the us of each."""
    ids: Any = np.arange(count)
    X = np.random.default_rng(1).standard_normal((count, F)).astype(np.float32)
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end or len(times) < LEAST:
        engine.step_many(ids, X)
        times.append((time.perf_counter() - start) * 1e6)
    return times


def measure(count: int, rounds: int) -> dict[int, Times]:
    """Return the times of blocks of ``count`` streams on one and on two threads."""
    engines = {threads: Engine(_model(), count, threads=threads) for threads in (1, 2)}
    found: dict[int, list[tuple[float, ...]]] = {threads: [] for threads in engines}
    for number in range(rounds + 1):
        for threads, engine in engines.items():
            times = np.array(round_of(engine, count))
            if number:  # the first one warms up
                found[threads].append((*np.percentile(times, (50, 99)), times.mean()))
    return {
        threads: Times(*(statistics.median(column) for column in zip(*rows, strict=True)))
        for threads, rows in found.items()
    }


def main() -> None:
    """Measure everything and print the table."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--rounds", type=int, default=7, metavar="N")
    options = arguments.parse_args()
    load = os.getloadavg()[0]
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    for count in steps(BLOCKS, "threads"):
        quiet = measure(count, options.rounds)
        with busy_core():
            busy = measure(count, options.rounds)
        for name, times in (("quiet", quiet), ("one core busy", busy)):
            one, two = times[1], times[2]
            rows.append({
                "cores": name, "streams": float(count),
                "1 thread p50 us": one.p50, "p99 us": one.p99,
                "2 threads p50 us": two.p50, "2 threads p99 us": two.p99,
                "gain": one.mean / two.mean, "p99 against 1 thread": two.p99 / one.p99,
            })  # fmt: skip
        ratios[f"quiet, {count} streams: gain of two threads"] = quiet[1].mean / quiet[2].mean
        ratios[f"busy, {count} streams: p99 against one thread's"] = busy[2].p99 / busy[1].p99
    note = (
        f"Targets: a gain of 1.8 on quiet cores, and where one is busy at most 2 times the p99 of "
        f"one thread. Load average before the start: {load:.2f}."
    )
    report("threads", rows, ratios, options.json, note)


if __name__ == "__main__":
    main()
