"""How long does a STEP wait beside eight greedy clients? Latencies, by what those send.

    python -m benchmarks.fairness [--json FILE] [--rounds 5] [--seconds 1] [--only KIND]

The good client sends a STEP at a time on a schedule; its latency counts from the time at which the
STEP was due. Eight greedy clients keep 500 requests of one kind in flight each, as long as the
worker does not answer `busy`. Stretches without and with them alternate, and a quantile is taken
over those of all rounds.

Who shares a machine also waits for its processors, which no worker can change. So each kind is
measured twice. "p99 us" and "ratio": the greedy clients yield the processors to everybody else, and
the good client and the worker go before them where the system allows it (a real-time priority, for
root), as if all of them were on other machines; replies to the greedy ones show that the worker is
still kept busy. "sharing": all have the same share of the processors. "machine" rows are the
control: the greedy clients are those of a compiled echo of the same bytes, and the worker has
nothing to do but for the good client.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import zmq

from streamlstm import wire
from streamlstm.loadtest import load, open_loop, zmtp
from streamlstm.loadtest.messages import Messages

from .harness import Row, parser, report, steps
from .live import processes
from .live.greedy import CLIENTS
from .live.greedy_process import GreedyProcess
from .live.messages import IDS, F, model, observations, one_a_message

RATE = 500.0  # STEPs of the good client, in a second
STEPS_ROWS = 2_000
TARGET = 5.0
STREAMS = 10_000
GOOD, SERVERS = 10, 1  # real-time priorities: the good client goes before the worker and the echo


class Stretch(NamedTuple):
    """Latencies of the good client in one stretch, and what greedy clients were answered."""

    latencies: Any  # int64[N], ns
    late: Any
    replies: float  # to greedy clients, in a second
    errors: float


def requests(blob: bytes) -> dict[str, list[bytes]]:
    """Return what greedy clients send, by kind."""
    ids = IDS[:STREAMS]
    X = wire.to_floats(observations(STEPS_ROWS))
    few = ids[:8]
    messages: dict[str, list[wire.Request]] = {
        "STEP": [wire.Step(s, 0, X[: 4 * F]) for s in ids[:800]],
        f"STEPS of {STEPS_ROWS:,}": [
            wire.Steps(ids[start : start + STEPS_ROWS], None, X)
            for start in range(0, STREAMS, STEPS_ROWS)
        ],
        "STEPS with a gap": [wire.Steps(ids[:STEPS_ROWS], [7] * STEPS_ROWS, X)],
        "LIST": [wire.List(None, None, 1_000)],
        "LAST of 16,384": [wire.Last([ids[n % STREAMS] for n in range(16_384)])],
        "EXPORT": [wire.Export(s) for s in few],
        "IMPORT": [wire.Import(f"imported-{n}", blob) for n in range(8)],
        "RESET": [wire.Reset(s) for s in few],
        "INFO": [wire.Info()],
        "PING": [wire.Ping(1)],
        "BARRIER": [wire.Barrier(1, 1)],
        "FORGET, unknown": [wire.Forget("nobody")],
        "RELOAD, refused": [wire.Reload(False)],
    }
    encoded = {kind: [wire.encode(each) for each in some] for kind, some in messages.items()}
    return encoded | {"malformed": [b"\x94\x01\xa1a\x00", b"rubbish"]}


class Case(NamedTuple):
    """What greedy clients send, and where; all three are None for a stretch without them."""

    clients: GreedyProcess | None = None
    endpoint: str = ""
    asked: list[bytes] | None = None


QUIET = Case()


@contextmanager
def first_of_all(servers: Iterable[int]) -> Iterator[None]:
    """Give this process and ``servers`` real-time priorities, if the system allows it."""
    threads = [thread.id for pid in servers for thread in psutil.Process(pid).threads()]
    try:
        for thread in threads:
            _schedule(thread, os.SCHED_RR, SERVERS)
        _schedule(0, os.SCHED_FIFO, GOOD)
        yield
    finally:
        for thread in (0, *threads):
            _schedule(thread, os.SCHED_OTHER, 0)


def _may_be_first() -> bool:
    """Tell whether the system allows real-time priorities."""
    with first_of_all(()):
        return os.sched_getscheduler(0) == os.SCHED_FIFO


def _schedule(thread: int, policy: int, priority: int) -> None:
    with suppress(PermissionError):
        os.sched_setscheduler(thread, policy, os.sched_param(priority))


class Bench:
    """A worker, an echo, the good client, and processes for the greedy ones.

    Parameters
    ----------
    folder : Path
    seconds : float
        Of one stretch.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self._seconds = seconds
        file = folder / "model.safetensors"
        model().save(file)
        self.worker = processes.worker(file)
        file.write_bytes(b"another file")  # which RELOAD refuses
        self.echo = processes.echo()
        self.good = zmtp.Clients(self.worker.endpoints["router"], 1)
        self.yielding, self.sharing = GreedyProcess(yields=True), GreedyProcess(yields=False)
        self._messages = one_a_message(["good"])

    def blob(self) -> bytes:
        """Let the worker know all streams, and return the state of one."""
        with processes.Sockets() as sockets:
            socket = sockets.connect(zmq.DEALER, self.worker.endpoints["router"])
            known: Messages = one_a_message(IDS[:STREAMS])
            load.throughput(socket, known, 60.0, STREAMS)
            socket.send(wire.encode(wire.Export(IDS[0])))
            reply = wire.decode_reply(socket.recv())
            assert isinstance(reply, wire.Done)
            return bytes(reply.value)

    def stretch(self, case: Case, seed: int) -> Stretch:
        """Measure the good client, beside greedy ones if there are any."""
        if case.clients is None or case.asked is None:
            times = self._good(seed)
            return Stretch(times.taken, times.late, 0.0, 0.0)
        with case.clients.clients(case.endpoint, case.asked) as count:
            before = count()
            times = self._good(seed)
            after = count()
        return Stretch(
            times.taken,
            times.late,
            (after.replies - before.replies) / self._seconds,
            (after.errors - before.errors) / self._seconds,
        )

    def _good(self, seed: int) -> open_loop.Latencies:
        return open_loop.scheduled(self.good, self._messages, RATE, self._seconds, seed)

    def close(self) -> None:
        """Stop all processes."""
        self.yielding.close()
        self.sharing.close()
        self.good.close()
        self.worker.stop()
        self.echo.stop()


def quantiles(stretches: list[Stretch]) -> tuple[float, float, float]:
    """Return p50 and p99 of the latencies of some stretches in us, and p99 of what was late."""
    p50, p99 = np.percentile(np.concatenate([s.latencies for s in stretches]) / 1e3, (50, 99))
    late = np.percentile(np.concatenate([s.late for s in stretches]) / 1e3, 99)
    return float(p50), float(p99), float(late)


def measure(bench: Bench, kinds: dict[str, list[bytes]], rounds: int) -> list[Row]:
    """Measure all kinds in interleaved rounds."""
    places = {kind: (bench.worker.endpoints["router"], asked) for kind, asked in kinds.items()}
    for kind in ("STEP", f"STEPS of {STEPS_ROWS:,}"):
        if kind in kinds:
            places[f"machine: {kind}"] = (bench.echo.endpoints["router"], kinds[kind])
    quiet: list[Stretch] = []
    shared: list[Stretch] = []  # the processors, that is, though nobody else is there
    beside: dict[str, list[Stretch]] = {kind: [] for kind in places}
    sharing: dict[str, list[Stretch]] = {kind: [] for kind in places}
    for seed in steps(range(rounds), "rounds"):
        for kind, place in places.items():
            with first_of_all((bench.worker.pid, bench.echo.pid)):
                quiet.append(bench.stretch(QUIET, seed))
                beside[kind].append(bench.stretch(Case(bench.yielding, *place), seed))
            shared.append(bench.stretch(QUIET, seed))
            sharing[kind].append(bench.stretch(Case(bench.sharing, *place), seed))
    _, undisturbed, _ = quantiles(quiet)
    _, undisturbed_sharing, _ = quantiles(shared)
    rows: list[Row] = []
    for kind, some in beside.items():
        p50, p99, late = quantiles(some)
        _, p99_sharing, _ = quantiles(sharing[kind])
        rows.append(
            {
                f"{CLIENTS} greedy clients of": kind,
                "p50 us": p50,
                "p99 us": p99,
                "alone": undisturbed,
                "ratio": p99 / undisturbed,
                "sent late": late,
                "sharing: p99 us": p99_sharing,
                "its ratio": p99_sharing / undisturbed_sharing,
                **answered("replies to greedy, 1/s", some),
                **answered("sharing", sharing[kind]),
            }
        )
    return rows


def answered(name: str, stretches: list[Stretch]) -> Row:
    """Return how many replies greedy clients had in a second, and the share of errors in them."""
    replies = sum(s.replies for s in stretches)
    return {
        name: float(np.median([s.replies for s in stretches])),
        f"{name}: errors": sum(s.errors for s in stretches) / max(replies, 1),
    }


def main() -> None:
    """Measure and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=1.0, help="of one stretch")
    options.add_argument("--only", metavar="KIND", help="measure kinds that begin so only")
    arguments = options.parse_args()
    if arguments.rounds < 1 or not 0.05 <= arguments.seconds <= 60:
        options.error("expected at least one round, and 0.05 to 60 seconds")
    processes.exit_on_sigterm()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.seconds)
        try:
            kinds = requests(bench.blob())
            wanted = {k: v for k, v in kinds.items() if k.startswith(arguments.only or "")}
            rows = measure(bench, wanted, arguments.rounds)
        except load.LoadError as error:
            raise SystemExit(f"{error}; nothing is reported") from None
        finally:
            bench.close()
    name = f"{CLIENTS} greedy clients of"
    ratios = {str(row[name]): float(row["ratio"] or 0) for row in rows}
    targets = {kind: TARGET for kind in ratios if not kind.startswith("machine")}
    note = (
        f"A STEP at a time, {RATE:.0f} a second, over TCP on one machine; {STREAMS} streams. "
        f"The p99 of the good client is to stay below {TARGET:.0f} times its undisturbed one."
    )
    if not _may_be_first():
        note += " Real-time priorities were refused: greedy clients had their share in both."
    report("fairness", rows, ratios, arguments.json, note, targets)


if __name__ == "__main__":
    main()
