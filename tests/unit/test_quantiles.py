"""Quantile heads: gradients, quantiles that never cross, the served model, calibration."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamlstm.engine.engine import Engine
from streamlstm.errors import DataError
from streamlstm.learn.bptt import Tape
from streamlstm.learn.loss import pinball
from streamlstm.learn.network import RecurrentNetwork
from streamlstm.learn.predict import predict
from streamlstm.learn.quantiles import QuantileHead
from streamlstm.learn.training import train
from streamlstm.network.model import Model
from streamlstm.online.layout import watched

LEVELS = [(0.1, 0.5, 0.9), (0.5, 0.9, 0.99), (0.05, 0.25, 0.5), (0.5,), (0.1, 0.2, 0.5, 0.6, 0.95)]


def random_network(levels: tuple[float, ...], dtype: Any, scale: float) -> RecurrentNetwork:
    rng = np.random.default_rng(len(levels))
    network = RecurrentNetwork(3, (5,), QuantileHead(2, levels), dtype)
    network.theta[:] = rng.normal(scale=0.5, size=network.theta.shape)
    network.head_matrix *= scale
    return network


@pytest.mark.parametrize("levels", LEVELS)
def test_gradients_of_quantiles_equal_finite_differences(levels: tuple[float, ...]) -> None:
    rng = np.random.default_rng(1)
    network = random_network(levels, np.float64, 1.0)
    X = rng.normal(size=(4, 3, 3))
    tape = Tape(network, 4, 3)
    d_output = rng.normal(size=(4, 3, network.output_size))
    tape.forward(X)
    gradient = tape.backward(d_output)
    for p, value in enumerate(network.theta.copy()):
        sums = []
        for step in (1e-6, -1e-6):
            network.theta[p] = value + step
            sums.append(float((tape.forward(X) * d_output).sum()))
        network.theta[p] = value
        assert gradient[p] == pytest.approx((sums[0] - sums[1]) / 2e-6, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("scale", [1.0, 30.0])  # of the head: distances from tiny to huge
def test_served_quantiles_are_those_of_training_and_never_cross(
    levels: tuple[float, ...], scale: float
) -> None:
    rng = np.random.default_rng(2)
    network = random_network(levels, np.float32, scale)
    X = rng.normal(size=(300, 1, 3)).astype(np.float32)
    wanted = Tape(network, 300, 1).forward(X)[:, 0]
    model = Model(network.layers(), network.weights())
    again = network.twin()
    again.theta[:] = 0
    again.load(model.weights)
    assert (again.theta == network.theta).all()
    for backend in ("reference", "cpu"):
        engine = Engine(model, backend=backend)
        served = np.stack([engine.step("s", x[0]) for x in X])
        np.testing.assert_allclose(served, wanted, rtol=2e-5, atol=2e-5 * scale)
        assert (np.diff(served.reshape(300, 2, -1), axis=2) >= 0).all()


def test_pinball_loss_and_gradient() -> None:
    rng = np.random.default_rng(3)
    outputs, targets = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 2))
    weights, levels = np.ones((4, 3, 1)), np.array([0.1, 0.7])
    weights[1, 2] = 0
    loss, gradient = pinball(outputs, targets, weights, levels)
    for at in np.ndindex(outputs.shape):
        moved = outputs.copy()
        moved[at] += 1e-7
        slope = (pinball(moved, targets, weights, levels)[0] - loss) / 1e-7
        assert slope == pytest.approx(gradient[at], abs=1e-6)
    assert (gradient[1, 2] == 0).all()


def wave_with_noise(path: Path, n: int = 3000) -> NDArray[np.float64]:
    """Write a wave whose noise is larger where the wave is high."""
    rng = np.random.default_rng(4)
    wave = np.sin(2 * np.pi * np.arange(n) / 24)
    values = np.stack([wave + (0.3 + 0.25 * wave) * rng.normal(size=n), wave], axis=1)
    np.savetxt(path, values, delimiter=",", header="value,wave", comments="")
    return values


def test_quantiles_are_calibrated_and_named(tmp_path: Path) -> None:
    wave_with_noise(tmp_path / "wave.csv")
    trained = train(
        tmp_path / "wave.csv",
        target="value",
        hidden=12,
        epochs=25,
        skip=False,
        linear=False,
        quantiles=[0.1, 0.5, 0.9],
    )
    model = trained.model
    assert model.outputs == ("value_q10", "value_q50", "value_q90")
    assert model.targets == (-1, 0, -1)
    for name, share in trained.calibration.items():
        assert share == pytest.approx(int(name[-2:]) / 100, abs=0.07), name
    low, middle, high = trained.results[:, :3].T
    assert (low <= middle).all()
    assert (middle <= high).all()
    widths = (high - low)[1000:]
    assert np.quantile(widths, 0.9) > 2 * np.quantile(widths, 0.1)
    (score,) = trained.scores
    assert score.errors.mae < 0.8 * score.errors.persistence
    again = train(tmp_path / "wave.csv", target="value", from_model=model, epochs=1)
    assert again.model.layers == model.layers


@pytest.mark.parametrize(
    "levels", [(0.1, 0.9), (0.5, 0.5), (0.9, 0.5), (0.5, 1.0), (float("nan"),)]
)
def test_quantiles_that_cannot_be_are_refused(levels: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="quantiles: expected levels between 0 and 1 that rise"):
        QuantileHead(1, levels)


@pytest.mark.parametrize("skip", [True, False])
def test_quantiles_have_the_linear_part_of_a_point_model(skip: bool) -> None:
    rng = np.random.default_rng(8)
    season = np.tile(rng.normal(size=24) * 5, 40)
    table = {"v": season + 0.3 * rng.normal(size=960)}
    options: dict[str, Any] = {"target": "v", "hidden": 4, "epochs": 3, "window": 16, "skip": skip}
    options |= {"quantiles": (0.1, 0.5, 0.9), "horizon": (1, 3)}
    linear, plain = (train(table, **options, linear=part) for part in (True, False))
    assert linear.scores[0].errors.mae < 0.5 * plain.scores[0].errors.mae
    for name, share in linear.calibration.items():
        assert share == pytest.approx(int(name.rpartition("_q")[2]) / 100, abs=0.12)
    model = linear.model
    assert {23, 21} & set(model.lags)
    assert model.lag_weights is not None
    assert (model.lag_weights[:3] == model.lag_weights[0]).all()
    said = predict(model, table)
    assert (said["v@+1_q10"] <= said["v@+1_q50"]).all()
    assert (said["v@+3_q50"] <= said["v@+3_q90"]).all()
    assert watched(model) == [(0, 1)]  # the median, one step ahead
    engine = Engine(model)
    for row, value in enumerate(table["v"][:40]):
        assert engine.step("s", [value])[5] == said["v@+3_q90"][row]
    again = train(table, from_model=model, target="v", epochs=1, quantiles=(0.1, 0.5, 0.9))
    assert again.model.lags == model.lags
    assert np.allclose(again.model.lag_weights, model.lag_weights, atol=1e-4)
    assert again.history[0].validation < 1.2 * linear.best.validation


def test_columns_that_are_named_like_quantiles_are_all_watched() -> None:
    rng = np.random.default_rng(9)
    table = {f"latency_q{q}": rng.normal(size=200) for q in (50, 90)}
    model = train(table, target=list(table), hidden=4, epochs=1, window=16).model
    assert watched(model) == [(0, 0), (1, 1)]
