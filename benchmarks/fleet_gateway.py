"""What a gateway costs: requests through it against requests to the worker behind it.

    python -m benchmarks.fleet_gateway [--json [FILE]] [--rounds 5] [--seconds 1]

A fleet of one worker (H = 64) and its gateway share the machine with the load, so they take turns:
one STEP a message, which several clients keep in flight, compiled threads of this process; and the
round trip of a lone client. Rates are told for each second, and for each second of processor time
of worker and gateway together, as the load takes part of a machine that has few cores.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zmq

from streamlstm.loadtest import load
from streamlstm.loadtest.messages import Messages

from .harness import Row, parser, report, steps
from .live.fleet import Fleet
from .live.messages import STREAMS, model, one_a_message
from .live.processes import Sockets

CLIENTS = 4
WINDOW = 125  # requests of a client in flight
TRIPS = 5_000  # of a round at most
TARGETS = {"rate": 0.5, "p50": 60.0}


def measure(file: Path, rounds: int, seconds: float) -> tuple[list[Row], dict[str, float]]:
    """Return rates and round trips of both ways, the ratio of rates and the us a trip takes more.

    Parameters
    ----------
    file : Path
        The model.
    rounds : int
    seconds : float
        For which each is measured in each round.
    """
    messages = one_a_message([f"sensor-{n:06d}" for n in range(STREAMS)])
    with Fleet(file, 1, "--gateway", "tcp://127.0.0.1:*") as fleet, Sockets() as sockets:
        ends = {"worker": fleet.workers()["w0"], "gateway": fleet.gateway()}
        ways = {
            name: [sockets.connect(zmq.DEALER, end["router"]) for _ in range(CLIENTS)]
            for name, end in ends.items()
        }
        processes = [psutil.Process(end["pid"]) for end in ends.values()]
        rates: dict[str, list[float]] = {name: [] for name in ways}
        shares: dict[str, list[float]] = {name: [] for name in ways}
        trips: dict[str, list[float]] = {name: [] for name in ways}
        for turn in steps(range(rounds + 1), "gateway"):
            for name, dealers in ways.items():
                before = _seconds(processes)
                answered, elapsed = _saturate(dealers, messages, seconds)
                taken = _seconds(processes) - before
                p50 = np.median(load.round_trips(dealers[0], messages, seconds, TRIPS)) / 1e3
                if turn:  # the first one warms up
                    rates[name].append(answered / elapsed)
                    shares[name].append(answered / taken)
                    trips[name].append(float(p50))
    rows: list[Row] = [
        {
            "question": name,
            "STEPs/s": statistics.median(rates[name]),
            "STEPs a core-second": statistics.median(shares[name]),
            "p50 of a lone client, us": statistics.median(trips[name]),
        }
        for name in ways
    ]
    return rows, {
        "rate": statistics.median(
            b / a for a, b in zip(rates["worker"], rates["gateway"], strict=True)
        ),
        "p50": statistics.median(
            b - a for a, b in zip(trips["worker"], trips["gateway"], strict=True)
        ),
    }


def _saturate(dealers: list[Any], messages: Messages, seconds: float) -> tuple[int, float]:
    """Keep requests of all clients in flight; return how many were answered, and in which time."""
    start = time.perf_counter()
    with ThreadPoolExecutor(len(dealers)) as pool:
        outcomes = pool.map(
            lambda dealer: load.throughput(dealer, messages, seconds, window=WINDOW), dealers
        )
        answered = sum(outcome.answered for outcome in outcomes)
    return answered, time.perf_counter() - start


def _seconds(processes: list[psutil.Process]) -> float:
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=1.0)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        model().save(file)
        rows, ratios = measure(file, options.rounds, options.seconds)
    report("fleet_gateway", rows, ratios, options.json, targets=TARGETS)


if __name__ == "__main__":
    main()
