"""A worker that stops answers all that arrived, whatever holds it up."""

from __future__ import annotations

import threading

import pytest
import zmq

from streamlstm import LSTM, Engine, wire
from streamlstm.serving import worker
from streamlstm.serving.native import layout
from streamlstm.serving.sockets import HIGH_WATER_MARK

from ..contract.models import random_model
from .worker_harness import Harness, harness, received

MODEL = random_model([LSTM(2, 5)])
STEP = wire.encode(wire.Step("last", 0, wire.to_floats([1, 2])))

both = pytest.mark.parametrize("loop", ["native", "python"])


def ask(stopping: Harness, count: int) -> zmq.Socket[bytes]:
    """Return a socket with room for few answers, that many questions have left."""
    socket = stopping.context.socket(zmq.DEALER)
    stopping._sockets.append(socket)
    socket.set(zmq.SNDHWM, 0)
    socket.set(zmq.RCVHWM, 1)  # of two ends in one process the marks are added
    socket.rcvtimeo = 20_000
    socket.connect("inproc://router")
    for _ in range(count):
        socket.send(STEP)
    return socket


def test_a_stop_ends_in_the_time_that_is_stated() -> None:
    """Five seconds, in docs/protocol.md, of which Python takes a part."""
    assert worker.RECEIVE_SECONDS + worker.DRAIN_SECONDS + worker.CLIENT_SECONDS < 5


@both
def test_last_answers_wait_for_a_full_queue(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "CLIENT_SECONDS", 20.0)  # on a busy machine reading takes long
    more = HIGH_WATER_MARK + 500
    with harness(Engine(MODEL, 8), loop=loop) as stopping:
        slow = ask(stopping, more)
        counters = stopping.service.counters
        stopping.worker.stop()
        running = threading.Thread(target=stopping.worker.run)
        running.start()
        while counters[layout.ANSWERS] <= HIGH_WATER_MARK and running.is_alive():
            slow.poll(1)
        running.join(0.1)  # as if whoever reads came to it late
        answers = [slow.recv() for _ in range(more - counters[layout.DROPPED_ANSWERS])]
        running.join(20)
        assert counters[layout.DROPPED_ANSWERS] == 0
        assert len(answers) == counters[layout.ANSWERS] == more


@both
def test_a_client_that_never_reads_delays_a_stop_for_a_moment_only(loop: str) -> None:
    with harness(Engine(MODEL, 8), loop=loop) as stopping:
        ask(stopping, HIGH_WATER_MARK + 500)
        stopping.asker.send(STEP)
        stopping.worker.stop()
        stopping.worker.run()
        assert stopping.service.counters[layout.DROPPED_ANSWERS] == 499
        assert len(received(stopping.asker)) == 1


@both
def test_a_stalled_loop_is_not_quiet(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with harness(Engine(MODEL, 8), loop=loop) as stopping:
        turn = stopping.worker._turn
        stood = []

        def stand_still(seconds: float) -> None:
            late = stopping.worker._stopping and not stood
            turn(seconds)
            if late:
                stood.append(threading.Event().wait(3 * worker.QUIET_SECONDS))
                stopping.asker.send(STEP)  # it arrived in the meantime

        monkeypatch.setattr(stopping.worker, "_turn", stand_still)
        stopping.worker.stop()
        stopping.worker.run()
        assert stood
        assert len(received(stopping.asker)) == 1
