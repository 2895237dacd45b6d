"""One observation in one compiled call: as strict as the slow path, never beside another call."""

import gc
import signal
import sys
import threading

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Embedding, Engine
from streamlstm.errors import BadValueError, DuplicateError, GapError, ShapeError, StreamIdError
from streamlstm.kernels import objects

from ..contract.models import random_model

MODEL = random_model([LSTM(3, 20), Dense(20, 2)], scaled=True)
X = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)


@pytest.mark.parametrize("stream", ["pump", "Pumpe-Ä", 5, 2**63 + 1, np.int64(7)])
def test_every_kind_of_id_and_of_observation_gives_the_same_prediction(stream: object) -> None:
    fast, slow = Engine(MODEL, 5), Engine(MODEL, 5)
    wide = np.repeat(X, 2, axis=1)
    handle = Engine(MODEL, 5).stream(stream)  # type: ignore[arg-type]
    for n, x in enumerate(X):
        expected = slow.step_many([stream], X[n : n + 1])[0]  # type: ignore[list-item]
        given = (x, x.tolist(), wide[n, ::2], x.astype(np.float64), tuple(x))[n % 5]
        assert np.array_equal(fast.step(stream, given), expected)  # type: ignore[arg-type]
        assert np.array_equal(handle.step(given), expected)
    assert fast.steps == slow.steps == len(X)


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.zeros((1, 3), np.float32), ShapeError),
        (np.zeros(2, np.float32), ShapeError),
        (np.zeros(4, np.float32), ShapeError),
        (np.array([1, np.nan, 0], np.float32), BadValueError),
        (np.array([1, 0, -np.inf], np.float32), BadValueError),
        ([1.0, 2.0], ShapeError),
        ([1.0, None, 2.0], BadValueError),
        ([1.0, "2", 3.0], BadValueError),
        ([1e39, 0.0, 0.0], BadValueError),
        ([True, False, True], BadValueError),
        ([], ShapeError),
    ],
)
def test_a_bad_observation_changes_nothing(x: object, error: type[Exception]) -> None:
    engine = Engine(MODEL, 5)
    engine.step("a", X[0])
    before, handle = engine.export_stream("a"), engine.stream("a")
    for step in (lambda: engine.step("a", x), lambda: handle.step(x)):  # type: ignore[arg-type]
        with pytest.raises(error):
            step()
        assert engine.export_stream("a") == before
    assert engine.steps == 1


def test_what_only_resembles_a_row_is_no_row() -> None:
    engine, other = Engine(MODEL, 5), Engine(MODEL, 5)
    same = (X[0].astype(">f4"), X[0].view(np.recarray), Text("a"), np.float32(0.5))
    for x in same[:2]:
        assert np.array_equal(engine.step("a", x), other.step("a", X[0]))
    assert np.array_equal(engine.step(same[2], X[1]), other.step("a", X[1]))
    assert engine.streams() == ["a"]
    for wrong in (same[3], np.array(1.0, np.float32), X[:3, :1]):
        with pytest.raises(ShapeError):
            engine.step("a", wrong)
    with pytest.raises(BadValueError):
        engine.step("a", X[0], time=np.inf)


class Text(str):
    """A text that is no plain one."""


@pytest.mark.parametrize("stream", ["a", "Ä", 10**18])
def test_no_step_keeps_what_it_is_given(stream: object) -> None:
    engine = Engine(MODEL, 5)
    handle = engine.stream(stream)  # type: ignore[arg-type]
    x, bad, time = X[0].copy(), np.full(3, np.nan, np.float32), float(len(X))
    float32 = x.dtype
    handle.step(x)
    engine.step(stream, x)  # type: ignore[arg-type]
    known = x, bad, time, stream, float32, None
    before = [sys.getrefcount(value) for value in known]
    for _ in range(50):
        kept = engine.step(stream, x, time=time)  # type: ignore[arg-type]
        assert engine._step_stream(stream, bad, 0, None) is None
        assert engine._step_stream("\ud800", x, 0, None) is None
        assert engine._step_stream(2**64, x, 2**64, time) is None
        assert handle.step(x, time=time).base is None
    assert sys.getrefcount(kept) == 2
    del kept
    after = [sys.getrefcount(value) for value in known]
    assert np.abs(np.subtract(after, before)).max() < 25, (before, after)


def test_without_the_layout_of_objects_steps_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = Engine(MODEL, 5)
    monkeypatch.setattr(objects, "table", lambda: None)
    slow = Engine(MODEL, 5)
    for n, x in enumerate(X[:9], 1):
        assert np.array_equal(slow.step("a", x, seq=n), quick.step("a", x, seq=n))
        assert np.array_equal(slow.stream("b").step(x), quick.stream("b").step(x))
    assert slow.steps == quick.steps == 18
    assert slow.export_stream("a") == quick.export_stream("a")


def test_int32_is_converted() -> None:
    engine, other = Engine(MODEL, 5), Engine(MODEL, 5)
    for n in range(3):
        x = np.array([1, -2, n], np.int32)
        assert np.array_equal(engine.step("a", x), other.step("a", x.astype(np.float32)))


def test_numbers_are_applied_once_and_in_order() -> None:
    engine, handle = Engine(MODEL, 5), Engine(MODEL, 5).stream("a")
    for step in (
        lambda x, seq: engine.step("a", x, seq=seq),
        lambda x, seq: handle.step(x, seq=seq),
    ):
        for n in range(1, 5):
            step(X[n], n)
        with pytest.raises(DuplicateError):
            step(X[5], 4)
        with pytest.raises(GapError):
            step(X[5], 6)
        for wrong in (-1, 2**64, 1.0, True):
            with pytest.raises(BadValueError):
                step(X[5], wrong)
        with pytest.raises(GapError):
            step(X[5], 2**63 - 1)
        step(X[5], 5)
    assert engine.last_seq("a") == 5


@pytest.mark.parametrize("stream", [-1, 2**64, 1.5, True, None, "", "\0a", "x" * 256, "\ud800"])
def test_an_invalid_id_is_refused(stream: object) -> None:
    engine = Engine(MODEL, 5)
    with pytest.raises(StreamIdError):
        engine.step(stream, X[0])  # type: ignore[arg-type]
    assert len(engine) == 0


def test_an_unknown_category_is_refused() -> None:
    engine = Engine(random_model([Embedding(2, 7, 4), LSTM(5, 6)]), 5)
    engine.step("a", [6.0, 0.5])
    before = engine.export_stream("a")
    for category in (7.0, -1.0, 2.5):
        with pytest.raises(BadValueError, match="expected a category"):
            engine.step("a", [category, 0.5])
    assert engine.export_stream("a") == before


def test_a_handle_does_not_touch_the_next_owner_of_its_slot() -> None:
    engine = Engine(MODEL, 1)
    handle = engine.stream("a")
    handle.step(X[0])
    engine.forget("a")
    engine.step("b", X[1])
    before = engine.export_stream("b")
    engine.forget("b")
    handle.step(X[0])
    assert engine.streams() == ["a"]
    engine.forget("a")
    engine.import_stream("b", before)
    assert np.array_equal(engine.step("b", X[2]), _after(X[1], X[2]))


def _after(*observations: np.ndarray) -> np.ndarray:
    engine = Engine(MODEL, 1)
    return [engine.step("s", x) for x in observations][-1]


def test_single_steps_and_blocks_of_several_threads_do_not_overlap() -> None:
    """Fast steps take no lock: they must never run beside a block that has released the GIL."""
    model = random_model([LSTM(3, 64)])
    engine, alone = Engine(model, 20_000, threads=1), Engine(model, 20_000, threads=1)
    ids = np.arange(19_000)  # some ms a block
    block = np.random.default_rng(1).standard_normal((len(ids), 3)).astype(np.float32)
    singles: list[int] = []
    wrong: list[int] = []
    done = threading.Event()

    def single(name: str) -> None:
        mine, n = Engine(model, 1), 0
        while not done.is_set():
            x = X[n % len(X)]
            if not np.array_equal(engine.step(name, x), mine.step(name, x)):
                wrong.append(n)
            n += 1
        singles.append(n)

    threads = [threading.Thread(target=single, args=(f"s{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            assert np.array_equal(engine.step_many(ids, block), alone.step_many(ids, block))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert min(singles) > 100
    assert engine.steps == sum(singles) + 30 * len(ids)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_an_interrupt_at_any_moment_leaves_no_lock_taken() -> None:
    """Ctrl-C comes between any two steps of a method; the next call must not wait forever."""
    engine = Engine(MODEL, 5)
    engine.step("a", X[0])
    block, blob, interrupts = X[:2], engine.export_stream("a"), 0

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    calls = (
        lambda: engine.step_many(["a", "b"], block),
        lambda: engine.reset("a"),
        lambda: engine.import_stream("a", blob),
        lambda: "a" in engine,
        lambda: engine.step("a", [1.0, 2.0, 3.0]),
    )
    before = signal.signal(signal.SIGALRM, interrupt)
    gc.disable()  # a callback of the collector's would be such a place
    try:
        for n in range(2000):
            call = calls[n % len(calls)]
            try:
                # Again after a while: Python drops an exception that comes inside a finalizer.
                signal.setitimer(signal.ITIMER_REAL, 2e-5 + n % 97 * 1e-6, 0.1)
                while True:
                    call()
            except KeyboardInterrupt:
                interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    assert interrupts == 2000
    engine.step_many(["a", "b"], block)  # clears a flag that was left set
    steps = engine.steps
    engine.step("a", X[0])
    assert engine.steps == steps + 1
    assert int(engine._fast_steps[0]) > 0
