"""How much does a bridge take, and how long does a message need through it? Rates, latencies.

    python -m benchmarks.bridges [--json FILE] [--seconds 5] [--only BROKER]

A broker, a worker with a store, a bridge and a peer, each a process of its own, share this machine.
"a second" is how many observations a second a bridge takes of a backlog, of a thousand streams,
until the last prediction is published. Then the peer sends at half of the rate aimed at, and
each prediction's latency counts from the time at which its observation was due, which its payload
says, until the peer has it.
"""

import gc
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from streamlstm import LSTM, Dense, Model
from streamlstm.network.layers import Layer

from .harness import Row, number, parser, report
from .live.broker_peers import KafkaPeer, MqttPeer, NatsListener, NatsPeer, Peer
from .live.brokers import MockKafka, Mosquitto, NatsServer, Tansu

STREAMS = 1_000
LATENCY = 20.0  # ms, at half of the rate
WARM_UP = 1.0  # seconds that do not count for latencies: streams are new to the worker


class Case(NamedTuple):
    """A broker, who speaks to it, and observations a second that a bridge should take."""

    broker: Any
    peer: Callable[..., Any]
    name: str
    target: float
    reader: Callable[..., Any] | None = None


CASES = {
    "mosquitto": Case(Mosquitto, MqttPeer, "mqtt", 2_000),
    "nats-server": Case(NatsServer, NatsPeer, "nats", 10_000, NatsListener),
    "kafka (mock)": Case(MockKafka, KafkaPeer, "kafka", 20_000),
    "kafka (tansu)": Case(Tansu, KafkaPeer, "kafka", 20_000),
}


def model() -> Model:
    """Return a network of two inputs."""
    rng = np.random.default_rng(0)
    layers: list[Layer] = [LSTM(2, 32), Dense(32, 1)]
    weights = [{n: rng.normal(0, 0.2, s) for n, s in lay.parameters().items()} for lay in layers]
    return Model(layers, weights)


@contextmanager
def process(*command: str, ready: str) -> Iterator[Callable[[], None]]:
    """Run a command of ours until it is ready, and until the block ends; yields what checks it."""
    made = subprocess.Popen(
        [sys.executable, "-m", "streamlstm", *command], stderr=subprocess.PIPE, text=True
    )
    assert made.stderr is not None
    said: list[str] = []
    for line in made.stderr:
        said.append(line)
        if ready in line:
            break
    rest = threading.Thread(target=said.extend, args=(made.stderr,))
    rest.start()

    def check() -> None:
        if made.poll() is not None:
            raise SystemExit(f"{command[:2]} ended: {''.join(said[-20:])}")

    check()
    try:
        yield check
    finally:
        made.terminate()
        made.wait()
        rest.join()


def backlog(peer: Peer, first: int, count: int) -> None:
    """Send so many observations at once."""
    rows = [(f"m{n % STREAMS}", first + n // STREAMS, [0.5, 0.25]) for n in range(count)]
    for n in range(0, count, 5_000):
        peer.send(rows[n : n + 5_000])


def rate_of(peer: Peer, case: Case, bridge: list[str], seconds: float) -> float:
    """Return observations a second that a bridge takes of a backlog."""
    count = int(case.target * seconds)
    with process(*bridge, ready="ready; Ctrl-C"):
        pass  # it makes what the broker keeps for it while it is away
    before = len(peer.predictions())
    backlog(peer, 1, count)
    with process(*bridge, ready="ready; Ctrl-C") as check:
        start = time.monotonic()
        while len(peer.came) - before < count:
            peer.receive()
            check()
        return count / (time.monotonic() - start)


def latencies(url: str, case: Case, bridge: list[str], seconds: float) -> Any:
    """Return seconds from when an observation was due until its prediction came, float64[N]."""
    rate, first = case.target / 2, 1_000_000
    sender, reader = case.peer(url, "sender"), (case.reader or case.peer)(url, "reader")
    with process(*bridge, ready="ready; Ctrl-C") as check:
        left = len(reader.predictions())  # of before
        stop = threading.Event()
        reading = threading.Thread(target=_read, args=(reader, stop))
        reading.start()
        sent, start = 0, time.time()
        count = int(rate * (WARM_UP + seconds))
        while sent < count:
            due = min(int((time.time() - start) * rate), count)
            rows = [(f"m{n % STREAMS}", first + n, [0.5, 0.25]) for n in range(sent, due)]
            sender.send(rows, [start + n / rate for n in range(sent, due)])
            sent = due
            time.sleep(0.002)
        try:
            while len(reader.came) - left < sent:
                time.sleep(0.05)
                check()
        finally:
            stop.set()
            reading.join()
    came = [each for each in reader.came[left:] if each["time"] > start + WARM_UP]
    sender.close()
    reader.close()
    return np.array([each["at"] - each["time"] for each in came])


def _read(reader: Peer, stop: threading.Event) -> None:
    while not stop.is_set():
        reader.receive()


def measure(name: str, seconds: float) -> Row:
    """Measure one broker."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model().save(folder / "model.safetensors")
        endpoints = str(folder / "endpoints.json")
        where = [part for each in ("router", "pull", "xpub") for part in (f"--{each}", _ANY)]
        serve = ("serve", str(folder / "model.safetensors"), "--endpoints", endpoints, *where)
        with (
            case.broker(folder / "broker") as broker,
            process(*serve, "--store", f"lmdb:{folder / 'store'}", ready="ready"),
        ):
            peer = case.peer(broker.url)
            bridge = ["bridge", case.name, "--url", broker.url, "--endpoints", endpoints]
            bridge += [*peer.options, "--time", "t"]
            rate = rate_of(peer, case, bridge, seconds)
            peer.close()
            waited = latencies(broker.url, case, bridge, seconds)
    p50, p99 = (float(np.quantile(waited, q) * 1e3) for q in (0.5, 0.99))
    return {
        "broker": name, "a second": rate, "target": f">= {case.target:.0f}",
        "at": case.target / 2, "p50 ms": p50, "p99 ms": p99, "target ms": f"< {LATENCY:.0f}",
    }  # fmt: skip


_ANY = "tcp://127.0.0.1:*"


def main() -> None:
    """Measure the brokers that are there."""
    gc.disable()  # pauses of this process are none of the bridge's
    sys.setswitchinterval(5e-4)  # or a thread that has work to do waits 5 ms for another
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=5.0, help="of each part")
    options.add_argument("--only", choices=CASES, help="measure this broker alone")
    given = options.parse_args()
    rows: list[Row] = []
    for name, case in CASES.items():
        if given.only in (None, name) and case.broker.program() is not None:
            rows.append(measure(name, given.seconds))
    ratios: dict[str, float] = {}
    targets: dict[str, float] = {}
    for row in rows:
        name = str(row["broker"])
        for kind, target in (("a second", CASES[name].target), ("p99 ms", LATENCY)):
            ratios[f"{name}: {kind}"] = number(row[kind])
            targets[f"{name}: {kind}"] = target
    report("bridges", rows, ratios, given.json, targets=targets)


if __name__ == "__main__":
    main()
