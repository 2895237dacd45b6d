"""Bridges at real brokers: each observation applied once, each prediction told, whatever dies."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.live.broker_peers import KafkaPeer, MqttPeer, NatsPeer, Peer
from benchmarks.live.brokers import MockKafka, Mosquitto, NatsServer, Tansu
from streamlstm import Client, Engine

from .bridge_process import BridgeProcess, needs, wait_until
from .conftest import MODEL, WorkerProcess

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
    chance, engine = np.random.default_rng(3), Engine(MODEL, threads=1)
    sent = 0
    expected: dict[str, list[list[float]]] = {stream: [] for stream in STREAMS}

    def load(peer: Peer) -> None:
        nonlocal sent
        for _ in range(ROUNDS):
            sent += 1
            X = chance.normal(size=(len(STREAMS), 2)).round(3).astype(np.float32)
            for stream, x in zip(STREAMS, X, strict=True):
                expected[stream].append(engine.step(stream, x).tolist())
            peer.send([(s, sent, x.tolist()) for s, x in zip(STREAMS, X, strict=True)])

    with make_broker(tmp_path / "broker") as broker:
        peer = make_peer(broker.url)
        first = worker()
        where = ("--url", broker.url, "--endpoints", str(tmp_path / "model.endpoints.json"))
        bridge = BridgeProcess(name, *peer.options, *where)
        load(peer)
        wait_until(lambda: steps(first) > len(STREAMS), "the first observations")
        bridge.stop(signal.SIGKILL)
        load(peer)
        bridge = BridgeProcess(name, *peer.options, *where)
        wait_until(lambda: steps(first) > len(STREAMS) * (ROUNDS + 5), bridge.said)
        first.stop(signal.SIGKILL)
        second = worker()
        load(peer)
        if isinstance(broker, Mosquitto | NatsServer):
            broker.kill(signal.SIGTERM if isinstance(broker, Mosquitto) else signal.SIGKILL)
            broker.start()
        load(peer)

        def told() -> dict[tuple[str, int], list[float]]:
            found: dict[tuple[str, int], list[float]] = {}
            for each in peer.predictions():
                y = list(each["prediction"].values())
                assert found.setdefault((each["stream"], each["seq"]), y) == y
            return found

        def missing() -> str:
            found = told()
            by = {s: sorted(n for t, n in found if t == s) for s in STREAMS}
            gaps = {s: [n for n in range(1, sent + 1) if n not in by[s]] for s in STREAMS}
            return f"{len(found)} of {sent * len(STREAMS)}: {gaps} {bridge.said[-4:]}"

        wait_until(lambda: len(told()) >= sent * len(STREAMS), missing)
        assert bridge.stop() == 0, bridge.said
        with Client(second.endpoints["router"]) as client:
            for stream in STREAMS:
                blob = client.export_stream(stream)
                copy = Engine(MODEL, threads=1)
                copy.import_stream(stream, blob)
                y = copy.step(stream, [1.0, 2.0])
                assert (y == engine.step(stream, [1.0, 2.0])).all(), stream
        found = told()
        assert len(found) == sent * len(STREAMS)
        for stream in STREAMS:
            mine = [found[key] for key in sorted(key for key in found if key[0] == stream)]
            np.testing.assert_allclose(mine, expected[stream], rtol=0, atol=1e-6)
        peer.close()
