"""Window models: what a network that was trained on windows of rows is asked for, live."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streamlstm import GRU, LSTM, Dense, Engine, Model, Online
from streamlstm.backends.plan import compile_plan, state_size, window_place
from streamlstm.errors import DataError, ModelError, ModelFileError, ModelMismatchError
from streamlstm.kernels import layout
from streamlstm.kernels.simd import LANES
from streamlstm.learn.start import check_fits
from streamlstm.network.compatibility import compatibility_key, describe_changes, incompatibility
from streamlstm.network.layers import Layer

from ..contract.models import random_model, staged

T = 5
STATEFUL = random_model([LSTM(3, 9, initial_state=True), GRU(9, 7), Dense(7, 2)], scaled=True)
BACKENDS = ("cpu", "reference")


def observations(count: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, 3)).astype(np.float32)


def over(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the last prediction of the stateful network over some rows, from its initial state."""
    engine = Engine(STATEFUL, 1, threads=1)
    return np.stack([engine.step("a", row) for row in rows])[-1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_is_the_network_over_the_last_rows_from_its_initial_state(backend: str) -> None:
    X = observations(14)
    engine = Engine(STATEFUL.with_window(T), 1, backend)
    for t in range(len(X)):
        expected = over(X[max(t + 1 - T, 0) : t + 1])
        assert np.allclose(engine.step("a", X[t]), expected, atol=2e-6)


def test_on_the_cpu_it_is_so_bit_for_bit() -> None:
    X = observations(14)
    run = Engine(STATEFUL.with_window(T), 1).run("a", X)
    assert np.array_equal(run, [over(X[max(t + 1 - T, 0) : t + 1]) for t in range(len(X))])


SOFTSIGN = GRU(17, 20, candidate_activation="softsign")
SEQUENCES = {  # of LSTMs whose kernel takes all rows at once
    "more rows than are multiplied together": ([LSTM(3, 20), Dense(20, 2)], 27),
    "no layer behind": ([LSTM(3, 17)], 4),
    "others between": (
        [Dense(3, 5), LSTM(5, 33), Dense(33, 18), LSTM(18, 9), GRU(9, 7), Dense(7, 2)],
        5,
    ),
    "an initial state": ([LSTM(3, 16, initial_state=True), GRU(16, 9, initial_state=True)], 3),
    "of GRUs": ([GRU(3, 33), GRU(33, 17, gate_activation="hard_sigmoid"), SOFTSIGN], 26),
    "too long for that": ([LSTM(3, 33), Dense(33, 2)], 2**15),
}


@pytest.mark.parametrize(("layers", "rows"), SEQUENCES.values(), ids=SEQUENCES)
def test_one_stream_and_blocks_are_stepped_as_without_a_window(
    layers: list[Layer], rows: int
) -> None:
    plain = random_model(layers, scaled=True)
    count, size = min(rows + 2, 30), state_size(plain)
    X = observations(8 * count).reshape(8, count, 3)
    X[0] = 0  # products that are zero
    one, many = (Engine(plain.with_window(rows), 8) for _ in range(2))
    truth = Engine(plain, 8)
    for t in range(count):
        ids = list(range(8 if t else 5))  # three begin later
        Y = many.step_many(ids, X[ids, t])
        assert np.array_equal(Y, [one.step(n, X[n, t]) for n in ids])
    expected = [truth.run(n, X[n, max(count - rows, n // 5) :])[-1] for n in range(8)]
    assert np.array_equal(Y, expected)
    for engine in (one, many):
        assert np.array_equal(engine._table.rows[:8, :size], truth._table.rows[:8, :size])


def test_the_layers_of_a_window_are_called_once_where_they_can() -> None:
    for name, (layers, rows) in SEQUENCES.items():
        plan = compile_plan(random_model(layers, window=rows), LANES, sequences=True)
        kinds = {layout.LSTM_ROWS, layout.GRU_ROWS}
        assert kinds.isdisjoint(plan.kinds) is (name == "too long for that")
    model = random_model(SEQUENCES["no layer behind"][0], window=4)
    assert layout.LSTM_ROWS not in compile_plan(model, LANES, "bfloat16", sequences=True).kinds
    first = compile_plan(model, LANES, sequences=True).program
    assert first[first[layout.HEADER + layout.STAGES] + layout.HEADER + layout.ROWS_ZERO]
    started = random_model(SEQUENCES["an initial state"][0], window=4)
    first = compile_plan(started, LANES, sequences=True).program
    assert not first[first[layout.HEADER + layout.STAGES] + layout.HEADER + layout.ROWS_ZERO]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_window_that_waits_says_nothing_until_it_is_full(backend: str) -> None:
    X = observations(9)
    waiting, answering = (
        Engine(STATEFUL.with_window(T, s), 9, backend) for s in ("wait", "answer")
    )
    for t in range(len(X)):
        y, expected = waiting.step("a", X[t], seq=t + 1), answering.step("a", X[t])
        assert np.isnan(y).all() if t < T - 1 else np.array_equal(y, expected)
        prediction = waiting.observe("b", X[t])
        assert prediction.waiting is (t < T - 1)
        assert ("waiting=True" in repr(prediction)) is (t < T - 1)
        last = waiting.last_prediction("a", t + 1)
        assert last is not None
        assert np.array_equal(last, y, equal_nan=True)
    assert not answering.observe("b", X[0]).waiting
    assert waiting.observe_many(["a", "new"], X[:2]).waiting.tolist() == [False, True]


@pytest.mark.parametrize("backend", BACKENDS)
def test_windows_are_padded_on_the_left(backend: str) -> None:
    X = observations(9)
    mean = np.tile(STATEFUL.input_scaling.mean, (T, 1))  # scaled to zeros
    for start, padding in (("zeros", mean), ("first", np.tile(X[0], (T, 1)))):
        engine = Engine(STATEFUL.with_window(T, start), 2, backend)
        rows = np.concatenate([padding, X])
        for t in range(len(X)):
            expected = over(rows[t + 1 : t + 1 + T])
            assert np.allclose(engine.step("a", X[t]), expected, atol=2e-6)


def test_streams_of_any_age_share_a_block() -> None:
    """Their windows begin at different steps of it."""
    X = observations(60).reshape(20, 3, 3)
    for start in ("answer", "wait", "zeros", "first"):
        one, many = (Engine(STATEFUL.with_window(T, start), 20) for _ in range(2))
        for t in range(3):
            ids = list(range(0, 20, t + 1))
            together = many.step_many(ids, X[ids, t])
            alone = np.stack([one.step(n, X[n, t]) for n in ids])
            assert np.array_equal(together, alone, equal_nan=True)
        assert [one.export_stream(n) for n in range(20)] == [
            many.export_stream(n) for n in range(20)
        ]


def test_a_window_is_in_the_model_file(tmp_path: Path) -> None:
    model = STATEFUL.with_window(T, "first")
    model.save(tmp_path / "window")
    STATEFUL.save(tmp_path / "stateful")
    loaded, stateful = (Model.load(tmp_path / name) for name in ("window", "stateful"))
    assert (loaded.window, loaded.start) == (T, "first")
    assert (stateful.window, stateful.start) == (None, "answer")
    assert loaded.fingerprint == model.fingerprint != stateful.fingerprint
    header = {name: (tmp_path / name).read_bytes() for name in ("window", "stateful")}
    assert b'"version":"4"' in header["window"]
    assert b'"version":"1"' in header["stateful"]
    assert b"window" not in header["stateful"]
    assert json.loads(json.dumps(model.specification()))["window"] == T


def test_a_window_of_a_file_that_cannot_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    STATEFUL.with_window(T).save(path)
    path.write_bytes(path.read_bytes().replace(b'\\"window\\": 5', b'\\"window\\": 0'))
    with pytest.raises(ModelFileError, match="window: expected a number of rows from 1 to"):
        Model.load(path)


def test_copies_keep_the_window() -> None:
    model = staged(Online(fill="last")).with_window(T, "zeros")
    for copy in (
        model.with_weights(model.weights),
        model.with_online(None),
        model.with_offsets([1e9, 0, 0]),
        model.of_labels(["a", "b", "c"], ["d", "e"]),
    ):
        assert (copy.window, copy.start) == (T, "zeros")
        assert copy.skip == model.skip
        assert copy.horizons in (model.horizons, (0, 0))


def test_it_is_printed() -> None:
    assert "window of 5 rows (before, from those that came)" in repr(STATEFUL.with_window(T))
    assert "window of 5 rows (before, NaN)" in STATEFUL.with_window(T, "wait")._repr_html_()
    assert "window" not in repr(STATEFUL)


@pytest.mark.parametrize("window", [0, -1, 2**16 + 1, 1.5, True, "5"])
def test_a_window_is_a_number_of_rows(window: object) -> None:
    with pytest.raises(ModelError, match="window: expected a number of rows from 1 to 65536"):
        STATEFUL.with_window(window)  # type: ignore[arg-type]


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    dense = random_model([Dense(3, 2)])
    with pytest.raises(ModelError, match="expected a recurrent layer, the model has none"):
        dense.with_window(T)
    wide = random_model([RNN_OF_WIDTH, Dense(1, 1)])
    with pytest.raises(ModelError, match="expected at most 16777216 numbers"):
        wide.with_window(2**16)
    with pytest.raises(ModelError, match="start: expected answer, wait, zeros, first, got 'late'"):
        STATEFUL.with_window(T, "late")
    with pytest.raises(ModelError, match="start: expected a window"):
        STATEFUL.with_window(None, "wait")
    with pytest.raises(
        ModelError, match="expected answer, zeros or first where there is an online"
    ):
        staged(Online(fill="last")).with_window(T, "wait")


RNN_OF_WIDTH = LSTM(300, 1)


def test_streams_continue_with_a_window_of_the_same_rows_only() -> None:
    model = STATEFUL.with_window(T)
    for other in (STATEFUL, STATEFUL.with_window(T + 1)):
        assert compatibility_key(other) != compatibility_key(model)
        reason = incompatibility(model, other)
        assert reason is not None
        assert reason.endswith("that of the running model 5 rows")
        with pytest.raises(ModelMismatchError):
            Engine(model, 1).reload(other)
    padded = STATEFUL.with_window(T, "first")
    assert compatibility_key(padded) == compatibility_key(model)
    assert describe_changes(model, padded) == ["what it answers before its window is full"]


def test_a_reload_keeps_the_rows_of_windows() -> None:
    X = observations(9)
    weights = [{name: 0.5 * a for name, a in arrays.items()} for arrays in STATEFUL.weights]
    model, new = (m.with_window(T) for m in (STATEFUL, STATEFUL.with_weights(weights)))
    engine, truth = Engine(model, 1), Engine(new, 1)
    engine.run("a", X[:6])
    truth.run("a", X[:6])
    engine.reload(new)
    assert np.array_equal(engine.run("a", X[6:]), truth.run("a", X[6:]))


def test_rows_that_no_stream_has_lead_nowhere() -> None:
    """Numbers of a state from elsewhere may be any; no step leaves the row for them."""
    model = STATEFUL.with_window(T, "answer")
    engine, place = Engine(model, 3), window_place(model).start
    engine.step("a", observations(1)[0])
    for length, latest in ((1e9, -5), (-7, 1e30), (2.5, 4.5), (0, 5)):
        engine._table.rows[0, place : place + 2] = length, latest
        before = engine._table.rows[1:].copy()
        assert np.isfinite(engine.step("a", observations(1)[0])).all()
        kept = engine._table.rows[0, place : place + 2]
        assert 0 < kept[0] <= T
        assert 0 <= kept[1] < T
        assert np.array_equal(engine._table.rows[1:], before)


def test_training_makes_no_windows() -> None:
    with pytest.raises(DataError, match="m: cannot be trained on: it runs over windows of 5 rows"):
        check_fits("m", STATEFUL.with_window(T), STATEFUL)


def test_forecasts_go_on_with_the_window() -> None:
    stage = Online(fill="last", intervals=(0.9,))
    base = random_model([LSTM(2, 9), Dense(9, 2)])
    names = ["a", "b"]
    model = Model(base.layers, base.weights, names, names, online=stage, window=T)
    X = np.random.default_rng(2).standard_normal((8, 2)).astype(np.float32)
    engine = Engine(model, 2)
    engine.run("a", X)
    forecast = engine.forecast("a", 4).y
    rows = list(X)
    network = Engine(model.with_online(None), 1)
    for y in forecast:
        expected = network.run("b", np.stack(rows[-T:]))[-1]
        assert np.allclose(y, expected, atol=1e-6)
        rows.append(y)
        network.reset("b")


def test_explain_shows_the_gates_of_the_newest_row() -> None:
    X = observations(8)
    engine, plain = Engine(STATEFUL.with_window(T), 1), Engine(STATEFUL, 1)
    engine.run("a", X[:7])
    plain.run("a", X[8 - T : 7])
    shown, expected = engine.explain("a", X[7]), plain.explain("a", X[7])
    assert np.allclose(shown.prediction, engine.step("a", X[7]), atol=2e-6)
    for one, other in zip(shown.layers, expected.layers, strict=True):
        assert one.values.keys() == other.values.keys()
        assert all(np.allclose(one.values[n], other.values[n], atol=1e-6) for n in one.values)
