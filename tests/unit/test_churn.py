"""A million arrivals, evictions, returns and late messages: each stream has its own past only.

The network adds up what it sees, so that a dict of sums in plain Python gives the state of every
stream, bit for bit. The second of its two inputs is a constant of the stream: one observation
of another stream would show in every prediction from there on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from streamlstm import RNN, Engine, Model, wire
from streamlstm.serving.eviction import Eviction
from streamlstm.serving.response import Response
from streamlstm.serving.service import Service
from streamlstm.serving.stores.checkpointer import Checkpointer

from ..exhaustive import exhaustive, short
from .test_store import opened

EYE = np.eye(2, dtype=np.float32)
MODEL = Model(
    [RNN(2, 2, activation="linear")],
    [{"weight_ih": EYE, "weight_hh": EYE, "bias": np.zeros(2, np.float32)}],
)
STREAMS, CAPACITY, ROWS = 12_000, 1_500, 400
# Integers, texts that fit into a key, and longer texts.
IDS: list[wire.StreamId] = [
    n if n % 3 == 0 else f"s{n}" if n % 3 == 1 else f"a longer name {n}" for n in range(STREAMS)
]
MARKS = [1 + n % 997 for n in range(STREAMS)]


class Expected:
    """The expected state of every stream: its last number and the two sums."""

    def __init__(self) -> None:
        self.streams: dict[int, tuple[int, int, int]] = {}
        self.late = self.opened = 0

    def step(self, n: int, seq: int, value: int) -> tuple[int, int] | None:
        """Apply an observation; return the prediction, None if it has to be refused."""
        last, total, marks = self.streams.get(n, (0, 0, 0))
        if seq and seq != last + 1:
            self.late += 1
            return None
        self.opened += n not in self.streams
        self.streams[n] = (seq or last, total + value, marks + MARKS[n])
        return total + value, marks + MARKS[n]


class Churn:
    """Sends random messages to a service and compares each reply with the expected one."""

    def __init__(self, service: Service, random: np.random.Generator) -> None:
        self.service, self.random, self.expected = service, random, Expected()
        self.blobs: dict[int, tuple[int, int, int, bytes]] = {}

    def feed(self) -> None:
        """Send a STEPS to the PULL socket: rows in order or not numbered, some late or early."""
        random, expected = self.random, self.expected
        chosen = random.integers(0, STREAMS, ROWS)
        chosen[: ROWS // 8] %= 64  # some are always in use, and several times in a message
        kinds = random.integers(0, 4)
        if kinds < 3:  # integers, or texts, alone: these are found in compiled code
            chosen = chosen // 3 * 3 + (random.integers(1, 3, ROWS) if kinds else 0)
        messy = random.integers(0, 3) == 0
        values = random.integers(0, 100, ROWS).tolist()
        how = random.integers(0, 10, ROWS).tolist()
        seqs, published = [], []
        for n, value, case in zip(chosen.tolist(), values, how, strict=True):
            last = expected.streams.get(n, (0, 0, 0))[0]
            seq = (
                (0, last, max(last - 1, 0), last + 2)[case]
                if case < (4 if messy else 1)
                else last + 1
            )
            seqs.append(seq)
            y = expected.step(n, seq, value)
            if y is not None:
                published.append((wire.topic(IDS[n]), seq, y))
        X = np.array([values, [MARKS[n] for n in chosen]], np.float32).T
        frame = wire.encode(wire.Steps([IDS[n] for n in chosen], seqs, X.tobytes()))
        (answer,) = self.service.handle([frame], pulled={0})
        assert list(predictions(answer)) == published

    def control(self) -> None:
        """Reset, forget, export or import a random stream."""
        n = int(self.random.integers(STREAMS))
        stream, state = IDS[n], self.expected.streams.get(n)
        match self.random.integers(4):
            case 0:
                assert self.known(wire.Reset(stream), state)
                if state is not None:
                    self.expected.streams[n] = (0, 0, 0)
            case 1:
                assert self.known(wire.Forget(stream), state)
                self.expected.streams.pop(n, None)
            case 2:
                done = self.known(wire.Export(stream), state)
                assert done
                if state is not None:
                    self.blobs[n] = (*state, done.value)
            case _ if self.blobs:
                source = list(self.blobs)[self.random.integers(len(self.blobs))]
                *imported, blob = self.blobs.pop(source)
                # The sums are imported too, so the marks must be those of the source.
                if source == n or MARKS[source] == MARKS[n]:
                    self.ask(wire.Import(stream, blob))
                    self.expected.streams[n] = (imported[0], imported[1], imported[2])

    def ask(self, message: wire.Request) -> wire.Reply:
        return wire.decode_reply(self.service.handle([wire.encode(message)])[0].reply)

    def known(self, message: wire.Request, state: object) -> wire.Done | None:
        """Send a request about a stream, which is known exactly if it has an expected state."""
        reply = self.ask(message)
        if state is None:
            assert isinstance(reply, wire.Error)
            assert reply.code == "unknown-stream"
            return wire.Done(0, None)
        assert isinstance(reply, wire.Done), reply
        return reply


def predictions(answer: Response) -> Iterator[tuple[bytes, int, tuple[float, float]]]:
    for topic, frame in answer.publications:
        reply = wire.decode_reply(frame)
        if isinstance(reply, wire.Prediction):
            total, marks = reply.values.tolist()
            yield topic, reply.seq, (total, marks)


@contextmanager
def worker(where: str) -> Iterator[tuple[Service, Checkpointer, Eviction]]:
    engine = Engine(MODEL, CAPACITY, threads=1)
    with opened(engine, where, 0.0) as checkpointer:
        eviction = Eviction(engine.idle_evictor(), checkpointer, when_full=True)
        yield Service(engine, checkpointer=checkpointer, eviction=eviction), checkpointer, eviction


@pytest.mark.parametrize("least", [short(50_000), exhaustive(1_000_000)])
def test_many_arrivals_and_departures(tmp_path: Path, least: int) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    where = f"lmdb:{tmp_path / 'store'}"
    with worker(where) as (service, checkpointer, eviction):
        churn = Churn(service, random)
        expected = churn.expected
        events = 0
        while events < least:
            churn.feed()
            for _ in range(random.integers(4)):
                churn.control()
            for _ in range(random.integers(3)):
                eviction.turn(False)
                checkpointer.turn()
            eviction.evicted_keys.clear()
            events = (
                expected.opened + expected.late + eviction.evicted + checkpointer.stored.returned
            )
        assert min(eviction.evicted, checkpointer.stored.returned) > least // 20
        assert expected.late > least // 100  # few messages have late rows, so their share varies
        assert len(service.engine) + checkpointer.stored.count == len(expected.streams)
        checkpointer.finish()
        assert checkpointer.ticket() == checkpointer.committed
    engine = Engine(MODEL, STREAMS, threads=1)
    with opened(engine, where) as checkpointer:
        checkpointer.stored.preload(lambda done, total: None)
    assert len(engine) == len(expected.streams)
    for n, (seq, total, marks) in expected.streams.items():
        assert engine.last_seq(IDS[n]) == seq
        assert engine.step(IDS[n], [0.0, 0.0]).tolist() == [total, marks]
