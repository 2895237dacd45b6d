"""Eviction, restoration and reload of streams with state rows on a device."""

from pathlib import Path

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, Model
from streamlstm.serving.eviction import Eviction
from streamlstm.serving.stores.open import open_checkpointer
from tests.contract.models import random_model

LAYERS = [LSTM(3, 5, initial_state=True), Dense(5, 2)]
MODEL = random_model(LAYERS, 0, scaled=True)
ALIKE = random_model(LAYERS, 1, scaled=True)
OTHERS = [random_model([LSTM(3, 40), Dense(40, 2)], 2), random_model([LSTM(3, 4), Dense(4, 1)], 3)]


@pytest.fixture(name="X")
def _observations() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)


def same(device: Engine, host: Engine, stream: str, x: np.ndarray, seq: int) -> None:
    expected = host.step(stream, x, seq=seq)
    assert np.allclose(device.step(stream, x, seq=seq), expected, atol=1e-5)


def test_streams_leave_the_device_and_come_back(tmp_path: Path, X: np.ndarray) -> None:
    device, host = Engine(MODEL, 3, "cuda"), Engine(MODEL, 10, "cpu")
    checkpointer = open_checkpointer(device, f"lmdb:{tmp_path / 'store'}", 60.0)
    assert checkpointer is not None
    with checkpointer:
        eviction = Eviction(device.idle_evictor(), checkpointer, when_full=True)
        for n, x in enumerate(X):
            stream = f"stream {n * 7 % 5}"
            eviction.make_room([stream], False)
            checkpointer.stored.restore([stream])
            same(device, host, stream, x, host.last_seqs([stream])[0] + 1)
        assert eviction.evicted > 10
        assert len(device) == 3


@pytest.mark.parametrize("model", [ALIKE])
def test_streams_go_on_with_another_model(model: Model, X: np.ndarray) -> None:
    device, host = Engine(MODEL, 4, "cuda"), Engine(MODEL, 4, "cpu")
    for engine in (device, host):
        for stream in ("a", "gone"):
            engine.step(stream, X[0], seq=1)
        engine.forget("gone")
        engine.reload(model)
    same(device, host, "a", X[1], 2)
    for stream in ("new", "newer", "gone"):  # in slots that were free
        same(device, host, stream, X[2], 1)


@pytest.mark.parametrize("model", OTHERS)
def test_streams_begin_anew_with_any_model(model: Model, X: np.ndarray) -> None:
    device, host = Engine(MODEL, 4, "cuda"), Engine(MODEL, 4, "cpu")
    for engine in (device, host):
        for stream in ("a", "gone"):
            engine.step(stream, X[0], seq=1)
        engine.forget("gone")
        engine.reload(model, anew=True)
    last, expected = (engine.last_prediction("a", 1) for engine in (device, host))
    assert (last is None) == (expected is None) == (model.output_size != MODEL.output_size)
    if last is not None and expected is not None:
        assert np.allclose(last, expected, atol=1e-5)
    same(device, host, "a", X[1], 2)
    for stream in ("new", "newer", "gone"):
        same(device, host, stream, X[2], 1)
