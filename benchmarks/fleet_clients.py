"""What a fleet costs a client: one STEP a message, pipelined, to a fleet and to a single worker.

    chrt -r 5 python -m benchmarks.fleet_clients [--workers 2] [--json FILE]

One process submits observations with `Client.submit` to the workers of a fleet and, in turn, to one
worker that belongs to none. Rates are observations a second; CPU is what the client's process takes
for each, all threads. The client is what limits both.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from streamlstm.client.client import Client

from .harness import Row, parser, report, steps
from .live.fleet import Fleet
from .live.messages import F, model
from .live.processes import worker

STREAMS = [f"pump-{n}" for n in range(1_000)]
COUNT, ROUNDS = 20_000, 9
TARGETS = {"rate": 0.9}


def measure(client: Client) -> tuple[float, float]:
    """Return observations a second, and microseconds of CPU for each."""
    x = np.ones(F, np.float32)
    start, cpu = time.perf_counter(), time.process_time()
    futures = [client.submit(STREAMS[n % len(STREAMS)], x) for n in range(COUNT)]
    for future in futures:
        future.result()
    taken = time.process_time() - cpu
    return COUNT / (time.perf_counter() - start), taken / COUNT * 1e6


def main() -> None:
    """Measure in turn, and print medians."""
    options = parser(__doc__ or "")
    options.add_argument("--workers", type=int, default=2)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        model().save(file)
        with (
            Fleet(file, arguments.workers, "--store", "memory") as fleet,
            worker(file) as lone,
            Client(endpoints=fleet.file, timeout=60.0) as many,
            Client(lone.endpoints["router"], timeout=60.0) as one,
        ):
            measure(many)
            measure(one)
            found = [(measure(many), measure(one)) for _ in steps(range(ROUNDS), "rounds")]
    rows: list[Row] = []
    for place, name in enumerate((f"fleet of {arguments.workers}", "one worker")):
        rates, cpus = zip(*(pair[place] for pair in found), strict=True)
        rate, cpu = statistics.median(rates), statistics.median(cpus)
        rows.append({"client of": name, "observations/s": rate, "CPU, us": cpu})
    ratios = {
        "rate": statistics.median(many[0] / one[0] for many, one in found),
        "cpu": statistics.median(one[1] / many[1] for many, one in found),
    }
    note = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    report("fleet_clients", rows, ratios, arguments.json, f"of one worker: {note}", TARGETS)


if __name__ == "__main__":
    main()
