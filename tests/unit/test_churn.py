"""A million streams come, leave, come back and are late: each holds its own past and nothing else.

The network adds up what it sees, so that a dict of sums in plain Python says what every stream must
hold, bit for bit. The second of its two inputs is a number of the stream's own: whoever had seen
one observation of another stream would show it in every prediction from there on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from streamlstm import RNN, Engine, Model, wire
from streamlstm.serving.checkpointer import Keeper
from streamlstm.serving.eviction import Eviction
from streamlstm.serving.reply import Answer
from streamlstm.serving.service import Service

from .test_store import opened

EYE = np.eye(2, dtype=np.float32)
MODEL = Model(
    [RNN(2, 2, activation="linear")],
    [{"weight_ih": EYE, "weight_hh": EYE, "bias": np.zeros(2, np.float32)}],
)
STREAMS, CAPACITY, ROWS = 12_000, 1_500, 400
EVENTS = 1_000_000
# Integers, texts that stand in their slot, and texts that stand elsewhere.
IDS: list[wire.StreamId] = [
    n if n % 3 == 0 else f"s{n}" if n % 3 == 1 else f"a longer name {n}" for n in range(STREAMS)
]
MARKS = [1 + n % 997 for n in range(STREAMS)]


class Expected:
    """What every stream must hold: its last number and the two sums."""

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
    """Random messages to a service, each answer compared with what is expected."""

    def __init__(self, service: Service, random: np.random.Generator) -> None:
        self.service, self.random, self.expected = service, random, Expected()
        self.blobs: dict[int, tuple[int, int, int, bytes]] = {}

    def feed(self) -> None:
        """A STEPS through the pull door: rows that are next or not counted, some late or early."""
        random, expected = self.random, self.expected
        chosen = random.integers(0, STREAMS, ROWS)
        chosen[: ROWS // 8] %= 64  # some are always in use, and several times in a message
        kinds = random.integers(0, 4)
        if kinds < 3:  # integers, or texts, alone: these are found in compiled code
            chosen = chosen // 3 * 3 + (random.integers(1, 3, ROWS) if kinds else 0)
        messy = random.integers(0, 3) == 0
        values = random.integers(0, 100, ROWS).tolist()
        how = random.integers(0, 10, ROWS).tolist()
        seqs, told = [], []
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
                told.append((wire.topic(IDS[n]), seq, y))
        X = np.array([values, [MARKS[n] for n in chosen]], np.float32).T
        frame = wire.encode(wire.Steps([IDS[n] for n in chosen], seqs, X.tobytes()))
        (answer,) = self.service.handle([frame], fed={0})
        assert list(predictions(answer)) == told

    def control(self) -> None:
        """What else may be done to a stream."""
        n = int(self.random.integers(STREAMS))
        stream, held = IDS[n], self.expected.streams.get(n)
        match self.random.integers(4):
            case 0:
                assert self.known(wire.Reset(stream), held)
                if held is not None:
                    self.expected.streams[n] = (0, 0, 0)
            case 1:
                assert self.known(wire.Forget(stream), held)
                self.expected.streams.pop(n, None)
            case 2:
                done = self.known(wire.Export(stream), held)
                assert done
                if held is not None:
                    self.blobs[n] = (*held, done.value)
            case _ if self.blobs:
                source = list(self.blobs)[self.random.integers(len(self.blobs))]
                *state, blob = self.blobs.pop(source)
                # What a stream has seen goes over with it, so its marks are of its old name.
                if source == n or MARKS[source] == MARKS[n]:
                    self.ask(wire.Import(stream, blob))
                    self.expected.streams[n] = (state[0], state[1], state[2])

    def ask(self, message: wire.Request) -> wire.Reply:
        return wire.decode_reply(self.service.handle([wire.encode(message)])[0].reply)

    def known(self, message: wire.Request, held: object) -> wire.Done | None:
        """Ask about a stream; it has to be known where something is held, and only there."""
        reply = self.ask(message)
        if held is None:
            assert isinstance(reply, wire.Error)
            assert reply.code == "unknown-stream"
            return wire.Done(0, None)
        assert isinstance(reply, wire.Done), reply
        return reply


def predictions(answer: Answer) -> Iterator[tuple[bytes, int, tuple[float, float]]]:
    for topic, frame in answer.publications:
        heard = wire.decode_reply(frame)
        if isinstance(heard, wire.Prediction):
            total, marks = heard.values.tolist()
            yield topic, heard.seq, (total, marks)


@contextmanager
def worker(where: str) -> Iterator[tuple[Service, Keeper, Eviction]]:
    engine = Engine(MODEL, CAPACITY, threads=1)
    with opened(engine, where, 0.0) as keeper:
        eviction = Eviction(engine.idle(), keeper, when_full=True)
        yield Service(engine, keeper=keeper, eviction=eviction), keeper, eviction


def test_a_million_comings_and_goings(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    where = f"lmdb:{tmp_path / 'store'}"
    with worker(where) as (service, keeper, eviction):
        churn = Churn(service, random)
        expected = churn.expected
        events = 0
        while events < EVENTS:
            churn.feed()
            for _ in range(random.integers(4)):
                churn.control()
            for _ in range(random.integers(3)):
                eviction.turn(False)
                keeper.turn()
            eviction.left.clear()
            events = expected.opened + expected.late + eviction.evicted + keeper.returned
        assert min(eviction.evicted, keeper.returned, expected.late) > EVENTS // 20
        assert len(service.engine) + keeper.absent == len(expected.streams)
        keeper.finish()
        assert keeper.ticket() == keeper.committed
    engine = Engine(MODEL, STREAMS, threads=1)
    with opened(engine, where) as keeper:
        keeper.preload(lambda done, total: None)
    assert len(engine) == len(expected.streams)
    for n, (seq, total, marks) in expected.streams.items():
        assert engine.last_seq(IDS[n]) == seq
        assert engine.step(IDS[n], [0.0, 0.0]).tolist() == [total, marks]
