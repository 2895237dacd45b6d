"""What peers can make ZeroMQ hold in a worker is bounded, and holds nobody else up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamlstm import wire
from streamlstm.client.subscriber import Subscriber
from streamlstm.serving import sockets, subscriptions

from .attack import MIB, Memory, flooding, frame, peers, topics
from .conftest import WorkerProcess, normal

X = normal(2)
QUEUE = 64 * MIB


@pytest.fixture(params=["native", "python"])
def own(request: pytest.FixtureRequest, model_file: Path) -> Iterator[WorkerProcess]:
    """A worker of one test."""
    worker = WorkerProcess(model_file, "--loop", request.param)
    yield worker
    worker.stop()


@pytest.fixture
def native(model_file: Path) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(model_file)
    yield worker
    worker.stop()


def answers(worker: WorkerProcess, times: int = 5) -> None:
    """Let a good client ask: on a connection of its own, within a timeout."""
    with worker.client() as client:
        for _ in range(times):
            client.step("good", X)


def counted(worker: WorkerProcess, wanted: dict[str, int]) -> dict:
    """Wait until INFO shows these counts; return it."""
    with worker.client() as client:
        while True:
            info = client.info()
            found = {**info["counters"], **info}
            if all(found[name] == value for name, value in wanted.items()):
                return info


def test_a_topic_longer_than_any_id_is_not_taken(own: WorkerProcess) -> None:
    memory = Memory(own)
    with peers(own.endpoints["xpub"], "SUB", 40) as attackers:
        for attacker in attackers:
            attacker.send(frame(b"\1" + bytes(MIB)))
        assert all(attacker.closed() for attacker in attackers)
        answers(own)
    assert memory.peak() < 32 * MIB
    counted(own, {"subscriptions": 0})


def test_a_subscriber_with_too_many_topics_is_cut(own: WorkerProcess) -> None:
    with peers(own.endpoints["xpub"], "SUB", 1) as [attacker]:
        attacker.send(topics(subscriptions.TOPICS, 8))
        counted(own, {"subscriptions": subscriptions.TOPICS, "cut_subscribers": 0})
        attacker.send(topics(1, 9))
        assert attacker.closed()
        counted(own, {"subscriptions": 0, "topic_bytes": 0, "cut_subscribers": 1})
        answers(own)
    assert own.stop() == 0
    assert "xpub: cut a subscriber with 10001 topics of 80009 bytes" in own.said


def test_subscribers_together_have_a_bound_and_the_largest_is_cut(native: WorkerProcess) -> None:
    memory = Memory(native)
    with (
        peers(native.endpoints["xpub"], "SUB", 1) as [small],
        peers(native.endpoints["xpub"], "SUB", 4) as attackers,
    ):
        small.send(topics(2_000, 8))
        for attacker in attackers:
            attacker.send(topics(9_900, 8))
        info = counted(native, {"cut_subscribers": 1})
        assert info["subscriptions"] <= subscriptions.ALL_TOPICS
        answers(native)
        assert small.send(topics(1, 8))
        counted(native, {"subscriptions": 2_001 + 3 * 9_900})
    counted(native, {"subscriptions": 0})
    assert memory.peak() < 160 * MIB


@pytest.mark.parametrize("size", [8, 250])
def test_a_flood_of_topics_holds_nobody_up(native: WorkerProcess, size: int) -> None:
    """The loop's own thread applies them to libzmq's trie: for as long as they come, once."""
    memory = Memory(native)
    several = topics(200_000, size)
    with peers(native.endpoints["xpub"], "SUB", 4) as attackers, flooding(attackers, several):
        answers(native)
        counted(native, {"cut_subscribers": 4})
        answers(native)
    # What libzmq takes in until it has closed a connection that is cut depends on the machine.
    assert memory.peak() < 768 * MIB


def test_a_cancellation_of_what_was_never_wanted_silences_nobody(own: WorkerProcess) -> None:
    with (
        Subscriber(own.endpoints["xpub"], timeout=20) as subscriber,
        own.client() as client,
        peers(own.endpoints["xpub"], "SUB", 1) as [attacker],
    ):
        counted(own, {"subscriptions": 1})
        attacker.send(frame(b"\0") + frame(b"\0nothing") + frame(b"\1mine") + frame(b"\1mine"))
        counted(own, {"subscriptions": 2})
        client.step("heard", X)
        assert subscriber.receive().stream == "heard"
    counted(own, {"subscriptions": 0})


def steps_of_a_megabyte() -> bytes:
    ids: list[wire.StreamId] = [f"stream-of-the-flood-{n:06d}-{'x' * 24}" for n in range(16_384)]
    return wire.encode(wire.Steps(ids, None, wire.to_floats(np.zeros((16_384, 2), np.float32))))


@pytest.mark.exhaustive
def test_a_flood_of_large_requests_holds_nobody_up(native: WorkerProcess) -> None:
    """What they hold depends on how they are scheduled; tests/unit/test_queue.py has the rest."""
    message = frame(steps_of_a_megabyte())
    memory = Memory(native)
    with (
        peers(native.endpoints["router"], "DEALER", 8) as attackers,
        flooding(attackers, message),
    ):
        answers(native)
        counted_messages(native, 100)
        answers(native)
    while memory.now() > QUEUE + 64 * MIB:  # until what they have sent is read, and freed
        answers(native)


def test_large_observations_are_left_to_their_senders(model_file: Path) -> None:
    """Of a PULL socket that is not read, since its senders are too fast."""
    worker = WorkerProcess(model_file, "--max-rate", "1000")
    try:
        memory = Memory(worker)
        memory.limit(QUEUE + 8 * sockets.OBSERVATIONS * MIB + 128 * MIB)
        with peers(worker.endpoints["pull"], "PUSH", 8) as attackers:
            for attacker in attackers:
                attacker.socket.settimeout(0.5)  # none is read any more
            message = frame(steps_of_a_megabyte())
            assert not any(all(a.send(message) for _ in range(200)) for a in attackers)
            answers(worker)
        answers(worker)
    finally:
        assert worker.stop() == 0


def test_replies_that_nobody_reads_are_bounded(native: WorkerProcess) -> None:
    names: list[wire.StreamId] = [f"{n:04d}-{'x' * 240}" for n in range(1_000)]
    with native.client() as client:
        client.step_many(names, normal(1_000, 2))
    memory, asked = Memory(native), 900
    ask = frame(wire.encode(wire.List(None, None, 1_000)))  # a reply is a quarter of a megabyte
    with peers(native.endpoints["router"], "DEALER", 1) as [attacker]:
        attacker.send(ask * asked)
        with native.client() as client:
            answers(native)
            counters = client.info()["counters"]
            while counters["answers"] + counters["dropped_answers"] < asked:
                counters = client.info()["counters"]
        assert counters["dropped_answers"] > asked / 10  # sockets hold some, the system's more
        assert memory.peak() < QUEUE
        answers(native)
    answers(native)


def counted_messages(worker: WorkerProcess, count: int) -> None:
    """Wait until the worker has received as many messages of the flood."""
    with worker.client() as client:
        before = client.info()["counters"]["messages"]
        asked = 0
        while client.info()["counters"]["messages"] - before - asked < count:
            asked += 1


def test_connections_beyond_the_limit_are_closed(model_file: Path) -> None:
    worker = WorkerProcess(model_file, "--max-connections", "12")
    try:
        with (
            worker.client() as client,
            peers(worker.endpoints["pull"], "PUSH", 5) as pushing,
        ):
            client.step("good", X)
            with peers(worker.endpoints["router"], "DEALER", 40) as attackers:
                assert all(attacker.closed() for attacker in attackers[6:])
                while (info := client.info())["connections"] > 12:
                    pass
                assert info["limits"]["connections"] == 12
                assert info["counters"]["excess_connections"] == 34
                client.step("good", X)
            while client.info()["connections"] > 6:
                pass
            answers(worker)
            assert pushing[0].send(frame(wire.encode(wire.Step("pushed", 0, wire.to_floats(X)))))
    finally:
        assert worker.stop() == 0
    assert "as many as --max-connections allows" in worker.said
    assert worker.said.count("refused a connection") <= 3


def test_few_descriptors_leave_a_reserve(model_file: Path) -> None:
    """The worker serves, and has files to open, whatever connects; and does not burn a core."""
    worker = WorkerProcess(model_file, "--metrics", "127.0.0.1:*", files=256)
    try:
        with worker.client() as client:
            client.step("good", X)
            limit = client.info()["limits"]["connections"]
            assert limit == 128
            with peers(worker.endpoints["router"], "DEALER", 300) as attackers:
                client.step("good", X)
                assert sum(attacker.closed() for attacker in attackers[limit:]) == 300 - limit
                before = client.info()
                pings = 0
                while pings < 200 or client.info()["uptime"] < before["uptime"] + 1:
                    client.ping()
                    pings += 1
                while client.info()["connections"] > limit:
                    pass
    finally:
        assert worker.stop() == 0
