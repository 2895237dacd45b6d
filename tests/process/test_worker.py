"""A real worker over real sockets: the same numbers, the right answers, nothing disturbed."""

from __future__ import annotations

import random
import threading

import msgpack
import numpy as np
import pytest
import zmq

from streamlstm import Engine, wire
from streamlstm.client.client import Client
from streamlstm.client.publisher import Publisher
from streamlstm.errors import ProtocolError, RemoteError, StreamIdError

from .conftest import MODEL, Sockets, WorkerProcess, listen

GOOD = wire.to_floats([1.5, -2.0])


def dealer(sockets: Sockets, worker: WorkerProcess) -> zmq.Socket[bytes]:
    return sockets.connect(zmq.DEALER, worker.endpoints["router"])


def observations(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, (count, 2)).astype(np.float32)


def test_predictions_are_those_of_the_engine_bit_for_bit(client: Client, engine: Engine) -> None:
    ids: list[wire.StreamId] = ["same-1", 1, "same-ü", 2**64 - 1]
    for n, x in enumerate(observations(200)):
        stream = ids[n % 4]
        np.testing.assert_array_equal(client.step(stream, x), engine.step(stream, x))
    for X in observations(120).reshape(-1, 6, 2):
        streams = [*ids, "same-1", 1]
        np.testing.assert_array_equal(client.step_many(streams, X), engine.step_many(streams, X))


def test_text_and_integer_ids_are_different_streams(client: Client, engine: Engine) -> None:
    np.testing.assert_array_equal(client.step("77", [1, 2]), engine.step("77", [1, 2]))
    np.testing.assert_array_equal(client.step(77, [1, 2]), engine.step(77, [1, 2]))
    client.step(77, [3, 4])
    np.testing.assert_array_equal(client.step("77", [5, 6]), engine.step("77", [5, 6]))


def test_many_messages_under_way_are_answered_in_order(
    worker: WorkerProcess, sockets: Sockets, engine: Engine
) -> None:
    socket = dealer(sockets, worker)
    X = observations(900)
    for n, x in enumerate(X):
        socket.send(wire.encode(wire.Step(f"order-{n % 7}", n // 7 + 1, wire.to_floats(x))))
    for n, x in enumerate(X):
        reply = wire.decode_reply(socket.recv())
        assert isinstance(reply, wire.Prediction), reply
        assert (reply.stream, reply.seq) == (f"order-{n % 7}", n // 7 + 1)
        np.testing.assert_array_equal(reply.values, engine.step(f"order-{n % 7}", x))


def test_sequence_numbers_are_checked_by_stream(client: Client) -> None:
    client.step("seq", [1, 1], seq=1)
    for seq, code in ((1, "duplicate"), (3, "gap"), (2**63 - 1, "gap")):
        with pytest.raises(RemoteError) as caught:
            client.step("seq", [1, 1], seq=seq)
        assert (caught.value.code, caught.value.stream, caught.value.seq) == (code, "seq", seq)
    client.step("seq", [1, 1], seq=2)
    client.step_many(["seq", "seq-other", "seq"], [[1, 1]] * 3, seqs=[3, 1, 4])
    client.reset("seq")
    client.step("seq", [1, 1], seq=1)


def test_export_import_and_reset(client: Client, engine: Engine) -> None:
    for x in observations(5):
        client.step("moving", x)
        engine.step("moving", x)
    blob = client.export_stream("moving")
    assert blob == engine.export_stream("moving")
    client.import_stream("moved", blob)
    np.testing.assert_array_equal(client.step("moved", [1, 2]), engine.step("moving", [1, 2]))
    client.reset("moving")
    np.testing.assert_array_equal(client.step("moving", [1, 2]), engine.step("fresh", [1, 2]))


BAD = [
    (b"", "bad-frame"),
    (b"\xc1", "bad-frame"),
    (b"\xff" * 100, "bad-frame"),
    (b"\x91" * 3000, "bad-frame"),
    (b"\xdd\xff\xff\xff\xff", "bad-frame"),
    (wire.encode(wire.Step("bad", 2, GOOD))[:-3], "bad-frame"),
    (wire.encode(wire.Step("bad", 2, GOOD)) + b"\0", "bad-frame"),
    (b"\x94\x01\xa3b\xffd\x02\xc4\x08" + GOOD, "bad-frame"),
    (msgpack.packb([1, "b" * 256, 2, GOOD]), "bad-frame"),
    (msgpack.packb([1, "", 2, GOOD]), "bad-frame"),
    (msgpack.packb([1, -1, 2, GOOD]), "bad-frame"),
    (msgpack.packb([1, "bad", "2", GOOD]), "bad-frame"),
    (msgpack.packb([99, "bad"]), "unknown-kind"),
    (msgpack.packb([129, "bad", 2, GOOD]), "unknown-kind"),
    (msgpack.packb([1, "bad", 2, GOOD + GOOD]), "bad-shape"),
    (msgpack.packb([1, "bad", 2, GOOD[:4]]), "bad-shape"),
    (msgpack.packb([1, "bad", 2, [1.0]]), "bad-shape"),
    (msgpack.packb([1, "bad", 2, [1.0, float("nan")]]), "bad-value"),
    (msgpack.packb([1, "bad", 2, [1.0, None]]), "bad-value"),
    (msgpack.packb([1, "bad", 2, [1.0, 1e300]]), "bad-value"),
    (msgpack.packb([1, "bad", 2, wire.to_floats([np.inf, 1])]), "bad-value"),
    (msgpack.packb([1, "bad", 1, GOOD]), "duplicate"),
    (msgpack.packb([1, "bad", 5, GOOD]), "gap"),
    (msgpack.packb([2, ["bad", "bad-2"], None, [[1.0, 2.0], [1.0, None]]]), "bad-value"),
    (msgpack.packb([2, ["bad"], None, GOOD + GOOD]), "bad-shape"),
    (msgpack.packb([2, ["bad", "bad-2"], [2, 9], GOOD + GOOD]), "gap"),
    (msgpack.packb([3, "bad-unknown"]), "unknown-stream"),
    (msgpack.packb([4, "bad-unknown"]), "unknown-stream"),
    (msgpack.packb([5, "bad", b"junk"]), "bad-value"),
    (msgpack.packb([5, "bad-2", b"x" * (wire.MAX_MESSAGE_BYTES + 1)]), "too-large"),
]


def test_bad_messages_are_answered_and_change_nothing(
    worker: WorkerProcess, sockets: Sockets, client: Client, engine: Engine
) -> None:
    socket = dealer(sockets, worker)
    client.step("bad", [1, 1], seq=1)
    engine.step("bad", [1, 1])
    before = client.info()
    for frame, _ in BAD:
        socket.send(frame)
    for frame, code in BAD:
        reply = wire.decode_reply(socket.recv())
        assert isinstance(reply, wire.Error), (frame[:40], reply)
        assert reply.code == code, (frame[:40], reply)
        assert len(reply.message) > 10
    after = client.info()
    assert after["streams"] == before["streams"]
    assert after["counters"]["steps"] == before["counters"]["steps"]
    refused = sum(after["counters"]["errors"].values())
    assert refused - sum(before["counters"]["errors"].values()) == len(BAD)
    np.testing.assert_array_equal(client.step("bad", [2, 2], seq=2), engine.step("bad", [2, 2]))


def test_hostile_frames_beside_a_good_client(
    worker: WorkerProcess, sockets: Sockets, client: Client, engine: Engine
) -> None:
    rng = random.Random(5)
    valid = [
        wire.encode(wire.Step("h", 1, GOOD)),
        wire.encode(wire.Steps(["h", "i"], [1, 2], GOOD + GOOD)),
        wire.encode(wire.Import("h", b"junk")),
        wire.encode(wire.Ping(1)),
    ]
    hostile = []
    for _ in range(1500):
        frame = bytearray(rng.choice(valid))
        for _ in range(rng.randint(1, 4)):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        hostile.append(rng.choice([bytes(frame), bytes(frame[: rng.randrange(len(frame))])]))
    socket = dealer(sockets, worker)
    for n, frame in enumerate(hostile):
        socket.send_multipart([n.to_bytes(4, "big"), frame])
        if n % 50 == 0:
            x = [rng.gauss(0, 1), rng.gauss(0, 1)]
            np.testing.assert_array_equal(client.step("good", x), engine.step("good", x))
    for n in range(len(hostile)):
        number, reply = socket.recv_multipart()
        assert number == n.to_bytes(4, "big")
        wire.decode_reply(reply)


@pytest.mark.parametrize("correlate", [False, True])
def test_a_req_socket_works(
    worker: WorkerProcess, sockets: Sockets, engine: Engine, correlate: bool
) -> None:
    socket = sockets.connect(zmq.REQ, worker.endpoints["router"], REQ_CORRELATE=int(correlate))
    stream = f"req-{correlate}"
    for frame in (wire.encode(wire.Step(stream, 0, GOOD)), b"\xc1", b""):
        socket.send(frame)
        reply = wire.decode_reply(socket.recv())
        if isinstance(reply, wire.Prediction):
            np.testing.assert_array_equal(reply.values, engine.step(stream, [1.5, -2.0]))
        else:
            assert isinstance(reply, wire.Error)
            assert reply.code == "bad-frame"


def test_envelopes_come_back_unless_they_are_too_long(
    worker: WorkerProcess, sockets: Sockets
) -> None:
    socket = dealer(sockets, worker)
    ping = wire.encode(wire.Ping(1))
    longest = [b"x" * 255] * 8
    socket.send_multipart([*longest, ping])
    assert socket.recv_multipart()[:-1] == longest
    for envelope in ([b""] * 9, [b"x" * 256]):
        socket.send_multipart([*envelope, ping])
        (reply,) = socket.recv_multipart()
        assert wire.decode_reply(reply).code == "bad-frame"


def test_far_too_large_a_message_costs_its_sender_the_connection(
    worker: WorkerProcess, sockets: Sockets, client: Client
) -> None:
    socket = dealer(sockets, worker)
    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    socket.send(b"\0" * (2 * wire.MAX_MESSAGE_BYTES + 1))
    assert monitor.poll(20_000)
    socket.disable_monitor()
    monitor.close(linger=0)
    client.ping()  # others are not touched


def test_a_client_refuses_what_a_worker_would(client: Client) -> None:
    with pytest.raises(ProtocolError, match="at most 1048576 bytes"):
        client.import_stream("big", b"x" * 2_000_000)
    with pytest.raises(StreamIdError):
        client.step("x" * 256, [1, 2])
    with pytest.raises(RemoteError, match="expected 2 features"):
        client.step("big", [1, 2, 3])


def test_pulled_observations_are_published(worker: WorkerProcess, engine: Engine) -> None:
    X = observations(40, seed=3)
    with (
        listen(worker, ["fed-", 4242], known="fed-known") as subscriber,
        Publisher(worker.endpoints["pull"]) as publisher,
    ):
        for n, x in enumerate(X[:30]):
            publisher.send(("fed-a", 4242, "other")[n % 3], x, seq=n // 3 + 1)
        publisher.send_many(["fed-a", "fed-b"] * 5, X[30:])
        expected = [
            ((stream := ("fed-a", 4242)[n % 3]), n // 3 + 1, engine.step(stream, x))
            for n, x in enumerate(X[:30])
            if n % 3 != 2
        ]
        expected += [
            ((stream := ("fed-a", "fed-b")[n % 2]), 0, engine.step(stream, x))
            for n, x in enumerate(X[30:])
        ]
        for stream, seq, y in expected:
            prediction = subscriber.receive()
            assert (prediction.stream, prediction.seq) == (stream, seq)
            np.testing.assert_array_equal(prediction.values, y)


def test_topics_are_the_ids(worker: WorkerProcess, sockets: Sockets, client: Client) -> None:
    socket = sockets.connect(zmq.SUB, worker.endpoints["xpub"])
    socket.subscribe(b"topic-")
    socket.subscribe(b"\0" + (7).to_bytes(8, "big"))
    while not socket.poll(20):  # until the subscriptions have arrived
        client.step(7, [1, 1])
        client.step("topic-known", [1, 1])
    client.step("topic-x", [1, 1], seq=1)
    seen = {}
    while b"topic-x" not in seen:
        topic, frame = socket.recv_multipart()
        seen[topic] = wire.decode_reply(frame).stream
    assert (
        seen.items()
        <= {b"\0\0\0\0\0\0\0\0\7": 7, b"topic-known": "topic-known", b"topic-x": "topic-x"}.items()
    )


LARGEST = [f"largest-{n:032}" for n in range(wire.MAX_STREAMS)]
END = "largest-end"


def hear(
    sockets: Sockets, worker: WorkerProcess, client: Client, count: int
) -> list[zmq.Socket[bytes]]:
    """Return sockets that have subscribed to LARGEST, and nothing more to read."""
    heard = [sockets.connect(zmq.SUB, worker.endpoints["xpub"]) for _ in range(count)]
    for socket in heard:
        socket.subscribe(b"largest-")
        while not socket.poll(50):
            client.step(LARGEST[0], [0, 0])
    client.step(END, [0, 0])
    for socket in heard:
        while socket.recv_multipart()[0] != END.encode():
            pass
    return heard


def test_the_largest_messages_reach_a_subscriber_whole(
    worker: WorkerProcess, sockets: Sockets, client: Client
) -> None:
    (socket,) = hear(sockets, worker, client, 1)
    X = observations(len(LARGEST))
    for _ in range(5):  # all are published before the first is read
        client.step_many(LARGEST, X)
    for n in range(5 * len(LARGEST)):
        assert socket.recv_multipart()[0].decode() == LARGEST[n % len(LARGEST)]


def test_a_full_queue_is_counted_as_often_as_it_fills_and_costs_nobody_else(
    worker: WorkerProcess, sockets: Sockets, client: Client
) -> None:
    def overflows() -> int:
        return client.info()["counters"]["subscriber_overflows"]

    hearing, deaf = hear(sockets, worker, client, 2)
    X = observations(len(LARGEST))
    asked, before = 0, overflows()

    def ask() -> None:
        client.step_many(LARGEST, X)
        for stream in LARGEST:
            assert hearing.recv_multipart()[0] == stream.encode()

    while overflows() == before:  # 0 means that nobody has lost anything, as is checked below
        ask()
        asked += 1
    for _ in range(3):  # many more are lost to a queue that stays full, which counts once
        ask()
    assert overflows() == before + 1
    got = ends = 0
    while True:  # until the last of the predictions that are made whenever nothing more comes
        if not deaf.poll(100):
            ends += 1
            client.step(f"{END}-{ends}", [0, 0])
            hearing.recv_multipart()
            continue
        topic = deaf.recv_multipart()[0]
        if topic == f"{END}-{ends}".encode():
            break
        got += not topic.startswith(END.encode())
    whole, lost = asked - 1, asked + 3
    assert whole * len(LARGEST) <= got < (lost - 2) * len(LARGEST)
    ask()  # what was full listens again
    assert [deaf.recv_multipart()[0].decode() for _ in LARGEST] == LARGEST


def test_two_clients_share_a_worker_but_no_memory(worker: WorkerProcess, engine: Engine) -> None:
    X = observations(150, seed=4)
    wrong: list[str] = []

    def run(stream: str) -> None:
        own = Engine(MODEL, threads=1)
        with worker.client() as client:
            for x in X:
                if not np.array_equal(client.step(stream, x), own.step(stream, x)):
                    wrong.append(stream)

    threads = [threading.Thread(target=run, args=(f"two-{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_one_client_may_be_shared_by_threads(client: Client) -> None:
    wrong: list[str] = []

    def run(stream: str) -> None:
        own = Engine(MODEL, threads=1)
        for x in observations(60):
            if not np.array_equal(client.step(stream, x), own.step(stream, x)):
                wrong.append(stream)

    threads = [threading.Thread(target=run, args=(f"thread-{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
