"""The replaying publisher: whatever is killed or cut, nothing is lost or applied twice."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.live.proxy import Proxy
from benchmarks.live.verification import without_producer
from streamlstm import Engine, ReplayingPublisher, wire
from streamlstm.errors import (
    BadValueError,
    DataError,
    RemoteError,
    StreamLSTMError,
    WorkerTimeoutError,
)
from streamlstm.serving.service import Service
from streamlstm.serving.worker import Worker

from .conftest import MODEL, NOBODY, WorkerProcess, assert_same_state
from .replaying_child import STREAMS, series

X = np.random.default_rng(7).standard_normal((5_000, 2)).astype(np.float32)
Deliveries = dict[tuple[wire.StreamId, int], set[bytes]]


@pytest.fixture
def lost(model_file: Path) -> Iterator[WorkerProcess]:
    """A worker that a test may kill."""
    process = WorkerProcess(model_file)
    yield process
    process.stop()


def assert_same(worker: WorkerProcess, engine: Engine, streams: list[str]) -> None:
    with worker.client() as client:
        for stream in streams:
            assert_same_state(client, engine, stream)


@pytest.mark.parametrize("answered", [True, False])
def test_connections_that_break_at_any_moment(
    worker: WorkerProcess, engine: Engine, answered: bool, tmp_path: Path
) -> None:
    streams = [f"cut-{answered}-{n}" for n in range(5)]
    delivered: Deliveries = {}
    proxy = Proxy(worker.endpoints["router"], every=1_500, seed=answered)
    with ReplayingPublisher(
        proxy.endpoint,
        on_prediction=(
            (lambda stream, seq, y: delivered.setdefault((stream, seq), set()).add(y.tobytes()))
            if answered
            else None
        ),
        journal=tmp_path / "journal",
        timeout=120,
        linger=120,
        retry=0.3,
        max_rows=50,
    ) as publisher:
        for n in range(2_500):
            stream = streams[n % 5]
            y = engine.step(stream, X[n], seq=n // 5 + 1)
            assert publisher.send(stream, X[n]) == n // 5 + 1
            if answered:
                delivered.setdefault((stream, n // 5 + 1), set()).add(y.tobytes())
        proxy.every = 0
        publisher.flush()
        assert publisher.unconfirmed == 0
    proxy.close()
    assert proxy.cuts > 20
    assert_same(worker, engine, streams)
    assert all(len(different) == 1 for different in delivered.values())


@pytest.mark.parametrize("every", [0, 3_000])
def test_a_publisher_that_is_killed_goes_on_from_its_journal(
    lost: WorkerProcess, engine: Engine, tmp_path: Path, every: int
) -> None:
    count, chance = 200, random.Random(every)
    proxy = Proxy(lost.endpoints["router"], every)
    journal, log = tmp_path / "journal", tmp_path / "log"
    arguments = [proxy.endpoint, str(journal), str(log), str(count)]
    said = ""
    for kills in range(1_000):
        program = [sys.executable, "-m", "tests.process.replaying_child", *arguments]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(chance.randrange(1, 150) if kills < 6 else 10_000):
                said = child.stdout.readline()
                if said in ("", "done\n"):
                    break
            child.kill()
        if said == "done\n":
            break
    proxy.close()
    assert kills >= 4
    expected = {}
    for stream, rows in zip(STREAMS, series(count), strict=True):
        for n in range(count):
            y = engine.step(stream, rows[n], seq=n + 1)
            expected[stream, str(n + 1)] = {y.tobytes().hex()}
    delivered: dict[tuple[str, str], set[str]] = {}
    for line in log.read_text().splitlines():
        stream, seq, y_hex = line.split()
        delivered.setdefault((stream, seq), set()).add(y_hex)
    assert delivered == expected
    assert_same(lost, engine, STREAMS)


class Store:
    """Commits when a test says so."""

    committed = 0

    def ticket(self) -> int:
        return 1


class Thread:
    """A worker in a thread of the test, with a store."""

    def __init__(self, engine: Engine, store: Store) -> None:
        service = Service(engine, commits=store)
        self.worker = Worker(service, *["tcp://127.0.0.1:*"] * 3)
        self.endpoint = self.worker.endpoints["router"]
        self._thread = threading.Thread(target=self.worker.run)
        self._thread.start()

    def stop(self) -> None:
        self.worker.stop()
        self._thread.join()
        self.worker.close()


def test_a_worker_that_comes_back_with_older_state_gets_the_rest_again(engine: Engine) -> None:
    delivered: Deliveries = {}
    applied = threading.Event()

    def deliver(stream: wire.StreamId, seq: int, y: np.ndarray) -> None:
        delivered.setdefault((stream, seq), set()).add(y.tobytes())
        if seq == 80:
            applied.set()

    before, old = Thread(Engine(MODEL, threads=1), Store()), Engine(MODEL, threads=1)
    proxy = Proxy(before.endpoint)
    with ReplayingPublisher(proxy.endpoint, on_prediction=deliver, linger=60) as publisher:
        for n in range(80):
            publisher.send("s", X[n])
        assert applied.wait(60)
        assert publisher.unconfirmed == 80  # since nothing was committed
        before.stop()
        for n in range(30):
            old.step("s", X[n], seq=n + 1)
        old._table.producers[0] = publisher._claims._producer  # which an older state has, too
        store = Store()
        after = Thread(old, store)
        proxy.target = after.endpoint
        proxy.cut()
        for n in range(80, 120):
            publisher.send("s", X[n])
        store.committed = 1
        publisher.flush(60)
        for n in range(120):
            assert delivered["s", n + 1] == {engine.step("s", X[n], seq=n + 1).tobytes()}
        states = [e.export_stream("s") for e in (after.worker._service.engine, engine)]
        assert without_producer(states[0]) == without_producer(states[1])
    after.stop()
    proxy.close()


def test_a_worker_that_lost_confirmed_observations_is_an_error(
    lost: WorkerProcess, model_file: Path, tmp_path: Path
) -> None:
    proxy = Proxy(lost.endpoints["router"])
    journal = tmp_path / "journal"
    publisher = ReplayingPublisher(proxy.endpoint, journal=journal, timeout=30, linger=30)
    for n in range(10):
        publisher.send("s", X[n])
    publisher.flush()
    lost.process.kill()
    lost.stop()
    other = WorkerProcess(model_file)
    proxy.target = other.endpoints["router"]
    proxy.cut()
    said = "the worker has reached number 0, .* number 11: .* lost state"
    publisher.send("s", X[10])
    with pytest.raises(StreamLSTMError, match=said):
        publisher.flush()
    with pytest.raises(StreamLSTMError, match=said):
        publisher.send("s", X[11])
    with pytest.raises(StreamLSTMError, match=said):
        publisher.close()
    again = ReplayingPublisher(proxy.endpoint, journal=journal, timeout=30)
    with pytest.raises(StreamLSTMError, match=said):
        again.flush()
    with pytest.raises(StreamLSTMError, match=said):
        again.close()
    with other.client() as client:
        assert client.last_seqs(["s"]) == [0]
    other.stop()
    proxy.close()


def test_send_waits_at_the_limit_and_close_reports_the_unconfirmed(
    lost: WorkerProcess, tmp_path: Path
) -> None:
    proxy = Proxy(lost.endpoints["router"])
    journal = tmp_path / "journal"
    publisher = ReplayingPublisher(
        proxy.endpoint, journal=journal, max_rows=5, timeout=0.2, linger=0.1
    )
    while True:
        try:
            assert publisher.last_seq("s") == 0
            break
        except WorkerTimeoutError:  # the machine is busy
            continue
    proxy.target = NOBODY
    proxy.cut()
    for n in range(5):
        publisher.send("s", X[n])
    with pytest.raises(WorkerTimeoutError, match="5 observations are not confirmed"):
        publisher.send("s", X[5])
    with pytest.raises(WorkerTimeoutError, match="did not say within"):
        publisher.send("new", X[5])
    with pytest.raises(BadValueError, match="at most 5 observations"):
        publisher.send_many(["s"] * 6, X[:6])
    with pytest.raises(DataError, match="another process has it open"):
        ReplayingPublisher(proxy.endpoint, journal=journal)
    with pytest.raises(WorkerTimeoutError, match="5 observations were not confirmed in time"):
        publisher.close()
    with pytest.raises(StreamLSTMError, match="closed"):
        publisher.send("s", X[0])
    proxy.target = lost.endpoints["router"]
    with ReplayingPublisher(proxy.endpoint, journal=journal, linger=30) as publisher:
        assert publisher.last_seq("s") == 5
    with lost.client() as client:
        assert client.last_seqs(["s"]) == [5]
    proxy.close()


def test_what_the_worker_refuses_is_left_out_and_reported(
    worker: WorkerProcess, engine: Engine, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    bad = np.array([np.nan, 0.0], np.float32)
    refused = 0
    with ReplayingPublisher(
        worker.endpoints["router"], journal=journal, sync=True, linger=30
    ) as publisher:
        for n in range(100):
            try:
                publisher.send("left-out", bad if n == 50 else X[n])
            except StreamLSTMError as error:
                assert "bad-value" in str(error)  # noqa: PT017 - it comes at one of many calls
                assert error.code == "bad-value"  # noqa: PT017
                refused += 1
                publisher.send("left-out", X[n])
        try:
            publisher.flush()
        except StreamLSTMError as error:
            assert "bad-value" in str(error)  # noqa: PT017
            assert error.code == "bad-value"  # noqa: PT017
            refused += 1
        assert refused == 1
        publisher.flush()
        assert publisher.last_seq("left-out") == 99
    for seq, n in enumerate((n for n in range(100) if n != 50), 1):
        engine.step("left-out", X[n], seq=seq)
    assert_same(worker, engine, ["left-out"])


def test_a_stream_that_somebody_else_feeds_is_noticed(worker: WorkerProcess) -> None:
    publisher = ReplayingPublisher(worker.endpoints["router"], linger=30)
    publisher.send("shared", X[0])
    publisher.flush()
    with worker.client() as client:
        client.step("shared", X[1], seq=2)
        with pytest.raises(RemoteError):
            client.step("shared", X[1], seq=2)
    publisher.send("shared", X[2])
    with pytest.raises(StreamLSTMError, match="somebody else feeds this stream"):
        publisher.flush(30)
    with pytest.raises(StreamLSTMError, match="somebody else"):
        publisher.close()


def test_it_continues_from_the_last_number_of_the_worker(
    worker: WorkerProcess, engine: Engine
) -> None:
    with worker.client() as client:
        client.step("goes-on", X[0], seq=1)
        engine.step("goes-on", X[0], seq=1)
    with ReplayingPublisher(worker.endpoints["router"], linger=30) as publisher:
        numbers = publisher.send_many(["goes-on", "goes-on", "another"], X[1:4])
        assert numbers == [2, 3, 1]
        assert publisher.send("goes-on", X[4], time=5.0) == 4
    engine.step_many(["goes-on", "goes-on", "another"], X[1:4], seqs=[2, 3, 1])
    engine.step("goes-on", X[4], seq=4, time=5.0)
    assert_same(worker, engine, ["goes-on", "another"])


def test_an_error_is_not_hidden_behind_what_could_not_be_confirmed(lost: WorkerProcess) -> None:
    def use() -> None:
        with ReplayingPublisher(lost.endpoints["router"], linger=0.1) as publisher:
            publisher.send("s", X[0])
            publisher.flush(30)
            lost.stop()
            publisher.send("s", X[1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        use()
    assert "1 observations were not confirmed in time" in raised.value.__notes__[0]
