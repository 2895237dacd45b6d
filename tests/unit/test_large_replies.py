"""Large replies of the loop in Python that nobody reads: bounded in bytes, in fair parts."""

from __future__ import annotations

import time

import zmq

from streamlstm.serving.counters import Counters
from streamlstm.serving.large_replies import LargeReplies
from streamlstm.serving.native import layout
from streamlstm.serving.sender import Sender
from streamlstm.serving.sockets import Sockets

from .worker_harness import received

REPLY = bytes(2**20)
MOST = 2**26


def test_replies_that_nobody_reads_are_dropped_and_others_are_sent() -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.set_hwm(0)
        router.bind("inproc://router")
        clients = [context.socket(zmq.DEALER) for _ in range(2)]
        counters = Counters()
        replies = Sender(Sockets(router, router, router), counters)
        try:
            for name, client in zip((b"a", b"b"), clients, strict=True):
                client.set_hwm(0)
                client.routing_id = name
                client.connect("inproc://router")
                client.send(b"hello")
                router.recv_multipart()
            for _ in range(100):
                replies.reply([b"a"], REPLY)
            held = counters[layout.ANSWERS]
            assert held == MOST / len(REPLY) / 2  # as much as is still free
            assert counters[layout.DROPPED_ANSWERS] == 100 - held
            replies.reply([b"b"], REPLY)
            replies.reply([b"a"], b"a short one")
            assert received(clients[1]) == [[REPLY]]
            assert len(received(clients[0])) == held + 1
            _wait_until_sent(replies)
            replies.reply([b"a"], REPLY)
            assert received(clients[0]) == [[REPLY]]
            assert counters[layout.DROPPED_ANSWERS] == 100 - held
        finally:
            for client in clients:
                client.close(linger=0)


def _wait_until_sent(replies: Sender) -> None:
    """Wait until ZeroMQ has told that it no longer holds any of them."""
    large, deadline = replies._large, time.monotonic() + 20
    assert isinstance(large, LargeReplies)
    for _, _, tracker in large._held:
        tracker.wait(deadline - time.monotonic())
