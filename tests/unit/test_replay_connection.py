"""What a replaying publisher believes of a connection that ZeroMQ has made anew."""

from __future__ import annotations

import threading
from time import monotonic, sleep

import pytest
import zmq

from streamlstm import wire
from streamlstm.client.replay.claims import Claims
from streamlstm.client.replay.connection import ConnectionBrokenError, ReplayConnection
from streamlstm.client.replay.outbox import Entry, Outbox
from streamlstm.client.replay.protocol import Callbacks, ReplayProtocol, Request

OWN = 1


class Play:
    """A publisher without its thread, whose journal has three observations, and its workers."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.context, self.worker = context, context.socket(zmq.ROUTER)
        port = self.worker.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self.outbox = Outbox(one_in_flight=False)
        claims = Claims(OWN, (), self.outbox, 2**20)
        for seq in (6, 7, 8):
            self.outbox.add(Entry(wire.Step("s", seq, bytes(8)), 1))
        self.protocol = ReplayProtocol(
            self.outbox, claims, None, threading.Condition(), Callbacks(), 2**20, True
        )
        self.connection = ReplayConnection[Request](context, self.endpoint, 10.0, None, OWN)
        self.protocol.begin(self.connection)

    def wait_for(self, can_send: bool) -> None:
        end = monotonic() + 10
        while self.connection.can_send() != can_send:
            assert monotonic() < end
            sleep(0.001)

    def exchange(self, kind: wire.Kind, value: object) -> None:
        """Let the publisher send what it has to send, and the worker answer it."""
        assert self.protocol.send()
        *envelope, _ = self.worker.recv_multipart()
        answer = wire.Done(kind, None, value)
        self.worker.send_multipart([*envelope, wire.encode(answer)])
        self.connection._socket.poll(10_000)
        for request, frame in self.connection.receive():
            self.protocol.handle(request, wire.decode_reply(frame))

    def replace_worker(self) -> None:
        """Let another one listen at the same endpoint."""
        self.worker.close(linger=0)
        self.wait_for(can_send=False)
        self.worker = self.context.socket(zmq.ROUTER)
        end = monotonic() + 10
        while not self._listens():
            assert monotonic() < end
            sleep(0.001)
        self.wait_for(can_send=True)

    def _listens(self) -> bool:
        try:
            self.worker.bind(self.endpoint)
        except zmq.ZMQError:  # the first one still does, for a moment
            return False
        return True


@pytest.mark.parametrize("dies", [False, True])
def test_a_barrier_confirms_what_a_claim_has_found_at_the_same_worker_only(dies: bool) -> None:
    """Nothing was sent to the first one, so the second one counts as many observations."""
    with zmq.Context() as context:
        play = Play(context)
        try:
            play.wait_for(can_send=True)
            play.exchange(wire.Kind.CLAIM, [[8, OWN]])
            assert play.outbox.applied == 3
            if dies:
                play.replace_worker()
                with pytest.raises(ConnectionBrokenError):
                    play.exchange(wire.Kind.BARRIER, [1, 0])
            else:
                play.exchange(wire.Kind.BARRIER, [1, 0])
            assert play.outbox.rows == (3 if dies else 0)
        finally:
            play.connection.close()
            play.worker.close(linger=0)
