"""The online stage in real workers: they answer what an engine says, and a store keeps it."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamlstm import Engine, Online, wire
from streamlstm.client.aio.client import AsyncClient
from streamlstm.client.aio.replaying_publisher import AsyncReplayingPublisher
from streamlstm.client.client import Client
from streamlstm.client.publisher import Publisher
from streamlstm.client.replay.publisher import ReplayingPublisher
from streamlstm.client.subscriber import Subscriber
from streamlstm.engine.prediction import Prediction, Predictions
from streamlstm.errors import BadValueError, RemoteError, ShapeError, WorkerTimeoutError

from ..contract.models import STAGES, staged
from ..exhaustive import exhaustive
from .conftest import WorkerProcess, assert_same_state

FULL = staged(
    Online(
        fill="last",
        scale="stream",
        adapt="rls",
        labels=20,
        intervals=(0.5, 0.9),
        anomaly=True,
        alarm_rate=0.01,
    ),
    horizon=1,
)
assert FULL.online is not None
# Of its second output only labels from outside are known.
LABELLED = FULL.with_online(replace(FULL.online, targets=(2, -1)))
TIMED = staged(STAGES["calendar"])
Start = Callable[..., WorkerProcess]


def rows(count: int) -> np.ndarray:
    """Observations of which every seventh lacks a value, and one is far from all others."""
    t = np.arange(count)[:, None]
    noise = 0.1 * np.random.default_rng(3).standard_normal((count, 3))
    X = (np.sin(0.3 * t + np.arange(3)) + noise).astype(np.float32)
    X[5::7, 1] = np.nan
    X[count * 3 // 4] += 4
    return X


def same(one: Prediction | Predictions, other: Prediction | Predictions) -> bool:
    """Compare two results, but for what is not sent: whether intervals held."""
    end = one._layout.places.covered
    return np.array_equal(one._result[..., :end], other._result[..., :end], equal_nan=True)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start workers of a model; those that still run at the end are stopped."""
    started: list[WorkerProcess] = []
    path = tmp_path / "model.safetensors"

    def run(*options: str, model: object = FULL) -> WorkerProcess:
        model.save(path)  # type: ignore[attr-defined]
        started.append(WorkerProcess(path, *options))
        return started[-1]

    yield run
    for process in started:
        process.stop()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker of the model with everything; each test uses streams of its own."""
    path = tmp_path_factory.mktemp("full") / "model.safetensors"
    FULL.save(path)
    process = WorkerProcess(path)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker of the model with a calendar, which fills nothing and takes no labels."""
    path = tmp_path_factory.mktemp("timed") / "model.safetensors"
    TIMED.save(path)
    process = WorkerProcess(path)
    yield process
    process.stop()


@pytest.mark.parametrize("loop", ["native", exhaustive("python")])
async def test_clients_are_told_what_an_engine_says(
    full: WorkerProcess, start: Start, loop: str
) -> None:
    worker = full if loop == "native" else start("--loop", loop)
    engine, alarms = Engine(FULL, threads=1), 0
    async with AsyncClient(worker.endpoints["router"], timeout=20) as aio:
        with worker.client() as client:
            for n, x in enumerate(rows(160), start=1):
                expected = engine.observe("a", x, seq=n)
                assert same(client.observe("a", x, seq=n), expected)
                assert same(await aio.observe("b", x.tolist(), seq=n), expected)
                many = client.observe_many(["c", "d"], np.stack([x, x]), seqs=[n, n])
                assert same(many[0], expected)
                assert same(many[1], expected)
                assert same((await aio.observe_many(["e"], x[None]))[0], expected)
                alarms += expected.alarm
            assert np.isfinite(expected.low).all()
            assert alarms > 0
            x = np.array([0.1, np.nan, 0.2], np.float32)
            assert np.array_equal(client.step("a", x, seq=161), engine.step("a", x, seq=161))
            assert_same_state(client, engine, "a")
            assert client.info()["model"]["online"]["intervals"] == [0.5, 0.9]


def test_a_repeated_observation_is_told_all_that_was_said(full: WorkerProcess) -> None:
    engine = Engine(FULL, threads=1)
    with full.client() as client:
        for n, x in enumerate(rows(60), start=1):
            first = client.observe("twice", x, seq=n)
            assert same(first, engine.observe("twice", x, seq=n))
            for again in (client.observe, client.step):
                with pytest.raises(RemoteError) as caught:
                    again("twice", x, seq=n)
                assert caught.value.code == "duplicate"
                assert caught.value.observed is not None
                assert same(caught.value.observed, first)
        with pytest.raises(RemoteError) as caught:
            client.observe("twice", x, seq=n - 1)
        assert (caught.value.code, caught.value.observed) == ("duplicate", None)


def test_labels_are_applied_once_by_a_worker(full: WorkerProcess) -> None:
    engine = Engine(FULL, threads=1)
    with full.client() as client:
        for n, x in enumerate(rows(30), start=1):
            client.step("l", x, seq=n)
            engine.step("l", x, seq=n)
        # The label of the first output is an input one row later: that of the last has not come.
        client.learn("l", 30, [1.0, None])
        engine.learn("l", 30, [1.0, math.nan])
        assert_same_state(client, engine, "l")
        for stream, seq, y, code in (
            ("l", 30, [1.0, math.nan], "label"),
            ("l", 31, [1.0, 1.0], "label"),
            ("l", 9, [1.0, 1.0], "label"),
            ("l", 29, [1.0], "bad-shape"),
            ("l", 29, [math.inf, 1.0], "bad-value"),
            ("nobody", 1, [1.0, 1.0], "unknown-stream"),
        ):
            with pytest.raises(RemoteError) as caught:
                client.learn(stream, seq, y)
            assert caught.value.code == code, (stream, seq)
        assert_same_state(client, engine, "l")
        x = rows(31)[30]
        assert same(client.observe("l", x, seq=31), engine.observe("l", x, seq=31))


def test_a_worker_whose_model_takes_no_labels_says_so(timed: WorkerProcess) -> None:
    with timed.client() as client:
        client.step("l", [0.1, 0.2, 0.3], time=60.0)
        with pytest.raises(RemoteError, match="accepts labels"):
            client.learn("l", 1, [1.0, 1.0])


def test_a_calendar_needs_times_over_the_wire_too(timed: WorkerProcess) -> None:
    engine, x = Engine(TIMED, threads=1), [0.1, 0.2, 0.3]
    with timed.client() as client:
        before = client.info()["streams"]
        for refused in (
            lambda: client.step("a", x),
            lambda: client.observe("a", x),
            lambda: client.step_many(["a"], [x]),
            lambda: client.step_many(["a", "b"], [x, x], times=[60.0, None]),
        ):
            with pytest.raises(RemoteError, match="event time") as caught:
                refused()
            assert caught.value.code == "bad-value"
        assert client.info()["streams"] == before
        for n in range(5):
            expected = engine.observe("a", x, time=1e9 + 3600.0 * n)
            assert same(client.observe("a", x, time=1e9 + 3600.0 * n), expected)


async def test_many_rows_with_their_times_reach_a_calendar(timed: WorkerProcess) -> None:
    engine = Engine(TIMED, threads=1)
    X = rows(20)[::2]
    X = X[~np.isnan(X).any(axis=1)]
    router, pull, xpub = (timed.endpoints[name] for name in ("router", "pull", "xpub"))
    async with AsyncClient(router, timeout=20) as aio:
        with timed.client() as client, Subscriber(xpub, ["pushed"], timeout=20) as subscriber:
            while not client.info()["subscriptions"]:
                pass
            with Publisher(pull, timeout=20) as publisher:
                for n, x in enumerate(X):
                    rows_of_two, times = np.stack([x, x]), [1e9 + 3600.0 * n, 1e9 + 60.0 * n]
                    expected = engine.observe_many(["t", "u"], rows_of_two, times=times)
                    assert same(client.observe_many(["t", "u"], rows_of_two, times=times), expected)
                    many = await aio.observe_many(["v", "w"], rows_of_two, times=np.array(times))
                    assert same(many, expected)
                    publisher.send_many(["pushed"], x[None], times=times[:1])
                    pushed = subscriber.receive()
                    assert same(pushed.observed, expected[0])
            y = engine.step_many(["t"], X[:1], times=[1e9 + 1e6])
            assert np.array_equal(client.step_many(["t"], X[:1], times=[1e9 + 1e6]), y)
            y = engine.step_many(["u"], X[:1], times=[1e9 + 1e6])
            future = client.submit_many(["u"], X[:1], times=[1e9 + 1e6])
            assert np.array_equal(future.result(), y)
            with pytest.raises(BadValueError, match="event time"):
                client.step_many(["t"], X[:1], times=[math.nan])
            with pytest.raises(ShapeError, match="times"):
                client.step_many(["t"], X[:1], times=[1.0, 2.0])


async def test_a_replaying_publisher_sends_times_of_many_rows(timed: WorkerProcess) -> None:
    engine, X = Engine(TIMED, threads=1), np.ones((2, 3), np.float32)
    router = timed.endpoints["router"]
    with ReplayingPublisher(router) as publisher:
        publisher.send_many(["r", "s"], X, times=[1e9, 1.1e9])
        publisher.flush()
    async with AsyncReplayingPublisher(router) as replaying:
        await replaying.send_many(["r2", "s2"], X, times=[1e9, 1.1e9])
        await replaying.flush()
    engine.step_many(["r", "s"], X, seqs=[1, 1], times=[1e9, 1.1e9])
    with timed.client() as client:
        assert client.step("r2", X[0], time=1e9 + 60).tolist() == (
            client.step("r", X[0], time=1e9 + 60).tolist()
        )
        engine.step("r", X[0], time=1e9 + 60)
        again = engine.step("s", X[0], time=1.1e9 + 60)
        assert client.step("s", X[0], time=1.1e9 + 60).tolist() == again.tolist()


def test_a_missing_value_is_refused_where_nothing_is_filled(timed: WorkerProcess) -> None:
    with timed.client() as client:
        for x in ([0.1, None, 0.3], [math.nan, 0.2, 0.3]):
            with pytest.raises(RemoteError) as caught:
                client.observe("new", x, time=60.0)
            assert caught.value.code == "bad-value"


def test_subscribers_hear_the_same(full: WorkerProcess) -> None:
    told: dict[int, Prediction] = {}
    X = rows(50)
    with full.client() as client, Subscriber(full.endpoints["xpub"], ["s"], timeout=0.05) as heard:
        heard_of = None
        while heard_of is None:  # its subscription takes a moment to arrive
            seq = len(told) + 1
            told[seq] = client.observe("s", X[seq % 50], seq=seq)
            with suppress(WorkerTimeoutError):
                heard_of = heard.receive()
        assert isinstance(heard_of, wire.Prediction)
        assert same(heard_of.observed, told[heard_of.seq])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_store_keeps_the_memory_of_the_stage(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    store = ("--store", f"lmdb:{tmp_path / 'store'}", "--commit-ms", "5")
    X, engine = rows(240), Engine(LABELLED, threads=1)
    worker = start(*store, model=LABELLED)
    with worker.client() as client:
        for n, x in enumerate(X[:120], start=1):
            client.step("a", x, seq=n, time=60.0 * n)
            engine.step("a", x, seq=n, time=60.0 * n)
        client.learn("a", 120, [1.0, 2.0])  # the last change is a label
        engine.learn("a", 120, [1.0, 2.0])
        settle(client)
    worker.stop(number)
    again = start(*store, model=LABELLED)
    with again.client() as client:
        assert_same_state(client, engine, "a")
        with pytest.raises(RemoteError, match="got these labels before"):
            client.learn("a", 120, [1.0, 2.0])
        for n, x in enumerate(X[120:], start=121):
            expected = engine.observe("a", x, seq=n, time=60.0 * n)
            assert same(client.observe("a", x, seq=n, time=60.0 * n), expected)
            assert np.isfinite(expected.error[1]) == (n == 121)  # what the label showed, once


def test_a_store_of_another_stage_is_refused(start: Start, tmp_path: Path) -> None:
    store = ("--store", f"lmdb:{tmp_path / 'store'}")
    worker = start(*store)
    with worker.client() as client:
        client.step("a", rows(1)[0], seq=1)
        settle(client)
    assert worker.stop() == 0
    assert FULL.online is not None
    rated = Online.from_dict(FULL.online.to_dict() | {"alarm_rate": 0.001, "lower": -9.0})
    keep = (*store, "--other-model", "keep")  # it keeps the same numbers of a stream
    worker = start(*keep, model=FULL.with_online(rated))
    with worker.client() as client:
        client.step("a", rows(2)[1], seq=2)
    assert worker.stop() == 0
    with pytest.raises(AssertionError, match=r"(?s)did not become ready.*whose layout differs"):
        start(*keep, model=FULL.with_online(Online(fill="last", intervals=(0.9,))))


def settle(client: Client) -> None:
    """Ask until nothing waits to be committed."""
    while client.info()["store"]["pending"]:
        pass
