"""Blocks of many streams whose partitions are on their way: sockets of the test are the workers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import zmq

from streamlstm import Client, wire
from streamlstm.engine.partitions import partitions_of
from streamlstm.wire.decoding import decode_request


def one_of_each_partition() -> list[str]:
    """Return a stream of every partition."""
    names = [f"s{n}" for n in range(20_000)]
    first = dict(zip(reversed(partitions_of(names).tolist()), reversed(names), strict=True))
    assert len(first) == wire.PARTITIONS
    return list(first.values())


STREAMS = one_of_each_partition()


class Workers:
    """Two workers: A thinks that it has everything, and knows better one partition at a time."""

    def __init__(self) -> None:
        self.context = zmq.Context[zmq.Socket[bytes]]()
        self.sockets = [self.context.socket(zmq.ROUTER) for _ in range(2)]
        self.where = []
        for socket in self.sockets:
            port = socket.bind_to_random_port("tcp://127.0.0.1")
            self.where.append(f"tcp://127.0.0.1:{port}")
        workers = tuple(wire.FleetWorker(f"w{n}", at, "", "") for n, at in enumerate(self.where))
        owners, epochs = np.zeros((2, wire.PARTITIONS), np.uint32)
        self.table = wire.FleetTable(1, workers, owners.astype(np.uint16), epochs + 1)
        self.arriving: set[int] = set()  # at B, which then says `busy`
        self.asked: list[tuple[int, int]] = []  # worker and streams of each LAST
        self.answered: list[str | int] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in self.sockets:
            poller.register(socket, zmq.POLLIN)
        while not self._end.is_set():
            for socket, _ in poller.poll(50):
                *envelope, frame = socket.recv_multipart()
                reply = self._reply(self.sockets.index(socket), decode_request(frame))
                socket.send_multipart([*envelope, wire.encode(reply)])

    def _reply(self, worker: int, request: wire.Request) -> wire.Reply:
        if isinstance(request, wire.Table):
            return wire.Done(wire.Kind.TABLE, None, self.table.to_value())
        assert isinstance(request, wire.Last)
        streams = request.streams
        partitions = partitions_of(streams).tolist()
        if len(self.answered) == wire.PARTITIONS - len(self.arriving):
            self.arriving.clear()
        self.asked.append((worker, len(streams)))
        if worker == 0:
            owner = wire.Owner(2, self.where[1])
            return wire.Error(streams[0], None, "moved", "gone", partitions[0], owner=owner)
        for stream, partition in zip(streams, partitions, strict=True):
            if partition in self.arriving:
                return wire.Error(stream, None, "busy", "it is on its way", 5)
        self.answered += streams
        return wire.Done(wire.Kind.LAST, None, [STREAMS.index(str(each)) for each in streams])

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        for socket in self.sockets:
            socket.close(0)
        self.context.term()


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers()
    yield made
    made.close()


def test_a_block_is_answered_whose_partitions_move_one_after_the_other(workers: Workers) -> None:
    with Client(endpoints=workers.where[0], timeout=60) as client:
        assert client.last_seqs(STREAMS[:400]) == list(range(400))
    assert len(workers.asked) == 2 * 400  # nothing is asked twice


def test_what_is_on_its_way_keeps_nothing_else_waiting(workers: Workers) -> None:
    workers.table = workers.table._replace(owners=workers.table.owners + np.uint16(1))
    late = STREAMS[10:12]
    workers.arriving.update(partitions_of(late).tolist())
    with Client(endpoints=workers.where[0], timeout=5) as client:
        assert client.last_seqs(STREAMS) == list(range(wire.PARTITIONS))
    assert sorted(workers.answered[-2:]) == late  # which arrive when the others are answered
