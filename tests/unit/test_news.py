"""Subscribers hear that all streams began anew with another model, a piece at a time."""

from __future__ import annotations

from pathlib import Path

import msgpack
import pytest

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.serving import residency
from streamlstm.serving.residency import Presence

from ..contract.models import random_model
from .loops import harness

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])
OTHER = random_model([LSTM(2, 7), Dense(7, 3)])


@pytest.mark.parametrize("loop", ["native", "python"])
def test_subscribers_hear_of_every_stream_that_began_anew(loop: str, tmp_path: Path) -> None:
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


def test_news_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residency, "PIECE", 4)
    told = Presence(None, None)
    assert told.news() == []
    told.tell_begun(list(range(9)))
    sizes = []
    while told.has_news:
        sizes.append(len(told.news()))
    assert sizes == [4, 4, 1]
