"""Workers that are killed around a change of their model, and restarted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from streamlstm import Engine, Model, wire
from streamlstm.client.client import Client
from streamlstm.errors import RemoteError

from ..exhaustive import exhaustive
from ..redis_server import Redis, needs_redis
from .conftest import Sockets, WorkerProcess, exported
from .reloading import MODELS, OTHER, ROUNDS, Deployment, x_of


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path)
    yield made
    made.stop()


STREAMS = [f"pump-{n}" for n in range(20)]


def seq_of(blob: bytes) -> int:
    return int.from_bytes(blob[24:32], "little")


def feed(dealer: Any, sent: dict[str, int], count: int, inputs: int = 2) -> None:
    """Send further observations; nobody waits for what is answered."""
    for _ in range(count):
        for stream in STREAMS[:5]:
            sent[stream] += 1
            x = x_of(sent[stream]) + b"\0\0\0\0" * (inputs - 2)
            dealer.send(wire.encode(wire.Step(stream, sent[stream], x)))


def settled(client: Client) -> None:
    while client.info()["store"]["pending"]:
        pass


@ROUNDS
@pytest.mark.parametrize(
    ("anew", "options"),
    [
        (False, ()),
        (True, ()),
        exhaustive(True, ("--loop", "python")),
    ],
)
def test_killed_around_a_change_no_stream_is_lost(
    deployment: Deployment, sockets: Sockets, anew: bool, options: tuple[str, ...], rounds: int
) -> None:
    places = [f"lmdb:{deployment.folder / f'store {round}'}" for round in range(rounds)]
    kill_around_a_change(deployment, sockets, anew, options, places)


@needs_redis
@pytest.mark.parametrize("anew", [exhaustive(False), True])
def test_killed_around_a_change_no_stream_is_lost_from_redis(
    deployment: Deployment, sockets: Sockets, redis: Redis, anew: bool
) -> None:
    places = [f"{redis.url}?prefix={round}" for round in range(2)]
    kill_around_a_change(deployment, sockets, anew, (), places)


def kill_around_a_change(
    deployment: Deployment,
    sockets: Sockets,
    anew: bool,
    options: tuple[str, ...],
    places: list[str],
) -> None:
    random = np.random.default_rng(3)
    for round, place in enumerate(places):
        old, new = MODELS[0], OTHER if anew else MODELS[1]
        deployment.put(old)
        store = ("--store", place, "--commit-ms", "5")
        worker = deployment.start(*store, *options)
        dealer = sockets.connect(zmq.DEALER, worker.endpoints["router"], LINGER=0)
        sent = dict.fromkeys(STREAMS, 0)
        with worker.client() as client:
            X = np.frombuffer(x_of(1) * len(STREAMS), np.float32).reshape(-1, 2)
            client.step_many(STREAMS, X, seqs=[1] * len(STREAMS))
            sent = dict.fromkeys(STREAMS, 1)
            feed(dealer, sent, 3)
            while client.last_seqs(["pump-0"]) != [4]:
                pass
            settled(client)
        certain = dict(sent)
        deployment.put(new)
        dealer.send_multipart([b"reload", wire.encode(wire.Reload(anew))])
        if round % 2:
            while dealer.recv_multipart()[0] != b"reload":
                pass
            feed(dealer, sent, int(random.integers(0, 20)), 3 if anew else 2)
        else:
            for _ in range(int(random.integers(0, 400_000))):
                pass  # to be somewhere within the change
        worker.stop(signal.SIGKILL)
        again, said = try_to_start(deployment, *store, *options)
        if again is None:
            assert not round % 2, "it was answered, and not in the store"
            assert ("let all streams restart" if anew else "let them continue") in said
            again = deployment.start(*store, *options, "--other-model", "anew" if anew else "keep")
        with again.client() as client:
            assert client.info()["model"]["fingerprint"] == new.fingerprint
            for stream in STREAMS:
                blob = exported(client, stream)
                seq = seq_of(blob)
                assert certain[stream] <= seq <= sent[stream]
                assert blob in candidates(stream, certain[stream], seq, old, new, anew)
        again.stop()


def try_to_start(deployment: Deployment, *options: str) -> tuple[WorkerProcess | None, str]:
    """Start a worker, or return what it says that it does not start for."""
    try:
        return deployment.start(*options), ""
    except AssertionError as refused:
        return None, str(refused)


def candidates(
    stream: str, least: int, seq: int, old: Model, new: Model, anew: bool
) -> list[bytes]:
    """What a stream may be exported as: the model was changed after any of its last steps."""
    found = []
    for last in range(least, seq + 1):
        engine = Engine(old, threads=1)
        for n in range(1, seq + 1):
            if n == last + 1:
                engine.reload(new, anew)
            x = np.frombuffer(x_of(n), np.float32)
            engine.step(stream, [*x, 0.0][: engine.model.input_size], seq=n)
        if engine.model is old:
            engine.reload(new, anew)
        found.append(engine.export_stream(stream))
    return found


def test_a_store_that_is_full_of_streams_begins_anew_at_once(deployment: Deployment) -> None:
    store = ("--store", f"lmdb:{deployment.folder / 'store'}", "--commit-ms", "5")
    count = 20_000
    worker = deployment.start(*store)
    with worker.client() as client:
        for n in range(0, count, 1000):
            client.step_many(range(n, n + 1000), np.ones((1000, 2)), seqs=[1] * 1000)
        settled(client)
    worker.stop()
    worker = deployment.start(*store)
    deployment.put(OTHER)
    with worker.client() as client:
        client.step(7, [1, 2], seq=2)
        client.reload(anew=True)
        assert client.info()["streams"] == 1
        assert client.last_seqs([7, 8, count - 1]) == [2, 1, 1]
        y = client.step(9, [1, 2, 3], seq=2)
        np.testing.assert_array_equal(y, Engine(OTHER, threads=1).step(9, [1, 2, 3]))
        with pytest.raises(RemoteError) as caught:
            client.step(8, [1, 2, 3], seq=1)
        assert (caught.value.code, caught.value.values) == ("duplicate", None)
    worker.stop()
    worker = deployment.start(*store, "--preload")
    with worker.client() as client:
        assert client.info()["streams"] == count
        assert client.last_seqs([7, 8, 9]) == [2, 1, 2]
