"""What does a store cost? Predictions a second and waiting times, with LMDB and without.

    python -m benchmarks.durability [--json FILE] [--rounds 5] [--seconds 2] [--folder PLACE]

Two workers, one with ``--store lmdb:`` and a commit every 100 ms, one without, take their turn in
every round, and medians are compared. The model is an LSTM of 64 units over 8 features, the streams
are 10,000, and all of them change between two commits, or nearly so: the most that a commit can
have to write. The load is compiled code (benchmarks/live), and answers are compared with an
engine's first. PLACE is where the store is made; it should be on the disk that is meant.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from .harness import parser, report
from .live import load, processes, schedule, zmtp
from .live.contenders import Contender, Contenders
from .live.messages import STREAMS, F
from .serving import CLIENTS, QUIET_LOAD, TRIPS, Answer, Bench

NAMES = ("worker", "storing worker")


def rate(bench: Bench) -> list[Answer]:
    """Measure predictions a second, one STEP a message."""

    def case(contender: Contender) -> Callable[[], float]:
        return lambda: load.throughput(contender.socket, contender.messages, bench.seconds).rate

    rates = bench.turns("one STEP a message", {n: case(bench.contenders[n]) for n in NAMES})
    with_store, without = rates["storing worker"], rates["worker"]
    question = "one STEP a message, with the store against without"
    return [Answer(question, "1/s", with_store, without, with_store / without, ">= 0.8")]


def lone(bench: Bench) -> list[Answer]:
    """Measure how long a lone client waits."""

    def case(contender: Contender) -> Callable[[], Any]:
        socket, messages = contender.socket, contender.messages
        return lambda: np.percentile(
            load.round_trips(socket, messages, bench.seconds, TRIPS) / 1e3, (50, 99)
        )

    times = bench.turns("round trips", {n: case(bench.contenders[n]) for n in NAMES})
    return _waits("round trip of a lone client", times)


def many_clients(bench: Bench) -> list[Answer]:
    """Measure how long 64 clients wait that send at half of what a worker without store can do."""
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(
                zmtp.Clients(bench.contenders[name].process.endpoints["router"], CLIENTS)
            )
            for name in NAMES
        }
        return _scheduled(bench, clients)


def _scheduled(bench: Bench, clients: dict[str, Any]) -> list[Answer]:
    messages, seconds = bench.contenders["worker"].messages, bench.seconds
    capacity = [schedule.saturated(clients["worker"], messages, seconds).rate for _ in range(3)]
    half = float(np.median(capacity)) / 2

    def case(name: str) -> Callable[[], Any]:
        return lambda: np.percentile(
            schedule.scheduled(clients[name], messages, half, seconds).taken / 1e3, (50, 99)
        )

    times = bench.turns(f"{CLIENTS} clients", {name: case(name) for name in NAMES})
    return _waits(f"{CLIENTS} clients, {half:.0f} STEPs a second", times)


def _waits(what: str, times: dict[str, Any]) -> list[Answer]:
    with_store, without = times["storing worker"], times["worker"]
    return [
        Answer(f"{what}, {name}", "us", ours, against, ours / against, target)
        for name, ours, against, target in zip(
            ("p50", "p99"), with_store, without, ("", "<= 1.5"), strict=True
        )
    ]


def main() -> None:
    """Measure and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    options.add_argument("--folder", help="where the store is made")
    arguments = options.parse_args()
    if arguments.rounds < 1 or not 0.5 <= arguments.seconds <= 10:
        options.error("expected at least one round, and 0.5 to 10 seconds: several commits")
    processes.ended_by_sigterm()
    load_before = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder) as folder,
        Contenders(Path(folder)) as contenders,
    ):
        bench = Bench(contenders, arguments.rounds, arguments.seconds)
        try:
            answers = [a for measure in (rate, lone, many_clients) for a in measure(bench)]
        except load.LoadError as error:
            raise SystemExit(f"{error}; nothing is reported") from None
    note = f"Over TCP on one machine; {STREAMS} streams, F={F}. Medians of {bench.rounds} rounds."
    if load_before > QUIET_LOAD:
        note += f"\nOthers were busy here: a load average of {load_before:.1f} at the start."
    report(
        "durability",
        [answer.row() for answer in answers],
        {answer.question: answer.ratio for answer in answers},
        arguments.json,
        note,
        {a.question: float(a.target.split()[1]) for a in answers if a.target},
    )


if __name__ == "__main__":
    main()
