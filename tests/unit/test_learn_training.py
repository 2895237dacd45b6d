"""Training as a whole: periods of data, sequence runs, fitting, the exported model, its scores."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from streamlstm.engine.engine import Engine
from streamlstm.errors import DataError
from streamlstm.learn import training
from streamlstm.learn.bptt import Tape
from streamlstm.learn.build import build_model
from streamlstm.learn.cells import compile_kernels
from streamlstm.learn.dataset import Dataset
from streamlstm.learn.fit import EpochMetrics, fit
from streamlstm.learn.inference import SequenceRunner
from streamlstm.learn.network import RecurrentNetwork
from streamlstm.learn.season import find_season
from streamlstm.learn.settings import Settings

SMALL = Settings(hidden_sizes=(8,), epochs=6, window=16, batch=4, rate=1e-2)


def sine(n: int = 400, period: float = 20, phase: float = 0) -> NDArray[np.float32]:
    t = np.arange(n) + phase
    columns = [10 + 3 * np.sin(2 * np.pi * t / period), np.cos(2 * np.pi * t / period)]
    return np.stack(columns, axis=1).astype(np.float32)


def run_one_by_one(network: RecurrentNetwork, data: Dataset) -> NDArray[np.float32]:
    """Step one series at a time, one observation at a time."""
    outputs = np.zeros_like(data.Y)
    for s in data.series:
        tape, state = Tape(network, 1, 1), None
        for row in range(s.offset, s.offset + s.validation_end):
            outputs[row] = tape.forward(data.X[row][None, None], state)[0, 0]
            state = tape.last_state()
    return outputs


@pytest.mark.parametrize("horizon", [1, 3])
def test_no_period_sees_the_values_of_the_next(horizon: int) -> None:
    values = sine(100)
    data = Dataset([("", values)], [0, 1], [0], horizon)
    changed = values.copy()
    changed[70:] = 1e6  # validation and test
    again = Dataset([("", changed)], [0, 1], [0], horizon)
    rows = data.train_rows
    assert rows.tolist() == list(range(70 - horizon))
    assert (data.X[:70] == again.X[:70]).all()
    assert (data.Y[rows] == again.Y[rows]).all()
    assert data.validation_rows.tolist() == list(range(70 - horizon, 80 - horizon))


@pytest.mark.parametrize("skip", [True, False])
def test_targets_turn_back_into_the_series(skip: bool) -> None:
    values = sine(100)
    data = Dataset([("", values)], [1, 0], [0], 2, skip=skip)
    assert data.skip == ((1,) if skip else (-1,))
    answers = data.output_scaling.invert(data.Y[:98])[:, 0] + (values[:98, 0] if skip else 0)
    np.testing.assert_allclose(answers, values[2:, 0], atol=1e-5)


def test_windows_cover_every_training_row_of_every_series_and_no_other() -> None:
    rng = np.random.default_rng(0)
    lengths = [100, 7, 43]
    data = Dataset([(str(n), sine(n)) for n in lengths], [0], [0])
    wanted = set(data.train_rows.tolist())
    for _ in range(20):
        starts = data.window_starts(16, rng)
        rows = starts[None, :] + np.arange(16)[:, None]
        X, Y, inside = data.windows(starts, 16)
        assert set(rows[inside[:, :, 0] == 1].tolist()) == wanted
        assert (X[inside[:, :, 0] == 1] == data.X[rows[inside[:, :, 0] == 1]]).all()
        assert Y.shape == (16, len(starts), 1)


def test_a_sequence_run_equals_stepping_each_series_alone() -> None:
    rng = np.random.default_rng(1)
    data = Dataset([(str(n), sine(n, phase=n)) for n in (600, 90, 300)], [0, 1], [0])
    network = RecurrentNetwork(2, (5, 3), 1)
    network.theta[:] = rng.normal(scale=0.5, size=network.theta.shape)
    starts = np.array([0, 255, 256, 257, 400, 600, 620, 700])
    outputs, states = SequenceRunner(network, data).run(starts)
    np.testing.assert_allclose(outputs, run_one_by_one(network, data), atol=1e-5)
    assert sorted(states) == starts.tolist()
    for row in (257, 620):
        tape, state = Tape(network, 1, 1), None
        for at in range(row):
            if at == 600:
                state = None
            tape.forward(data.X[at][None, None], state)
            state = tape.last_state()
        assert state is not None
        for (h, c), (h_1, c_1) in zip(states[row], state, strict=True):
            np.testing.assert_allclose(h, h_1[0], atol=1e-5)
            np.testing.assert_allclose(c, c_1[0], atol=1e-5)


def test_training_learns_what_persistence_cannot() -> None:
    fitted = fit(Dataset([("", sine(1000))], [0], [0]), Settings(hidden_sizes=(12,), epochs=30))
    assert fitted.best.validation < 0.2


def test_the_same_seed_gives_the_same_weights() -> None:
    data = Dataset([("a", sine()), ("b", sine(200, 13))], [0, 1], [0])
    settings = Settings(hidden_sizes=(6, 5), epochs=2, window=16, dropout=0.2, seed=3)
    first, second = (fit(data, settings).network.theta for _ in range(2))
    assert (first == second).all()
    other = Settings(hidden_sizes=(6, 5), epochs=2, window=16, dropout=0.2, seed=4)
    assert (fit(data, other).network.theta != first).any()


def test_the_result_has_the_best_weights_not_the_last() -> None:
    walk = np.random.default_rng(8).normal(size=(300, 1)).cumsum(axis=0).astype(np.float32)
    data = Dataset([("", walk)], [0], [0])  # nothing to learn but the noise
    settings = Settings(hidden_sizes=(16,), epochs=30, window=16, rate=3e-2, patience=30)
    fitted = fit(data, settings)
    outputs, _ = SequenceRunner(fitted.network, data).run(np.array([0]))
    rows = data.validation_rows
    error = np.abs(outputs[rows] - data.Y[rows]).mean() / data.persistence[0]
    # A share of the outputs that is as good to 1 % is taken; the last weights are worse than that.
    assert 0.9999 * fitted.best.validation <= error < 1.011 * fitted.best.validation
    assert error < fitted.history[-1].validation
    assert fitted.best.validation < fitted.history[-1].validation


def test_it_stops_when_there_is_no_more_progress() -> None:
    noise = np.random.default_rng(2).normal(size=(300, 1)).cumsum(axis=0).astype(np.float32)
    settings = Settings(hidden_sizes=(8,), epochs=500, window=16, patience=3, cuts=1)
    fitted = fit(Dataset([("", noise)], [0], [0]), settings)
    assert fitted.ended == "settled"
    assert len(fitted.history) < 100


def test_an_interrupt_ends_training_with_the_best_so_far() -> None:
    def stop(epoch: EpochMetrics) -> None:
        if epoch.number == 3:
            raise KeyboardInterrupt

    fitted = fit(Dataset([("", sine())], [0], [0]), SMALL, stop)
    assert fitted.ended == "interrupted"
    assert len(fitted.history) == 3


def test_a_series_that_never_moves_can_be_trained_on() -> None:
    flat = np.full((200, 1), 5.0, np.float32)
    fitted = fit(Dataset([("", flat)], [0], [0]), SMALL)
    assert np.isfinite(fitted.network.theta).all()


def test_the_exported_model_predicts_as_the_trained_network() -> None:
    values = sine(300)
    data = Dataset([("", values)], [0, 1], [1, 0], 2)
    network = fit(data, Settings(hidden_sizes=(6, 5), epochs=2, window=16)).network
    model = build_model(network, data, ["a", "b"], ["b", "a"], {"seed": "0"})
    assert (model.horizon, model.skip, model.outputs) == (2, (1, 0), ("b", "a"))
    engine = Engine(model, backend="reference")
    answers = np.stack([engine.step("s", x) for x in values[:240]])
    outputs, _ = SequenceRunner(network, data).run(np.array([0]))
    wanted = data.output_scaling.invert(outputs[:240]) + values[:240][:, [1, 0]]
    np.testing.assert_allclose(answers, wanted, atol=1e-4)


def test_too_short_a_series_is_refused() -> None:
    with pytest.raises(DataError, match="at least 32 values to train on and 8 to validate on"):
        Dataset([("", sine(40))], [0], [0])
    with pytest.raises(DataError, match="with a horizon of 90"):
        Dataset([("", sine(120))], [0], [0], horizon=90)


def test_seasons_are_found_and_drift_is_not_taken_for_one() -> None:
    rng = np.random.default_rng(7)
    t = np.arange(2000)
    day = np.sin(2 * np.pi * t / 24)
    assert find_season(day + 0.3 * rng.normal(size=2000)) == 24
    assert find_season(day + rng.normal(size=2000).cumsum()) in (None, 24)
    assert find_season(2 * day + 0.5 * rng.normal(size=2000).cumsum()) == 24
    assert find_season(rng.normal(size=2000)) is None
    assert all(find_season(rng.normal(size=2000).cumsum()) is None for _ in range(5))
    assert find_season(np.ones(100)) is None
    assert find_season(np.arange(5.0)) is None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # that is what diverging looks like
def test_training_that_diverges_says_so() -> None:
    data = Dataset([("", sine())], [0], [0])
    with pytest.raises(DataError, match=r"diverged in epoch \d.*smaller learning rate"):
        fit(data, Settings((4,), epochs=20, window=16, rate=1e38))


def test_a_network_that_adds_nothing_to_the_linear_part_is_trained_alone_too() -> None:
    table = {"value": np.random.default_rng(0).standard_normal(600).cumsum()}
    given = {"target": ("value",), "hidden_sizes": (4,), "epochs": 3}
    compile_kernels("lstm")
    left = []
    for linear in (True, False):
        prepared = training.prepare(table, given | {"linear": linear})
        left.append(training.fit_prepared(prepared))
    numbers: list[int] = []
    prepared = training.prepare(table, given)
    chosen, fitted = training.fit_best(prepared, lambda epoch: numbers.append(epoch.number))
    assert numbers == [1, 2, 3, 1, 2, 3]
    clearly = left[1].validation < 0.97 * left[0].validation and left[1].whole < left[0].whole
    assert fitted.validation == left[clearly].validation
    assert chosen.settings.linear == (not clearly)


def test_an_unusual_validation_period_does_not_choose_a_network_alone() -> None:
    """There the season is gone, and persistence is better; before it is not."""
    rng = np.random.default_rng(3)
    values = 10 * np.sin(np.arange(1000) * 2 * np.pi / 25) + rng.standard_normal(1000)
    values[700:800] = 40 + 0.5 * rng.standard_normal(100)
    prepared = training.prepare(
        {"value": values},
        {"target": ("value",), "hidden_sizes": (2,), "epochs": 1, "horizon": (12,)},
    )
    compile_kernels("lstm")
    assert prepared.plain is not None
    first = training.fit_prepared(prepared)
    alone = replace(prepared, dataset=prepared.plain, plain=None)
    second = training.fit_prepared(alone)
    assert second.validation < 0.97 * first.validation
    chosen, _ = training.fit_best(prepared)
    assert chosen.settings.linear


def test_an_interrupt_of_the_second_training_leaves_the_first() -> None:
    table = {"value": np.random.default_rng(0).standard_normal(600).cumsum()}
    prepared = training.prepare(table, {"target": ("value",), "hidden_sizes": (4,), "epochs": 2})
    compile_kernels("lstm")
    seen = [0.0]

    def on_batch(epochs: float) -> None:
        if epochs < seen[-1]:  # it begins again
            raise KeyboardInterrupt
        seen.append(epochs)

    chosen, fitted = training.fit_best(prepared, on_batch=on_batch)
    assert chosen is prepared
    assert fitted.ended == "interrupted"
