"""Runs: many observations of one stream in one call, and whole files of them."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from streamlstm import GRU, LSTM, Dense, Engine, Model, Online, sparse_seq
from streamlstm.backends import cpu, work
from streamlstm.engine import offline
from streamlstm.errors import (
    BadValueError,
    CapacityError,
    DuplicateError,
    GapError,
    ShapeError,
    StreamLSTMError,
)

from ..contract.models import STAGES, random_model, staged

PLAIN = random_model([LSTM(2, 9), Dense(9, 2)], scaled=True)
FULL = staged(Online(fill="last", intervals=(0.9,), anomaly=True))
TIMED = staged(STAGES["calendar"])


def rows(count: int, F: int = 2, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, F)).astype(np.float32)


def test_a_run_longer_than_a_call_is_what_single_steps_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu, "RUN_ROWS", 7)
    X = rows(50)
    one, run = Engine(PLAIN, 3), Engine(PLAIN, 3)
    expected = [one.step("a", x, seq=n, time=0.5 * n) for n, x in enumerate(X, start=1)]
    times = [0.5 * n for n in range(1, 51)]
    given = run.run("a", X[:30], times[:30], seq=1)
    assert given.shape == (30, 2)
    assert given.dtype == np.float32
    assert given.flags.c_contiguous
    assert np.array_equal(given, expected[:30])
    assert np.array_equal(
        run.run("a", X[30:].astype(np.float64), times[30:], seq=31), expected[30:]
    )
    assert run.export_stream("a") == one.export_stream("a")
    assert run.last_seq("a") == 50
    assert np.array_equal(run.last_prediction("a", 50), expected[-1])  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", ["float32", "float16", "bfloat16", "int8"])
def test_layers_of_a_run_take_some_rows_in_turn(weights: str) -> None:
    kinds = [LSTM(2, 40), Dense(40, 17, activation="relu"), GRU(17, 9), LSTM(9, 70), Dense(70, 3)]
    model = random_model(kinds, scaled=True)
    one, run = (Engine(model, 2, weights=weights, threads=1) for _ in range(2))
    X = rows(75)
    expected = [one.step("a", x) for x in X]
    given = [run.run("a", part) for part in np.split(X, [31, 32])]
    assert np.array_equal(np.concatenate(given), expected)
    assert run.export_stream("a") == one.export_stream("a")


def test_observations_of_a_run_are_counted_and_marked_as_changed() -> None:
    engine = Engine(PLAIN, 3)
    tracker = engine.dirty_tracker()
    before = engine.steps
    engine.run("a", rows(20))
    assert engine.steps == before + 20
    assert tracker.pending == 1


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_run_that_is_refused_changes_nothing(backend: str) -> None:
    engine = Engine(PLAIN, 1, backend)
    engine.run("a", rows(5), seq=1)
    before = engine.export_stream("a")
    bad = rows(9)
    bad[4, 1] = np.inf
    cases: list[tuple[type[StreamLSTMError], str, dict[str, Any]]] = [
        (BadValueError, "observation 4, stream 'a'", {"X": bad}),
        (ShapeError, r"expected shape \(T, 2\)", {"X": rows(9, 3)}),
        (ShapeError, r"expected shape \(T, 2\)", {"X": rows(9)[0]}),
        (ShapeError, "times: expected 9", {"X": rows(9), "times": [1.0]}),
        (BadValueError, "event time", {"X": rows(2), "times": [1.0, np.inf]}),
        (DuplicateError, "applied before", {"X": rows(2), "seq": 5}),
        (GapError, "expected observation 6", {"X": rows(2), "seq": 7}),
        (BadValueError, "expected seq", {"X": rows(2), "seq": -1}),
    ]
    for kind, message, arguments in cases:
        with pytest.raises(kind, match=message):
            engine.run("a", **arguments)
    with pytest.raises(CapacityError):
        engine.run("b", rows(2))
    with pytest.raises(BadValueError, match="observation 4"):
        Engine(PLAIN, 1, backend).run("new", bad)
    assert engine.run("none", rows(0)).shape == (0, 2)
    assert engine.streams() == ["a"]
    assert engine.export_stream("a") == before


@pytest.mark.parametrize("generation", [0, 2**15 - 1])
def test_sparse_numbers_of_a_run_stay_in_their_generation(generation: int) -> None:
    engine, last = Engine(PLAIN, 1), sparse_seq(2**48 - 1, generation)
    engine.run("a", rows(1), seq=last - 2)
    with pytest.raises(BadValueError, match=r"up to 281474976710655 \(sparse.*, got 3"):
        engine.run("a", rows(3), seq=last - 1)
    assert engine.last_seq("a") == last - 2
    engine.run("a", rows(2), seq=last - 1)
    assert engine.last_seq("a") == last


def test_a_model_with_a_calendar_needs_every_time_of_a_run() -> None:
    engine = Engine(TIMED, 2)
    X = rows(3, TIMED.input_size)
    for times in (None, [1.0, None, 3.0], np.array([1.0, np.nan, 3.0])):
        with pytest.raises(BadValueError, match="expected an event time") as caught:
            engine.run("a", X, times)
        assert caught.value.position == (0 if times is None else 1)
    assert len(engine) == 0
    engine.run("a", X, np.array([1.0, 2.0, 3.0]))
    unknown = Engine(PLAIN, 1)
    unknown.run("a", rows(3), [1.0, None, None], seq=1)
    one = Engine(PLAIN, 1)
    for n, (x, time) in enumerate(zip(rows(3), [1.0, None, None], strict=True), start=1):
        one.step("a", x, time=time, seq=n)
    assert unknown.export_stream("a") == one.export_stream("a")


@contextmanager
def interrupted_after(calls: int, engine: Engine) -> Iterator[None]:
    """Send this process SIGINT, as Ctrl-C does, before that call of the compiled loop."""
    backend: Any = engine._backend
    inner, left = backend._call.step_run, [calls]

    def call(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGINT)
        inner(*arguments)

    backend._call.step_run = call
    try:
        yield
    finally:
        backend._call.step_run = inner


def test_an_interrupt_within_a_run_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "RUN_ROWS", 100)
    engine = Engine(FULL, 3)
    X = rows(1000, FULL.input_size)
    engine.run("a", X[:10], seq=1)
    before = engine.export_stream("a")
    for stream in ("a", "new"):
        with interrupted_after(5, engine), pytest.raises(KeyboardInterrupt):
            engine.run(stream, X)
    assert engine.streams() == ["a"]
    assert engine.export_stream("a") == before
    whole = Engine(FULL, 3)
    whole.run("a", X[:10], seq=1)
    assert np.array_equal(engine.run("a", X), whole.run("a", X), equal_nan=True)


@pytest.mark.parametrize("model", [PLAIN, FULL], ids=["plain", "online stage"])
def test_a_block_of_many_observations_of_few_streams_is_what_single_steps_are(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = np.random.default_rng(4).choice(5, 300, p=[0.6, 0.2, 0.1, 0.06, 0.04]).tolist()
    X, times = rows(300, model.input_size), [0.5 * n for n in range(300)]
    seqs = [chosen[:n].count(chosen[n]) + 1 for n in range(300)]
    one, expected = Engine(model, 5), np.empty((300, model.output_size), np.float32)
    for n in range(300):
        expected[n] = one.step(chosen[n], X[n], seq=seqs[n], time=times[n])
    parameters = sum(array.size for weights in model.weights for array in weights.values())
    for enough in (0, 2 * parameters, 10**9):
        monkeypatch.setattr(work, "BLOCK_WORK", enough)
        engine = Engine(model, 5)
        given = engine.step_many(chosen, X, seqs=seqs, times=times)
        assert np.array_equal(given, expected, equal_nan=True)
        assert [engine.export_stream(n) for n in range(5)] == [
            one.export_stream(n) for n in range(5)
        ]


def test_an_interrupt_within_a_block_of_many_observations_changes_no_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu, "RUN_ROWS", 100)
    engine, X = Engine(PLAIN, 3), rows(1000)
    engine.step_many(["a", "b"], X[:2], seqs=[1, 1])
    before = [engine.export_stream(stream) for stream in "ab"]
    with interrupted_after(8, engine), pytest.raises(KeyboardInterrupt):
        engine.step_many(["a", "b"] * 500, X)
    assert [engine.export_stream(stream) for stream in "ab"] == before


def test_other_threads_compute_while_a_stream_runs() -> None:
    engine = Engine(random_model([LSTM(2, 64), Dense(64, 1)]), 3)
    engine.step("other", [0.0, 0.0])
    X = rows(60_000)
    counted = []
    thread = threading.Thread(target=engine.run, args=("a", X))
    thread.start()
    while thread.is_alive():
        counted.append(len(counted))  # of Python, which has the GIL now and then
    thread.join()
    assert len(counted) > 1000
    assert engine.last_seqs(["a"]) == [0]


@pytest.mark.parametrize("model", [PLAIN, FULL], ids=["plain", "online stage"])
def test_files_are_predicted_alike_in_blocks_and_in_runs(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = rows(400, model.input_size)
    order = np.random.default_rng(2).permutation(400)
    groups = [np.sort(part) for part in np.split(order, [3, 5, 9, 20, 50, 150])]
    times = 60.0 * np.arange(400)
    engine, expected = Engine(model, 10), np.empty((400, model.result_size), np.float32)
    for n, group in enumerate(groups):
        for row in group:
            result = engine.observe(n, values[row], time=times[row])
            expected[row] = result._result
    parameters = sum(array.size for weights in model.weights for array in weights.values())
    for enough in (0, 3 * parameters, 10**9):
        monkeypatch.setattr(work, "BLOCK_WORK", enough)
        given = offline.predict_rows(model, values, groups, times)
        assert np.array_equal(given, expected, equal_nan=True)
        for size in (7, 90, 1000):
            monkeypatch.setattr(offline, "PART", size)
            parts = list(offline.predict_in_parts(model, values, groups, times))
            assert [n for rows, _ in parts for n in range(400)[rows]] == list(range(400))
            given = np.concatenate([results for _, results in parts])
            assert np.array_equal(given, expected, equal_nan=True)
    alone = offline.predict_rows(model, values, [np.arange(400)], times)
    parts = offline.predict_in_parts(model, values, [range(400)], times)
    assert np.array_equal(np.concatenate([Y for _, Y in parts]), alone, equal_nan=True)
    assert offline.predict_rows(model, values[:0], []).shape == (0, model.result_size)
