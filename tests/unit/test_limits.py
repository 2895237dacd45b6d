"""Limits of one client: observations in a second, and streams in memory."""

from __future__ import annotations

import logging
import time

import msgpack
import pytest
import zmq

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.serving.access.client_accounts import PULL_NAME, Account
from streamlstm.serving.access.limits import Limits
from streamlstm.serving.access.stream_quota import StreamQuota
from streamlstm.serving.compiled_loop import CompiledLoop
from streamlstm.serving.native import layout

from ..contract.models import random_model
from .worker_harness import Harness, Parts, harness, received

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])
X = wire.to_floats([1.0, 2.0])
LOOPS = pytest.mark.parametrize("loop", ["native", "python"])


def step(stream: wire.StreamId, seq: int = 0) -> bytes:
    return wire.encode(wire.Step(stream, seq, X))


def steps(*streams: wire.StreamId) -> bytes:
    return wire.encode(wire.Steps(list(streams), None, X * len(streams)))


def answers(
    worker: Harness, socket: zmq.Socket[bytes], messages: list[bytes]
) -> list[list[object]]:
    """Send messages one by one and return what each is answered."""
    found = []
    for message in messages:
        socket.send(message)
        came: list[Parts] = []
        for _ in range(100):
            worker.turn()
            if came := received(socket):
                break
        found.append(msgpack.unpackb(came[0][-1]))
    return found


def codes(found: list[list[object]]) -> list[object]:
    return [answer[3] if answer[0] == wire.Kind.ERROR else answer[0] for answer in found]


# --- rate ----------------------------------------------------------------------------------------


@LOOPS
def test_a_throttled_client_may_send_again_after_the_time_in_the_reply(loop: str) -> None:
    with harness(Engine(MODEL, threads=1), loop=loop, limits=Limits(rate=50)) as worker:
        start = time.monotonic()
        good = 0
        while (answer := answers(worker, worker.asker, [step("a", good + 1)])[0])[0] == 129:
            good += 1
            assert good < 10_000
        spent = time.monotonic() - start
        # as many at once as in a second, one that ends the burst, and what the time allows besides
        assert 51 <= good <= 52 + 50 * spent
        assert answer[:4] == [wire.Kind.ERROR, "a", good + 1, "busy"]
        assert "--max-rate" in str(answer[4])
        assert isinstance(answer[5], int)
        assert 1 <= answer[5] <= 20
        assert worker.service.counters[layout.THROTTLED] == 1
        assert worker.service.counters[layout.BUSY] == 1
        deadline = time.monotonic() + answer[5] / 1000
        while time.monotonic() < deadline:
            worker.turn()
        assert codes(answers(worker, worker.asker, [step("a", good + 1)])) == [129]


@LOOPS
def test_a_message_is_charged_for_all_its_observations(loop: str) -> None:
    with harness(Engine(MODEL, threads=1), loop=loop, limits=Limits(rate=100)) as worker:
        many = [f"s{n}" for n in range(1000)]
        # taken as a whole, then nine seconds in debt
        found = answers(worker, worker.asker, [steps(*many), wire.encode(wire.Ping(1))])
        assert codes(found) == [wire.Kind.PREDICTIONS, "busy"]
        assert isinstance(found[1][5], int)
        assert 5_000 < found[1][5] <= 9_000


@LOOPS
def test_other_clients_are_not_charged(loop: str) -> None:
    with harness(Engine(MODEL, threads=1), loop=loop, limits=Limits(rate=10)) as worker:
        answers(worker, worker.asker, [steps(*range(1000))])
        other = worker.connect(zmq.DEALER, "router")
        assert codes(answers(worker, other, [step("b")] * 5)) == [129] * 5
        assert codes(answers(worker, worker.asker, [step("b")])) == ["busy"]


@LOOPS
def test_the_pull_socket_is_throttled_without_loss(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    with harness(Engine(MODEL, threads=1), loop=loop, limits=Limits(rate=200)) as worker:
        engine = worker.service.engine
        start = time.monotonic()
        with caplog.at_level(logging.WARNING):
            for n in range(300):
                worker.feeder.send(step("a", n + 1))
            turns = 0
            while engine.steps < 300:
                worker.turn(0.02)
                turns += 1
                assert time.monotonic() - start < 20
        spent = time.monotonic() - start
        assert spent >= 0.45  # 200 at once, 100 more at 200 a second
        assert engine.last_seq("a") == 300
        # while the PULL socket pauses the loop sleeps, and asking goes on
        assert turns < 400
        assert "clients of the pull socket: more observations than --max-rate allows" in caplog.text
        assert codes(answers(worker, worker.asker, [wire.encode(wire.Ping(1))])) == [131]


@LOOPS
def test_a_long_routing_id_has_an_account_and_the_log_names_it(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    with harness(Engine(MODEL, threads=1), loop=loop, limits=Limits(rate=1)) as worker:
        asker = worker.context.socket(zmq.DEALER)
        worker._sockets.append(asker)
        asker.routing_id = b"a long name of a client"
        asker.connect("inproc://router")
        with caplog.at_level(logging.WARNING):
            found = answers(worker, asker, [step("a")] * 4)
        assert codes(found) == [129, 129, "busy", "busy"]
        assert f"connection {b'a long name of a client'.hex()}" in caplog.text


@LOOPS
def test_more_connections_than_accounts_are_served(loop: str) -> None:
    with harness(Engine(MODEL, threads=1), loop=loop, limits=Limits(rate=1_000)) as worker:
        fill_accounts(worker)
        for n in range(20):
            client = worker.context.socket(zmq.DEALER)
            worker._sockets.append(client)
            client.routing_id = f"a client whose name is long, {n}".encode()
            client.connect("inproc://router")
            assert codes(answers(worker, client, [step("a")] * 2)) == [129, 129]


def fill_accounts(worker: Harness) -> None:
    """Let as many other clients have been here as there are accounts."""
    loop = worker.worker._loop
    for n in range(layout.MAX_ACCOUNTS - 1):
        if isinstance(loop, CompiledLoop):
            assert loop.table.accounts is not None
            loop.table.accounts.claim(f"somebody who was here once, {n}")
        else:
            assert loop.accounts is not None
            loop.accounts.of(f"somebody {n}".encode())


def test_limits_say_whether_there_are_any() -> None:
    assert not Limits()
    assert Limits(rate=5.0).interval == 200_000_000
    assert Limits(streams=1).interval == 0
    assert Limits(rate=1e12).interval == 1
    assert Limits(streams=1)


def test_names_of_clients_in_the_log() -> None:
    assert str(Account(1, b"Adashboard", authenticated=True)) == "dashboard"
    assert str(Account(1, b"\0\0\1\2\3\4", authenticated=False)) == "connection 0001020304"
    assert str(Account(1, PULL_NAME.encode(), authenticated=True)) == "clients of the pull socket"


# --- streams -------------------------------------------------------------------------------------


@LOOPS
def test_a_client_has_no_more_streams_in_memory_than_its_quota(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    with harness(Engine(MODEL, threads=1), loop=loop, limits=Limits(streams=3)) as worker:
        with caplog.at_level(logging.WARNING):
            found = answers(worker, worker.asker, [step(n) for n in "abcde"])
        assert codes(found) == [129, 129, 129, "capacity", "capacity"]
        assert "--max-streams-per-client" in str(found[3][4])
        assert "router: refused, capacity: stream 'd': connection " in caplog.text
        assert worker.service.engine.streams() == ["a", "b", "c"]
        # those that it has go on; another client has its own share
        assert codes(answers(worker, worker.asker, [step("a"), steps("a", "c")])) == [129, 130]
        other = worker.connect(zmq.DEALER, "router")
        assert codes(answers(worker, other, [step("d"), steps("a", "e")])) == [129, 130]
        assert codes(answers(worker, worker.asker, [step("d"), step("f")])) == [129, "capacity"]


@LOOPS
def test_at_the_router_steps_are_all_or_nothing(loop: str) -> None:
    with harness(Engine(MODEL, threads=1), loop=loop, limits=Limits(streams=3)) as worker:
        found = answers(worker, worker.asker, [steps("a", "b"), steps("a", "c", "d"), step("c")])
        assert codes(found) == [130, "capacity", 129]
        assert found[1][1] == "d"
        assert worker.service.engine.streams() == ["a", "b", "c"]
        assert worker.service.engine.steps == 3


def test_a_refused_message_revokes_only_its_own_streams() -> None:
    engine = Engine(MODEL, threads=1)
    quota = StreamQuota(engine.stream_owners(), 2)
    client = Account(1, b"A", True)
    assert quota.admit(client, ["a"]) == [True]  # in the same batch as
    assert quota.admit(client, ["a", "b", "c"]) == [True, True, False]
    quota.revoke()
    engine.step("a", [1, 2])
    quota.assign()
    assert quota._owners.count(1) == 1
    assert quota.admit(client, ["b", "c"]) == [True, False]


@LOOPS
def test_a_pulled_message_keeps_its_other_rows(loop: str) -> None:
    with harness(Engine(MODEL, threads=1), loop=loop, limits=Limits(streams=3)) as worker:
        worker.feed([steps("a", "b", "c", "d", "a", "e"), steps("x", "y"), steps("c")])
        engine = worker.service.engine
        assert engine.streams() == ["a", "b", "c"]
        assert engine.steps == 5
        assert worker.service.counters.errors["capacity"] == 4


@LOOPS
def test_forgotten_streams_make_room_for_others(loop: str) -> None:
    with harness(Engine(MODEL, threads=1), loop=loop, limits=Limits(streams=2)) as worker:
        forget = wire.encode(wire.Forget("a"))
        found = answers(worker, worker.asker, [steps("a", "b"), step("c"), forget, step("c")])
        assert codes(found) == [130, "capacity", 131, 129]
        assert codes(answers(worker, worker.asker, [step("a")])) == ["capacity"]


@LOOPS
def test_an_imported_stream_counts(loop: str) -> None:
    blob = Engine(MODEL, threads=1)
    blob.step("a", [1, 2])
    take = wire.encode(wire.Import("b", blob.export_stream("a")))
    with harness(Engine(MODEL, threads=1), loop=loop, limits=Limits(streams=1)) as worker:
        assert codes(answers(worker, worker.asker, [step("a"), take])) == [129, "capacity"]
        other = worker.connect(zmq.DEALER, "router")
        assert codes(answers(worker, other, [take, step("c")])) == [131, "capacity"]


def test_refused_observations_use_no_quota() -> None:
    bad = wire.encode(wire.Step("bad", 7, X))  # a gap
    with harness(Engine(MODEL, threads=1), limits=Limits(streams=1)) as worker:
        assert codes(answers(worker, worker.asker, [bad, step("a")])) == ["gap", 129]


def test_a_slot_that_another_took_over_is_not_counted() -> None:
    engine = Engine(MODEL, capacity=2, threads=1)
    quota = StreamQuota(engine.stream_owners(), 2)
    first, second = Account(1, b"A", True), Account(2, b"B", True)
    for account, stream in ((first, "a"), (first, "b")):
        assert quota.admit(account, [stream]) == [True]
        engine.step(stream, [1, 2])
        quota.assign()
    assert quota.admit(first, ["c"]) == [False]
    engine.forget("a")
    assert quota.admit(second, ["c", "d", "e"]) == [True, True, False]
    engine.step("c", [1, 2])
    quota.assign()
    assert engine.stream_owners().count(1) == 0  # another list knows nothing of them
    assert quota._owners.count(1) == 1
    assert quota._owners.count(2) == 1
