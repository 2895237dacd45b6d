"""What does serving cost? Predictions a second, round trips, many clients, an idle worker.

    python -m benchmarks.serving [--json FILE] [--rounds 5] [--seconds 1] [--only PART]

Every server is a separate process, started once; the rounds are interleaved, and medians are
compared. The model is an LSTM of 64 units over 8 features with one output, on one thread, with
10,000 streams. The load is compiled code (benchmarks/live). Before anything is timed, the replies
of the workers are compared with an engine; a reply that is an error, belongs to another stream or
is missing ends the benchmark. PART is one, many, trip, load or idle.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from streamlstm import Engine
from streamlstm.loadtest import load, open_loop, zmtp

from .harness import Row, parser, report, steps
from .live import processes
from .live.messages import BLOCK, IDS, STREAMS, F, observations
from .live.servers import IPC, SPIN, Server, Servers

BLOCK_WINDOW = 16  # STEPS in flight
CLIENTS = 64
TRIPS = 20_000  # maximum of a round
IDLE_SECONDS = 5.0
QUIET_LOAD = 0.5  # load average above which the machine is busy with other work


class Result(NamedTuple):
    """A measured value and its target."""

    question: str
    unit: str
    ours: float
    against: float | None
    ratio: float
    target: str = ""  # a sign and a number

    def row(self) -> Row:
        """Return the row of the table."""
        return {
            "question": self.question,
            "unit": self.unit,
            "ours": self.ours,
            "against": self.against,
            "ratio": self.ratio,
            "target": self.target or None,
        }


class Bench(NamedTuple):
    """The servers and settings of all parts."""

    servers: Servers
    rounds: int
    seconds: float  # of one measurement

    def turns(self, what: str, cases: dict[str, Callable[[], Any]]) -> dict[str, Any]:
        """Measure all cases in interleaved rounds; return the median of each."""
        measured: dict[str, list[Any]] = {name: [] for name in cases}
        for _ in steps(range(self.rounds), what):
            for name, case in cases.items():
                measured[name].append(case())
        return {name: np.median(values, axis=0) for name, values in measured.items()}


def one(bench: Bench) -> list[Result]:
    """Measure predictions per second with one STEP a message."""

    def rate(server: Server) -> Callable[[], float]:
        return lambda: load.throughput(server.socket, server.messages, bench.seconds).rate

    names = ("echo", "worker", "python worker", "PyTorch worker", "echo" + IPC, "worker" + IPC)
    found = {name: bench.servers.get(name) for name in names}
    cases = {name: rate(server) for name, server in found.items() if server is not None}
    rates = bench.turns("one STEP a message", cases)
    return [
        Result(
            f"one STEP a message{over}, against {title}",
            "1/s",
            rates["worker" + over],
            rates[name],
            rates["worker" + over] / rates[name],
            target,
        )
        for name, over, title, target in (
            ("echo", "", "a compiled echo of the same bytes", ">= 0.75"),
            ("echo" + IPC, IPC, "a compiled echo of the same bytes", ">= 0.75"),
            ("python worker", "", "the worker's loop in Python", ">= 6"),
            ("PyTorch worker", "", "pyzmq, msgpack and PyTorch", ">= 80"),
        )
        if name in rates
    ]


def many(bench: Bench) -> list[Result]:
    """Measure STEPS of 256 streams relative to the engine in the same process."""
    server, messages = bench.servers["worker"], bench.servers.blocks
    engine = Engine(bench.servers.model, STREAMS, threads=1)
    X = observations(STREAMS)
    starts = range(0, STREAMS - BLOCK + 1, BLOCK)
    parts = [(IDS[start : start + BLOCK], X[start : start + BLOCK]) for start in starts]

    def inside() -> float:
        done, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < bench.seconds:
            engine.step_many(*parts[done % len(parts)])
            done += 1
        return done * BLOCK / elapsed

    def served() -> float:
        seconds, window = bench.seconds, BLOCK_WINDOW
        return BLOCK * load.throughput(server.socket, messages, seconds, window=window).rate

    inside()
    rates = bench.turns(f"STEPS of {BLOCK}", {"engine": inside, "worker": served})
    ours, against = rates["worker"], rates["engine"]
    question = f"STEPS of {BLOCK} streams, against step_many in the same process"
    return [Result(question, "steps/s", ours, against, ours / against, ">= 0.75")]


def trip(bench: Bench) -> list[Result]:
    """Measure the round trip of a single client."""

    def quantiles(server: Server) -> Callable[[], Any]:
        socket, messages = server.socket, server.messages
        return lambda: np.percentile(
            load.round_trips(socket, messages, bench.seconds, TRIPS) / 1e3, (50, 99)
        )

    names = ("python echo", "worker", "spinning worker")
    beside = ("echo" + IPC, "worker" + IPC, "spinning worker" + IPC)
    found = {name: bench.servers.get(name) for name in (*names, *beside)}
    cases = {name: quantiles(server) for name, server in found.items() if server}
    times = bench.turns("round trips", cases)
    results = []
    for name, over, title, place, target in (
        ("worker", "", "p50", 0, "<= 1.1"),
        ("worker", "", "p99", 1, "<= 1.25"),
        ("spinning worker", "", f"p50 with --spin {SPIN}", 0, "< 1"),
        ("worker", IPC, "p50", 0, ""),
        ("spinning worker", IPC, f"p50 with --spin {SPIN}", 0, "<= 1.1"),
    ):
        if name + over in times:
            echo, kind = ("echo", "compiled") if over else ("python echo", "Python")
            ours, against = times[name + over][place], times[echo + over][place]
            question = f"round trip of a lone client{over}, {title}, against a {kind} echo"
            results.append(Result(question, "us", ours, against, ours / against, target))
    if (name := "spinning worker" + IPC) in times:
        question = f"round trip of a lone client{IPC}, p50 with --spin {SPIN}"
        results.append(Result(question, "us", (ours := times[name][0]), None, ours, "< 45"))
    return results


def many_clients(bench: Bench) -> list[Result]:
    """Measure the latency of 64 clients at half of the capacity."""
    server = bench.servers["worker"]
    messages, seconds = server.messages, bench.seconds

    def quantiles() -> Any:
        times = open_loop.scheduled(clients, messages, rate, seconds)
        return [*np.percentile(times.taken / 1e3, (50, 99)), np.percentile(times.late / 1e3, 99)]

    with zmtp.Clients(server.process.endpoints["router"], CLIENTS) as clients:
        open_loop.saturated(clients, messages, seconds)
        capacity = statistics.median(
            open_loop.saturated(clients, messages, seconds).rate
            for _ in steps(range(bench.rounds), "capacity")
        )
        rate = capacity / 2
        p50, p99, late = bench.turns(f"{CLIENTS} clients", {"": quantiles})[""]
    question = f"{CLIENTS} clients, {rate:.0f} STEPs a second, half of capacity: p99 against p50"
    return [
        Result(question, "us", p99, p50, p99 / p50, "<= 5"),
        Result("of that p99, questions that were sent late", "us", late, p99, late / p99),
    ]


def idle(bench: Bench) -> list[Result]:
    """Measure the CPU time of a worker whose clients are idle."""
    server = bench.servers["worker"]
    for _ in range(CLIENTS):  # open until the end
        socket = bench.servers.connect(server)
        load.throughput(socket, server.messages, bench.seconds, count=1)
    process = psutil.Process(server.process.pid)

    def used() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    time.sleep(1)  # until the work after the last reply is done
    before = used()
    for _ in steps(range(10), "idle"):
        time.sleep(IDLE_SECONDS / 10)
    share = 100 * (used() - before) / IDLE_SECONDS
    question = f"an idle worker with {CLIENTS} clients"
    return [Result(question, "% of a core", share, None, share, "< 1")]


PARTS = {"one": one, "many": many, "trip": trip, "load": many_clients, "idle": idle}


def main() -> None:
    """Measure the chosen parts and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--only", choices=PARTS, help="measure one part only")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=1.0, help="of one measurement")
    arguments = options.parse_args()
    if arguments.rounds < 1 or not 0.05 <= arguments.seconds <= 10:
        options.error("expected at least one round, and 0.05 to 10 seconds")
    processes.exit_on_sigterm()
    load_before = os.getloadavg()[0]
    parts = [PARTS[arguments.only]] if arguments.only else list(PARTS.values())
    with tempfile.TemporaryDirectory() as folder, Servers(Path(folder)) as servers:
        bench = Bench(servers, arguments.rounds, arguments.seconds)
        try:
            results = [result for measure in parts for result in measure(bench)]
        except load.LoadError as error:
            raise SystemExit(f"{error}; nothing is reported") from None
        missing = servers.missing()
    ratios = {result.question: result.ratio for result in results}
    targets = {a.question: float(a.target.split()[1]) for a in results if a.target}
    if load_before > QUIET_LOAD:
        missing.append(f"Others were busy here: a load average of {load_before:.1f} at the start.")
    note = (
        f"On one machine, over TCP where nothing else is said; {STREAMS} streams, F={F}. "
        f"Medians of {bench.rounds} rounds."
    )
    report(
        "serving",
        [result.row() for result in results],
        ratios,
        arguments.json,
        "\n".join([note, *missing]),
        targets,
    )


if __name__ == "__main__":
    main()
