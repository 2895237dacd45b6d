"""What the tests of who feeds a stream share: publishers, and what a worker has of a stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import zmq

from streamlstm import Engine, ReplayingPublisher, wire

from .conftest import MODEL, Sockets, WorkerProcess, assert_same_state

X = np.random.default_rng(3).standard_normal((200, 2)).astype(np.float32)
ELSE = "somebody else feeds this stream"


def publisher(worker: WorkerProcess | str, **options: Any) -> ReplayingPublisher:
    router = worker if isinstance(worker, str) else worker.endpoints["router"]
    return ReplayingPublisher(router, **{"timeout": 60, "linger": 60} | options)


def send(made: ReplayingPublisher, stream: str, rows: range) -> list[int]:
    """Send rows of X in one call: a refusal of the first cannot come before the others."""
    return made.send_many([stream] * len(rows), X[rows.start : rows.stop])


def assert_applied(worker: WorkerProcess, stream: str, rows: list[int]) -> None:
    """Compare a stream with an engine that steps these rows of X, numbered from 1."""
    engine = Engine(MODEL, threads=1)
    for seq, n in enumerate(rows, 1):
        engine.step(stream, X[n], seq=seq)
    with worker.client() as client:
        assert client.last_seqs([stream]) == [len(rows)]
        assert_same_state(client, engine, stream)


def step_as(sockets: Sockets, worker: WorkerProcess, producer: int, stream: str, n: int) -> str:
    """Send row n as observation n + 1 of a producer; return the code of the refusal, if any."""
    return refusal(sockets, worker, producer, wire.Step(stream, n + 1, wire.to_floats(X[n])))


def refusal(sockets: Sockets, worker: WorkerProcess, producer: int, message: wire.Request) -> str:
    dealer = sockets.connect(zmq.DEALER, worker.endpoints["router"])
    envelope = [wire.envelope_of(producer)] if producer else []
    dealer.send_multipart([*envelope, wire.encode(message)])
    reply = wire.decode_reply(dealer.recv_multipart()[-1])
    return reply.code if isinstance(reply, wire.Error) else ""
