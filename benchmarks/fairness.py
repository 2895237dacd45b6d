"""How long does a STEP wait beside eight greedy clients? Latencies, by what those send.

    python -m benchmarks.fairness [--json FILE] [--rounds 5] [--seconds 1] [--only KIND]

The good client sends a STEP at a time on a schedule; its latency counts from the time at which the
STEP was due. Eight greedy clients keep 500 requests of one kind in flight each, as long as the
worker does not answer `busy`. Stretches without and with them alternate, and a quantile is taken
over those of all rounds. "machine" rows are the control: the greedy clients are those of a compiled
echo of the same bytes, and the worker has nothing to do but for the good client: what remains of
the wait is the machine's, whose cores worker, echo and clients share.
"""

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zmq

from streamlstm import wire

from .harness import Row, parser, report, steps
from .live import load, open_loop, processes, zmtp
from .live.greedy import CLIENTS, Count, Greedy
from .live.messages import IDS, F, Messages, model, observations, one_a_message

RATE = 500.0  # STEPs of the good client, in a second
STEPS_ROWS = 2_000
TARGET = 5.0
STREAMS = 10_000


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


class Bench:
    """A worker, an echo, and the good client.

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

    def stretch(
        self, endpoint: str = "", asked: list[bytes] | None = None, seed: int = 0
    ) -> Stretch:
        """Measure the good client, beside greedy ones of an endpoint if there is one."""
        greedy = Greedy(endpoint, asked) if asked else None
        with greedy or nullcontext():
            before = greedy.count() if greedy else Count(0, 0)
            times = open_loop.scheduled(self.good, self._messages, RATE, self._seconds, seed)
            after = greedy.count() if greedy else before
        return Stretch(
            times.taken,
            times.late,
            (after.replies - before.replies) / self._seconds,
            (after.errors - before.errors) / self._seconds,
        )

    def close(self) -> None:
        """Stop both processes."""
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
    worker, echo = bench.worker.endpoints["router"], bench.echo.endpoints["router"]
    cases: dict[str, Callable[[int], Stretch]] = {
        kind: lambda seed, asked=asked: bench.stretch(worker, asked, seed)  # type: ignore[misc]
        for kind, asked in kinds.items()
    }
    for kind in ("STEP", f"STEPS of {STEPS_ROWS:,}"):
        if kind in kinds:
            asked = kinds[kind]
            cases[f"machine: {kind}"] = lambda seed, asked=asked: bench.stretch(echo, asked, seed)  # type: ignore[misc]
    quiet: dict[str, list[Stretch]] = {kind: [] for kind in cases}
    beside: dict[str, list[Stretch]] = {kind: [] for kind in cases}
    for seed in steps(range(rounds), "rounds"):
        for kind, case in cases.items():
            quiet[kind].append(bench.stretch(seed=seed))
            beside[kind].append(case(seed))
    _, undisturbed, _ = quantiles([s for some in quiet.values() for s in some])
    rows: list[Row] = []
    for kind, some in beside.items():
        p50, p99, late = quantiles(some)
        rows.append(
            {
                f"{CLIENTS} greedy clients of": kind,
                "p50 us": p50,
                "p99 us": p99,
                "undisturbed p99 us": undisturbed,
                "ratio": p99 / undisturbed,
                "sent late, p99 us": late,
                "replies to greedy, 1/s": float(np.median([s.replies for s in some])),
                "errors among them": sum(s.errors for s in some)
                / max(sum(s.replies for s in some), 1),
            }
        )
    return rows


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
    report("fairness", rows, ratios, arguments.json, note, targets)


if __name__ == "__main__":
    main()
