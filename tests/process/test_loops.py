"""The worker's two loops as processes: the same answers, prompt ends, bounded memory."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import zmq

from streamlstm import LSTM, Client, Dense, Engine, wire
from streamlstm.serving.service import Service
from streamlstm.serving.worker import Worker

from ..contract.models import random_model
from .conftest import MODEL, Sockets, WorkerProcess


@pytest.fixture(params=["native", "python"])
def looped(request: pytest.FixtureRequest, model_file: Path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(model_file, "--loop", request.param)
    yield process
    process.stop()


def test_both_loops_answer_alike(looped: WorkerProcess, engine: Engine, sockets: Sockets) -> None:
    """Many streams and clients at once, text and integers, with numbers: nothing lost or mixed."""
    random = np.random.default_rng(1)
    clients = [sockets.connect(zmq.DEALER, looped.endpoints["router"]) for _ in range(5)]
    asked: list[list[tuple[wire.StreamId, int, np.ndarray]]] = [[] for _ in clients]
    for _ in range(400):
        for n, client in enumerate(clients):
            own: wire.StreamId = f"pump-{n}" if random.random() < 0.5 else n
            seq = 1 + sum(stream == own for stream, *_ in asked[n])
            x = random.standard_normal(2).astype(np.float32)
            asked[n].append((own, seq, x))
            client.send(wire.encode(wire.Step(own, seq, x.tobytes())))
    for n, client in enumerate(clients):
        for stream, seq, x in asked[n]:
            reply = wire.decode_reply(client.recv())
            assert isinstance(reply, wire.Prediction)
            assert (reply.stream, reply.seq) == (stream, seq)
            np.testing.assert_array_equal(reply.values, engine.step(stream, x, seq=seq))
    with looped.client() as client:
        for stream in engine.streams():
            assert client.export_stream(stream) == engine.export_stream(stream)


def test_a_worker_under_full_load_stops_too(looped: WorkerProcess) -> None:
    """Two clients that never stop: the worker answers for a while, then it leaves all the same."""
    stopping = threading.Event()

    def flood() -> None:
        context = zmq.Context[zmq.Socket[bytes]]()
        with context, context.socket(zmq.DEALER) as socket:
            socket.set(zmq.LINGER, 0)
            socket.connect(looped.endpoints["router"])
            message = wire.encode(wire.Step("flood", 0, b"\0" * 8))
            while not stopping.is_set():
                if socket.poll(10, zmq.POLLIN | zmq.POLLOUT) & zmq.POLLIN:
                    socket.recv_multipart()
                else:
                    try:
                        socket.send(message, zmq.NOBLOCK)
                    except zmq.Again:
                        continue

    threads = [threading.Thread(target=flood) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with looped.client() as client:
            while client.info()["counters"]["steps"] < 1000:
                client.ping()
        assert looped.stop() == 0
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def test_a_client_that_never_reads_costs_no_memory(
    model_file: Path, sockets: Sockets, engine: Engine
) -> None:
    """Its answers are dropped and counted; others are served as ever."""
    process = WorkerProcess(model_file, "--queue-messages", "256")
    try:
        deaf = sockets.connect(zmq.DEALER, process.endpoints["router"], RCVHWM=1, RCVBUF=4096)
        frame = wire.encode(wire.Step("deaf", 0, b"\0" * 8))
        with process.client() as client:
            for n in range(30):
                for _ in range(3000):
                    deaf.send(frame)
                np.testing.assert_array_equal(
                    client.step("own", [n, 1]), engine.step("own", [n, 1])
                )
                if n == 9:
                    before = psutil.Process(process.process.pid).memory_info().rss
            info = client.info()
            assert info["counters"]["dropped_answers"] > 0
            assert info["queue"]["peak"] <= 256
        assert psutil.Process(process.process.pid).memory_info().rss < before + 2**22
    finally:
        process.stop()


def test_requests_beyond_the_queue_get_busy(model_file: Path, sockets: Sockets) -> None:
    process = WorkerProcess(model_file, "--queue-messages", "16")
    try:
        # One message that takes a while, and what arrives in the meantime.
        asking = sockets.connect(zmq.DEALER, process.endpoints["router"])
        rows = wire.MAX_STREAMS
        slow = wire.encode(wire.Steps([0] * rows, None, b"\0" * 8 * rows))
        quick = wire.encode(wire.Step(1, 0, b"\0" * 8))
        busy = sent = answered = 0
        while busy == 0:
            for frame in [slow, slow, *[quick] * 200]:
                asking.send(frame)
            sent += 202
            for _ in range(202):
                reply = wire.decode_reply(asking.recv())
                answered += 1
                busy += isinstance(reply, wire.Error) and reply.code == "busy"
        assert answered == sent
        with process.client() as client:
            counters = client.info()["counters"]
        assert counters["busy"] == counters["errors"]["busy"] == busy
    finally:
        process.stop()


def test_an_engine_that_a_worker_serves_can_be_called_from_another_thread() -> None:
    """Slowly, since the loop gives it up a few times a second; but it is never refused."""
    shared, alone = Engine(MODEL, threads=1), Engine(MODEL, threads=1)
    free = ["tcp://127.0.0.1:*"] * 3
    with Worker(Service(shared), *free) as worker:
        assert worker.loop == "native"
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            with Client(worker.endpoints["router"]) as client:
                for n in range(5):
                    y = alone.step("a", [n, 1])
                    here = shared.step("a", [n, 1]) if n % 2 else client.step("a", [n, 1])
                    np.testing.assert_array_equal(here, y)
        finally:
            worker.stop()
            thread.join()


def test_spinning_changes_no_answer(model_file: Path, engine: Engine) -> None:
    process = WorkerProcess(model_file, "--spin", "500")
    try:
        with process.client() as client:
            for n in range(200):
                np.testing.assert_array_equal(client.step("a", [n, 1]), engine.step("a", [n, 1]))
    finally:
        assert process.stop() == 0


def test_received_messages_are_answered_before_a_worker_stops(
    tmp_path: Path, sockets: Sockets
) -> None:
    """A slow model, a client that never stops, and a queue full of its questions at the signal."""
    path = tmp_path / "slow.safetensors"
    random_model([LSTM(2, 256), Dense(256, 1)]).save(path)
    process = WorkerProcess(path, "--loop", "native")
    asking = sockets.connect(zmq.DEALER, process.endpoints["router"], SNDHWM=100_000, RCVHWM=0)
    frame = wire.encode(wire.Step("a", 0, b"\0" * 8))
    for _ in range(40_000):
        asking.send(frame)
    while asking.poll(0) == 0:
        asking.send(frame)
    assert process.stop() == 0
    said = re.search(r"stopped: ([\d,]+) messages, ([\d,]+) steps, ([\d,]+) refused", process.said)
    assert said is not None
    messages, steps, refused = (int(number.replace(",", "")) for number in said.groups())
    assert messages == steps + refused
    assert "unanswered" not in process.said
