"""Subscribers receive a RESET of every stream that begins anew with another model, in chunks."""

from __future__ import annotations

from pathlib import Path

import msgpack
import pytest

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.serving import residency
from streamlstm.serving.counters import Counters
from streamlstm.serving.residency import Residency

from ..contract.models import random_model
from .worker_harness import harness

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])
OTHER = random_model([LSTM(2, 7), Dense(7, 3)])


@pytest.mark.parametrize("loop", ["native", "python"])
def test_subscribers_receive_a_reset_of_every_stream(loop: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    OTHER.save(file)
    engine = Engine(MODEL, threads=1)
    streams = [*range(500), "text"]
    engine.step_many(streams, [[1.0, 2.0]] * len(streams))
    with harness(engine, loop=loop, model_file=file) as worker:
        worker.asker.send(wire.encode(wire.Reload(True)))
        heard: list[list[bytes]] = []
        while len(heard) < len(streams):
            worker.turn()
            heard += worker.heard()
        assert engine.model.fingerprint == OTHER.fingerprint
        assert [topic for topic, _ in heard] == [wire.topic(stream) for stream in streams]
        assert [msgpack.unpackb(frame) for _, frame in heard] == [
            [131, 3, stream, None] for stream in streams
        ]
        for _ in range(10):
            worker.turn()
        assert worker.heard() == []


def test_events_come_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency, "CHUNK", 4)
    streams = Residency(None, None, Counters())
    assert streams.events() == []
    streams.publish_resets(list(range(9)))
    sizes = []
    while streams.has_events:
        sizes.append(len(streams.events()))
    assert sizes == [4, 4, 1]
