"""Models whose outputs speak of different times: each output is as that of a model of its own."""

from pathlib import Path

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, Model, Online, Scaling
from streamlstm.errors import LabelError, ModelError
from streamlstm.network.compatibility import compatibility_key, incompatibility
from streamlstm.online.layout import own_forecasts, watched

from ..contract.models import random_model

HORIZONS = (1, 5, 5, 2)
TARGETS = ("a", "b", "a", "a")
STAGE = Online(fill="last", adapt="rls", season=4, intervals=(0.5, 0.9))


def model_of(outputs: list[int], online: Online | None = STAGE) -> Model:
    """Return a model with some of the outputs of one network."""
    network = random_model([LSTM(2, 9), Dense(9, len(HORIZONS))], seed=3)
    lstm, head = network.weights
    rows = {"weight": head["weight"][outputs], "bias": head["bias"][outputs]}
    horizons = [HORIZONS[n] for n in outputs]
    names = [f"{TARGETS[n]}@+{HORIZONS[n]}" for n in outputs]
    return Model(
        [LSTM(2, 9), Dense(9, len(outputs))],
        [lstm, rows],
        inputs=["a", "b"],
        outputs=names,
        output_scaling=Scaling(np.zeros(len(outputs)), [0.5 + n for n in outputs]),
        horizon=horizons,
        online=online,
    )


def values(n: int = 60) -> np.ndarray:
    """Return two noisy waves with missing values, float32[n, 2]."""
    rng = np.random.default_rng(1)
    found = np.sin(np.arange(n)[:, None] * [0.3, 0.7]) + rng.normal(0, 0.2, (n, 2))
    found[rng.random((n, 2)) < 0.05] = np.nan
    return found.astype(np.float32)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_an_output_is_as_that_of_a_model_of_its_own(backend: str) -> None:
    together = Engine(model_of([0, 1, 2, 3]), backend=backend)
    alone = [Engine(model_of(outputs), backend=backend) for outputs in ([0], [1, 2], [3])]
    for x in values():
        whole = together.observe("s", x)
        parts = [engine.observe("s", x) for engine in alone]
        for name in ("y", "error", "low", "high"):
            assert np.array_equal(
                getattr(whole, name),
                np.concatenate([getattr(part, name) for part in parts]),
                equal_nan=True,
            )


def test_the_error_of_an_output_is_that_of_its_forecast_for_now() -> None:
    engine = Engine(model_of([0, 1, 2, 3], Online()))
    x = np.nan_to_num(values())
    told = np.array([engine.observe("s", row).y for row in x])
    engine.reset("s")
    errors = np.array([engine.observe("s", row).error for row in x])
    for output, (target, steps) in enumerate(zip(TARGETS, HORIZONS, strict=True)):
        came = x[:, "ab".index(target)]
        assert np.isnan(errors[:steps, output]).all()
        assert np.allclose(errors[steps:, output], came[steps:] - told[:-steps, output])


def test_an_input_is_filled_and_watched_by_its_nearest_forecast() -> None:
    model = model_of([1, 2, 0, 3], Online(fill="predict", anomaly=True))
    assert model.horizons == (5, 5, 1, 2)
    assert model.horizon == 5
    assert model.targets == (1, 0, 0, 0)
    assert own_forecasts(model) == [2, 0]
    assert watched(model) == [(1, 0), (0, 2)]


def test_labels_are_learned_by_each_horizon() -> None:
    online = Online(adapt="rls", labels=3, targets=(-1,) * 4)
    engine, never = (Engine(model_of([0, 1, 2, 3], online)) for _ in range(2))
    for x in np.nan_to_num(values(20)):
        engine.step("s", x)
        never.step("s", x)
    engine.learn("s", 18, [1, 2, np.nan, 4])
    with pytest.raises(LabelError):
        engine.learn("s", 18, [1, 2, np.nan, 4])
    engine.learn("s", 18, [np.nan, np.nan, 3, np.nan])
    with pytest.raises(LabelError):  # the longest horizon keeps five steps
        engine.learn("s", 13, [1, 2, 3, 4])
    with pytest.raises(LabelError):
        engine.learn("s", 21, [1, 2, 3, 4])
    assert (engine.step("s", [1, 1]) != never.step("s", [1, 1])).all()


def test_a_file_keeps_horizons_and_lags(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    plain = model_of([0, 1, 2, 3])
    lagged = Model(
        plain.layers,
        plain.weights,
        plain.inputs,
        plain.outputs,
        horizon=plain.horizons,
        online=plain.online,
        lags=(0, 7),
        lag_weights=np.arange(8).reshape(4, 2),
    )
    for model in (plain, lagged):
        model.save(path)
        back = Model.load(path)
        assert back.horizons == HORIZONS
        assert back.lags == model.lags
        assert back.fingerprint == model.fingerprint
        assert back.with_online(Online()).horizons == HORIZONS
    assert back.lag_weights is not None
    assert np.array_equal(back.lag_weights, np.arange(8).reshape(4, 2))
    assert back.with_online(Online()).lags == (0, 7)
    assert "linear part" not in (incompatibility(plain, lagged) or "")
    assert compatibility_key(plain) != compatibility_key(lagged)


def test_other_horizons_are_another_memory() -> None:
    running, new = model_of([0, 1], None), model_of([0, 1], None)
    assert incompatibility(running, new) is None
    other = Model(new.layers, new.weights, new.inputs, new.outputs, horizon=3)
    assert incompatibility(running, other) == "it predicts 3 steps ahead, the running model 1, 5"


def test_the_linear_part_adds_the_last_values_of_its_target() -> None:
    zeros = [{"weight": np.zeros((2, 2)), "bias": np.array([0.5, -0.5])}]
    model = Model(
        [Dense(2, 2)],
        zeros,
        inputs=["a", "b"],
        outputs=["b", "a"],
        input_scaling=Scaling([1.0, 2.0], [4.0, 5.0]),
        output_scaling=Scaling([10.0, 20.0], [2.0, 3.0]),
        online=Online(),
        lags=(0, 2, 3),
        lag_weights=[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
    )
    x = np.nan_to_num(values(12))
    Z = (x - [1.0, 2.0]) / [4.0, 5.0]
    for backend in ("cpu", "reference"):
        engine = Engine(model, backend=backend)
        for t, row in enumerate(x):
            past = np.array([Z[t - lag] if t >= lag else Z[t] for lag in (0, 2, 3)])
            expected = [
                10 + 2 * (0.5 + past[:, 1] @ [1, 2, 3]),
                20 + 3 * (-0.5 + past[:, 0] @ [4, 5, 6]),
            ]
            assert np.allclose(engine.step("s", row), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": [1, 2]}, "one for each of 4 outputs"),
        ({"horizon": [1, 2, 3, 4.5]}, "integer from 0"),
        ({"horizon": [1, 2, 3, 2000], "online": Online()}, "at most 1024"),
        ({"lags": (1,)}, "expected lag_weights"),
        ({"lag_weights": np.zeros((4, 1))}, "expected lags"),
        ({"lags": (2, 1), "lag_weights": np.zeros((4, 2))}, "rising"),
        ({"lags": (1,), "lag_weights": np.zeros((4, 2)), "online": Online()}, "shape"),
        ({"lags": (1,), "lag_weights": np.zeros((4, 1))}, "expected an online stage"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    model = model_of([0, 1, 2, 3], None)
    given = {"horizon": HORIZONS} | options
    with pytest.raises(ModelError, match=message):
        Model(model.layers, model.weights, model.inputs, model.outputs, **given)  # type: ignore[arg-type]
