"""The engine with state rows on a device: transfers, and the same results as on the host."""

import threading

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine
from streamlstm.backends.cuda import backend as module
from streamlstm.engine.records import RecordBatch
from streamlstm.errors import CapacityError, ModelError
from tests.contract.models import random_model

MODEL = random_model([LSTM(3, 5, initial_state=True), Dense(5, 2)], scaled=True)


@pytest.fixture(name="X")
def _observations() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)


def pair() -> tuple[Engine, Engine]:
    return Engine(MODEL, 8, "cuda"), Engine(MODEL, 8, "cpu")


def test_the_backend_says_its_name() -> None:
    assert pair()[0].backend == "cuda"


def test_states_move_between_device_and_host(X: np.ndarray) -> None:
    device, host = pair()
    for n, x in enumerate(X[:5], start=1):
        device.step("a", x, seq=n, time=2.5 * n)
    host.import_stream("a", device.export_stream("a"))
    assert host.export_stream("a") == device.export_stream("a")
    assert host.last_seq("a") == 5
    for n, x in enumerate(X[5:], start=6):
        expected = host.step("a", x, seq=n)
        assert np.allclose(device.step("a", x, seq=n), expected, atol=5e-6)
    device.import_stream("b", host.export_stream("a"))
    assert device.export_stream("b") == host.export_stream("a")


@pytest.mark.parametrize("many", [False, True])
def test_the_last_numbered_prediction_is_kept_and_no_other(X: np.ndarray, many: bool) -> None:
    for engine in pair():
        if many:
            seqs = [1, 1, 0, 2]
            Y = engine.step_many(["a", "b", "c", "a"], X[:4], seqs=seqs)
            engine.step_many(["a", "b", "c"], X[4:7])
            assert np.array_equal(engine.last_prediction("b", 1), Y[1])
            assert np.array_equal(engine.last_prediction("a", 2), Y[3])
        else:
            y = engine.step("a", X[0], seq=1)
            engine.step("a", X[1])
            assert np.array_equal(engine.last_prediction("a", 1), y)
        assert engine.last_prediction("a", 9) is None


def test_a_block_that_is_refused_changes_nothing(X: np.ndarray) -> None:
    device, _ = pair()
    device.step_many(["a", "b"], X[:2], seqs=[1, 1])
    before = [device.export_stream(n) for n in "ab"]
    with pytest.raises(CapacityError):
        device.step_many([*"abcdefghi"], X[:9])
    assert [device.export_stream(n) for n in "ab"] == before
    assert device.streams() == ["a", "b"]


def test_a_freed_slot_is_erased_on_the_device(X: np.ndarray) -> None:
    device, _ = pair()
    device.step("a", X[0], seq=1)
    slot = device._table.find("a")
    device.forget("a")
    assert np.array_equal(device._table.rows[slot], device._table._initial)


def test_explain_shows_the_state_on_the_device(X: np.ndarray) -> None:
    device, host = pair()
    for x in X:
        shown = device.explain("a", x)
        assert np.allclose(shown.prediction, host.explain("a", x).prediction, atol=5e-6)
        assert np.allclose(device.step("a", x), shown.prediction, atol=5e-6)
        host.step("a", x)


def records(engine: Engine, taken: list[int]) -> dict[bytes, bytes]:
    tracker, found = engine._tracker_of_test, {}  # type: ignore[attr-defined]
    for limit in taken:
        batch = RecordBatch(64, tracker.record_size)
        tracker.take(batch, limit)
        tracker.seal(batch)
        found.update({key: bytes(record) for key, record in batch})
    return found


def test_a_store_gets_the_rows_that_changed(X: np.ndarray) -> None:
    device, _ = pair()
    device._tracker_of_test = device.dirty_tracker()  # type: ignore[attr-defined]
    tracker = device._tracker_of_test  # type: ignore[attr-defined]
    for turn in range(3):
        device.step_many(["a", "b", 7, "c"], X[4 * turn : 4 * turn + 4], seqs=[turn + 1] * 4)
    device.forget("b")
    device._table.producers[device._table.find("c")] = 2**64 - 3
    found = records(device, [2, 64])
    assert sorted(found) == [b"\0" + (7).to_bytes(8, "big"), b"a", b"c"]
    assert records(device, [64]) == {}
    for key, record in found.items():
        stream = 7 if key[:1] == b"\0" else key.decode()
        slot = device._table.find(stream)
        assert record[16:24] == device._table.producers[slot].tobytes()
        assert record[24:-8] == device._table.rows[slot].tobytes()
    for other in pair():
        streams = [7 if key[:1] == b"\0" else key.decode() for key in found]
        other.dirty_tracker().restore(streams, list(found.values()))
        for stream in streams:
            assert other.export_stream(stream) == device.export_stream(stream)
    assert tracker.pending == 0


def test_a_large_block_goes_in_chunks(X: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    device, host = pair()
    for turn in range(2):
        part = X[8 * turn : 8 * turn + 8]
        seqs = [0, *[turn + 1] * 7]
        expected = host.step_many([*range(8)], part, seqs=seqs)
        assert np.allclose(device.step_many([*range(8)], part, seqs=seqs), expected, atol=5e-6)


def test_rows_that_are_no_rows_are_refused() -> None:
    rows = pair()[0]._table.rows
    for key in (8, -1, np.array([0, 8])):
        with pytest.raises(IndexError, match="0 to 7"):
            rows[key]


def test_threads_may_share_an_engine(X: np.ndarray) -> None:
    device, host = pair()
    ids = [f"s{n}" for n in range(4)]
    threads = [
        threading.Thread(target=lambda n=n: [device.step(ids[n], x) for x in X[:5]])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for stream in ids:
        for x in X[:5]:
            host.step(stream, x)
        assert np.allclose(device.step(stream, X[5]), host.step(stream, X[5]), atol=5e-6)


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match="CUDA device 99 was asked for"):
        Engine(MODEL, 8, "cuda:99")
    assert Engine(MODEL, 8, "cuda:0").backend == "cuda"


def test_a_block_that_finds_no_memory_changes_nothing(
    X: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    device, _ = pair()
    device.step_many([*range(8)], X[:8])
    before = [device.export_stream(n) for n in range(8)]
    device._backend._buffers.clear()
    made = module.Buffers

    def only_one(room: int, *sizes: object) -> object:
        monkeypatch.setattr(module, "Buffers", none)
        return made(room, *sizes)

    def none(*sizes: object) -> object:
        raise RuntimeError("Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    monkeypatch.setattr(module, "Buffers", only_one)
    with pytest.raises(CapacityError, match="CUDA device 0 has no memory left"):
        device.step_many([*range(8)], X[8:16])
    assert [device.export_stream(n) for n in range(8)] == before


def test_a_kernel_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match="kernel: expected resident, shared, spilled, scalar"):
        module.CudaBackend(MODEL, kernel="residnet")
