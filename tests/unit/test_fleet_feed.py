"""What a publisher to a fleet does with rows that are refused, or not answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import zmq

from streamlstm import AsyncPublisher, Publisher, wire
from streamlstm.errors import WorkerTimeoutError
from streamlstm.wire.decoding import decode_request

STREAMS = [f"pump-{n}" for n in range(1000)]
SEQS = [5] * len(STREAMS)
X = np.ones((len(STREAMS), 2))


class Worker:
    """Has everything; a message is applied as a whole, or refused for a row that was before."""

    def __init__(self) -> None:
        self.context = zmq.Context[zmq.Socket[bytes]]()
        self.socket = self.context.socket(zmq.ROUTER)
        port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.where = f"tcp://127.0.0.1:{port}"
        new = wire.FleetTable.new()
        workers = (wire.FleetWorker("w0", self.where, "", ""),)
        self.table = new._replace(
            version=1, workers=workers, owners=new.owners * 0, epochs=new.epochs + 1
        )
        self.before: set[wire.StreamId] = set()  # refused as duplicates
        self.applied: list[wire.StreamId] = []
        self.messages = 0
        self.slow = threading.Event()  # answers a message a time, and then waits
        self.silent = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.is_set():
            if self.socket.poll(50):
                *envelope, frame = self.socket.recv_multipart()
                reply = self._reply(decode_request(frame))
                if reply is not None:
                    self.socket.send_multipart([*envelope, wire.encode(reply)])

    def _reply(self, request: wire.Request) -> wire.Reply | None:
        if isinstance(request, wire.Table):
            return wire.Done(wire.Kind.TABLE, None, self.table.to_value())
        assert isinstance(request, wire.Step | wire.Steps)
        self.messages += 1
        if self.silent:
            return None
        if self.slow.is_set():
            self._end.wait(0.5)
        streams = request.streams if isinstance(request, wire.Steps) else [request.stream]
        for stream in streams:
            if stream in self.before:
                return wire.Error(stream, 5, "duplicate", "applied before", 5)
        self.applied += streams
        if isinstance(request, wire.Step):
            return wire.Prediction(request.stream, 5, bytes(4))
        return wire.Predictions(streams, SEQS[: len(streams)], bytes(4 * len(streams)))

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self.context.destroy(linger=0)


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def test_what_is_refused_keeps_no_other_row_from_being_applied(worker: Worker) -> None:
    worker.before = set(STREAMS[::100])
    with Publisher(endpoints=worker.where, timeout=30.0) as publisher:
        publisher.send_many(STREAMS, X, seqs=SEQS)
        publisher.flush()
        assert sorted(map(str, worker.applied)) == sorted(set(STREAMS) - set(worker.before))
        assert worker.messages < 200  # and not one for each row

        worker.messages, worker.before = 0, set(STREAMS[::2])
        publisher.send_many(STREAMS, X, seqs=SEQS)
        publisher.flush()
        assert len(worker.applied) == 990 + 500
        assert worker.messages < 1500

    async def in_loop() -> None:
        async with AsyncPublisher(endpoints=worker.where, timeout=30.0) as publisher:
            await publisher.send_many(STREAMS, X, seqs=SEQS)
            await publisher.flush()
            assert len(worker.applied) == 990 + 2 * 500

    asyncio.run(in_loop())


def test_a_deadline_is_put_off_while_answers_come(worker: Worker) -> None:
    worker.slow.set()
    with Publisher(endpoints=worker.where, timeout=2.0) as publisher:
        for stream in STREAMS[:5]:
            publisher.send_many([stream, "all"], X[:2])  # one waits for the other
        publisher.flush()
    assert worker.applied == [each for stream in STREAMS[:5] for each in (stream, "all")]
    with Publisher(endpoints=worker.where, timeout=30.0, linger=2.0) as publisher:
        for stream in STREAMS[:5]:
            publisher.send_many([stream, "all"], X[:2])
    assert len(worker.applied) == 20


def test_what_was_not_answered_is_told_as_it_is(worker: Worker) -> None:
    worker.silent = True
    publisher = Publisher(endpoints=worker.where, timeout=0.2)
    publisher.send_many(STREAMS, X, seqs=SEQS)
    with pytest.raises(WorkerTimeoutError, match=r"applied nor refused.*known: 1000\. ") as found:
        publisher.flush()
    assert f"{worker.where}: no reply within 0.2 s" in str(found.value)
    assert f"streamlstm info --router {worker.where}" in str(found.value)
    publisher.close()
    publisher = Publisher(endpoints=worker.where, timeout=30.0, linger=0.1)
    publisher.send("pump-7", X[0])
    with pytest.raises(WorkerTimeoutError, match=r"known: 1\. Why.*publisher was closed"):
        publisher.close()
