"""The state has the prediction of the last numbered observation, bit for bit."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, Model, Online, Scaling, wire
from streamlstm.errors import BadValueError
from streamlstm.serving.service import Service

from ..contract.models import random_model, staged

MODEL = random_model([LSTM(2, 9), Dense(9, 3)], scaled=True)
X = np.random.default_rng(4).standard_normal((64, 2)).astype(np.float32)


@pytest.fixture(params=["cpu", "reference"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(MODEL, 8, backend=request.param, threads=1)


def assert_last(engine: Engine, stream: str | int, seq: int, y: np.ndarray) -> None:
    last = engine.last_prediction(stream, seq)
    assert last is not None
    assert last.tobytes() == y.tobytes()
    assert engine.last_prediction(stream, seq - 1) is None
    assert engine.last_prediction(stream, seq + 1) is None


def test_every_way_to_step_stores_the_prediction(engine: Engine) -> None:
    handle = engine.stream("a")
    assert_last(engine, "a", 1, engine.step("a", X[0], seq=1))  # the slow path, then the fast one
    assert_last(engine, "a", 2, engine.step("a", X[1], seq=2))
    assert_last(engine, "a", 3, handle.step(X[2], seq=3))
    assert_last(engine, "a", 4, handle.step(X[3], seq=4, time=1.0))
    Y = engine.step_many(["a", 7, "a", "b"], X[4:8], seqs=[5, 1, 6, 0])
    assert_last(engine, "a", 6, Y[2])
    assert_last(engine, 7, 1, Y[1])
    assert engine.last_prediction("b", 0) is None
    Y, _ = engine.step_each(["a", "a"], X[8:10], seqs=[6, 7])
    assert_last(engine, "a", 7, Y[1])


def test_an_observation_without_a_number_does_not_change_it(engine: Engine) -> None:
    y = engine.step("a", X[0], seq=1)
    engine.step("a", X[1])
    engine.step_many(["a", "a"], X[2:4])
    assert_last(engine, "a", 1, y)


def test_it_is_exported_and_forgotten_with_the_state(engine: Engine) -> None:
    y = engine.step("a", X[0], seq=1)
    engine.import_stream("b", engine.export_stream("a"))
    assert_last(engine, "b", 1, y)
    engine.reset("a")
    engine.forget("b")
    assert engine.last_prediction("a", 1) is None
    assert engine.last_prediction("b", 1) is None


def test_an_infinite_prediction_can_be_exported() -> None:
    layers = [LSTM(2, 4), Dense(4, 1)]
    weights = [dict(arrays) for arrays in random_model(layers).weights]
    weights[1]["bias"] = np.full(1, 9.0, np.float32)
    huge = Scaling(np.zeros(1, np.float32), np.full(1, 3e38, np.float32))
    engine = Engine(Model(layers, weights, output_scaling=huge), threads=1)
    y = engine.step("a", X[0], seq=1)
    assert np.isinf(y).all()
    engine.import_stream("b", engine.export_stream("a"))
    assert_last(engine, "b", 1, y)


def test_an_older_format_version_is_refused(engine: Engine) -> None:
    engine.step("a", X[0], seq=1)
    body = bytearray(engine.export_stream("a")[:-4])
    body[4:8] = struct.pack("<I", 1)
    with pytest.raises(BadValueError, match="expected format version 2 or 3, got 1"):
        engine.import_stream("a", bytes(body) + struct.pack("<I", zlib.crc32(body)))


def test_what_another_model_said_of_a_prediction_is_not_repeated() -> None:
    """Streams restart with a model whose results have other places: the outputs stay, no map."""
    plain = staged(Online()).with_online(None)
    models = [staged(Online(intervals=(0.9,))), staged(Online(anomaly=True)), plain]
    step = wire.encode(wire.Step("a", 1, wire.to_floats([0.1, 0.2, 0.3])))
    for before in models:
        for after in models:
            engine = Engine(before, 10)
            service = Service(engine)
            first = wire.decode_reply(service.handle([step])[0].reply)
            engine.reload(after, anew=True)
            again = wire.decode_reply(service.handle([step])[0].reply)
            assert isinstance(first, wire.Prediction)
            assert isinstance(again, wire.Error)
            assert (again.code, again.y, again.extra) == ("duplicate", first.y, None)
