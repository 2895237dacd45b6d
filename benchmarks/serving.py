"""What does serving cost? Predictions a second, round trips, many clients, an idle worker.

    python -m benchmarks.serving [--json FILE] [--rounds 5] [--seconds 1] [--only PART]

Every contender is a process of its own, started once; all take their turn in every round, and
medians are compared. The model is an LSTM of 64 units over 8 features with one output, on one
thread, and there are 10,000 streams. The load is compiled code (benchmarks/live). Before anything
is timed, the workers' answers are compared with an engine's; an answer that is an error, is another
stream's or does not come ends the benchmark. PART is one, many, trip, load or idle.
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

from .harness import Row, parser, report, steps
from .live import load, processes, schedule, zmtp
from .live.contenders import SPIN, Contender, Contenders
from .live.messages import BLOCK, IDS, STREAMS, F, observations

BLOCK_WINDOW = 16  # STEPS under way
CLIENTS = 64
TRIPS = 20_000  # a round at most
IDLE_SECONDS = 5.0
QUIET_LOAD = 0.5  # load average of a machine that has nothing else to do


class Answer(NamedTuple):
    """One figure, and what it should be."""

    question: str
    unit: str
    ours: float
    against: float | None
    ratio: float
    target: str = ""  # a sign and a number

    def row(self) -> Row:
        """Return what the table shows."""
        return {
            "question": self.question,
            "unit": self.unit,
            "ours": self.ours,
            "against": self.against,
            "ratio": self.ratio,
            "target": self.target or None,
        }


class Bench(NamedTuple):
    """What every part is measured with."""

    contenders: Contenders
    rounds: int
    seconds: float  # of one measurement

    def turns(self, what: str, cases: dict[str, Callable[[], Any]]) -> dict[str, Any]:
        """Return the median of each case, all of them measured in turn, round after round."""
        measured: dict[str, list[Any]] = {name: [] for name in cases}
        for _ in steps(range(self.rounds), what):
            for name, case in cases.items():
                measured[name].append(case())
        return {name: np.median(values, axis=0) for name, values in measured.items()}


def one(bench: Bench) -> list[Answer]:
    """Measure predictions a second, one STEP a message."""

    def rate(contender: Contender) -> Callable[[], float]:
        return lambda: load.throughput(contender.socket, contender.messages, bench.seconds).rate

    names = ("echo", "worker", "python worker", "PyTorch worker")
    found = {name: bench.contenders.get(name) for name in names}
    cases = {name: rate(contender) for name, contender in found.items() if contender is not None}
    rates = bench.turns("one STEP a message", cases)
    ours = rates["worker"]
    return [
        Answer(
            f"one STEP a message, against {title}",
            "1/s",
            ours,
            rates[name],
            ours / rates[name],
            target,
        )
        for name, title, target in (
            ("echo", "a compiled echo of the same bytes", ">= 0.5"),
            ("python worker", "the worker's loop in Python", ">= 6"),
            ("PyTorch worker", "pyzmq, msgpack and PyTorch", ">= 80"),
        )
        if name in rates
    ]


def many(bench: Bench) -> list[Answer]:
    """Measure how much of the engine's own rate comes through as STEPS of 256 streams."""
    contender, messages = bench.contenders["worker"], bench.contenders.blocks
    engine = Engine(bench.contenders.model, STREAMS, threads=1)
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
        return BLOCK * load.throughput(contender.socket, messages, seconds, window=window).rate

    inside()
    rates = bench.turns(f"STEPS of {BLOCK}", {"engine": inside, "worker": served})
    ours, against = rates["worker"], rates["engine"]
    question = f"STEPS of {BLOCK} streams, against step_many in the same process"
    return [Answer(question, "steps/s", ours, against, ours / against, ">= 0.75")]


def trip(bench: Bench) -> list[Answer]:
    """Measure how long a lone client waits."""

    def quantiles(contender: Contender) -> Callable[[], Any]:
        socket, messages = contender.socket, contender.messages
        return lambda: np.percentile(
            load.round_trips(socket, messages, bench.seconds, TRIPS) / 1e3, (50, 99)
        )

    names = ("python echo", "worker", "spinning worker")
    found = {name: bench.contenders.get(name) for name in names}
    cases = {name: quantiles(contender) for name, contender in found.items() if contender}
    times = bench.turns("round trips", cases)
    answers = []
    for name, title, place, target in (
        ("worker", "p50", 0, "<= 1.1"),
        ("worker", "p99", 1, "<= 1.25"),
        ("spinning worker", f"p50 with --spin {SPIN}", 0, "< 1"),
    ):
        if name in times:
            ours, against = times[name][place], times["python echo"][place]
            question = f"round trip of a lone client, {title}, against a Python echo"
            answers.append(Answer(question, "us", ours, against, ours / against, target))
    return answers


def many_clients(bench: Bench) -> list[Answer]:
    """Measure how long 64 clients wait that send at half of what can be done for them."""
    contender = bench.contenders["worker"]
    messages, seconds = contender.messages, bench.seconds

    def quantiles() -> Any:
        times = schedule.scheduled(clients, messages, rate, seconds)
        return [*np.percentile(times.taken / 1e3, (50, 99)), np.percentile(times.late / 1e3, 99)]

    with zmtp.Clients(contender.process.endpoints["router"], CLIENTS) as clients:
        schedule.saturated(clients, messages, seconds)
        capacity = statistics.median(
            schedule.saturated(clients, messages, seconds).rate
            for _ in steps(range(bench.rounds), "capacity")
        )
        rate = capacity / 2
        p50, p99, late = bench.turns(f"{CLIENTS} clients", {"": quantiles})[""]
    question = f"{CLIENTS} clients, {rate:.0f} STEPs a second, half of capacity: p99 against p50"
    return [
        Answer(question, "us", p99, p50, p99 / p50, "<= 5"),
        Answer("of that p99, questions that were sent late", "us", late, p99, late / p99),
    ]


def idle(bench: Bench) -> list[Answer]:
    """Measure what a worker costs whose clients say nothing."""
    contender = bench.contenders["worker"]
    for _ in range(CLIENTS):  # open until the end
        socket = bench.contenders.connect(contender)
        load.throughput(socket, contender.messages, bench.seconds, count=1)
    process = psutil.Process(contender.process.pid)

    def used() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    time.sleep(1)  # whatever comes after the last answer
    before = used()
    for _ in steps(range(10), "idle"):
        time.sleep(IDLE_SECONDS / 10)
    share = 100 * (used() - before) / IDLE_SECONDS
    question = f"an idle worker with {CLIENTS} clients"
    return [Answer(question, "% of a core", share, None, share, "< 1")]


PARTS = {"one": one, "many": many, "trip": trip, "load": many_clients, "idle": idle}


def main() -> None:
    """Measure what is asked for and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--only", choices=PARTS, help="one part of it")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=1.0, help="of one measurement")
    arguments = options.parse_args()
    if arguments.rounds < 1 or not 0.05 <= arguments.seconds <= 10:
        options.error("expected at least one round, and 0.05 to 10 seconds")
    processes.ended_by_sigterm()
    load_before = os.getloadavg()[0]
    parts = [PARTS[arguments.only]] if arguments.only else list(PARTS.values())
    with tempfile.TemporaryDirectory() as folder, Contenders(Path(folder)) as contenders:
        bench = Bench(contenders, arguments.rounds, arguments.seconds)
        try:
            answers = [answer for measure in parts for answer in measure(bench)]
        except load.LoadError as error:
            raise SystemExit(f"{error}; nothing is reported") from None
        missing = contenders.missing()
    ratios = {answer.question: answer.ratio for answer in answers}
    targets = {a.question: float(a.target.split()[1]) for a in answers if a.target}
    if load_before > QUIET_LOAD:
        missing.append(f"Others were busy here: a load average of {load_before:.1f} at the start.")
    note = f"Over TCP on one machine; {STREAMS} streams, F={F}. Medians of {bench.rounds} rounds."
    report(
        "serving",
        [answer.row() for answer in answers],
        ratios,
        arguments.json,
        "\n".join([note, *missing]),
        targets,
    )


if __name__ == "__main__":
    main()
