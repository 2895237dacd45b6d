"""One publisher of a stream: nothing of a second one, or of an old journal, is lost in silence."""

from __future__ import annotations

import random
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import zmq

from benchmarks.live.proxy import Proxy
from streamlstm import Engine, ReplayingPublisher, wire
from streamlstm.client.replay.journal import Journal
from streamlstm.errors import (
    BadValueError,
    DataError,
    EndpointError,
    KeyFileError,
    ShapeError,
    StreamLSTMError,
)

from ..redis_server import Redis, needs_redis
from .conftest import MODEL, SlowWorker, Sockets, WorkerProcess, assert_same_state
from .test_replaying import Store, Thread

X = np.random.default_rng(3).standard_normal((200, 2)).astype(np.float32)
ELSE = "somebody else feeds this stream"


@pytest.fixture(scope="module", params=["native", "python"])
def looped(model_file: Path, request: pytest.FixtureRequest) -> Iterator[WorkerProcess]:
    process = WorkerProcess(model_file, "--loop", request.param)
    yield process
    process.stop()


def publisher(worker: WorkerProcess | str, **options: Any) -> ReplayingPublisher:
    router = worker if isinstance(worker, str) else worker.endpoints["router"]
    return ReplayingPublisher(router, **{"timeout": 60, "linger": 60} | options)


def send(made: ReplayingPublisher, stream: str, rows: range) -> list[int]:
    return [made.send(stream, X[n]) for n in rows]


def assert_applied(worker: WorkerProcess, stream: str, rows: list[int]) -> None:
    """Compare a stream with an engine that steps these rows of X, numbered from 1."""
    engine = Engine(MODEL, threads=1)
    for seq, n in enumerate(rows, 1):
        engine.step(stream, X[n], seq=seq)
    with worker.client() as client:
        assert client.last_seqs([stream]) == [len(rows)]
        assert_same_state(client, engine, stream)


# --- a journal that is behind the worker ----------------------------------------------------------


def test_another_publisher_fed_the_stream_meanwhile(worker: WorkerProcess, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with publisher(worker, journal=journal) as first:
        assert send(first, "behind", range(10)) == list(range(1, 11))
    with publisher(worker) as other:
        assert send(other, "behind", range(10, 15)) == [11, 12, 13, 14, 15]
    with publisher(worker, journal=journal) as again:  # at once, before it hears of the worker
        assert send(again, "behind", range(15, 18)) == [16, 17, 18]
    assert_applied(worker, "behind", list(range(18)))


def test_an_old_copy_of_a_journal(worker: WorkerProcess, tmp_path: Path) -> None:
    journal, copy = tmp_path / "journal", tmp_path / "copy"
    with publisher(worker, journal=journal) as first:
        send(first, "copied", range(5))
    shutil.copy(journal, copy)
    with publisher(worker, journal=journal) as first:
        send(first, "copied", range(5, 10))
    with publisher(worker, journal=copy) as old:
        assert send(old, "copied", range(10, 13)) == [11, 12, 13]
    assert_applied(worker, "copied", list(range(13)))


@pytest.mark.parametrize("lost", [1, 15, 60, 300])
def test_a_journal_whose_tail_was_lost(worker: WorkerProcess, tmp_path: Path, lost: int) -> None:
    journal, stream = tmp_path / "journal", f"tail-{lost}"
    with publisher(worker, journal=journal) as first:
        send(first, stream, range(10))
    journal.write_bytes(journal.read_bytes()[:-lost])
    with publisher(worker, journal=journal) as again:
        assert send(again, stream, range(10, 12)) == [11, 12]
    assert_applied(worker, stream, list(range(12)))


def journal_of(path: Path, producer: int | None, stream: str, rows: range) -> None:
    """Write the journal of a publisher that was killed when it had sent these rows."""
    made = Journal(path)
    if producer is not None:
        made.begin(producer)
    made.add([wire.Step(stream, n + 1, wire.to_floats(X[n])) for n in rows])
    made.close()


def step_as(sockets: Sockets, worker: WorkerProcess, producer: int, stream: str, n: int) -> str:
    """Send row n as observation n + 1 of a producer; return the code of the refusal, if any."""
    return refusal(sockets, worker, producer, wire.Step(stream, n + 1, wire.to_floats(X[n])))


def refusal(sockets: Sockets, worker: WorkerProcess, producer: int, message: wire.Request) -> str:
    dealer = sockets.connect(zmq.DEALER, worker.endpoints["router"])
    envelope = [wire.envelope_of(producer)] if producer else []
    dealer.send_multipart([*envelope, wire.encode(message)])
    reply = wire.decode_reply(dealer.recv_multipart()[-1])
    return reply.code if isinstance(reply, wire.Error) else ""


@pytest.mark.parametrize("former", [5, None])
def test_what_a_killed_publisher_has_sent_counts_only_if_nobody_came_between(
    worker: WorkerProcess, sockets: Sockets, tmp_path: Path, former: int | None
) -> None:
    """Rows 3 to 7 are in the journal; 3 and 4 arrived, and then perhaps somebody else's 5."""
    for comes_between in (0, 6):
        stream, journal = f"killed-{former}-{comes_between}", tmp_path / f"{comes_between}"
        for n in range(5):
            assert step_as(sockets, worker, former or 0, stream, n) == ""
        journal_of(journal, former, stream, range(3, 8))
        if comes_between:
            assert refusal(sockets, worker, comes_between, wire.Claim([stream], None)) == ""
            other = wire.Step(stream, 6, wire.to_floats(X[100]))
            assert refusal(sockets, worker, comes_between, other) == ""
        if not comes_between:
            with publisher(worker, journal=journal) as again:
                assert send(again, stream, range(8, 10)) == [9, 10]
            assert_applied(worker, stream, list(range(10)))
            continue
        for _ in range(2):  # it stays so until somebody decides
            told = publisher(worker, journal=journal)
            with pytest.raises(StreamLSTMError, match=f"{ELSE}, .* in doubt: 4 to 6 .*: 7 to 8"):
                told.send(stream, X[8])
            with pytest.raises(StreamLSTMError, match=ELSE):
                told.flush()
            with pytest.raises(StreamLSTMError, match=ELSE):
                told.close()
        assert_applied(worker, stream, [*range(5), 100])
        # It has not taken the stream from the other one.
        assert step_as(sockets, worker, comes_between, stream, 6) == ""


def test_a_plain_client_between_two_lives_of_a_publisher(
    worker: WorkerProcess, sockets: Sockets, tmp_path: Path
) -> None:
    """A number that a client without identity has used is not the one in the journal."""
    for n in range(2):
        assert step_as(sockets, worker, 5, "plain", n) == ""
    journal_of(tmp_path / "journal", 5, "plain", range(1, 3))
    assert step_as(sockets, worker, 0, "plain", 2) == ""
    told = publisher(worker, journal=tmp_path / "journal")
    with pytest.raises(StreamLSTMError, match=f"{ELSE}, .* in doubt: 2 to 3"):
        told.last_seq("plain")
    with pytest.raises(StreamLSTMError, match=ELSE):
        told.close()


def test_a_journal_opened_twice_at_the_same_time(worker: WorkerProcess, tmp_path: Path) -> None:
    journal, copy = tmp_path / "journal", tmp_path / "copy"
    with publisher(worker, journal=journal) as first:
        send(first, "twice", range(3))
    shutil.copy(journal, copy)
    first, second = publisher(worker, journal=journal), publisher(worker, journal=copy)
    assert send(first, "twice", range(3, 5)) == [4, 5]
    first.flush()
    assert send(second, "twice", range(5, 7)) == [6, 7]
    second.flush()
    assert first.send("twice", X[100]) == 6
    with pytest.raises(StreamLSTMError, match=ELSE):
        first.flush()
    with pytest.raises(StreamLSTMError, match=ELSE):
        first.close()
    second.close()
    assert_applied(worker, "twice", list(range(7)))


# --- two publishers at once -----------------------------------------------------------------------


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
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.exhaustive)]
)
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


def test_a_stream_that_was_forgotten_is_an_error(worker: WorkerProcess) -> None:
    made = publisher(worker)
    send(made, "forgotten", range(3))
    made.flush()
    with worker.client() as client:
        client.forget("forgotten")
    made.send("forgotten", X[3])
    with pytest.raises(StreamLSTMError, match=r"reached number 0, .* number 4: .* lost state"):
        made.flush()
    with pytest.raises(StreamLSTMError, match="lost state"):
        made.close()


def test_a_worker_of_a_version_without_producers(slow: SlowWorker) -> None:
    made = publisher(slow.endpoint, linger=0)
    sending = threading.Thread(target=pytest.raises, args=(StreamLSTMError, made.send, "s", X[0]))
    sending.start()
    request = slow.request()
    assert wire.decode_request(request[-1]) == wire.Claim(["s"], None)
    assert wire.producer_of(request[-2])
    refused = wire.Error(None, None, "unknown-kind", "kind: expected 1, 2, got 15")
    slow.reply(request, wire.encode(refused))
    sending.join()
    with pytest.raises(StreamLSTMError, match=r"expected a worker that answers CLAIM.* Upgrade"):
        made.close()


def test_arguments_of_the_wrong_kind(worker: WorkerProcess, tmp_path: Path) -> None:
    """Errors of streamlstm, not of Python; and nothing stays open."""
    journal, wrong = tmp_path / "journal", cast(Any, 5)
    with pytest.raises(EndpointError, match="router: expected an endpoint such as"):
        ReplayingPublisher(wrong, journal=journal)
    with pytest.raises(BadValueError, match="on_prediction: expected a function, got 5"):
        publisher(worker, journal=journal, on_prediction=wrong)
    with pytest.raises(KeyFileError, match="key: expected the path of a key file, got 5"):
        publisher(worker, journal=journal, key=5, server=6)
    with pytest.raises(DataError, match="got a folder"):
        publisher(worker, journal=tmp_path)
    with publisher(worker, journal=journal) as made, worker.client() as client:
        for call in (made.send_many, client.step_many, client.submit_many):
            with pytest.raises(ShapeError, match="streams: expected a sequence of ids, got int"):
                call(wrong, X[:1])
        for streams in (wrong, "abc"):
            with pytest.raises(ShapeError, match="streams: expected a sequence of ids, got"):
                client.last_seqs(streams)
        with pytest.raises(ShapeError, match="seqs: expected a sequence of 1 values, got int"):
            client.step_many(["a"], X[:1], seqs=wrong)


# --- within a callback ----------------------------------------------------------------------------


def test_calls_that_would_wait_for_themselves(worker: WorkerProcess) -> None:
    """In on_prediction: an error at once, that says what to do; what need not wait works."""
    said: dict[str, str] = {}
    numbers: list[int] = []
    done = threading.Event()

    def deliver(stream: wire.StreamId, seq: int, y: np.ndarray) -> None:
        if stream != "in-callback" or seq > 1:
            return
        for name, call in {
            "send": lambda: made.send("new-in-callback", X[0]),
            "last_seq": lambda: made.last_seq("new-in-callback"),
            "flush": made.flush,
            "close": made.close,
        }.items():
            try:
                call()
            except StreamLSTMError as error:
                said[name] = str(error)
        numbers.append(made.send("in-callback", X[1]))
        numbers.append(made.last_seq("in-callback"))
        done.set()

    with publisher(worker, on_prediction=deliver) as made:
        made.send("in-callback", X[0])
        assert done.wait(30)
        made.flush()
    assert numbers == [2, 2]
    assert all(f"{name}: on_prediction runs where" in said[name] for name in said)
    assert set(said) == {"send", "last_seq", "flush", "close"}
    assert_applied(worker, "in-callback", [0, 1])


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
