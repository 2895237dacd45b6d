"""Bridges at real brokers: each observation applied once, each prediction told, whatever dies."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.live.broker_peers import KafkaPeer, MqttPeer, NatsPeer, Peer
from benchmarks.live.brokers import MockKafka, Mosquitto, NatsServer, Tansu
from streamlstm import Client, Engine
from streamlstm.engine.partitions import partitions_of

from .bridge_process import BridgeProcess, needs, wait_until
from .conftest import MODEL, WorkerProcess
from .fleet_process import FleetProcess, PlainSockets

STREAMS = [f"m{n}" for n in range(12)]
ROUNDS = 40  # observations of each, in each of the parts


def with_broker(broker: Any, peer: Any) -> Any:
    return pytest.param(broker, peer, id=broker.__name__, marks=needs(broker))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[[], WorkerProcess]]:
    """Starts a worker with a store, again and again at the same file of endpoints."""
    MODEL.save(tmp_path / "model.safetensors")
    made: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        store = ("--store", f"lmdb:{tmp_path / 'streams'}")
        made.append(WorkerProcess(tmp_path / "model.safetensors", *store))
        return made[-1]

    yield start
    for each in made:
        each.stop()


def steps(worker: WorkerProcess) -> int:
    with worker.client() as client:
        return int(client.info()["counters"]["steps"])


class Load:
    """What is sent through a broker, and what has to come of it."""

    def __init__(self, peer: Peer) -> None:
        self._peer, self._chance = peer, np.random.default_rng(3)
        self._engine = Engine(MODEL, threads=1)
        self._expected: dict[str, list[list[float]]] = {stream: [] for stream in STREAMS}
        self.sent = 0

    def send(self, rounds: int = ROUNDS) -> None:
        """Send so many observations of each stream."""
        for _ in range(rounds):
            self.sent += 1
            X = self._chance.normal(size=(len(STREAMS), 2)).round(3).astype(np.float32)
            for stream, x in zip(STREAMS, X, strict=True):
                self._expected[stream].append(self._engine.step(stream, x).tolist())
            rows = [(s, self.sent, x.tolist()) for s, x in zip(STREAMS, X, strict=True)]
            self._peer.send(rows)

    def told(self) -> dict[tuple[str, int], list[float]]:
        """Return the predictions that came; one that came again has to be the same."""
        found: dict[tuple[str, int], list[float]] = {}
        for each in self._peer.predictions():
            y = list(each["prediction"].values())
            assert found.setdefault((each["stream"], each["seq"]), y) == y
        return found

    def wait(self, bridge: BridgeProcess) -> None:
        """Wait until all predictions have come, and check them."""
        wait_until(
            lambda: len(self.told()) >= self.sent * len(STREAMS),
            lambda: f"{len(self.told())} of {self.sent} rounds, {bridge.said[-4:]}",
        )
        found = self.told()
        assert len(found) == self.sent * len(STREAMS)
        for stream in STREAMS:
            mine = [found[key] for key in sorted(key for key in found if key[0] == stream)]
            np.testing.assert_allclose(mine, self._expected[stream], rtol=0, atol=1e-6)

    def check_state(self, client: Client) -> None:
        """Check that each stream is where it would be without any trouble."""
        for stream in STREAMS:
            copy = Engine(MODEL, threads=1)
            copy.import_stream(stream, client.export_stream(stream))
            y = copy.step(stream, [1.0, 2.0])
            assert (y == self._engine.step(stream, [1.0, 2.0])).all(), stream


@pytest.mark.parametrize(
    ("make_broker", "make_peer"),
    [
        with_broker(Mosquitto, MqttPeer),
        with_broker(NatsServer, NatsPeer),
        with_broker(MockKafka, KafkaPeer),
        with_broker(Tansu, KafkaPeer),
    ],
)
def test_nothing_is_lost_or_doubled_whatever_is_killed(
    make_broker: Any,
    make_peer: Callable[[str], Peer],
    worker: Callable[[], WorkerProcess],
    tmp_path: Path,
) -> None:
    """The bridge is killed, the worker is, the broker is started again, all of them under load."""
    name = make_peer.__name__.removesuffix("Peer").lower()  # type: ignore[attr-defined]
    with make_broker(tmp_path / "broker") as broker, closing(make_peer(broker.url)) as peer:
        load, first = Load(peer), worker()
        where = ("--url", broker.url, "--endpoints", str(tmp_path / "model.endpoints.json"))
        with BridgeProcess(name, *peer.options, *where) as bridge:
            load.send()
            wait_until(lambda: steps(first) > len(STREAMS), "the first observations")
            bridge.stop(signal.SIGKILL)
        load.send()
        with BridgeProcess(name, *peer.options, *where) as bridge:
            wait_until(lambda: steps(first) > len(STREAMS) * (ROUNDS + 5), bridge.said)
            first.stop(signal.SIGKILL)
            second = worker()
            load.send()
            if isinstance(broker, Mosquitto | NatsServer):
                broker.kill(signal.SIGTERM if isinstance(broker, Mosquitto) else signal.SIGKILL)
                broker.start()
            load.send()
            load.wait(bridge)
            assert bridge.stop() == 0, bridge.said
        with second.client() as client:
            load.check_state(client)


def owners(fleet: FleetProcess) -> dict[str, str]:
    """Return the name of the worker that has each stream."""
    names = {each["router"]: name for name, each in fleet.workers().items()}
    with closing(PlainSockets(next(iter(names)))) as sockets:
        routers = sockets.routers
    return {
        s: names[str(routers[int(p)])] for s, p in zip(STREAMS, partitions_of(STREAMS), strict=True)
    }


@needs(MockKafka)
def test_a_bridge_to_a_fleet_follows_streams_that_move(tmp_path: Path) -> None:
    """Each stream moves to the other of two workers, under load."""
    MODEL.save(tmp_path / "model.safetensors")
    fleet = FleetProcess(tmp_path / "model.safetensors", tmp_path)
    try:
        with MockKafka(tmp_path) as broker, closing(KafkaPeer(broker.url)) as peer:
            load = Load(peer)
            where = ("--url", broker.url, "--endpoints", str(fleet.endpoints))
            with BridgeProcess("kafka", *peer.options, *where) as bridge:
                load.send(5)
                load.wait(bridge)
                before = owners(fleet)
                for stream, owner in before.items():
                    other = next(name for name in fleet.workers() if name != owner)
                    fleet.ask("move", int(partitions_of([stream])[0]), other)
                    load.send(2)
                wait_until(lambda: not fleet.ask("status")["moving"], "the moves")
                after = owners(fleet)
                assert all(before[stream] != after[stream] for stream in STREAMS)
                load.send(5)
                load.wait(bridge)
                assert bridge.stop() == 0, bridge.said
            with Client(endpoints=fleet.endpoints, timeout=20) as client:
                load.check_state(client)
    finally:
        assert fleet.stop() == 0
