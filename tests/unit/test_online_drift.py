"""The test for drift: its compiled twin, quiet while nothing changes, and soon told."""

from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from streamlstm.kernels.online.drift import drift_step
from streamlstm.online.drift import columns, constants, initial, step

Array = NDArray[Any]


@njit
def _run(S, at, K, k, residuals, told):
    for t in range(residuals.size):
        told[t] = drift_step(S, at, 1, np.float64(K[k]), residuals[t])


def run(residuals: Array, horizon: int = 1) -> tuple[Array, Array]:
    """Return the rows at which drift was told, and the last state."""
    S, K = np.full(12, -7, np.float32), np.concatenate([[-7], constants(horizon)])
    S[3:7] = initial()
    told = np.zeros(len(residuals), bool)
    _run(S, 3, K.astype(np.float32), 1, residuals, told)
    assert (np.delete(S, range(3, 7)) == -7).all()
    return np.flatnonzero(told), S[3:7]


def noise(rows: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(rows)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_compiled_twin_does_what_the_reference_says(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    residuals = rng.standard_t(3, (1200, 4)) * [1, 1e6, 1e-6, 0]
    residuals[600:] *= 5
    residuals[rng.random(residuals.shape) < 0.1] = np.nan
    residuals[rng.random(residuals.shape) < 0.1] = 0
    state: Any = {name: np.zeros((4, 1), dtype) for name in columns()}
    made = []
    for row in residuals.astype(dtype):
        told, state = step(row, constants(1).astype(dtype), state)
        made.append(told)
    rows = np.concatenate(list(state.values()), axis=1)
    assert np.array(made).any(axis=0).tolist() == [True, True, True, False]
    for b in range(4):
        told, S = run(residuals[:, b])
        np.testing.assert_array_equal(told, np.flatnonzero(np.array(made)[:, b]))
        np.testing.assert_allclose(S, rows[b], rtol=1e-3, atol=1e-6)


def autoregression(rows: int, seed: int, share: float) -> Array:
    values = noise(rows, seed)
    for t in range(1, rows):
        values[t] += share * values[t - 1]
    return values


def unchanging(rows: int, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    day = np.sin(2 * np.pi * np.arange(rows) / 288)
    return {
        "noise": rng.standard_normal(rows),
        "heavy tails": rng.standard_t(2, rows),
        "autoregression": np.diff(autoregression(rows, seed, 0.9)),
        "day": np.diff(30 * day + rng.standard_normal(rows)),
        "rare": np.where(rng.random(rows) < 0.02, rng.standard_normal(rows), 0),
    }


@pytest.mark.parametrize("kind", ["noise", "heavy tails", "autoregression", "day", "rare"])
def test_a_stream_that_does_not_change_is_not_said_to(kind: str) -> None:
    assert run(unchanging(100_000)[kind])[0].size == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(3))
def test_false_alarms_are_fewer_than_one_in_100_000_rows(seed: int) -> None:
    for kind, residuals in unchanging(1_000_000, seed).items():
        assert run(residuals)[0].size < 10, kind


def test_overlapping_forecasts_of_a_random_walk_do_not_drift() -> None:
    walk = np.cumsum(noise(300_000))
    assert run(walk[24:] - walk[:-24], horizon=24)[0].size < 3


@pytest.mark.parametrize(("times", "rows"), [(2, 400), (3, 150), (10, 80)])
def test_worse_forecasts_are_told_once_and_soon(times: float, rows: int) -> None:
    for seed in range(20):
        residuals = noise(6000, seed)
        residuals[3000:] *= times
        told, _ = run(residuals)
        assert len(told) == 1
        assert 3000 < told[0] < 3000 + rows


def test_better_forecasts_are_not_told() -> None:
    residuals = noise(6000)
    residuals[3000:] /= 10
    assert run(residuals)[0].size == 0


def test_missing_residuals_change_nothing() -> None:
    residuals = noise(4000)
    residuals[2000:] *= 3
    gaps = np.repeat(residuals, 2)
    gaps[1::2] = np.nan
    told, S = run(residuals)
    told_of_gaps, T = run(gaps)
    np.testing.assert_array_equal(told * 2, told_of_gaps)
    np.testing.assert_array_equal(S, T)


@pytest.mark.parametrize("size", [1e30, 1e-30, np.inf, 1e300])
def test_values_beyond_all_measure_are_forgotten(size: float) -> None:
    residuals = noise(6000)
    residuals[1000:1003] = size
    residuals[4000:] *= 5
    told, S = run(residuals)
    assert np.isfinite(S).all()
    assert len(told) == 1
    assert 4000 < told[0] < 4300


def test_a_stream_that_was_constant_begins_with_its_first_error() -> None:
    told, S = run(np.concatenate([np.zeros(100_000), noise(3000)]))
    assert told.size == 0
    assert abs(S[0] - 0.8) < 0.1
