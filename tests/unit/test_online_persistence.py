"""The errors of forecasts beside those of persistence: what is told, and what extremes leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamlstm import LSTM, Dense, Engine, Model, Online
from streamlstm.network.result_places import result_places

Array = NDArray[Any]
AT = result_places(1, 0)


def forecaster(share: float, horizon: int = 1) -> Model:
    """A model that forecasts `share` of the value now."""
    layers = [LSTM(1, 4), Dense(4, 1)]
    weights = [{n: np.zeros(s) for n, s in layer.parameters().items()} for layer in layers]
    return Model(
        layers,
        weights,
        inputs=["v"],
        outputs=["v"],
        skip=[0],
        skip_scale=[share],
        horizon=horizon,
        online=Online(fill="last"),
    )


def errors(values: Array, share: float, horizon: int = 1) -> tuple[Array, Array]:
    """Both errors of every row, [T] each."""
    engine = Engine(forecaster(share, horizon))
    told = np.array([engine.result_many(["a"], [[v]])[0] for v in values.astype(np.float32)])
    return told[:, AT.own_error], told[:, AT.naive_error]


@pytest.mark.parametrize("horizon", [1, 3])
def test_persistence_is_as_good_as_itself(horizon: int) -> None:
    own, naive = errors(np.random.default_rng(0).normal(size=500).cumsum(), 1.0, horizon)
    assert np.isnan(naive[: horizon + 1]).all()  # no forecast, then no usual error to compare with
    assert not np.isnan(naive[horizon + 1 :]).any()
    np.testing.assert_allclose(own, naive, rtol=1e-5)
    assert np.nanmean(naive[300:]) == pytest.approx(1, abs=0.2)


def test_the_mean_is_better_than_persistence_on_noise() -> None:
    """Of noise without memory the mean misses |e| and persistence |e - e'|: 1 to the root of 2."""
    own, naive = errors(np.random.default_rng(1).normal(size=4_000), 0.0)
    assert np.nansum(own) / np.nansum(naive) == pytest.approx(0.5**0.5, abs=0.02)


def test_the_unit_of_a_stream_does_not_matter_and_missing_values_are_not_compared() -> None:
    values = np.random.default_rng(2).normal(size=400)
    values[[100, 101, 250]] = np.nan
    own, naive = errors(values, 0.5)
    assert np.isnan(own[[100, 101, 250]]).all()
    assert not np.isnan(own[[102, 251]]).any()
    for factor in (1e-9, 1e9):
        scaled = errors(factor * values, 0.5)
        np.testing.assert_allclose(scaled, (own, naive), rtol=1e-4)


def test_extremes_count_for_little_and_are_forgotten() -> None:
    random = np.random.default_rng(3)
    values = np.concatenate([np.zeros(50), random.normal(size=1_000)])
    values[600:604] = 3e38, -3e38, 1e30, 0
    own, naive = errors(values, 0.5)
    assert np.isnan(naive[:51]).all()  # nothing has changed yet
    assert np.nanmax(naive) <= 100
    assert np.nanmax(own) <= 100
    assert np.isfinite(own[51:]).all()
    assert 0.05 < np.nanmean(naive[800:]) < 1.2
