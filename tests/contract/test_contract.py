"""The contract: properties of every backend for every model."""

from typing import Any

import numpy as np
import pytest

from streamlstm import Engine, Model, Online
from streamlstm.backends.factory import make_backend
from streamlstm.backends.plan import initial_row, row_layout, stage_start, window_place
from streamlstm.backends.reference import ReferenceBackend
from streamlstm.kernels import sharing
from streamlstm.kernels.compile import can_run_parallel
from streamlstm.online.layout import stage_places

from .models import BACKENDS, CROWD, MODELS, SIZES, STEPS, staged

TOLERANCE = 5e-6  # float32 against float64 over the steps below
# What the online stage says depends on differences of forecasts and what came, which may be small.
STAGE_TOLERANCE = 2e-3


@pytest.fixture(params=MODELS, scope="module")
def model(request: pytest.FixtureRequest) -> Model:
    return MODELS[request.param]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


def observations(model: Model, *shape: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((*shape, model.input_size)).astype(np.float32)
    if model.categories:
        X[..., 0] = rng.integers(0, model.categories, shape)
    if model.online is not None:
        fills = [model.online.fill_of(n) != "refuse" for n in range(model.input_size)]
        X[(rng.random(X.shape) < 0.1) & fills] = np.nan
    return X


def all_close(given: Any, expected: Any, **tolerance: float) -> bool:
    """Compare, where NaN equals NaN, as in a result of which something is not known yet."""
    return np.allclose(given, expected, equal_nan=True, **tolerance)


def all_equal(given: Any, expected: Any) -> bool:
    return np.array_equal(given, expected, equal_nan=True)


def agree(given: np.ndarray, truth: np.ndarray, first: int | None) -> None:
    """Compare two arrays, the ``first`` columns within TOLERANCE, the rest less strictly."""
    for part, tolerance in ((slice(0, first), TOLERANCE), (slice(first, None), STAGE_TOLERANCE)):
        assert all_close(given[:, part], truth[:, part], rtol=tolerance, atol=tolerance)


def results_of(engine: Engine, stream: str, x: np.ndarray, t: int = 0) -> np.ndarray:
    """Return all numbers that an observation at time ``t`` is answered with."""
    return engine.observe(stream, x, time=60.0 * t)._result


def results_of_many(engine: Engine, streams: Any, X: np.ndarray, t: Any = 0) -> np.ndarray:
    """Return all numbers that observations at time ``t``, or times, are answered with."""
    times = np.broadcast_to(60.0 * np.asarray(t), len(X)).tolist()
    return engine.result_many(streams, X, times=times)


def fresh_rows(backend: Any, model: Model, B: int) -> Any:
    """Return the state rows of B new streams, where the backend wants them."""
    if hasattr(backend, "make_rows"):
        return backend.make_rows(B, initial_row(model))
    return np.tile(initial_row(model), (B, 1))


def truth(model: Model, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step T times B streams in float64: predictions [T, B, O] and state rows [B, R]."""
    steps, B = X.shape[:2]
    backend = ReferenceBackend(model, np.float64)
    rows = np.tile(initial_row(model).astype(np.float64), (B, 1))
    Y = np.zeros((steps, B, model.result_size))
    for t in range(steps):
        times = np.full(B, 60.0 * t)
        backend.step_block(rows, np.arange(B), X[t].astype(np.float64), Y[t], None, times)
    return Y, rows


@pytest.fixture(scope="module")
def stepped_in_float64(model: Model) -> tuple[np.ndarray, ...]:
    """As many streams as the largest block has: X [T, B, F], predictions [T, B, O], rows [B, R].

    What is true of a stream does not depend on the others, and takes longer than what is tested.
    """
    X = observations(model, STEPS, max(SIZES))
    return X, *truth(model, X)


@pytest.mark.parametrize("B", SIZES)
def test_every_block_size_equals_the_reference_in_float64(
    model: Model, stepped_in_float64: tuple[np.ndarray, ...], backend: str, B: int
) -> None:
    X, expected, expected_rows = stepped_in_float64
    X, expected, expected_rows = X[:, :B], expected[:, :B], expected_rows[:B]
    stepped = make_backend(backend, model, threads=1)
    rows = fresh_rows(stepped, model, B)
    slots = np.random.default_rng(2).permutation(B)
    Y = np.empty((B, model.result_size), np.float32)
    # The weights of a mix are exponentials of twenty times a loss.
    exact = 0 if model.online and model.online.adapt != "none" else model.output_size
    for t in range(len(X)):
        stepped.step_block(rows, slots, X[t], Y, None, np.full(B, 60.0 * t))
        agree(Y, expected[t], exact)
    agree(rows[slots], expected_rows, stage_start(model) if model.online else None)


def test_padding_of_a_row_stays_zero(model: Model, backend: str) -> None:
    stepped = make_backend(backend, model, threads=1)
    rows = fresh_rows(stepped, model, 7)
    Y = np.empty((7, model.result_size), np.float32)
    for X in observations(model, 5, 7):
        stepped.step_block(rows, np.arange(7), X, Y)
    rows = rows[np.arange(7)]
    for place in row_layout(model)[0]:
        for columns in place.values():
            rows[:, columns] = 0
    rows[:, window_place(model)] = 0
    for columns in stage_places(model, stage_start(model)).values():
        rows[:, columns] = 0
    assert not rows.any()


def test_a_block_gives_what_single_steps_give_bit_for_bit(model: Model) -> None:
    X = observations(model, 6, 20)
    one, many = Engine(model, 50), Engine(model, 50)
    for t in range(len(X)):
        together = results_of_many(many, [f"s{n}" for n in range(20)], X[t], t)
        alone = np.stack([results_of(one, f"s{n}", X[t, n], t) for n in range(20)])
        assert all_equal(together, alone)
        if t == 3:
            assert np.array_equal(
                many.step("s1", X[t, 1], time=0.5), one.step("s1", X[t, 1], time=0.5)
            )


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("name", ["few", "many"])
def test_tiles_of_streams_are_judged_as_single_streams_are(name: str, horizon: int) -> None:
    """Long enough for alarms, drift and new starts, with gaps and values that differ widely."""
    levels = (0.5, 0.9) if name == "few" else (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
    online = Online(fill="last", intervals=levels, anomaly=True, alarm_rate=0.03, max_gap=5)
    model = staged(online, horizon)
    B, T = 20, 420
    X = observations(model, T, B)
    X *= np.geomspace(1e-20, 1e20, B)[:, None].astype(np.float32)
    X[200:260, 3], X[300:, 5:9], X[350, 2] = np.nan, 9 * X[300:, 5:9], 1e30
    X[150:250, 11:13] = X[150, 11]
    times = 60.0 * np.arange(T)
    together, alone = Engine(model, B), Engine(model, B)
    many = np.stack([results_of_many(together, list(range(B)), X[t], t) for t in range(T)])
    for n in range(B):
        assert all_equal(alone.result_run(n, X[:, n], times), many[:, n])
        assert alone.export_stream(n) == together.export_stream(n)
    layout = together._layout.places
    assert (many[..., layout.alarm] > 0).sum() > 20
    assert len(np.unique(many[..., layout.kind])) > 4


@pytest.mark.parametrize("fill", ["predict", ("zero", "predict", "last"), "last", "mean"])
def test_tiles_of_streams_are_filled_as_single_streams_are(fill: Any) -> None:
    """Tiles without a missing value, and some with gaps, shorter and longer than may be."""
    model, B, T = staged(Online(fill=fill, max_gap=5), horizon=3), 36, 120
    X = np.cumsum(np.random.default_rng(1).standard_normal((T, B, 3)), 0).astype(np.float32)
    X[::10, 17] = X[50:53, :16, 1] = X[80:95, 20:22] = np.nan
    X[60:70, 1] = X[0, 2] = 0.0
    times = 60.0 * np.arange(T)
    together, alone = Engine(model, B), Engine(model, B)
    many = np.stack([results_of_many(together, list(range(B)), X[t], t) for t in range(T)])
    for n in range(B):
        assert all_equal(alone.result_run(n, X[:, n], times), many[:, n])
        assert alone.export_stream(n) == together.export_stream(n)


def test_tiles_of_streams_have_their_times_as_single_streams_have() -> None:
    """Streams of one tile on both sides of a change of the clock, and times that go back."""
    features = ("hour", "weekday", "yearday", "since")
    online = Online(calendar=features, zone="Europe/Zurich", fill="predict", anomaly=True)
    model, B, T = staged(online, horizon=1), 20, 60
    change = 1_711_846_800.0  # summer begins, on 2024-03-31
    hours = np.arange(T)[:, None] - 4.0 * np.arange(B)
    times = change + 3600.0 * hours
    times[5, :3], times[30:, 9] = 0.0, times[10:40, 9]
    X = np.random.default_rng(1).standard_normal((T, B, 3)).astype(np.float32)
    X[40:44, 12, 0] = np.nan
    together, alone = Engine(model, B), Engine(model, B)
    many = np.stack(
        [together.result_many(list(range(B)), X[t], times=times[t].tolist()) for t in range(T)]
    )
    for n in range(B):
        assert all_equal(alone.result_run(n, X[:, n], times[:, n]), many[:, n])
        assert alone.export_stream(n) == together.export_stream(n)


def test_a_run_gives_what_single_steps_give_bit_for_bit(model: Model, backend: str) -> None:
    X = observations(model, 12)
    one, run = Engine(model, 5, backend), Engine(model, 5, backend)
    alone = np.stack([results_of(one, "a", X[t], t) for t in range(len(X))])
    first = run.observe_run("a", X[:5], 60.0 * np.arange(5))._result
    rest = run.result_run("a", X[5:], (60.0 * np.arange(5, 12)).tolist())
    assert all_equal(np.concatenate([first, rest]), alone)
    assert run.export_stream("a") == one.export_stream("a")


def share_all(engine: Engine) -> None:
    """Let the engine share every block: whatever it takes, one thread would take longer."""
    backend: Any = engine._backend
    backend.thread_work = 1
    backend.sharing[sharing.COSTS : sharing.LEARNED] = 2**40
    backend.sharing[sharing.LEARNED :] = sharing.LEARN


def test_the_largest_values_leave_the_same_rows_in_a_block_as_in_single_steps(
    model: Model,
) -> None:
    """Products overflow, and infinite times 0 is no number, also in what pads a row."""
    streams = [f"s{n}" for n in range(21)]
    block, single = Engine(model, len(streams)), Engine(model, len(streams))
    X = observations(model, 5, len(streams))
    if not model.categories:  # else each has its bounds
        X[1, :, 0], X[2, 3:, -1], X[3, :9] = 3e38, -3e38, 1e30
    for t, x in enumerate(X):
        block.step_many(streams, x, times=[60.0 * t] * len(streams))
        for stream, row in zip(streams, x, strict=True):
            single.step(stream, row, time=60.0 * t)
    for stream in streams:
        rows = [e.export_stream(stream) for e in (block, single)]
        assert rows[0] == rows[1]


def test_threads_change_nothing_bit_for_bit(model: Model) -> None:
    B = 2000
    X = observations(model, 3, B)
    one, two = Engine(model, B, threads=1), Engine(model, B, threads=2)
    if can_run_parallel():
        share_all(two)
    for t in range(len(X)):
        ids = list(range(B))
        assert all_equal(results_of_many(one, ids, X[t], t), results_of_many(two, ids, X[t], t))
    if can_run_parallel():
        assert two._backend.sharing[sharing.BLOCKS] == len(X)  # type: ignore[attr-defined]


def test_the_order_in_a_block_does_not_matter(model: Model, backend: str) -> None:
    B = CROWD * 3 // 5
    X = observations(model, 4, B)
    order = np.random.default_rng(3).permutation(B)
    straight, shuffled = Engine(model, B, backend), Engine(model, B, backend)
    for t in range(len(X)):
        Y = results_of_many(straight, list(range(B)), X[t], t)
        Z = results_of_many(shuffled, [int(n) for n in order], X[t, order], t)
        assert all_close(Y[order], Z, atol=1e-6)
        if backend == "cpu":
            assert all_equal(Y[order], Z)


def test_repeated_ids_are_applied_in_order(model: Model, backend: str) -> None:
    X = observations(model, 9)
    ids = ["a", "b", "a", "a", "c", "b", "a", "c", "a"]
    together, alone = Engine(model, 5, backend), Engine(model, 5, backend)
    Y = results_of_many(together, ids, X, range(len(X)))
    single = [results_of(alone, ids[t], X[t], t) for t in range(len(X))]
    assert all_close(Y, single, atol=1e-6)
    assert all_close(results_of(together, "a", X[0]), results_of(alone, "a", X[0]), atol=1e-6)


def test_a_reset_stream_equals_a_fresh_one(model: Model, backend: str) -> None:
    X = observations(model, 6)
    engine = Engine(model, 5, backend)
    first = [results_of(engine, "a", X[t], t) for t in range(len(X))]
    engine.reset("a")
    assert all_equal(first, [results_of(engine, "a", X[t], t) for t in range(len(X))])


def test_a_slot_that_is_used_again_starts_empty(model: Model, backend: str) -> None:
    X = observations(model, 6)
    engine = Engine(model, 1, backend)
    first = [results_of(engine, "a", X[t], t) for t in range(len(X))]
    engine.forget("a")
    assert all_equal(first, [results_of(engine, "b", X[t], t) for t in range(len(X))])


def test_export_and_import_are_bit_exact(model: Model, backend: str) -> None:
    X = observations(model, 10)
    here, there = Engine(model, 5, backend), Engine(model, 5, backend)
    for n, x in enumerate(X[:5], start=1):
        here.step("a", x, seq=n, time=float(n))
    blob = here.export_stream("a")
    there.import_stream("moved", blob)
    assert there.export_stream("moved") == blob
    assert there.last_seq("moved") == 5
    for x in X[5:]:
        assert all_equal(results_of(here, "a", x, 9), results_of(there, "moved", x, 9))


def test_streams_never_touch_each_other(model: Model, backend: str) -> None:
    X = observations(model, 8, 3)
    alone, crowd = Engine(model, 1, backend), Engine(model, CROWD + 1, backend)
    results_of_many(crowd, list(range(CROWD)), observations(model, CROWD, seed=9))
    for t in range(len(X)):
        expected = results_of(alone, "a", X[t, 0], t)
        results_of_many(crowd, list(range(CROWD)), observations(model, CROWD, seed=t), t)
        assert all_close(results_of(crowd, "a", X[t, 0], t), expected, atol=1e-6)
