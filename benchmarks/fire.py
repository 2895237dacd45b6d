"""Does a worker survive? A million messages that no one should send, beside good clients.

    python -m benchmarks.fire [--frames 1000000] [--seed 0] [--loop native] [--json FILE]

Hostile messages (benchmarks/live/hostile.py) go to the router, on a connection that reads its
answers now and then and on one that never does, and to the pull door; garbage subscriptions go to
the xpub door, and broken greetings to all three. Meanwhile good clients compare each answer with
an engine of their own. In the end the worker has to live, no good question may be
wrong or unanswered, every message has to be accounted for, and memory must not have grown.
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
from .live.good import TIMEOUT, Good, good_clients
from .live.hostile import Attack, attacks, topics
from .live.messages import F, model

CAPACITY = 1_000  # hostile streams may take what is left: then they are refused
PART = 1_000  # hostile messages between two looks at everything else
TOPICS = 50  # garbage subscriptions in a part
RECONNECT = 20  # parts after which the garbage subscriber goes, and comes again
CYCLE, FLOOD = 60, 10  # parts; in the last ones of a cycle nothing waits for the worker
PAUSE = 1_500  # messages for which the hostile reader does not read, at most
WARM = 100  # parts, or half of all: by then every queue and the table of streams are full
SWITCH_SECONDS = 0.0002  # or the good clients would wait for Python more than for the worker
GROWTH_MB = 16.0
# How ZeroMQ 3 begins; without it, random bytes are taken for ZeroMQ 1, and some for messages.
SIGNATURE = b"\xff" + bytes(8) + b"\x7f\3\0"
QUIET_SECONDS = 60.0


class Outcome(NamedTuple):
    """What became of a worker under fire."""

    sent: int  # hostile messages
    read: int  # answers that their sender read
    malformed: int  # of them, those that are no answers
    compared: int
    wrong: int
    unanswered: int
    unaccounted: int  # messages that came and were neither answered, nor dropped, nor fed; or lost
    complaint: str
    counters: dict[str, Any]  # of INFO
    memory: list[int]  # bytes, after each part

    @property
    def is_good(self) -> bool:
        """Whether the worker did what it has to, memory aside."""
        return not (self.malformed or self.wrong or self.unanswered or self.unaccounted)


class Enemy:
    """Everything hostile that is connected to a worker."""

    def __init__(self, endpoints: dict[str, str], seed: int) -> None:
        self._endpoints, self._rng = endpoints, random.Random(seed)
        self._open = ExitStack()
        sockets = self._open.enter_context(processes.Sockets())
        self._sockets = sockets
        self._doors = {
            "router": sockets.connect(zmq.DEALER, endpoints["router"]),
            "deaf": sockets.connect(zmq.DEALER, endpoints["router"], RCVHWM=1, RCVBUF=4096),
            "pull": sockets.connect(zmq.PUSH, endpoints["pull"]),
        }
        self._subscriber: Any = None
        self._topics = topics(2**62, seed)
        self._until = 0
        self._client = self._open.enter_context(Client(endpoints["router"], timeout=TIMEOUT))
        self.sent = dict.fromkeys(self._doors, 0)
        self.asked = 0  # for INFO
        self.read = self.malformed = 0

    def send(self, attack: Attack) -> None:
        """Send one message; waits while the worker's queue is full, 20 s at most."""
        self._doors[attack.door].send_multipart(attack.frames)
        self.sent[attack.door] += 1
        self._until -= 1
        if self._until < 0:
            self.listen()
            self._until = self._rng.choice((0, 10, 100, PAUSE))

    def listen(self) -> None:
        """Read the answers that are there."""
        while True:
            try:
                reply = self._doors["router"].recv_multipart(zmq.NOBLOCK)[-1]
            except zmq.Again:
                return
            self.read += 1
            try:
                wire.decode_reply(reply)
            except ProtocolError:
                self.malformed += 1

    def info(self) -> dict[str, Any]:
        """Ask the worker what it has done."""
        self.asked += 1
        return self._client.info()

    def pace(self, part: int) -> None:
        """Let the worker read what waits: who is told ``busy`` is no test of the reader.

        In a flood it is not waited for, so that this is met too.
        """
        deadline = time.monotonic() + QUIET_SECONDS
        while part % CYCLE < CYCLE - FLOOD and time.monotonic() < deadline:
            if self.info().get("queue", {"messages": 0})["messages"] < PART:
                return
            self.listen()

    def disturb(self, part: int) -> None:
        """Subscribe to garbage, go away now and then, and begin to greet at every door."""
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

    def __enter__(self) -> "Enemy":
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
    """Send hostile messages to a live worker while good clients check their answers.

    Parameters
    ----------
    endpoints : dict of str to str
        Of a fresh worker, by door.
    network : Model
        What it serves.
    frames : int
        How many hostile messages.
    seed : int
        Of them.
    memory : callable
        Returns the worker's resident bytes.
    """
    endpoints = {door: endpoints[door] for door in ("router", "pull", "xpub")}
    engine = Engine(network, 1)
    engine.step("hostile-1", [0.0] * network.input_size)
    messages = attacks(frames, seed, engine.export_stream("hostile-1"))
    samples = []
    with ExitStack() as opened:
        opened.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_SECONDS)
        good = [opened.enter_context(client) for client in good_clients(endpoints, network)]
        enemy = opened.enter_context(Enemy(endpoints, seed))
        for part in steps(range(-(-frames // PART)), "fire"):
            for attack in islice(messages, PART):
                enemy.send(attack)
            enemy.pace(part)
            enemy.disturb(part)
            samples.append(memory())
        for client in good:
            client.stop()
        counters = settle(enemy)
    fed = enemy.sent["pull"] + sum(client.fed for client in good)
    sent = (
        sum(enemy.sent.values()) + sum(client.asked + client.fed for client in good) + enemy.asked
    )
    done = counters["answers"] + counters["dropped_answers"] + fed
    # The INFO that told may be counted already as a message, and not yet as an answer.
    unaccounted = max(0, abs(sent - counters["messages"]) - 1)
    unaccounted += max(0, abs(counters["messages"] - done) - 1)
    return Outcome(
        sent=sum(enemy.sent.values()),
        read=enemy.read,
        malformed=enemy.malformed,
        compared=sum(client.compared for client in good),
        wrong=sum(client.wrong for client in good),
        unanswered=sum(client.unanswered for client in good),
        unaccounted=unaccounted,
        complaint=_complaint(good),
        counters=counters,
        memory=samples,
    )


def settle(enemy: Enemy) -> dict[str, Any]:
    """Return the worker's counters when nothing is on its way any more.

    Questions of a connection that is closed may be lost with it: all of them are open still.
    Messages may wait in the worker for long: INFO overtakes those of others.
    """
    deadline = time.monotonic() + QUIET_SECONDS
    expected: list[int] = []
    while True:
        counters: dict[str, Any] = enemy.info()["counters"]
        enemy.listen()
        done = [counters[key] for key in ("messages", "answers", "dropped_answers", "steps")]
        if done == expected:
            return counters
        if time.monotonic() > deadline:
            raise SystemExit(f"still busy after {QUIET_SECONDS:g} s: {counters}")
        expected = [done[0] + 1, done[1] + 1, *done[2:]]  # this INFO, and nothing else
        time.sleep(0.3)


def _complaint(good: list[Good]) -> str:
    return "; ".join(client.complaint for client in good if client.complaint)


def table(outcome: Outcome, warm: int, growth: float) -> list[Row]:
    """Return what the table shows."""
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
    """Fire at a worker and print what became of it."""
    options = parser(__doc__ or "")
    options.add_argument("--frames", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--loop", choices=("native", "python"), default="native")
    arguments = options.parse_args()
    if not PART <= arguments.frames <= 10**9:
        options.error(f"expected {PART} to {10**9} frames")
    processes.ended_by_sigterm()
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
            lives, said = worker.alive(), worker.said()
    warm = min(WARM, (len(outcome.memory) + 1) // 2)
    growth = (max(outcome.memory) - max(outcome.memory[:warm])) / 1e6
    ratios = {"memory grown MB": growth}
    note = f"F={F}, capacity {CAPACITY}. {outcome.complaint}"
    targets = {"memory grown MB": GROWTH_MB}
    report("fire", table(outcome, warm, growth), ratios, arguments.json, note, targets)
    if not lives:
        raise SystemExit(f"the worker died:\n{said}")
    if not outcome.is_good or growth >= GROWTH_MB:
        raise SystemExit("the worker did not do what it has to")


if __name__ == "__main__":
    main()
