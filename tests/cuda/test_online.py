"""Models with an online stage on a device: everything that an engine does with them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, Model, Online
from streamlstm.backends.cuda import graph
from streamlstm.backends.cuda.backend import CudaBackend
from streamlstm.backends.plan import initial_row
from streamlstm.errors import LabelError
from streamlstm.serving.stores.open import open_checkpointer
from tests.contract.models import random_model, staged

EVERYTHING = Online(
    fill="last",
    calendar=("hour", "since"),
    zone="Europe/Zurich",
    scale="stream",
    adapt="rls",
    labels=3,
    intervals=(0.5, 0.9),
    anomaly=True,
)
MODEL = staged(EVERYTHING, units=4)
CLOSE = {"rtol": 2e-3, "atol": 2e-3, "equal_nan": True}
STREAMS = ["a", "b", 7, "c"]


def rolling(seed: int = 0) -> Model:
    """Return a model whose outputs are its inputs one step later."""
    network = random_model([LSTM(2, 4), Dense(4, 2)], seed)
    online = Online(intervals=(0.9,))
    names = ["a", "b"]
    return Model(
        network.layers, network.weights, inputs=names, outputs=names, horizon=1, online=online
    )


@pytest.fixture(name="X")
def _observations() -> np.ndarray:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 4, 3)).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


def pair(model: Model = MODEL) -> tuple[Engine, Engine]:
    return Engine(model, 8, "cuda"), Engine(model, 8, "cpu")


def test_one_and_many_are_told_what_the_cpu_tells(X: np.ndarray) -> None:
    device, host = pair()
    for n, x in enumerate(X[:6], start=1):
        times = [60.0 * n, 61.0 * n, 5.0, 1e9 + n]
        given, expected = (e.observe_many(STREAMS, x, times=times) for e in (device, host))
        assert np.allclose(given._result, expected._result, **CLOSE)
        one, alone = (e.observe("b", x[0], seq=n, time=62.0 * n) for e in (device, host))
        assert np.allclose(one._result, alone._result, **CLOSE)
        assert one.filled == alone.filled
        assert one.kind == alone.kind


def test_labels_are_learned_from_once(X: np.ndarray) -> None:
    device, host = pair(MODEL.with_online(replace(EVERYTHING, targets=(-1, 0))))
    for engine in (device, host):
        for n, x in enumerate(X[:5, 0], start=1):
            engine.observe("a", x, seq=n, time=60.0 * n)
    before = device.export_stream("a")
    for engine in (device, host):
        engine.learn("a", 4, [0.5, np.nan])
    assert device.export_stream("a") != before
    for engine in (device, host):
        for seq, why in ((1, "is not kept any more"), (4, "has got these labels"), (6, "not come")):
            kept = engine.export_stream("a")
            with pytest.raises(LabelError, match=why):
                engine.learn("a", seq, [0.5, np.nan])
            assert engine.export_stream("a") == kept
    one, alone = (e.observe("a", X[5, 0], seq=6, time=360.0) for e in (device, host))
    assert np.allclose(one._result, alone._result, **CLOSE)
    assert np.isfinite(one.error[0])  # of the label


def test_a_forecast_leaves_the_stream_alone(X: np.ndarray) -> None:
    device, host = pair(rolling())
    for x in np.nan_to_num(X[:, 0, :2]):
        device.observe("a", x)
        host.observe("a", x)
    before = device.export_stream("a")
    ahead, expected = device.forecast("a", 4), host.forecast("a", 4)
    for name in ("y", "low", "high"):
        assert np.allclose(getattr(ahead, name), getattr(expected, name), **CLOSE)
    assert device.export_stream("a") == before


def test_a_numbered_result_is_kept_whole(X: np.ndarray) -> None:
    device, _ = pair()
    told = device.observe_many(STREAMS, X[0], seqs=[1, 0, 1, 1], times=[1.0] * 4)
    device.observe_many(STREAMS, X[1], times=[2.0] * 4)
    for n in (0, 2, 3):
        slot = device._table.find(STREAMS[n])
        kept = device._table.rows[slot, device._place]
        assert np.array_equal(kept, told._result[n], equal_nan=True)
    assert not device._table.rows[device._table.find("b"), device._place].any()


@pytest.mark.skipif(not graph.AVAILABLE, reason="needs cuda-bindings and a driver: make test-cuda")
def test_its_three_launches_are_one_graph(X: np.ndarray) -> None:
    found = []
    for graphs in (True, False):
        backend = CudaBackend(MODEL, graphs=graphs)
        assert backend.graphs == graphs
        rows = backend.make_rows(4, initial_row(MODEL))
        Y = np.empty((len(X), 4, MODEL.result_size), np.float32)
        for n, x in enumerate(X):
            backend.step_block(rows, np.arange(4), x, Y[n], None, np.full(4, 60.0 * n))
        found.append(Y.tobytes() + rows[np.arange(4)].tobytes())
    assert found[0] == found[1]


def test_streams_move_between_device_and_host(X: np.ndarray, tmp_path: Path) -> None:
    device, host = pair()
    checkpointer = open_checkpointer(device, f"lmdb:{tmp_path / 'store'}", 60.0)
    assert checkpointer is not None
    with checkpointer:
        for n, x in enumerate(X[:4], start=1):
            device.observe_many(STREAMS, x, seqs=[n] * 4, times=[60.0 * n] * 4)
        checkpointer.finish()
    stored = Engine(MODEL, 8, "cuda")
    checkpointer = open_checkpointer(stored, f"lmdb:{tmp_path / 'store'}", 60.0)
    assert checkpointer is not None
    with checkpointer:
        checkpointer.stored.restore(STREAMS)
        for stream in STREAMS:
            blob = device.export_stream(stream)
            host.import_stream(stream, blob)
            assert stored.export_stream(stream) == blob == host.export_stream(stream)
        told = [
            engine.observe_many(STREAMS, X[4], seqs=[5] * 4, times=[300.0] * 4)._result
            for engine in (device, stored, host)
        ]
        assert np.array_equal(told[0], told[1], equal_nan=True)
        assert np.allclose(told[0], told[2], **CLOSE)


def test_streams_go_on_or_begin_anew_with_another_model(X: np.ndarray) -> None:
    plain = X[0, 0].copy()
    for model, anew in ((rolling(1), False), (rolling(0).with_online(Online(anomaly=True)), True)):
        device, host = pair(rolling())
        for engine in (device, host):
            engine.observe("a", np.nan_to_num(plain[:2]), seq=1)
            engine.reload(model, anew=anew)
        for n, x in enumerate(np.nan_to_num(X[1:4, 0, :2]), start=2):
            one, alone = (engine.observe("a", x, seq=n) for engine in (device, host))
            assert np.allclose(one._result, alone._result, **CLOSE)
