"""What a client does with requests at a worker that ends: both workers are played, on sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest
import zmq

from streamlstm import Client, ReplayingPublisher, wire
from streamlstm.client.fleet.queue import FleetQueue
from streamlstm.client.fleet.seeds import Seeds
from streamlstm.client.replies import decode_prediction
from streamlstm.engine.partitions import partitions_of
from streamlstm.errors import ProtocolError, WorkerTimeoutError

X = [1.0, 2.0]
Y = np.array([0.25, 0.5], np.float32)


class Player:
    """A ROUTER whose answers a test decides."""

    def __init__(self, context: zmq.Context, name: str) -> None:
        self._context = context
        self._start("tcp://127.0.0.1:*")
        self.where = wire.FleetWorker(name, self.socket.get_string(zmq.LAST_ENDPOINT), "", "")

    def _start(self, place: str) -> None:
        self.socket = self._context.socket(zmq.ROUTER)
        self.socket.set(zmq.LINGER, 1000)
        self.socket.set(zmq.RCVTIMEO, 10_000)
        self.socket.bind(place)

    def start_again(self) -> None:
        """Die, and be there again at the same address."""
        while True:
            self.socket.close(linger=0)
            with suppress(zmq.ZMQError):  # until ZeroMQ's thread has let go of it
                self._start(self.where.router)
                return

    def receive(self, table: wire.FleetTable) -> tuple[list[bytes], wire.Request]:
        """Return the next request that is no TABLE, which is answered."""
        while True:
            *envelope, frame = self.socket.recv_multipart()
            message = wire.decode_request(frame)
            if not isinstance(message, wire.Table):
                return envelope, message
            self.answer(envelope, wire.Done(wire.Kind.TABLE, None, table.to_value()))

    def answer(self, envelope: list[bytes], reply: wire.Reply) -> None:
        self.socket.send_multipart([*envelope, wire.encode(reply)])

    def answer_claim(self, table: wire.FleetTable) -> None:
        envelope, claim = self.receive(table)
        assert isinstance(claim, wire.Claim)
        self.answer(envelope, wire.Done(wire.Kind.CLAIM, None, [[5, 7]]))


class Fleet:
    """Two workers, of which ``a`` has everything at first."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.a, self.b = Player(context, "w0"), Player(context, "w1")
        new = wire.FleetTable.new()
        workers = (self.a.where, self.b.where)
        self.before = new._replace(
            version=1, workers=workers, owners=new.owners * 0, epochs=new.epochs + 1
        )
        self.died = self.before._replace(
            version=2, owners=self.before.owners + 1, epochs=self.before.epochs + 1
        )
        self.left = self.died._replace(workers=(self.b.where,), owners=self.before.owners)

    def lose(self, seq: int, client: Client) -> Future[np.ndarray]:
        """Submit an observation, and end the worker that gets it without an answer."""
        future = client.submit("pump-7", X, seq=seq)
        _, message = self.a.receive(self.before)
        assert isinstance(message, wire.Step)
        self.a.socket.close(linger=0)
        return future


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with zmq.Context() as context:
        fleet = Fleet(context)
        yield fleet
        for player in (fleet.a, fleet.b):
            player.socket.close()


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    with Client(endpoints=fleet.a.where.router, timeout=10.0) as client:
        yield client


def test_a_number_that_was_applied_before_is_answered_with_its_prediction(
    fleet: Fleet, client: Client
) -> None:
    future = fleet.lose(5, client)
    envelope, again = fleet.b.receive(fleet.died)
    assert isinstance(again, wire.Step)
    assert again.seq == 5
    said = wire.Error("pump-7", 5, "duplicate", "applied before", 5, Y.tobytes())
    fleet.b.answer(envelope, said)
    assert (future.result(10) == Y).all()


def test_without_a_number_it_is_in_doubt_and_the_next_goes_on(fleet: Fleet, client: Client) -> None:
    future = fleet.lose(0, client)
    following = client.submit("pump-7", [3.0, 4.0])
    envelope, message = fleet.b.receive(fleet.died)
    with pytest.raises(WorkerTimeoutError, match="may have been applied") as caught:
        future.result(10)
    assert caught.value.in_doubt
    assert isinstance(message, wire.Step)
    assert message.x == np.array([3, 4], np.float32).tobytes()
    fleet.b.answer(envelope, wire.Prediction("pump-7", 0, Y.tobytes()))
    assert (following.result(10) == Y).all()


def test_without_a_number_it_is_sent_again_if_the_worker_left_as_planned(
    fleet: Fleet, client: Client
) -> None:
    future = fleet.lose(0, client)
    envelope, again = fleet.b.receive(fleet.left)
    assert isinstance(again, wire.Step)
    fleet.b.answer(envelope, wire.Prediction("pump-7", 0, Y.tobytes()))
    assert (future.result(10) == Y).all()


def test_rows_of_a_message_that_was_lost_are_sent_one_by_one(fleet: Fleet, client: Client) -> None:
    future = client.submit_many(["a", "b"], [X, X], seqs=[3, 9])
    fleet.a.receive(fleet.before)
    fleet.a.socket.close(linger=0)
    for _ in range(2):  # one was applied before, one is applied now
        envelope, row = fleet.b.receive(fleet.died)
        assert isinstance(row, wire.Step)
        y = np.array([row.seq, 0], np.float32).tobytes()
        said = wire.Error("a", 3, "duplicate", "applied before", 3, y)
        fleet.b.answer(envelope, said if row.seq == 3 else wire.Prediction("b", 9, y))
    assert future.result(10).tolist() == [[3, 0], [9, 0]]


def test_a_worker_that_is_silent_is_left_when_another_has_its_streams(
    fleet: Fleet, client: Client
) -> None:
    future = client.submit("pump-7", X, seq=5)
    fleet.a.receive(fleet.before)  # it is stopped: its connections stay
    envelope, again = fleet.b.receive(fleet.died)
    assert isinstance(again, wire.Step)
    fleet.b.answer(envelope, wire.Prediction("pump-7", 5, Y.tobytes()))
    assert (future.result(10) == Y).all()


def test_a_publisher_goes_at_once_to_whom_a_refusal_names(fleet: Fleet) -> None:
    """Also when nothing else happens that would let it look for something to do."""
    (number,) = partitions_of(["pump-7"]).tolist()
    with (
        ReplayingPublisher(endpoints=fleet.a.where.router, timeout=10.0) as publisher,
        ThreadPoolExecutor() as pool,
    ):
        found = pool.submit(publisher.last_seq, "pump-7")
        envelope, _ = fleet.a.receive(fleet.before)
        sleep(0.7)  # until the questions for the table are over
        owner = wire.Owner(2, fleet.b.where.router)
        moved = wire.Error("pump-7", None, "moved", "has moved", number, owner=owner)
        fleet.a.answer(envelope, moved)
        fleet.b.answer_claim(fleet.died)
        assert found.result(10) == 5


def test_a_publisher_finds_who_has_the_streams_of_a_worker_that_ended_while_nothing_was_sent(
    fleet: Fleet,
) -> None:
    with (
        ThreadPoolExecutor() as pool,
        ReplayingPublisher(endpoints=fleet.a.where.router, timeout=10.0) as publisher,
    ):
        found = pool.submit(publisher.last_seq, "pump-7")
        fleet.a.answer_claim(fleet.before)
        assert found.result(10) == 5
        fleet.a.socket.close(linger=0)
        sleep(0.1)  # until the publisher knows that
        found = pool.submit(publisher.last_seq, "pump-8")
        pool.submit(fleet.b.answer_claim, fleet.died)
        assert found.result(10) == 5


def test_a_file_that_names_nobody_who_lives_is_told_and_read_again(
    fleet: Fleet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both at first, and when all workers of the table have ended."""
    file = tmp_path / "fleet.json"

    def names(router: str) -> None:
        file.write_text(json.dumps({"workers": [{"router": router}]}))

    def wait_until_told() -> None:
        while f"{file}: no worker answers" not in caplog.text:
            sleep(0.01)
        assert "fleet status --endpoints" in caplog.text
        caplog.clear()

    only_a = fleet.before._replace(workers=(fleet.a.where,))
    only_b = fleet.left._replace(epochs=fleet.left.epochs + 1)
    names("tcp://127.0.0.1:1")
    with Client(endpoints=file, timeout=20.0) as client:
        future = client.submit("pump-7", X, seq=5)
        wait_until_told()
        for player, table in ((fleet.a, only_a), (fleet.b, only_b)):
            names(player.where.router)
            envelope, message = player.receive(table)
            assert isinstance(message, wire.Step)
            player.answer(envelope, wire.Prediction("pump-7", message.seq, Y.tobytes()))
            assert (future.result(20) == Y).all()
            if player is fleet.a:
                player.socket.close(linger=0)
                future = client.submit("pump-7", X, seq=6)
                wait_until_told()


def test_what_was_sent_to_a_worker_that_is_back_before_anybody_looked_is_sent_again(
    fleet: Fleet,
) -> None:
    """Questions for the table, too: they died with the former process."""
    with zmq.Context() as context:
        seeds = Seeds(fleet.a.where.router)
        queue = FleetQueue(context, seeds, None, 10, lambda _: True)
        message = wire.Step("pump-7", 5, np.float32(X).tobytes())
        future: Future[np.ndarray] = Future()
        queue.add([queue.make(future, message, wire.encode(message), decode_prediction, 20.0)])

        def receive() -> tuple[list[bytes], wire.Request]:
            deadline = monotonic() + 20
            while not fleet.a.socket.poll(1):
                assert monotonic() < deadline
                queue.process()
            *envelope, frame = fleet.a.socket.recv_multipart()
            return envelope, wire.decode_request(frame)

        def start_again() -> None:
            [link] = queue._links
            before = link._handshake.connections
            fleet.a.start_again()
            while link._handshake.connections == before:
                sleep(0.01)

        assert isinstance(receive()[1], wire.Table)
        queue.process()
        start_again()
        envelope, table = receive()
        assert isinstance(table, wire.Table)
        value = fleet.before._replace(workers=(fleet.a.where,)).to_value()
        fleet.a.answer(envelope, wire.Done(wire.Kind.TABLE, None, value))
        assert receive()[1] == message
        sleep(0.6)  # a look at what is in flight has passed
        queue.process()
        start_again()
        while (got := receive())[1] != message:
            fleet.a.answer(got[0], wire.Done(wire.Kind.TABLE, None, value))
        fleet.a.answer(got[0], wire.Prediction("pump-7", 5, Y.tobytes()))
        while not future.done():
            queue.process()
        assert (future.result() == Y).all()
        queue.fail_all()


def test_a_table_that_is_newer_than_the_client_is_told(fleet: Fleet) -> None:
    """What is only added to it is let be."""
    value = fleet.before._replace(workers=(fleet.a.where,)).to_value()
    newer = {**value, "owners": 2 * value["owners"], "epochs": 2 * value["epochs"]}
    asked: list[wire.Request] = []

    def answer(value: dict[str, Any]) -> tuple[list[bytes], wire.Request]:
        """Answer each TABLE, until another request comes."""
        while True:
            *envelope, frame = fleet.a.socket.recv_multipart()
            asked.append(wire.decode_request(frame))
            if not isinstance(asked[-1], wire.Table):
                return envelope, asked[-1]
            fleet.a.answer(envelope, wire.Done(wire.Kind.TABLE, None, value))

    fleet.a.socket.set(zmq.RCVTIMEO, 1_000)
    with ThreadPoolExecutor() as pool:
        with Client(endpoints=fleet.a.where.router, timeout=2.0) as client:
            silent = pool.submit(answer, newer)
            with pytest.raises(ProtocolError, match=r"expected 1024 owners.*newer than this"):
                client.step("pump-7", X)
        with pytest.raises(zmq.Again):  # nothing was sent
            silent.result()
        assert asked
        with Client(endpoints=fleet.a.where.router, timeout=20.0) as client:
            future = client.submit("pump-7", X, seq=5)
            envelope, _ = answer({**value, "colours": ["blue"]})
            fleet.a.answer(envelope, wire.Prediction("pump-7", 5, Y.tobytes()))
            assert (future.result(10) == Y).all()
