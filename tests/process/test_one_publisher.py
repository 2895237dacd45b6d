"""Two publishers of a stream: nothing that either has sent is lost in silence."""

from __future__ import annotations

import random
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from benchmarks.live.proxy import Proxy
from streamlstm import Engine, wire
from streamlstm.errors import (
    StreamLSTMError,
)

from ..exhaustive import exhaustive
from ..redis_server import Redis, needs_redis
from .conftest import MODEL, Sockets, WorkerProcess
from .one_publisher import ELSE, X, assert_applied, publisher, send, step_as
from .test_replaying import Store, Thread


@pytest.fixture(scope="module", params=["native", "python"])
def looped(model_file: Path, request: pytest.FixtureRequest) -> Iterator[WorkerProcess]:
    process = WorkerProcess(model_file, "--loop", request.param)
    yield process
    process.stop()


def reported(error: BaseException) -> tuple[int, int]:
    """Return how many observations an error reports as in doubt, and as not applied."""
    counts = []
    for name in ("in doubt", "not applied"):
        found = re.search(rf"{name}: (\d+)(?: to (\d+))?", str(error))
        counts.append(0 if found is None else int(found[2] or found[1]) - int(found[1]) + 1)
    return counts[0], counts[1]


class Feeder:
    """A publisher, how many observations it took, and what it was told."""

    def __init__(self, worker: WorkerProcess, has_callback: bool) -> None:
        self.publisher = publisher(
            worker, on_prediction=(lambda stream, seq, y: None) if has_callback else None
        )
        self.taken = 0
        self.told: StreamLSTMError | None = None

    def do(self, call: str, stream: str, rows: int) -> None:
        if self.told is not None:
            return
        try:
            if call == "send":
                self.publisher.send_many([stream] * rows, X[:rows])
                self.taken += rows
            else:
                getattr(self.publisher, call)()
        except StreamLSTMError as error:
            self.told = error
            for again in (self.publisher.flush, lambda: self.publisher.send(stream, X[0])):
                with pytest.raises(StreamLSTMError, match=ELSE):
                    again()

    def end(self) -> None:
        try:
            self.publisher.close()
        except StreamLSTMError as error:
            self.told = error


@pytest.mark.parametrize("has_callback", [True, False])
def test_every_observation_is_applied_or_reported(
    looped: WorkerProcess, has_callback: bool
) -> None:
    chance = random.Random(has_callback)
    all_told = 0
    for case in range(60):
        stream = f"two-{has_callback}-{case}"
        feeders = [Feeder(looped, has_callback and chance.random() < 0.8) for _ in range(2)]
        for _ in range(chance.randrange(2, 9)):
            feeder = chance.choice(feeders)
            feeder.do("send", stream, chance.randrange(1, 7))
            if chance.random() < 0.3:
                feeder.do("flush", stream, 0)
        for feeder in feeders:
            feeder.end()
        taken = sum(feeder.taken for feeder in feeders)
        told = [feeder.told for feeder in feeders if feeder.told is not None]
        assert all(ELSE in str(error) for error in told)
        reports = [reported(error) for error in told]
        doubtful, lost = (
            (sum(counts) for counts in zip(*reports, strict=True)) if reports else (0, 0)
        )
        with looped.client() as client:
            last = client.last_seqs([stream])[0]
        assert taken - lost - doubtful <= last <= taken - lost, (case, feeders)
        assert len(reports) < 2  # the last one to take it over goes on
        all_told += len(reports)
    assert all_told > 10


def test_the_case_of_five_three_six(looped: WorkerProcess) -> None:
    with publisher(looped) as q:
        p = publisher(looped)
        send(p, "five", range(5))
        p.flush()
        assert send(q, "five", range(5, 8)) == [6, 7, 8]
        q.flush()
        send(p, "five", range(100, 106))
        with pytest.raises(StreamLSTMError, match="not applied: 9 to 11") as told:
            p.flush()
        assert "in doubt: 6 to 8" in str(told.value)
        with pytest.raises(StreamLSTMError, match=ELSE):
            p.close()
        send(q, "five", range(8, 10))
    assert_applied(looped, "five", list(range(10)))


@pytest.mark.parametrize("in_flight", [True, False])
def test_over_a_silent_reconnect(worker: WorkerProcess, in_flight: bool) -> None:
    stream, proxy = f"silent-{in_flight}", Proxy(worker.endpoints["router"])
    p = publisher(proxy.endpoint, retry=60)
    send(p, stream, range(3))
    p.flush()
    if in_flight:
        proxy.swallow()  # what p sends now arrives nowhere, and p does not know
        send(p, stream, range(3, 5))
    else:
        proxy.cut()
    with publisher(worker) as q:
        send(q, stream, range(3, 7))
    if in_flight:
        proxy.cut()
    else:
        send(p, stream, range(3, 5))
    with pytest.raises(StreamLSTMError, match=ELSE):
        p.flush()
    with pytest.raises(StreamLSTMError, match=ELSE):
        p.close()
    proxy.close()
    assert_applied(worker, stream, list(range(7)))


def test_a_worker_that_lost_the_claim_is_no_other_publisher() -> None:
    """Killed before its commit, it comes back with the stream as it was, the former one's."""
    engines = [Engine(MODEL, threads=1) for _ in range(2)]
    for engine in engines:
        for n in range(10):
            engine.step_many(["s", "claimed only"], X[[n, n]], seqs=[n + 1] * 2)
        engine._table.producers[:2] = 99
    store = Store()
    before = Thread(engines[0], store)
    proxy = Proxy(before.endpoint)
    applied = threading.Event()
    with publisher(
        proxy.endpoint, on_prediction=lambda stream, seq, y: applied.set(), retry=0.3
    ) as made:
        assert made.send("s", X[10]) == 11
        assert made.last_seq("claimed only") == 10
        assert applied.wait(60)
        before.stop()
        after = Thread(engines[1], store)
        proxy.target = after.endpoint
        proxy.cut()
        assert send(made, "s", range(11, 13)) == [12, 13]
        assert made.send("claimed only", X[10]) == 11
        store.committed = 1
        made.flush()
    assert engines[1].last_seqs(["s", "claimed only"]) == [13, 11]
    after.stop()
    proxy.close()


# --- the fence goes where the stream goes ---------------------------------------------------------


@pytest.mark.parametrize("store", ["lmdb", pytest.param("redis", marks=needs_redis)])
@pytest.mark.parametrize("number", [signal.SIGKILL, exhaustive(signal.SIGTERM)])
def test_a_restart_over_a_store_keeps_the_fence(
    model_file: Path, sockets: Sockets, tmp_path: Path, store: str, number: int
) -> None:
    redis = Redis(tmp_path) if store == "redis" else None
    url = f"lmdb:{tmp_path / 'store'}" if redis is None else redis.url
    options = ("--store", url, "--commit-ms", "5", "--capacity", "16", "--when-full", "evict-idle")
    try:
        first = WorkerProcess(model_file, *options)
        with publisher(first) as p:
            streams = [f"s{n}" for n in range(100)]  # most are evicted
            for n in range(2):
                p.send_many(streams, np.repeat(X[n : n + 1], 100, 0))
            p.flush()
            with publisher(first) as q:
                assert q.send_many(streams, np.repeat(X[2:3], 100, 0)) == [3] * 100
                owner = q._claims._producer
            first.stop(number)
            second = WorkerProcess(model_file, *options)
            for stream in ("s0", "s50", "s99"):
                assert step_as(sockets, second, p._claims._producer, stream, 3) == "fenced"
                assert step_as(sockets, second, owner, stream, 3) == ""
                with second.client() as client:
                    client.import_stream(f"{stream}-new", client.export_stream(stream))
                assert step_as(sockets, second, 12, f"{stream}-new", 4) == "fenced"
                assert step_as(sockets, second, owner, f"{stream}-new", 4) == ""
            second.stop()
    finally:
        if redis is not None:
            redis.kill()


# --- routing ids ----------------------------------------------------------------------------------


def test_a_second_connection_with_the_routing_id_of_another(
    looped: WorkerProcess, sockets: Sockets
) -> None:
    """It takes the id over, as a client does that comes back; the first one hears nothing more."""
    ping = wire.encode(wire.Ping(7))
    first = sockets.connect(zmq.DEALER, looped.endpoints["router"], ROUTING_ID=b"mine")
    first.send(ping)
    assert wire.decode_reply(first.recv()) == wire.Done(wire.Kind.PING, None, 7)
    second = sockets.connect(zmq.DEALER, looped.endpoints["router"], ROUTING_ID=b"mine")
    second.send(ping)
    assert wire.decode_reply(second.recv()) == wire.Done(wire.Kind.PING, None, 7)
    first.send(ping)
    second.send(wire.encode(wire.Ping(8)))
    assert wire.decode_reply(second.recv()) == wire.Done(wire.Kind.PING, None, 8)
    assert not first.poll(50)
    third = sockets.connect(zmq.DEALER, looped.endpoints["router"], ROUTING_ID=b"mine")
    third.send(ping)  # until it connects again
    assert wire.decode_reply(third.recv()) == wire.Done(wire.Kind.PING, None, 7)
