"""What does a store cost? Predictions a second and waiting times, with LMDB and without.

    python -m benchmarks.durability [--json FILE] [--rounds 5] [--seconds 2] [--folder PLACE]

Two workers, one with ``--store lmdb:`` and a commit every 100 ms, one without, are measured in
interleaved rounds, and medians are compared. The model is an LSTM of 64 units over 8 features.
Nearly all of the 10,000 streams change between two commits, which is the most that a commit can
have to write. The load is compiled code (benchmarks/live), and the replies are first compared with
an engine. PLACE is the parent folder of the store, which should be on the disk to be measured.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from streamlstm.loadtest import load, open_loop, zmtp

from .harness import parser, report
from .live import processes
from .live.messages import STREAMS, F
from .live.servers import Server, Servers
from .serving import CLIENTS, QUIET_LOAD, TRIPS, Bench, Result

NAMES = ("worker", "storing worker")


def rate(bench: Bench) -> list[Result]:
    """Measure predictions per second with one STEP a message."""

    def case(server: Server) -> Callable[[], float]:
        return lambda: load.throughput(server.socket, server.messages, bench.seconds).rate

    rates = bench.turns("one STEP a message", {n: case(bench.servers[n]) for n in NAMES})
    with_store, without = rates["storing worker"], rates["worker"]
    question = "one STEP a message, with the store against without"
    return [Result(question, "1/s", with_store, without, with_store / without, ">= 0.8")]


def single_client(bench: Bench) -> list[Result]:
    """Measure the round trip of a single client."""

    def case(server: Server) -> Callable[[], Any]:
        socket, messages = server.socket, server.messages
        return lambda: np.percentile(
            load.round_trips(socket, messages, bench.seconds, TRIPS) / 1e3, (50, 99)
        )

    times = bench.turns("round trips", {n: case(bench.servers[n]) for n in NAMES})
    return _latencies("round trip of a lone client", times)


def many_clients(bench: Bench) -> list[Result]:
    """Measure the latency of 64 clients at half of the capacity of the worker without a store."""
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(
                zmtp.Clients(bench.servers[name].process.endpoints["router"], CLIENTS)
            )
            for name in NAMES
        }
        return _scheduled(bench, clients)


def _scheduled(bench: Bench, clients: dict[str, Any]) -> list[Result]:
    messages, seconds = bench.servers["worker"].messages, bench.seconds
    capacity = [open_loop.saturated(clients["worker"], messages, seconds).rate for _ in range(3)]
    half = float(np.median(capacity)) / 2

    def case(name: str) -> Callable[[], Any]:
        return lambda: np.percentile(
            open_loop.scheduled(clients[name], messages, half, seconds).taken / 1e3, (50, 99)
        )

    times = bench.turns(f"{CLIENTS} clients", {name: case(name) for name in NAMES})
    return _latencies(f"{CLIENTS} clients, {half:.0f} STEPs a second", times)


def _latencies(what: str, times: dict[str, Any]) -> list[Result]:
    with_store, without = times["storing worker"], times["worker"]
    return [
        Result(f"{what}, {name}", "us", ours, against, ours / against, target)
        for name, ours, against, target in zip(
            ("p50", "p99"), with_store, without, ("", "<= 1.5"), strict=True
        )
    ]


def main() -> None:
    """Measure and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    options.add_argument("--folder", help="parent folder of the store")
    arguments = options.parse_args()
    if arguments.rounds < 1 or not 0.5 <= arguments.seconds <= 10:
        options.error("expected at least one round, and 0.5 to 10 seconds: several commits")
    processes.exit_on_sigterm()
    load_before = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder) as folder,
        Servers(Path(folder)) as servers,
    ):
        bench = Bench(servers, arguments.rounds, arguments.seconds)
        try:
            results = [a for measure in (rate, single_client, many_clients) for a in measure(bench)]
        except load.LoadError as error:
            raise SystemExit(f"{error}; nothing is reported") from None
    note = f"Over TCP on one machine; {STREAMS} streams, F={F}. Medians of {bench.rounds} rounds."
    if load_before > QUIET_LOAD:
        note += f"\nOthers were busy here: a load average of {load_before:.1f} at the start."
    report(
        "durability",
        [result.row() for result in results],
        {result.question: result.ratio for result in results},
        arguments.json,
        note,
        {a.question: float(a.target.split()[1]) for a in results if a.target},
    )


if __name__ == "__main__":
    main()
