"""Prediction intervals: compiled, they are what the reference says; both keep what they promise."""

from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from streamlstm.errors import ModelError
from streamlstm.kernels.online.intervals import (
    interval_bounds,
    interval_update,
)
from streamlstm.online.intervals import Level, columns, constants, initial, step

Array = NDArray[Any]
LEVELS = (Level(0.5), Level(0.9), Level(0.9, "above"), Level(0.8, "below"))
NINETY = (Level(0.9),)
ZEROS = np.zeros((900, 1)), np.float64


@njit
def _run(S, at, K, k, levels, horizon, residuals, y, low, high):
    for t in range(residuals.size):
        interval_update(S, at, K, k, t % horizon, residuals[t], S.size - 1)
        for n in range(levels):
            low[t, n], high[t, n] = interval_bounds(S, at, K, k, t % horizon, y[t], n)


def run(
    residuals: Array, levels: Any = NINETY, horizon: int = 1, y: Any = 0.0, **bounds: float
) -> tuple[Array, Array, Array]:
    """Return low, high of every step, and the last state; forecasts are 0 unless told."""
    at, k, L = 3, 2, len(levels)
    start, K = initial(levels, horizon), constants(levels, horizon, **bounds)
    S, table = np.full(len(start) + 6, -7, np.float32), np.full(len(K) + 4, -7, np.float32)
    S[-1] = 0  # the largest error
    S[at : at + len(start)], table[k : k + len(K)] = start, K
    low, high = np.empty((2, len(residuals), L))
    y = np.broadcast_to(np.asarray(y, float), residuals.shape)
    known = np.concatenate([np.full(horizon, np.nan), residuals])[: len(residuals)]
    _run(S, at, table, k, L, horizon, known, y, low, high)
    assert (S[:at] == -7).all()
    assert (S[at + len(start) : -1] == -7).all()
    return low, high, S[at : at + len(start)]


def covered(residuals: Array, levels: Any = NINETY, horizon: int = 1) -> Array:
    low, high, _ = run(residuals, levels, horizon)
    return (low <= residuals[:, None]) & (residuals[:, None] <= high)


def reference(residuals: Array, levels: Any, horizon: int, y: Array, dtype: Any) -> Any:
    B, K = residuals.shape[1], constants(levels, horizon).astype(dtype)
    parts = np.cumsum([0, *columns(len(levels), horizon).values()])
    row = np.repeat(initial(levels, horizon)[None].astype(dtype), B, axis=0)
    state = {
        name: row[:, parts[n] : parts[n + 1]]
        for n, name in enumerate(columns(len(levels), horizon))
    }
    state["largest"] = np.zeros((B, 1), dtype)
    made = []
    for t in range(len(residuals)):
        due = residuals[t - horizon] if t >= horizon else np.full(B, np.nan, dtype)
        (low, high), state = step(due, y[t], t % horizon, K, state)
        made.append((low, high))
    del state["largest"]
    return np.array(made), np.concatenate(list(state.values()), axis=1)


def noise(rows: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(rows)


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_compiled_twin_does_what_the_reference_says(horizon: int, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    residuals = rng.standard_t(3, (150, 4)) * [1, 1e-6, 1e6, 0]
    residuals[rng.random(residuals.shape) < 0.2] = 0
    residuals[rng.random(residuals.shape) < 0.1] = np.nan
    y = rng.standard_normal(residuals.shape)
    y[20] = np.nan
    made, row = reference(residuals.astype(dtype), LEVELS, horizon, y.astype(dtype), dtype)
    for b in range(residuals.shape[1]):
        low, high, S = run(residuals[:, b], LEVELS, horizon, y[:, b])
        tolerance: dict[str, Any] = {"rtol": 1e-3, "atol": 1e-5}
        np.testing.assert_allclose(low, made[:, 0, b], **tolerance)
        np.testing.assert_allclose(high, made[:, 1, b], **tolerance)
        np.testing.assert_allclose(S, row[b], **tolerance)


def test_columns_are_few() -> None:
    assert sum(columns(2, 1).values()) == len(initial(LEVELS[:2], 1)) == 10


@pytest.mark.parametrize("horizon", [1, 4])
def test_there_are_no_bounds_before_the_first_residual(horizon: int) -> None:
    low, _, _ = run(noise(10), NINETY, horizon)
    assert np.isnan(low[:horizon]).all()
    assert np.isfinite(low[horizon:]).all()


def test_the_first_intervals_are_wide() -> None:
    held = np.array([covered(noise(100, seed))[1:, 0] for seed in range(200)])
    assert held[:, :20].mean() > 0.87
    assert held.mean() > 0.88


def test_a_missing_residual_changes_nothing() -> None:
    residuals = noise(100)
    gaps = np.repeat(residuals, 2)
    gaps[1::2] = np.nan
    low, _, S = run(residuals)
    with_gaps, _, T = run(gaps)
    np.testing.assert_array_equal(low[:-1], with_gaps[:-2:2])
    np.testing.assert_array_equal(low[1:], with_gaps[1:-2:2])
    np.testing.assert_array_equal(S, run(gaps[:-1])[2])
    assert T.shape == S.shape


@pytest.mark.parametrize(
    "residuals",
    [
        noise(20_000),
        noise(20_000) * np.exp(np.cumsum(0.02 * noise(20_000, 1))),
        noise(20_000) * np.where(np.arange(20_000) // 700 % 2, 1, 5),
        noise(20_000) + 1.5,
        np.random.default_rng(0).standard_t(2, 20_000),
        np.where(np.random.default_rng(0).random(20_000) < 0.6, 0, noise(20_000)),
    ],
    ids=["noise", "walking spread", "two spreads", "bias", "heavy tails", "ties"],
)
def test_every_window_of_500_rows_holds_its_share(residuals: Array) -> None:
    held = np.cumsum(covered(residuals), axis=0)[500:]
    share = (held[500:] - held[:-500]) / 500
    assert abs(share - 0.9).max() <= 0.03


def test_one_sided_levels_hold_their_share_on_their_side() -> None:
    residuals = np.random.default_rng(0).exponential(size=20_000) - 1
    levels = (Level(0.9, "above"), Level(0.95, "below"))
    low, high, _ = run(residuals, levels)
    assert np.isneginf(low[1:, 0]).all()
    assert np.isposinf(high[1:, 1]).all()
    assert abs((residuals <= high[:, 0]).mean() - 0.9) < 0.01
    assert abs((residuals >= low[:, 1]).mean() - 0.95) < 0.01


def test_a_level_of_one_side_holds_its_share_of_a_biased_forecast() -> None:
    residuals = noise(20_000) + 4 * np.sin(np.arange(20_000) / 1000)
    held = covered(residuals, (Level(0.3, "above"), Level(0.9, "above"), Level(0.9, "below")))
    share = np.cumsum(held, axis=0)[500:]
    share = (share[500:] - share[:-500]) / 500
    assert abs(share - [0.3, 0.9, 0.9]).max() <= 0.04


def test_the_widest_level_is_the_same_whatever_stands_below_it() -> None:
    residuals = np.random.default_rng(0).standard_t(2, 2000)
    low, _, _ = run(residuals, (Level(0.5), Level(0.6), Level(0.9)))
    np.testing.assert_array_equal(low[:, 2], run(residuals)[0][:, 0])


@pytest.mark.parametrize("side", ["both", "above"])
def test_levels_never_cross(side: str) -> None:
    levels = tuple(Level(share, side) for share in (0.5, 0.6, 0.9, 0.95))
    rng = np.random.default_rng(0)
    residuals = rng.choice([0, 1e-3, 1, 1e3], 5000) * rng.standard_normal(5000)
    _, high, _ = run(residuals, levels)
    assert (np.diff(high[1:], axis=1) >= 0).all()


@pytest.mark.parametrize("horizon", [1, 24])
def test_no_interval_is_much_wider_than_the_largest_error(horizon: int) -> None:
    residuals = np.tile(np.repeat([0.0, 1.0], [120, 24]), 200)
    _, high, _ = run(residuals, NINETY, horizon)
    started = high[5_000 * (horizon > 1) + 500 :]
    assert 1 < started.max() < 1.06
    assert 0.8 < covered(residuals, NINETY, horizon).mean() < 0.93


@pytest.mark.parametrize("share", [0.99, 0.999])
def test_a_rare_miss_comes_to_pass_before_the_largest_error_is_forgotten(share: float) -> None:
    missed = 1 - covered(noise(60_000), (Level(share),)).mean()
    assert missed == pytest.approx(1 - share, rel=0.3)


def test_a_row_that_knows_no_largest_error_takes_its_width_for_one() -> None:
    K, (_, state) = constants(NINETY, 1), reference(noise(900)[:, None], NINETY, 1, *ZEROS)
    parts = np.cumsum([0, *columns(1, 1).values()])
    kept = {n: state[:, a:b] for n, a, b in zip(columns(1, 1), parts, parts[1:], strict=False)}
    (_, before), _ = step(
        np.full(1, np.nan), np.zeros(1), 0, K, {**kept, "largest": np.zeros((1, 1))}
    )
    (_, after), made = step(
        np.full(1, 0.01), np.zeros(1), 0, K, {**kept, "largest": np.zeros((1, 1))}
    )
    assert made["largest"] == pytest.approx(before[0, 0])
    assert after[0, 0] > 0.9 * before[0, 0]


def test_bounds_stay_where_the_target_can_be() -> None:
    y = np.full(500, 0.2)
    low, high, _ = run(noise(500), (Level(0.9), Level(0.9, "above")), y=y, lower=0, upper=1)
    assert (low[1:] == 0).all()
    assert high[1:].max() == 1


@pytest.mark.parametrize("size", [1e30, 1e-30, np.inf])
def test_values_beyond_all_measure_are_forgotten(size: float) -> None:
    residuals = noise(2000)
    usual = run(residuals)[1][-1, 0]
    residuals[1000:1003] = size
    low, high, S = run(residuals)
    assert np.isfinite(low[1:]).all()
    assert np.isfinite(S).all()
    assert usual / 3 < high[1200, 0] < usual * 3


@pytest.mark.exhaustive
def test_a_million_constant_rows_are_forgotten_too() -> None:
    _a_constant_run_is_forgotten(1_000_000)


def test_a_long_constant_run_is_forgotten() -> None:
    _a_constant_run_is_forgotten(20_000)


def _a_constant_run_is_forgotten(rows: int) -> None:
    residuals = np.concatenate([noise(1000), np.zeros(rows), noise(1000, 1)])
    low, high, _ = run(residuals)
    usual = high[1:1000, 0].mean()
    assert np.isfinite(low[1:]).all()
    assert usual / 2 < high[1000 + rows + 200, 0] < usual * 2
    assert covered(residuals)[-1000:-800].mean() > 0.75


def test_a_stream_that_never_changed_has_intervals_of_no_width() -> None:
    low, high, _ = run(np.zeros(50), y=3.0)
    assert (low[1:] == 3).all()
    assert (high[1:] == 3).all()


@pytest.mark.parametrize(
    "levels",
    [
        (Level(0.9), Level(0.5)),
        (Level(0.9, "above"), Level(0.9)),
        (Level(0.9), Level(0.9)),
        (Level(1.0),),
        (Level(0.0, "below"),),
        (Level(0.9, "left"),),
    ],
)
def test_impossible_levels_are_refused(levels: Any) -> None:
    with pytest.raises(ModelError, match="intervals: expected"):
        constants(levels, 1)


def test_bounds_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ModelError, match="lower below upper"):
        constants(NINETY, 1, 1.0, 1.0)
