"""Values of which float32 keeps nothing: trained, predicted, served by both loops, published."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq

from streamlstm import Engine, Model, Online, wire
from streamlstm.client.aio.client import AsyncClient
from streamlstm.client.publisher import Publisher
from streamlstm.client.replay.publisher import ReplayingPublisher
from streamlstm.client.subscriber import Subscriber
from streamlstm.errors import BadValueError, RemoteError

from ..redis_server import needs_redis
from ..unit.test_differences import STAGES, series
from ..unit.test_differences import network as counting
from ..unit.test_offsets import LEVEL, SERIES, network
from .conftest import Sockets, WorkerProcess, assert_same_state

STAGE = Online(fill="last", adapt="rls", labels=50, intervals=(0.5, 0.9), anomaly=True)
MODEL = network(STAGE)
COUNTERS = counting(STAGES["all"])
STREAMLSTM = [sys.executable, "-m", "streamlstm"]


def streamlstm(*arguments: object) -> str:
    return subprocess.run(
        [*STREAMLSTM, *map(str, arguments)], capture_output=True, text=True, timeout=100, check=True
    ).stdout


@pytest.fixture(scope="module", params=["native", "python"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    path = tmp_path_factory.mktemp("large") / "model.safetensors"
    MODEL.save(path)
    process = WorkerProcess(path, "--loop", request.param)
    yield process
    process.stop()


def test_a_client_learns_from_a_refusal_that_float64_is_needed(served: WorkerProcess) -> None:
    """Values that a client itself takes for ordinary, and a missing one first."""
    engine, small = Engine(MODEL), [None]
    with served.client() as client:
        for x in (small, [SERIES[0]], small, [SERIES[1]]):
            got, expected = client.observe("a", x), engine.observe("a", x)
            for name in ("y", "low", "high", "error"):
                np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
        assert (got.y.dtype, got.filled) == (np.float64, 0)
        client.learn("a", 4, [SERIES[2]])
        engine.learn("a", 4, [SERIES[2]])
        assert_same_state(client, engine, "a")
        info = client.info()
        assert info["model"]["input_offsets"] == info["model"]["output_offsets"] == [LEVEL]
        assert info["counters"]["errors"]["precision"] == 1


def test_every_call_of_a_client_keeps_all_digits(served: WorkerProcess) -> None:
    engine = Engine(MODEL)
    x = SERIES[:4]
    with served.client() as client:
        y = client.step("b", [x[0]], seq=1)
        np.testing.assert_array_equal(y, engine.step("b", [x[0]]))
        with pytest.raises(RemoteError) as caught:
            client.step("b", [x[0]], seq=1)
        np.testing.assert_array_equal(caught.value.values, y)
        many = client.step_many(["b", "c"], [[x[1]], [x[1]]])
        np.testing.assert_array_equal(many, engine.step_many(["b", "c"], [[x[1]], [x[1]]]))
        seen = client.observe_many(["b", "c"], [[x[2]], [x[2]]])
        expected = engine.observe_many(["b", "c"], [[x[2]], [x[2]]])
        for name in ("y", "low", "high", "error", "score"):
            np.testing.assert_array_equal(getattr(seen, name), getattr(expected, name))
        future = client.submit("b", [x[3]])
        np.testing.assert_array_equal(future.result(), engine.step("b", [x[3]]))
        for bad in (np.array([LEVEL], np.float32), np.zeros(1, np.float32)):
            with pytest.raises(RemoteError) as caught:
                client.step("b", bad)
            assert caught.value.code == "precision"


def test_coroutines_learn_it_too(served: WorkerProcess) -> None:
    async def steps() -> list[np.ndarray]:
        async with AsyncClient(served.endpoints["router"]) as client:
            missing = [client.observe(stream, [None]) for stream in ("d", "e")]
            found = [said.y for said in await asyncio.gather(*missing)]
            return [*found, await client.step("d", [SERIES[0]])]

    engine = Engine(MODEL)
    expected = [engine.observe(stream, [None]).y for stream in ("d", "e")]
    expected.append(engine.step("d", [SERIES[0]]))
    np.testing.assert_array_equal(asyncio.run(steps()), expected)


def test_another_language_sends_an_array_and_gets_one(
    served: WorkerProcess, sockets: Sockets
) -> None:
    socket = sockets.connect(zmq.REQ, served.endpoints["router"])
    engine = Engine(MODEL)
    for n, x in enumerate([SERIES[0], int(LEVEL) + 3, None, SERIES[1]]):
        socket.send(msgpack.packb([1, "f", n + 1, [x]]))
        kind, stream, seq, y, said = msgpack.unpackb(socket.recv())
        expected = engine.observe("f", [x])
        assert (kind, stream, seq, y) == (129, "f", n + 1, expected.y.tolist())
        bounds = [None if bound != bound else bound for bound in expected.interval(0.5)[0]]
        assert said["low"][:1] == bounds
    socket.send(wire.encode(wire.Step("f", 5, wire.to_floats([LEVEL]))))
    assert msgpack.unpackb(socket.recv())[3] == "precision"


def test_a_publisher_sends_large_numbers_as_float64(served: WorkerProcess) -> None:
    engine = Engine(MODEL)
    endpoints = served.endpoints
    with Subscriber(endpoints["xpub"], ["g", "h"], timeout=20) as subscriber:
        with served.client() as client:
            while client.info()["subscriptions"] < 2:
                pass
        with Publisher(endpoints["pull"], delay=0.01) as publisher:
            publisher.send("g", [SERIES[0]])
            publisher.send_many(["g", "h"], [[SERIES[1]], [SERIES[1]]])
            publisher.send("g", [None])  # not a number by itself, but after those it is known
        sent = zip("gghg", [*SERIES[:2], SERIES[1], None], strict=True)
        for (stream, x), said in zip(sent, subscriber, strict=False):
            assert said.stream == stream
            expected = engine.observe(stream, [x])
            np.testing.assert_array_equal(said.values, expected.y)
            np.testing.assert_array_equal(said.observed.low, expected.low)
    with pytest.raises(BadValueError, match="auto or float64"):
        Publisher(endpoints["pull"], precision="float16")


@pytest.mark.parametrize(
    ("network", "kind"),
    [
        pytest.param(MODEL, "lmdb", id="offsets"),
        pytest.param(COUNTERS, "lmdb", id="counters"),
        pytest.param(COUNTERS, "redis", id="counters in Redis", marks=needs_redis),
    ],
)
def test_replayed_observations_keep_their_digits_through_kills(
    network: Model, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The worker and the publisher are killed; the journal and the store have every digit."""
    model, journal = tmp_path / "model.safetensors", tmp_path / "journal"
    network.save(model)
    url = request.getfixturevalue("redis").url if kind == "redis" else f"lmdb:{tmp_path / 'store'}"
    store = ("--store", url, "--commit-ms", "5")
    counted = series(gaps=True)[: len(SERIES)].tolist()
    engine, X = Engine(network), [[x] for x in SERIES] if network is MODEL else counted
    # Even the first is known to need float64: the worker said so.
    X[0] = X[30] = [None] * network.input_size
    expected = [str(engine.step("a", x, seq=n + 1).tolist()) for n, x in enumerate(X)]
    seen: dict[int, str] = {}

    def deliver(_stream: object, seq: int, y: np.ndarray) -> None:
        seen[seq] = str(y.tolist())  # every digit; the first is NaN

    worker = WorkerProcess(model, *store)
    try:
        with ReplayingPublisher(
            worker.endpoints["router"], on_prediction=deliver, journal=journal
        ) as publisher:
            for x in X[:25]:
                publisher.send("a", x)
            publisher.flush(30)
        worker.stop(signal.SIGKILL)
        worker = WorkerProcess(model, *store)
        publisher = ReplayingPublisher(worker.endpoints["router"], journal=journal, timeout=20)
        publisher.last_seq("a")
        for x in X[25:40]:
            publisher.send("a", x)
        publisher._end()  # without waiting for confirmation, as a kill would
        with ReplayingPublisher(
            worker.endpoints["router"], on_prediction=deliver, journal=journal, timeout=20
        ) as publisher:
            for x in X[publisher.last_seq("a") :]:
                publisher.send("a", x)
            publisher.flush(30)
        with worker.client() as client:
            assert_same_state(client, engine, "a")
        assert seen[len(X)] == expected[-1]
        assert all(expected[seq - 1] == y for seq, y in seen.items())
    finally:
        worker.stop(signal.SIGKILL)


def write(path: Path, values: np.ndarray) -> Path:
    path.write_text("value\n" + "".join(f"{value!r}\n" for value in values.tolist()))
    return path


def test_training_on_a_high_level_is_as_good_as_without_it(tmp_path: Path) -> None:
    """Trained, predicted and published: all numbers are those of the series near 0, moved."""
    random = np.random.default_rng(0)
    series = 10 * np.sin(np.arange(600) / 9) + 0.3 * random.normal(size=600)
    made = {}
    for name, level in (("high", LEVEL), ("low", 0.0)):
        data, model = write(tmp_path / f"{name}.csv", series + level), tmp_path / name
        streamlstm("train", data, "--target=value", "--hidden=6", "--epochs=6", "--out", model)
        said = streamlstm("predict", model, data).splitlines()
        y = np.array([float(line.split(",")[0]) for line in said[1:]])
        [score] = json.loads(Model.load(model).metadata["scores"])
        made[name] = (score["model"] / score["persistence"], y - level, model, data)
    (high, y_high, model, data), (low, y_low, plain, _) = made["high"], made["low"]
    assert Model.load(model).input_offsets.tolist() == [LEVEL]
    assert Model.load(plain).input_offsets is None
    assert high < 0.95
    np.testing.assert_allclose(high, low, rtol=1e-3)
    np.testing.assert_allclose(y_high, y_low, atol=1e-3)
    worker = WorkerProcess(model)
    try:
        where = worker.endpoints["router"]
        said = streamlstm("publish", data, "--router", where, "--stream=a", "--json").splitlines()
        live = np.array([json.loads(line)["prediction"][0] for line in said])
        np.testing.assert_allclose(live - LEVEL, y_high, atol=1e-5)
        said = streamlstm("publish", data, "--router", where, "--stream=b", "--json", "--replay")
        again = [json.loads(line)["prediction"][0] for line in said.splitlines()]
        np.testing.assert_array_equal(live, again)
    finally:
        worker.stop()
