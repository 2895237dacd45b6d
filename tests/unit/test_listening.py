"""What a worker published before it left a fleet is read by whoever is behind with reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import zmq

from streamlstm.client.fleet import listening
from streamlstm.client.fleet.listening import Listening

MESSAGES = 20
TIMEOUT_MS = 10_000


@pytest.fixture
def workers() -> Iterator[list[zmq.Socket[bytes]]]:
    """Two who publish, without limits on what is on its way."""
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        sockets = [stack.enter_context(context.socket(zmq.XPUB)) for _ in range(2)]
        for socket in sockets:
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.RCVTIMEO, TIMEOUT_MS)
            socket.bind("tcp://127.0.0.1:*")
        yield sockets


@pytest.mark.parametrize("kind", [zmq.SUB, zmq.XSUB])
def test_what_came_from_a_worker_that_has_left_is_read(
    workers: list[zmq.Socket[bytes]], kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "UNDER_WAY", 0.0)
    stays, leaves = (each.get_string(zmq.LAST_ENDPOINT).rstrip("\0") for each in workers)
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.RCVTIMEO, TIMEOUT_MS)
        if kind == zmq.SUB:
            socket.subscribe(b"")
        else:
            socket.send(b"\1")
        tested = Listening(socket)
        tested.follow({stays, leaves})
        assert [worker.recv() for worker in workers] == [b"\1", b"\1"]
        for n in range(MESSAGES):
            workers[1].send(b"%d" % n)
        assert socket.poll(TIMEOUT_MS)
        for _ in range(3):
            tested.follow({stays})
        read = []
        for n in range(MESSAGES):
            read.append(socket.recv())
            if n < MESSAGES - 1:
                assert socket.poll(TIMEOUT_MS)
                tested.look()
        assert read == [b"%d" % n for n in range(MESSAGES)]
        tested.look()
        while not workers[1].poll(10):  # it ends as soon as both sides have taken note
            assert not socket.poll(0)
        assert workers[1].recv() == b"\0"
        workers[0].send(b"more")
        assert socket.recv() == b"more"


def test_who_comes_back_is_heard_once(
    workers: list[zmq.Socket[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (each.get_string(zmq.LAST_ENDPOINT).rstrip("\0") for each in workers)
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.RCVTIMEO, TIMEOUT_MS)
        socket.subscribe(b"")
        tested = Listening(socket)
        for table in ({here, there}, {here}, {here, there}):
            tested.follow(table)
        monkeypatch.setattr(listening, "UNDER_WAY", 0.0)
        tested.look()
        assert [worker.recv() for worker in workers] == [b"\1", b"\1"]
        workers[1].send(b"once")
        assert socket.recv() == b"once"
        workers[1].send(b"the end")
        assert socket.recv() == b"the end"
