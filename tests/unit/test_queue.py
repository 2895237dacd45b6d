"""The worker's queue: limited, fair to every client and both sockets, and `busy` beyond it."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest
import zmq
from numba import njit

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.errors import BadValueError
from streamlstm.kernels.pointers import int64s_at
from streamlstm.serving import libzmq
from streamlstm.serving.compiled_loop import CompiledLoop
from streamlstm.serving.native import admission, layout
from streamlstm.serving.native import queue as native_queue
from streamlstm.serving.queue_limits import QueueLimits

from ..contract.models import random_model
from .worker_harness import Harness, harness, received

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])
SMALL = QueueLimits(messages=32)


def step(stream: wire.StreamId, seq: int = 0) -> bytes:
    return wire.encode(wire.Step(stream, seq, wire.to_floats([1.0, 2.0])))


@njit
def take(address: int) -> None:
    """Take what is ready into the queue, and step nothing."""
    table = int64s_at(address, layout.LOOP)
    native_queue.finish_handed(table)
    table[layout.READABLE] = 3
    admission.receive_ready(table)


def take_into(queue: Harness) -> None:
    assert isinstance(queue.worker._loop, CompiledLoop)
    take(queue.worker._loop.table.address)


def settle(queue: Harness) -> None:
    """Turn the loop until nothing waits, there or in front of it."""
    counters = queue.service.counters
    for _ in range(10_000):
        before = counters[layout.MESSAGES]
        queue.turn()
        if counters[layout.MESSAGES] == before and not counters[layout.QUEUED]:
            break
    assert queue.service.counters[layout.QUEUED] == 0
    assert queue.service.counters[layout.QUEUED_BYTES] == 0


def test_a_client_that_floods_a_worker_gets_busy_and_the_others_are_served() -> None:
    with harness(Engine(MODEL, threads=1), queue_limits=SMALL) as queue:
        meek = queue.connect(zmq.DEALER, "router")
        for n in range(100):
            queue.asker.send(step("flood", n + 1))
        take_into(queue)
        for n in range(8):
            meek.send(step("meek", n + 1))
        settle(queue)
        flood = [msgpack.unpackb(parts[-1]) for parts in received(queue.asker)]
        assert len(flood) == 100
        applied = [answer for answer in flood if answer[0] == wire.Kind.PREDICTION]
        busy = [answer for answer in flood if answer[0] == wire.Kind.ERROR]
        # its share is what is free: half of the queue for the only one who uses it
        assert [answer[2] for answer in applied] == list(range(1, 17))
        assert {answer[2] for answer in busy} == set(range(17, 101))
        for answer in busy:
            assert answer[:2] == [255, "flood"]
            assert answer[3] == "busy"
            assert answer[5] >= 1
        assert queue.service.counters[layout.BUSY] == 84
        assert queue.service.counters[layout.QUEUE_PEAK] <= 32
        assert [msgpack.unpackb(parts[-1])[2] for parts in received(meek)] == list(range(1, 9))
        assert queue.service.engine.last_seq("flood") == 16


def test_late_busy_replies_have_the_envelope_of_their_request() -> None:
    with harness(Engine(MODEL, threads=1), queue_limits=QueueLimits(messages=16)) as queue:
        frames = [
            wire.encode(wire.Reset(7)),
            wire.encode(wire.Ping(1)),
            wire.encode(wire.Steps(["a"], [5], b"\0" * 8)),
            step("ein Strom", 2**40),
            b"\x94\x01\xa2\xff\xff\x05\xc0",
            b"junk",
        ]
        for _ in range(16):
            queue.asker.send(step("a"))
        for n, frame in enumerate(frames):
            queue.asker.send_multipart([b"", bytes([n]), frame])
        settle(queue)
        answers = [parts for parts in received(queue.asker) if len(parts) > 1]
        assert [parts[:2] for parts in answers] == [[b"", bytes([n])] for n in range(len(frames))]
        named = [msgpack.unpackb(parts[-1])[1:4] for parts in answers]
        assert named == [
            [7, None, "busy"],
            [None, None, "busy"],
            [None, None, "busy"],
            ["ein Strom", 2**40, "busy"],
            [None, None, "busy"],
            [None, None, "busy"],
        ]


def test_bytes_are_limited_too() -> None:
    queue_limits = QueueLimits(messages=1000, bytes=8 * 4096)
    with harness(Engine(MODEL, threads=1), queue_limits=queue_limits, limit=4096) as queue:
        large = wire.encode(wire.Steps(["a"] * 256, None, b"\0" * 8 * 256))
        for _ in range(20):
            queue.asker.send(large)
        take_into(queue)
        assert 0 < queue.service.counters[layout.QUEUED_BYTES] <= queue_limits.bytes
        waiting = queue.service.counters[layout.QUEUED]
        charged = layout.RECORD + 5 + len(large)  # 5 bytes of identity go with it
        # the last one that was taken found its client below its share
        assert waiting == (queue_limits.bytes + charged) // (2 * charged)
        settle(queue)
        kinds = [parts[-1][1:3] for parts in received(queue.asker)]
        assert kinds.count(b"\xcc\x82") == waiting
        assert kinds.count(b"\xcc\xff") == 20 - waiting


def test_large_messages_are_refused_quicker_than_they_are_read() -> None:
    """Else they would wait in ZeroMQ, where nothing bounds their bytes."""
    limit = 2**16
    queue_limits = QueueLimits(messages=1000, bytes=8 * limit)
    with harness(Engine(MODEL, threads=1), queue_limits=queue_limits, limit=limit) as queue:
        ids: list[wire.StreamId] = [f"stream-of-a-flood-{n:030d}" for n in range(1_000)]
        large = wire.encode(wire.Steps(ids, None, b"\0" * 8 * 1_000))
        for n in range(500):
            queue.asker.send_multipart([n.to_bytes(8, "big"), large])
        take_into(queue)
        assert queue.service.counters[layout.MESSAGES] * len(large) > 4 * 2**20  # in one pass
        admitted = queue.service.counters[layout.QUEUED]
        assert queue.service.counters[layout.BUSY] > 10 * admitted
        settle(queue)
        admitted = 500 - queue.service.counters[layout.BUSY]
        dropped = queue.service.counters[layout.DROPPED_ANSWERS]  # large ones that nobody has read
        answers = {parts[0]: msgpack.unpackb(parts[1]) for parts in received(queue.asker)}
        assert len(answers) == 500 - dropped
        kinds = [answer[0] for answer in answers.values()]
        assert kinds.count(wire.Kind.PREDICTIONS) == admitted - dropped > 0
        assert kinds.count(wire.Kind.ERROR) == 500 - admitted


def test_the_pull_socket_waits_and_drops_nothing() -> None:
    with harness(Engine(MODEL, threads=1), queue_limits=QueueLimits(messages=16)) as queue:
        for n in range(500):
            queue.feeder.send(step("fed", n + 1))
        settle(queue)
        assert queue.service.engine.last_seq("fed") == 500
        assert queue.service.counters[layout.QUEUE_PEAK] <= 16
        assert queue.service.counters.refused() == 0


def test_clients_and_sockets_take_turns() -> None:
    """Whoever comes late waits for one message of each other, not for all that they have sent."""
    with harness(Engine(MODEL, threads=1)) as queue:
        late = queue.connect(zmq.DEALER, "router")
        for n in range(200):
            queue.asker.send(step(f"first-{n}"))
            queue.feeder.send(step(f"fed-{n}"))
        take_into(queue)
        for n in range(3):
            late.send(step(f"late-{n}"))
        take_into(queue)
        settle(queue)
        order = [parts[0].decode() for parts in queue.heard()]
        assert len(order) == 403
        assert max(order.index(f"late-{n}") for n in range(3)) < 16
        for kind, count in (("first", 200), ("fed", 200), ("late", 3)):
            own = [name for name in order if name.startswith(kind)]
            assert own == [f"{kind}-{n}" for n in range(count)]
        half = order[:100]
        assert abs(sum(name.startswith("fed") for name in half) - 50) <= 3


def test_clients_with_long_routing_ids_come_and_go() -> None:
    """Room for the names of clients is bounded: what those who have gone leave is used again."""
    with harness(Engine(MODEL, threads=1), queue_limits=QueueLimits(messages=16)) as queue:
        stays = queue.connect(zmq.DEALER, "router")
        for n in range(300):
            name = f"{n}-".encode() + b"x" * 200
            client = queue.context.socket(zmq.DEALER)
            client.set(zmq.IDENTITY, name)
            client.connect("inproc://router")
            stays.send(step("stays", n + 1))
            client.send(step(n))
            take_into(queue)
            client.send(step(n))
            settle(queue)
            assert len(received(client)) == 2
            client.close(linger=0)
        assert len(received(stays)) == 300
        assert queue.service.counters.refused() == 0


def test_any_mixture_is_answered_once_in_order_and_charged_to_nobody_afterwards() -> None:
    random = np.random.default_rng(3)
    with harness(Engine(MODEL, threads=1), queue_limits=SMALL) as queue:
        clients = [queue.connect(zmq.DEALER, "router") for _ in range(7)]
        sent = [0] * 7
        for _ in range(200):
            for _ in range(int(random.integers(1, 40))):
                n = int(random.integers(7))
                if random.random() < 0.1:
                    message = wire.encode(wire.Ping(sent[n]))
                elif random.random() < 0.1:
                    message = wire.encode(wire.Steps([n] * 90, None, b"\0" * 8 * 90))
                else:
                    message = step(n)
                clients[n].send_multipart([sent[n].to_bytes(8, "big"), message])
                sent[n] += 1
            if random.random() < 0.5:
                take_into(queue)
            else:
                queue.turn(0.0005)
        settle(queue)
        for n, client in enumerate(clients):
            numbers = [int.from_bytes(parts[0], "big") for parts in received(client)]
            assert sorted(numbers) == list(range(sent[n]))


def test_closing_a_worker_frees_its_queue() -> None:
    with harness(Engine(MODEL, threads=1)) as queue:
        large = wire.encode(wire.Steps(["a"] * 256, None, b"\0" * 8 * 256))
        for _ in range(50):
            queue.asker.send(large)
        take_into(queue)
        assert queue.service.counters[layout.QUEUED] == 50
        queue.worker.close()
        assert queue.service.counters[layout.QUEUED] == 0


def test_the_python_loop_serves_where_there_is_no_compiled_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with harness(Engine(MODEL, backend="reference"), loop="auto") as slow:
        assert slow.worker.loop == "python"
        assert len(slow.ask([step("a")])) == 1
    with pytest.raises(BadValueError, match="cpu backend, not with reference"):
        Harness(Engine(MODEL, backend="reference"))
    monkeypatch.setattr(libzmq, "_ZMQ", {"zmq_no_such_function": 0})
    with caplog.at_level("INFO"), harness(Engine(MODEL), loop="auto") as other:
        assert other.worker.loop == "python"
    assert "libzmq" in caplog.text
    with pytest.raises(BadValueError, match="libzmq"):
        Harness(Engine(MODEL))


def test_a_queue_that_holds_no_message_is_refused() -> None:
    with pytest.raises(BadValueError, match="eight times"):
        Harness(Engine(MODEL), queue_limits=QueueLimits(bytes=2**20))


def test_observations_of_each_client_are_counted() -> None:
    for kind in ("native", "python"):
        with harness(Engine(MODEL, threads=1), loop=kind) as queue:
            other = queue.connect(zmq.DEALER, "router")
            other.send(step("other"))
            barrier = wire.encode(wire.Barrier("t", 0))
            many = wire.encode(wire.Steps(["a", "b"], [1, 1], b"\0" * 16))
            frames = [barrier, step("a"), many, many, b"rubbish", step("a", 9), barrier]
            answers = [msgpack.unpackb(parts[-1]) for parts in queue.ask(frames)]
            assert answers[0] == [131, 8, None, ["t", 0]]
            assert answers[-1] == [131, 8, None, ["t", 6]]


def test_the_session_of_a_client_that_was_silent_for_long_is_dropped() -> None:
    """As many are remembered as messages may wait; who comes again is counted from 0."""
    barrier = wire.encode(wire.Barrier(7, 0))
    with harness(Engine(MODEL, threads=1), queue_limits=QueueLimits(messages=16)) as queue:
        first = queue.connect(zmq.DEALER, "router")
        others = [queue.connect(zmq.DEALER, "router") for _ in range(40)]

        def count(client: zmq.Socket[bytes]) -> int:
            client.send(step(1))
            client.send(barrier)
            settle(queue)
            found: int = msgpack.unpackb(received(client)[-1][-1])[-1][1]
            return found

        assert [count(first), count(first)] == [1, 2]
        assert [count(client) for client in others[:10]] == [1] * 10
        assert count(first) == 3
        assert [count(client) for client in others] == [2] * 10 + [1] * 30
        assert count(first) == 1


class Store:
    """A store whose commits a test controls."""

    committed = 0
    applied = 0

    def ticket(self) -> int:
        return self.applied + 1


def test_a_reply_to_a_barrier_waits_for_the_commit_and_delays_nobody() -> None:
    store = Store()
    for kind in ("native", "python"):
        with harness(Engine(MODEL, threads=1), loop=kind) as queue:
            queue.service._commits = store
            store.applied = store.committed = 4
            gone = queue.connect(zmq.DEALER, "router")
            for n in range(3_000):
                gone.send(wire.encode(wire.Barrier(n, 0)))
            queue.asker.send(wire.encode(wire.Barrier(1, 0)))
            settle(queue)
            gone.close(linger=0)
            assert received(queue.asker) == []
            assert len(queue.ask([step("a")])) == 1
            store.committed = 5
            settle(queue)
            assert [msgpack.unpackb(parts[-1])[-1] for parts in received(queue.asker)] == [[1, 0]]
            assert not queue.worker._dispatcher.uncommitted


def test_the_loop_has_the_limits_and_kinds_of_the_protocol() -> None:
    """It has them in its own table, since machine code knows numbers only."""
    assert layout.MAX_ROWS == wire.MAX_STREAMS
    assert (layout.MAX_ENVELOPE, layout.MAX_ENVELOPE_BYTES) == (
        wire.MAX_ENVELOPE,
        wire.MAX_ENVELOPE_BYTES,
    )
    for kind in ("STEP", "STEPS", "PREDICTION", "PREDICTIONS", "DONE", "ERROR"):
        assert getattr(layout, kind) == wire.Kind[kind]
    assert layout.LAST_SEQS == wire.Kind.LAST


def test_large_replies_that_nobody_reads_are_dropped_and_others_are_sent() -> None:
    limit = 2**16
    queue_limits = QueueLimits(messages=1000, bytes=8 * limit)
    large = wire.encode(wire.Steps(["a"] * 6_000, None, b"\0" * 8 * 6_000))
    with harness(Engine(MODEL, threads=1), queue_limits=queue_limits, limit=limit) as queue:
        table, counters = queue.worker._loop.table.fields, queue.service.counters
        for _ in range(20):  # one after the other: the queue has room for each
            queue.asker.send(large)
            settle(queue)
        held = counters[layout.ANSWERS]
        assert 2 <= held < 8
        assert counters[layout.DROPPED_ANSWERS] == 20 - held
        assert table[layout.HELD_BYTES] <= queue_limits.bytes / 2
        other = queue.connect(zmq.DEALER, "router")
        other.send(large)
        settle(queue)
        assert [parts[0][1:3] for parts in received(other)] == [b"\xcc\x82"]
        assert len(received(queue.asker)) == held
        for _ in range(20):
            queue.asker.send(large)
            settle(queue)
            assert [parts[0][1:3] for parts in received(queue.asker)] == [b"\xcc\x82"]
        assert counters[layout.DROPPED_ANSWERS] == 20 - held
        queue.turn()
        assert table[layout.HELD_COUNT] == table[layout.HELD_BYTES] == 0
