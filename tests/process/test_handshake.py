"""Closing a client in the middle of a handshake never hangs."""

from __future__ import annotations

import threading

import pytest
import zmq

from streamlstm.client.connection import connect

from .conftest import WorkerProcess


@pytest.mark.timeout(120)
def test_a_client_may_be_closed_at_any_moment(worker: WorkerProcess) -> None:
    context = zmq.Context[zmq.Socket[bytes]]()
    closed = threading.Event()

    def run() -> None:
        for n in range(3_000):
            socket = context.socket(zmq.DEALER)
            handshake = connect(context, socket, worker.endpoints["router"], None, LINGER=0)
            for _ in range(n % 40):  # the handshake goes on meanwhile
                socket.get(zmq.EVENTS)
                socket.poll(0)
            handshake.close()
            socket.close()
        context.term()
        closed.set()

    threading.Thread(target=run, daemon=True).start()
    assert closed.wait(100), "a monitored socket without a reader waits for ever"
