"""Clients of a single worker at the gateway of a fleet: they notice nothing of the workers."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from numpy.typing import NDArray

from streamlstm import Client, Engine, Model, Publisher, ReplayingPublisher, Subscriber, wire
from streamlstm.engine.partitions import partitions_of
from streamlstm.errors import RemoteError, WorkerTimeoutError

from .conftest import MODEL, Sockets, assert_same_state
from .fleet_process import FleetProcess, PlainSockets

STREAMS: list[int | str] = [*range(150), *(f"pump-{n}" for n in range(150))]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcess]:
    folder = tmp_path_factory.mktemp("gateway")
    MODEL.save(folder / "model.safetensors")
    fleet = FleetProcess(
        folder / "model.safetensors", folder, "--gateway", "tcp://127.0.0.1:*", "--commit-ms", "5"
    )
    yield fleet
    assert fleet.stop() == 0, fleet.lines


@pytest.fixture
def client(fleet: FleetProcess) -> Iterator[Client]:
    with Client(fleet.gateway()["router"], timeout=20) as client:
        yield client


@pytest.fixture
def engine(fleet: FleetProcess) -> Engine:
    return Engine(Model.load(fleet.endpoints.parent / "model.safetensors"))


def rows(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(*shape, 2)).astype(np.float32)


def is_settled(fleet: FleetProcess, workers: int) -> bool:
    """Tell whether a fleet has so many workers, and nothing moves."""
    status = fleet.ask("status")
    return bool(status["settled"]) and len(status["workers"]) == workers


def test_steps_submits_and_blocks_are_bit_equal_while_everything_moves(
    fleet: FleetProcess, client: Client, engine: Engine
) -> None:
    fleet.ask("drain", "w0")
    seq, settled = 0, False
    while not settled or seq % 3:
        settled = is_settled(fleet, 1)
        seq += 1
        values, seqs = rows(seq, len(STREAMS)), [seq] * len(STREAMS)
        expected = engine.step_many(STREAMS, values, seqs=seqs)
        if seq % 3 == 0:
            found = client.step_many(STREAMS, values, seqs=seqs)
        elif seq % 3 == 1:
            waiting = [
                client.submit(stream, x, seq=seq) for stream, x in zip(STREAMS, values, strict=True)
            ]
            found = np.stack([each.result(20) for each in waiting])
        else:
            found = np.stack(
                [client.step(stream, x, seq=seq) for stream, x in zip(STREAMS, values, strict=True)]
            )
        assert (found == expected).all()
    for stream in STREAMS[::15]:
        assert_same_state(client, engine, stream)
    fleet.ask("scale", 2)  # which takes its time; the next tests run meanwhile


def test_unnumbered_observations_keep_their_order_while_partitions_move(
    fleet: FleetProcess, client: Client, engine: Engine
) -> None:
    waiting = []
    for n, x in enumerate(rows(2, 600)):
        stream = f"ordered-{n % 4}"
        waiting.append((client.submit(stream, x), engine.step(stream, x)))
    moved = 0
    while not is_settled(fleet, 2) or moved < 600:
        x = rows(moved, 1)[0]
        stream = f"ordered-{moved % 4}"
        waiting.append((client.submit(stream, x), engine.step(stream, x)))
        moved += 1
    assert all((found.result(20) == expected).all() for found, expected in waiting)


def test_a_publisher_and_a_subscriber(fleet: FleetProcess, engine: Engine) -> None:
    where = fleet.gateway()
    streams = [f"pulled-{n}" for n in range(40)]
    with (
        Subscriber(where["xpub"], streams=["pulled-"], timeout=20) as subscriber,
        Publisher(where["pull"]) as publisher,
        Client(where["router"], timeout=20) as client,
    ):
        warm = client.step("pulled-warm", [0.0, 0.0])
        while subscriber_misses(subscriber, client):
            pass
        assert warm.shape == (3,)
        values = rows(3, 5, len(streams))
        for block in values:
            publisher.send_many(streams, block)
        for x in values[0]:
            publisher.send("pulled-one", x)
        found: dict[wire.StreamId, list[NDArray[np.float32]]] = {}
        while sum(map(len, found.values())) < values[..., 0].size + len(values[0]):
            published = subscriber.receive()
            if published.stream != "pulled-warm":
                found.setdefault(published.stream, []).append(published.values)
    for n, stream in enumerate(streams):
        expected = [engine.step(stream, x) for x in values[:, n]]
        assert (np.stack(found[stream]) == np.stack(expected)).all()
    expected = [engine.step("pulled-one", x) for x in values[0]]
    assert (np.stack(found["pulled-one"]) == np.stack(expected)).all()


def subscriber_misses(subscriber: Subscriber, client: Client) -> bool:
    """Tell whether predictions do not come through yet."""
    client.step("pulled-warm", [0.0, 0.0])
    subscriber._timeout = 0.2
    try:
        subscriber.receive()
    except WorkerTimeoutError:
        return True
    finally:
        subscriber._timeout = 20
    return False


def test_the_whole_fleet_answers(fleet: FleetProcess, client: Client) -> None:
    names = [f"listed-{n:03}" for n in range(60)]
    client.step_many(names, rows(5, len(names)), seqs=[1] * len(names))
    assert list(client.list_streams("listed-")) == [(name, 1) for name in names]
    assert client.last_seqs([*names, "unknown"]) == [1] * len(names) + [0]
    info = client.info()
    assert info["pid"] == fleet.gateway()["pid"]
    assert info["streams"] >= len(names)
    client.forget(names[0])
    assert client.last_seqs(names[:2]) == [0, 1]
    assert client.ping() > 0
    with pytest.raises(RemoteError, match="expected observation 2"):
        client.step(names[1], [1.0, 2.0], seq=5)
    with pytest.raises(RemoteError, match="expected 2 features"):
        client.step_many(names[:4], np.zeros((4, 3)))


def test_plain_requests_are_answered_in_their_order(fleet: FleetProcess) -> None:
    sockets = Sockets()
    dealer = sockets.connect(zmq.DEALER, fleet.gateway()["router"])
    asked: list[wire.Request] = [
        wire.Step(f"plain-{n}", 0, np.float32([n, 1]).tobytes()) for n in range(120)
    ]
    asked[60:60] = [wire.Ping(7), wire.Barrier(8, 60), wire.Last(["plain-1"]), wire.Table()]
    for request in asked:
        dealer.send(wire.encode(request))
    for request in asked:
        reply = wire.decode_reply(dealer.recv())
        if isinstance(request, wire.Step):
            assert isinstance(reply, wire.Prediction), reply
            assert reply.stream == request.stream
        elif isinstance(request, wire.Barrier):
            assert reply == wire.Done(wire.Kind.BARRIER, None, [8, 60])
        else:
            assert isinstance(reply, wire.Done)
    dealer.send_multipart([b"mine", b"\x01"])
    envelope, answer = dealer.recv_multipart()
    refused = wire.decode_reply(answer)
    assert envelope == b"mine"
    assert isinstance(refused, wire.Error)
    assert refused.code == "bad-frame"
    sockets.close()


@pytest.mark.parametrize("program", ["plain_client.py", "plain_client.mjs"])
def test_a_plain_client_of_the_wrong_worker_follows_moved(
    fleet: FleetProcess, engine: Engine, root: Path, tmp_path: Path, program: str
) -> None:
    command = [sys.executable, str(root / "examples" / program)]
    if program.endswith(".mjs"):
        command = node(root, tmp_path, program)
    router = next(iter(fleet.workers().values()))["router"]
    sockets = PlainSockets(router)
    while set(sockets.routers) == {router}:  # the other worker has only just begun
        sockets.follow(router)
    stream = next(
        stream
        for stream in (f"{program}-{n}" for n in range(99))
        if sockets.routers[int(partitions_of([stream])[0])] != router
    )
    sockets.close()
    shown = subprocess.run(
        [*command, "--router", router, "--stream", stream, "--count", "20"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    for n, line in enumerate(shown.stdout.splitlines()):
        y = engine.step(stream, [math.sin(0.3 * n), math.sin(0.3 * n + 1)])
        assert line == f"{stream} {n}: " + " ".join(f"{value:.6f}" for value in y)
    assert n == 19


def node(root: Path, folder: Path, program: str) -> list[str]:
    """Return the command that runs an example in JavaScript; skip where it cannot run."""
    found = shutil.which("node")
    places = [
        root / "clients" / "js" / "node_modules",
        *map(Path, os.environ.get("NODE_PATH", "").split(":")),
    ]
    modules = [each for each in places if {"zeromq", "msgpackr"} <= set(names_in(each))]
    if found is None or not modules:
        pytest.skip(
            "needs node on the PATH, and zeromq and msgpackr: `npm ci` in clients/js, or a folder "
            "of them that NODE_PATH names"
        )
    (folder / "node_modules").symlink_to(modules[0])
    shutil.copy(root / "examples" / program, folder)
    return [found, str(folder / program)]


def names_in(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.name and folder.is_dir() else []


def test_a_gateway_that_died_comes_back_at_its_address(fleet: FleetProcess) -> None:
    before = fleet.gateway()
    os.kill(before["pid"], signal.SIGKILL)
    with Client(before["router"], timeout=30) as client:
        assert client.info()["pid"] != before["pid"]
        assert client.step("after", [1.0, 2.0]).shape == (3,)


def test_a_replaying_publisher_loses_nothing_when_a_worker_is_killed(
    fleet: FleetProcess, client: Client, engine: Engine
) -> None:
    while not is_settled(fleet, 2):
        pass
    streams = [f"replayed-{n}" for n in range(20)]
    values = rows(4, 40, len(streams))
    with ReplayingPublisher(fleet.gateway()["router"], timeout=30) as publisher:
        for n, block in enumerate(values):
            publisher.send_many(streams, block)
            if n == 10:
                publisher.flush()
                victim = next(iter(fleet.workers().values()))
                os.kill(victim["pid"], signal.SIGKILL)
        publisher.flush()
    assert client.last_seqs(streams) == [len(values)] * len(streams)
    for n, stream in enumerate(streams):
        reference = Engine(engine.model)
        for seq, x in enumerate(values[:, n], start=1):
            reference.step(stream, x, seq=seq)
        assert_same_state(client, reference, stream)
