"""The linear autoregression that models are compared with."""

import numpy as np
import pytest

from streamlstm.learn.evaluation.rolling_autoregression import (
    fill_forward,
    rolling_autoregression,
    seasonal_lag,
)


def simulated(n: int = 4000, a: float = 0.8, seed: int = 0) -> np.ndarray:
    rng, v = np.random.default_rng(seed), np.zeros(n)
    noise = rng.standard_normal(n)
    for t in range(1, n):
        v[t] = a * v[t - 1] + noise[t]
    return 50 + v


@pytest.mark.parametrize("horizon", [1, 3])
def test_it_finds_the_best_forecast_of_an_autoregression(horizon: int) -> None:
    v = simulated()
    forecasts = rolling_autoregression(v, horizon, None, 3000)
    best = 50 + 0.8**horizon * (v - 50)
    rows = np.arange(3000, len(v) - horizon)
    error, least = (np.abs(v[rows + horizon] - made[rows]).mean() for made in (forecasts, best))
    assert error < 1.03 * least


def test_a_season_is_found_where_rows_alone_do_not_show_it() -> None:
    rng = np.random.default_rng(1)
    v = np.tile(rng.standard_normal(50), 40) + 0.1 * rng.standard_normal(2000)
    rows = np.arange(1600, 1990)
    with_season, without = (
        np.abs(v[rows + 10] - rolling_autoregression(v, 10, season, 1600)[rows]).mean()
        for season in (50, None)
    )
    assert with_season < 0.5 * without
    assert with_season < 0.15


def test_no_forecast_sees_what_comes_later() -> None:
    v = simulated(600)
    changed = v.copy()
    changed[300:] = 1e6
    for horizon, season, first in ((1, None, 0), (5, 24, 0), (5, 24, 250)):
        before = rolling_autoregression(v, horizon, season, first)
        after = rolling_autoregression(changed, horizon, season, first)
        np.testing.assert_array_equal(before[:300], after[:300])
        assert np.isnan(before[:first]).all()
        assert np.isfinite(before[first:]).all()


def test_it_is_persistence_until_there_is_enough_to_fit() -> None:
    v = simulated(200)
    np.testing.assert_array_equal(rolling_autoregression(v, 1)[:40], v[:40])
    np.testing.assert_array_equal(rolling_autoregression(v[:1], 1), v[:1])
    assert len(rolling_autoregression(v[:0], 1)) == 0


def test_when_rows_come_it_becomes_as_good_as_one_that_was_fitted_at_once() -> None:
    v = simulated(3000)
    rows = np.arange(1000, 2999)
    rolling = np.abs(v[rows + 1] - rolling_autoregression(v, 1)[rows]).mean()
    best = np.abs(v[rows + 1] - (50 + 0.8 * (v[rows] - 50))).mean()
    assert rolling < 1.04 * best < np.abs(np.diff(v)[rows]).mean()


def test_missing_values_are_neither_learnt_nor_forecast() -> None:
    v = simulated(500)
    v[:7], v[100:140] = np.nan, np.nan
    made = rolling_autoregression(v, 2)
    assert np.isnan(made[:7]).all()
    assert np.isfinite(made[7:]).all()
    nothing = np.full(5, np.nan)
    assert np.isnan(rolling_autoregression(nothing, 1)).all()


@pytest.mark.parametrize("value", [0.0, 1700000000.0])
def test_a_constant_stays_constant(value: float) -> None:
    np.testing.assert_allclose(rolling_autoregression(np.full(400, value), 1, 7), value)


def test_a_large_offset_costs_no_precision() -> None:
    v = simulated(1000)
    far = rolling_autoregression(v + 1.7e9, 1) - 1.7e9
    np.testing.assert_allclose(far, rolling_autoregression(v, 1), atol=1e-3)


def test_helpers() -> None:
    assert [seasonal_lag(h, 24) for h in (1, 24, 25, 48)] == [24, 24, 48, 48]
    filled = fill_forward(np.array([np.nan, 1, np.nan, np.nan, 2]))
    np.testing.assert_array_equal(filled, [np.nan, 1, 1, 1, 2])
