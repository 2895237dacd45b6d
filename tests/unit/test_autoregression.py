"""The linear autoregression that models are compared with."""

import numpy as np
import pytest

from streamlstm.learn.autoregression import (
    fill_forward,
    fit_autoregression,
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
    fitted = fit_autoregression([v[:3000]], horizon)
    forecasts = fitted.predict(v)
    best = 50 + 0.8**horizon * (v - 50)
    rows = np.arange(3000, len(v) - horizon)
    error, least = (np.abs(v[rows + horizon] - made[rows]).mean() for made in (forecasts, best))
    assert error < 1.03 * least


def test_a_season_is_found_where_rows_alone_do_not_show_it() -> None:
    rng = np.random.default_rng(1)
    shape = rng.standard_normal(50)
    v = np.tile(shape, 40) + 0.1 * rng.standard_normal(2000)
    rows = np.arange(1600, 1990)
    errors = {
        season: np.abs(v[rows + 10] - fit_autoregression([v[:1600]], 10, season).predict(v)[rows])
        for season in (None, 50)
    }
    assert errors[50].mean() < 0.5 * errors[None].mean()
    assert errors[50].mean() < 0.15


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
    np.testing.assert_array_equal(fit_autoregression([v[:1]], 4).predict(v), v)


def test_when_rows_come_it_becomes_as_good_as_one_that_was_fitted_at_once() -> None:
    v = simulated(3000)
    rows = np.arange(1000, 2999)
    rolling = np.abs(v[rows + 1] - rolling_autoregression(v, 1)[rows]).mean()
    persistence = np.abs(np.diff(v)[rows]).mean()
    fitted = np.abs(v[rows + 1] - fit_autoregression([v], 1).predict(v)[rows]).mean()
    assert fitted < rolling < 1.02 * fitted < persistence


def test_missing_values_are_neither_learnt_nor_forecast() -> None:
    v = simulated(500)
    v[:7], v[100:140] = np.nan, np.nan
    made = rolling_autoregression(v, 2)
    assert np.isnan(made[:7]).all()
    assert np.isfinite(made[7:]).all()
    fitted = fit_autoregression([v], 2).predict(v)
    assert np.isnan(fitted[:7]).all()
    assert np.isfinite(fitted[7:]).all()
    nothing = np.full(5, np.nan)
    assert np.isnan(rolling_autoregression(nothing, 1)).all()


@pytest.mark.parametrize("value", [0.0, 1700000000.0])
def test_a_constant_stays_constant(value: float) -> None:
    np.testing.assert_allclose(rolling_autoregression(np.full(400, value), 1, 7), value)


def test_a_large_offset_costs_no_precision() -> None:
    v = simulated(1000)
    far = fit_autoregression([v[:800] + 1.7e9], 1).predict(v + 1.7e9) - 1.7e9
    np.testing.assert_allclose(far, fit_autoregression([v[:800]], 1).predict(v), atol=1e-3)


def test_helpers() -> None:
    assert [seasonal_lag(h, 24) for h in (1, 24, 25, 48)] == [24, 24, 48, 48]
    filled = fill_forward(np.array([np.nan, 1, np.nan, np.nan, 2]))
    np.testing.assert_array_equal(filled, [np.nan, 1, 1, 1, 2])
