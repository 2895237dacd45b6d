"""The mix of experts: compiled against specified, and what it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from streamlstm.kernels.online import mixing as kernel
from streamlstm.online import mixing

ANY = st.floats(width=32, allow_nan=False, allow_infinity=False)
FORECAST = st.one_of(ANY, st.just(np.nan), st.floats(-10, 10, width=32))


@njit(error_model="numpy")
def run(S, at, experts, label, scale):  # type: ignore[no-untyped-def]
    """Score the forecasts behind the columns, then mix them."""
    forecasts = at + kernel.LOSSES + experts
    kernel.score(S, at, experts, forecasts, label, 1 / scale)
    return kernel.mix(S, at, experts, forecasts)


@given(
    st.lists(st.tuples(st.lists(FORECAST, min_size=3, max_size=3), ANY, ANY), min_size=1),
    st.sampled_from([1e-3, 1.0, 1e6]),
)
def test_the_kernel_does_what_is_specified(
    rows: list[tuple[list[float], float, float]], scale: float
) -> None:
    S = np.zeros(1 + kernel.LOSSES + 4 + 5, np.float32)
    columns, forecasts = S[1 : 1 + kernel.LOSSES + 4], S[1 + kernel.LOSSES + 4 :]
    error, count, losses = np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 1, 4))
    for experts, told, label in rows:
        forecasts[:] = [*experts, 0.5, told]
        made = forecasts[None, None, :].astype(np.float64)
        missed = np.abs(made - label) / scale
        error, count, losses = mixing.score(missed[..., :4], missed[..., 4], error, count, losses)
        mixed = run(S, 1, 4, label, scale)
        wanted = np.concatenate([error[0], count[0], losses[0, 0]])
        np.testing.assert_allclose(columns, wanted, 1e-4, 1e-6)
        assert np.isfinite(S[~np.isnan(S)]).all()
        spread = np.nanmin(made[..., :4]), np.nanmax(made[..., :4])
        error, count = columns[None, :1].astype(float), columns[None, 1:2].astype(float)
        losses = columns[None, None, 2:].astype(float)
        np.testing.assert_allclose(mixed, mixing.mix(made[..., :4], losses)[0, 0], 1e-6)
        assert spread[0] - 1e-6 * abs(spread[0]) <= mixed <= spread[1] + 1e-6 * abs(spread[1])


def follow(errors: np.ndarray) -> np.ndarray:
    """Return the mix's error at each row, of experts that miss a label of 0 by errors[n, E]."""
    S, told = np.zeros(kernel.LOSSES + errors.shape[1] * 2 + 1, np.float32), []
    forecasts = S[kernel.LOSSES + errors.shape[1] :]
    mixed = 0.0
    for row in errors:
        forecasts[:-1], forecasts[-1] = row, mixed
        told.append(mixed)
        run(S, 0, errors.shape[1], 0.0, 1.0)
        forecasts[:-1] = row
        mixed = run_mix(S, errors.shape[1])
    return np.array(told)


@njit(error_model="numpy")
def run_mix(S, experts):  # type: ignore[no-untyped-def]
    """Mix what stands behind the columns."""
    return kernel.mix(S, 0, experts, kernel.LOSSES + experts)


def test_it_follows_the_best_expert_within_a_few_hundred_rows() -> None:
    rng = np.random.default_rng(0)
    spread = np.ones((4000, 3))
    spread[:2000, 0], spread[2000:, 1] = 0.5, 0.5
    errors = (spread * rng.standard_normal((4000, 3))).astype(np.float32)
    told = np.abs(follow(errors))
    best = 0.5 * (2 / np.pi) ** 0.5
    for rows in (slice(500, 2000), slice(2500, 4000)):
        assert told[rows].mean() < 1.05 * best


def test_experts_that_are_alike_are_averaged() -> None:
    rng = np.random.default_rng(0)
    errors = rng.standard_normal((3000, 2)).astype(np.float32)
    told = np.abs(follow(errors))[500:].mean()
    assert told < 0.8 * np.abs(errors).mean()


@pytest.mark.parametrize("constant", [0.0, 1e-30, 1e30])
def test_a_perfect_expert_is_followed_to_the_digit(constant: float) -> None:
    errors = np.zeros((400, 2), np.float32)
    errors[:, 1] = constant
    assert abs(follow(errors)[-1]) < 1e-37


def test_an_expert_that_joins_late_is_not_taken_for_the_best() -> None:
    rng = np.random.default_rng(0)
    errors = rng.standard_normal((1000, 3)).astype(np.float32)
    errors[:, 0] *= 0.1
    errors[:500, 2] = np.nan
    told = np.abs(follow(errors))
    assert np.isfinite(told).all()
    assert told[500:].mean() < 0.1


def test_one_outlier_does_not_decide() -> None:
    rng = np.random.default_rng(0)
    errors = rng.standard_normal((1500, 2)).astype(np.float32)
    errors[:, 0] *= 0.5
    errors[1000, 0] = 1e30
    told = np.abs(follow(errors))
    assert told[1002:].mean() < 1.05 * 0.5 * (2 / np.pi) ** 0.5


def test_a_series_that_grows_a_thousandfold_is_followed() -> None:
    rng = np.random.default_rng(0)
    errors = rng.standard_normal((1000, 2)).astype(np.float32)
    errors[500:] *= 1000
    errors[500:, 1] *= 0.1
    told = np.abs(follow(errors))
    assert told[700:].mean() < 1.3 * 100 * (2 / np.pi) ** 0.5
