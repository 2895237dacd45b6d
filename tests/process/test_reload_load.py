"""Workers under load that change their model again and again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from streamlstm import Engine, wire

from .reloading import LOOPS, MODELS, Deployment, x_of


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path)
    yield made
    made.stop()


class Truth:
    """Steps streams as a worker must that runs one model after the other."""

    def __init__(self) -> None:
        self.engine, self.number = Engine(MODELS[0], threads=1), 0

    def follow(self, stream: wire.StreamId, seq: int, y: bytes) -> None:
        """Step with the model of before or, if that is not what was answered, a later one."""
        x = np.frombuffer(x_of(seq), np.float32)
        while True:
            known = stream in self.engine
            row = self.engine._table.rows[self.engine._table.slot(stream)].copy() if known else None
            if wire.to_floats(self.engine.step(stream, x, seq=seq)) == y:
                return
            slot = self.engine._table.slot(stream)  # as if it had not been
            if row is None:
                self.engine.forget(stream)
            else:
                self.engine._table.rows[slot] = row
                self.engine._table.seq[slot] = seq - 1
            self.number += 1
            assert self.number < len(MODELS), f"{stream} {seq}: no model answers so from its state"
            self.engine.reload(MODELS[self.number])


class Asker(threading.Thread):
    """Asks numbered STEPs of its own streams over a connection of its own, without a pause."""

    def __init__(self, endpoint: str, name: str) -> None:
        super().__init__(name=name)
        self._endpoint, self.over = endpoint, threading.Event()
        self.answers: list[tuple[str, int, bytes]] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.linger, socket.rcvtimeo = 0, 20_000
            socket.connect(self._endpoint)
            sent = 0
            try:
                while not self.over.is_set() or len(self.answers) < sent:
                    while sent - len(self.answers) < 100 and not self.over.is_set():
                        stream, seq = f"{self.name} {sent % 7}", sent // 7 + 1
                        socket.send(wire.encode(wire.Step(stream, seq, x_of(seq))))
                        sent += 1
                    n = len(self.answers)
                    reply = wire.decode_reply(socket.recv())
                    assert isinstance(reply, wire.Prediction), reply
                    assert (reply.stream, reply.seq) == (f"{self.name} {n % 7}", n // 7 + 1)
                    self.answers.append((str(reply.stream), reply.seq, reply.y))
                assert not socket.poll(50), "something was answered twice"
            except BaseException as error:
                self.error = error


class Feeder(threading.Thread):
    """Sends numbered STEPs to the pull socket, receives the predictions from the xpub socket."""

    def __init__(self, endpoints: dict[str, str]) -> None:
        super().__init__(name="fed")
        self._endpoints, self.over = endpoints, threading.Event()
        self.answers: list[tuple[str, int, bytes]] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        with (
            zmq.Context() as context,
            context.socket(zmq.PUSH) as push,
            context.socket(zmq.XSUB) as listener,
        ):
            push.linger = listener.linger = 0
            listener.rcvtimeo = 20_000
            listener.connect(self._endpoints["xpub"])
            listener.send(b"\1fed")
            push.connect(self._endpoints["pull"])
            sent = 0
            try:
                # Until the subscription is there, nothing is heard: those come first, uncounted.
                while not listener.poll(5):
                    push.send(wire.encode(wire.Step("fed first", 0, x_of(0))))
                while not self.over.is_set() or len(self.answers) < sent:
                    while sent - len(self.answers) < 100 and not self.over.is_set():
                        sent += 1
                        push.send(wire.encode(wire.Step("fed", sent, x_of(sent))))
                    reply = wire.decode_reply(listener.recv_multipart()[1])
                    assert isinstance(reply, wire.Prediction), reply
                    if reply.stream == "fed":
                        assert reply.seq == len(self.answers) + 1
                        self.answers.append(("fed", reply.seq, reply.y))
            except BaseException as error:
                self.error = error


@LOOPS
def test_under_load_nothing_is_lost_and_each_prediction_is_of_one_model(
    deployment: Deployment, options: tuple[str, ...]
) -> None:
    worker = deployment.start(*options)
    threads = [
        *(Asker(worker.endpoints["router"], f"asked {n}") for n in range(3)),
        Feeder(worker.endpoints),
    ]
    for thread in threads:
        thread.start()
    try:
        with worker.client() as client:
            for model in MODELS[1:]:
                before = [len(thread.answers) for thread in threads]
                deployment.put(model)
                done = client.reload()
                assert done["model"] == model.fingerprint == client.info()["model"]["fingerprint"]
                for thread, count in zip(threads, before, strict=True):
                    while len(thread.answers) < count + 30 and thread.is_alive():
                        client.ping()
            counted = [len(thread.answers) for thread in threads]
            for thread, count in zip(threads, counted, strict=True):
                while len(thread.answers) < count + 300 and thread.is_alive():
                    client.ping()
    finally:
        for thread in threads:
            thread.over.set()
            thread.join()
    for thread in threads:
        assert thread.error is None, thread.error
        truth = Truth()
        for stream, seq, y in thread.answers[:-150]:
            truth.follow(stream, seq, y)
        assert truth.number == len(MODELS) - 1
        for stream, seq, y in thread.answers[-150:]:
            truth.follow(stream, seq, y)
    with worker.client() as client:
        assert client.info()["counters"]["reloads"] == len(MODELS) - 1
        assert sum(client.info()["counters"]["errors"].values()) == 0
    assert worker.stop() == 0
