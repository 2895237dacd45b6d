"""Does a worker survive? A million hostile messages, beside clients that verify their replies.

    python -m benchmarks.fire [--frames 1000000] [--seed 0] [--loop native] [--json FILE]

Hostile messages (benchmarks/live/hostile.py) go to the ROUTER socket, from one connection that
reads its replies now and then and from one that never does, and to the PULL socket; the XPUB socket
gets garbage subscriptions, and all three get broken greetings. Meanwhile verifying clients compare
each reply with an engine of their own. At the end the worker must be alive, no request of these
clients may have a wrong reply or none, every message must be accounted for, and memory must not
have grown.
"""

import random
import socket as posix
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import zmq

from streamlstm import Engine, Model, wire
from streamlstm.client.client import Client
from streamlstm.errors import ProtocolError

from .harness import Row, parser, report, steps
from .live import processes
from .live.hostile import Attack, attacks, topics
from .live.messages import F, model
from .live.verifying_clients import TIMEOUT, VerifyingClient, verifying_clients

CAPACITY = 1_000  # hostile streams may fill it, and are refused then
PART = 1_000  # hostile messages between two disturbances
TOPICS = 50  # garbage subscriptions in a part
RECONNECT = 20  # parts after which the garbage subscriber reconnects
CYCLE, FLOOD = 60, 10  # parts; in the last ones of a cycle the attacker does not wait
PAUSE = 1_500  # messages for which the attacker reads no replies, at most
WARM = 100  # parts, or half of all: by then every queue and the table of streams are full
SWITCH_SECONDS = 0.0002  # otherwise the clients would wait for the GIL more than for the worker
GROWTH_MB = 16.0
# The signature of ZMTP 3; without it, random bytes are taken for ZMTP 1, and some for messages.
SIGNATURE = b"\xff" + bytes(8) + b"\x7f\3\0"
SETTLE_SECONDS = 60.0


class Outcome(NamedTuple):
    """Counts of a run."""

    sent: int  # hostile messages
    read: int  # replies that their sender read
    malformed: int  # of them, those that are not valid replies
    compared: int
    wrong: int
    unanswered: int
    unaccounted: int  # messages that were lost, or neither answered, nor dropped, nor pushed
    first_error: str
    counters: dict[str, Any]  # of INFO
    memory: list[int]  # bytes, after each part

    @property
    def is_good(self) -> bool:
        """Whether the worker met all requirements except that of memory."""
        return not (self.malformed or self.wrong or self.unanswered or self.unaccounted)


class Attacker:
    """All hostile connections to a worker."""

    def __init__(self, endpoints: dict[str, str], seed: int) -> None:
        self._endpoints, self._rng = endpoints, random.Random(seed)
        self._open = ExitStack()
        sockets = self._open.enter_context(processes.Sockets())
        self._sockets = sockets
        self._sockets_by_name = {
            "router": sockets.connect(zmq.DEALER, endpoints["router"]),
            "deaf": sockets.connect(zmq.DEALER, endpoints["router"], RCVHWM=1, RCVBUF=4096),
            "pull": sockets.connect(zmq.PUSH, endpoints["pull"]),
        }
        self._subscriber: Any = None
        self._topics = topics(2**62, seed)
        self._until = 0
        self._client = self._open.enter_context(Client(endpoints["router"], timeout=TIMEOUT))
        self.sent = dict.fromkeys(self._sockets_by_name, 0)
        self.requests = 0  # for INFO
        self.read = self.malformed = 0

    def send(self, attack: Attack) -> None:
        """Send one message; waits up to 20 s while the worker's queue is full."""
        self._sockets_by_name[attack.target].send_multipart(attack.frames)
        self.sent[attack.target] += 1
        self._until -= 1
        if self._until < 0:
            self.read_replies()
            self._until = self._rng.choice((0, 10, 100, PAUSE))

    def read_replies(self) -> None:
        """Read the replies that have arrived."""
        while True:
            try:
                reply = self._sockets_by_name["router"].recv_multipart(zmq.NOBLOCK)[-1]
            except zmq.Again:
                return
            self.read += 1
            try:
                wire.decode_reply(reply)
            except ProtocolError:
                self.malformed += 1

    def info(self) -> dict[str, Any]:
        """Ask the worker for its counters."""
        self.requests += 1
        return self._client.info()

    def pace(self, part: int) -> None:
        """Wait for the worker to empty its queue: a ``busy`` reply does not test the decoder.

        In a flood there is no wait, so that ``busy`` is tested too.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while part % CYCLE < CYCLE - FLOOD and time.monotonic() < deadline:
            if self.info().get("queue", {"messages": 0})["messages"] < PART:
                return
            self.read_replies()

    def disturb(self, part: int) -> None:
        """Subscribe to garbage, sometimes reconnect, and send broken greetings to all sockets."""
        if self._subscriber is None or part % RECONNECT == 0:
            if self._subscriber is not None:
                self._subscriber.close(linger=0)
            self._subscriber = self._sockets.connect(zmq.XSUB, self._endpoints["xpub"])
        for topic in islice(self._topics, TOPICS):
            self._subscriber.send(topic)
        while self._subscriber.poll(0):
            self._subscriber.recv_multipart()
        for endpoint in self._endpoints.values():
            host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
            with posix.create_connection((host, int(port)), timeout=TIMEOUT) as stranger:
                greeting = SIGNATURE + self._rng.randbytes(1000)
                stranger.sendall(greeting[: self._rng.choice((1, 10, 11, 64, 1000))])

    def __enter__(self) -> "Attacker":
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()


def fire(
    endpoints: dict[str, str],
    network: Model,
    frames: int,
    seed: int,
    memory: Callable[[], int],
) -> Outcome:
    """Send hostile messages to a worker while verifying clients check their replies.

    Parameters
    ----------
    endpoints : dict of str to str
        Endpoints of a fresh worker by socket.
    network : Model
        Its model.
    frames : int
        Number of hostile messages.
    seed : int
        Seed of the messages.
    memory : callable
        Returns the worker's resident memory in bytes.
    """
    endpoints = {name: endpoints[name] for name in ("router", "pull", "xpub")}
    engine = Engine(network, 1)
    engine.step("hostile-1", [0.0] * network.input_size)
    messages = attacks(frames, seed, engine.export_stream("hostile-1"))
    samples = []
    with ExitStack() as opened:
        opened.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_SECONDS)
        clients = [opened.enter_context(client) for client in verifying_clients(endpoints, network)]
        attacker = opened.enter_context(Attacker(endpoints, seed))
        for part in steps(range(-(-frames // PART)), "fire"):
            for attack in islice(messages, PART):
                attacker.send(attack)
            attacker.pace(part)
            attacker.disturb(part)
            samples.append(memory())
        for client in clients:
            client.stop()
        sent_before = (
            sum(attacker.sent.values())
            + sum(client.requests + client.pushed for client in clients)
            + attacker.requests
        )
        asked_before = attacker.requests
        counters = settle(attacker, sent_before)
    pushed = attacker.sent["pull"] + sum(client.pushed for client in clients)
    sent = sent_before + attacker.requests - asked_before
    done = counters["answers"] + counters["dropped_answers"] + pushed
    # The INFO with these counters may be counted as a message already, and not yet as a reply.
    unaccounted = max(0, abs(sent - counters["messages"]) - 1)
    unaccounted += max(0, abs(counters["messages"] - done) - 1)
    return Outcome(
        sent=sum(attacker.sent.values()),
        read=attacker.read,
        malformed=attacker.malformed,
        compared=sum(client.compared for client in clients),
        wrong=sum(client.wrong for client in clients),
        unanswered=sum(client.unanswered for client in clients),
        unaccounted=unaccounted,
        first_error=_first_error(clients),
        counters=counters,
        memory=samples,
    )


def settle(attacker: Attacker, sent: int) -> dict[str, Any]:
    """Return the worker's counters when no message is in flight, of so many that were sent.

    All connections are still open, as closing one may lose its requests. Messages may wait in the
    worker for long, and INFO overtakes those of other connections. Where some do not come, this
    waits for them to the end of SETTLE_SECONDS.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    expected: list[int] = []
    while True:
        counters: dict[str, Any] = attacker.info()["counters"]
        attacker.read_replies()
        done = [counters[key] for key in ("messages", "answers", "dropped_answers", "steps")]
        is_late = time.monotonic() > deadline
        if done == expected and (counters["messages"] >= sent or is_late):
            return counters
        if is_late:
            raise SystemExit(f"still busy after {SETTLE_SECONDS:g} s: {counters}")
        expected = [done[0] + 1, done[1] + 1, *done[2:]]  # this INFO, and nothing else
        time.sleep(0.3)


def _first_error(clients: list[VerifyingClient]) -> str:
    return "; ".join(client.first_error for client in clients if client.first_error)


def table(outcome: Outcome, warm: int, growth: float) -> list[Row]:
    """Return the rows of the table."""
    counters = outcome.counters
    figures: list[tuple[str, float, str | None]] = [
        ("hostile messages", outcome.sent, None),
        ("their answers that were read", outcome.read, None),
        ("answers dropped, since no one read them", counters["dropped_answers"], None),
        ("answers that are none", outcome.malformed, "0"),
        ("good answers compared with an engine", outcome.compared, None),
        ("good answers that were wrong", outcome.wrong, "0"),
        ("good questions without an answer", outcome.unanswered, "0"),
        ("messages that are not accounted for", outcome.unaccounted, "0"),
        ("MB by which memory grew after the warm-up", growth, f"< {GROWTH_MB:g}"),
    ]
    places = {"after the warm-up": warm - 1, "halfway": len(outcome.memory) // 2, "at the end": -1}
    figures += [
        (f"MB of memory {when}", outcome.memory[place] / 1e6, None)
        for when, place in places.items()
    ]
    figures += [(f"refused: {code}", n, None) for code, n in sorted(counters["errors"].items())]
    return [{"what": what, "number": float(n), "has to be": must} for what, n, must in figures]


def main() -> None:
    """Run the benchmark and print the results."""
    options = parser(__doc__ or "")
    options.add_argument("--frames", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--loop", choices=("native", "python"), default="native")
    arguments = options.parse_args()
    if not PART <= arguments.frames <= 10**9:
        options.error(f"expected {PART} to {10**9} frames")
    processes.exit_on_sigterm()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        network = model()
        network.save(file)
        capacity = ("--capacity", str(CAPACITY))
        with processes.worker(file, *capacity, loop=arguments.loop) as worker:
            process = psutil.Process(worker.pid)
            outcome = fire(
                worker.endpoints,
                network,
                arguments.frames,
                arguments.seed,
                lambda: int(process.memory_info().rss),
            )
            alive, stderr = worker.alive(), worker.stderr()
    warm = min(WARM, (len(outcome.memory) + 1) // 2)
    growth = (max(outcome.memory) - max(outcome.memory[:warm])) / 1e6
    ratios = {"memory grown MB": growth}
    note = f"F={F}, capacity {CAPACITY}. {outcome.first_error}"
    targets = {"memory grown MB": GROWTH_MB}
    report("fire", table(outcome, warm, growth), ratios, arguments.json, note, targets)
    if not alive:
        raise SystemExit(f"the worker died:\n{stderr}")
    if not outcome.is_good or growth >= GROWTH_MB:
        raise SystemExit("the worker did not meet the requirements")


if __name__ == "__main__":
    main()
