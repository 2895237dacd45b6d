"""Running scaling of each stream: kernel against specification, hard inputs, and its promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import float64, njit

from streamlstm import Engine, Online
from streamlstm.kernels.online.scaling import (
    COLUMNS,
    COUNT,
    SPREAD,
    learn_scale,
    mean_of,
    scale_value,
    width_of,
)
from streamlstm.online import scaling

from ..contract.models import staged

AT = 3  # an offset, so that an index without it would be seen


@njit
def run(S, X, missing, K, Z, Y):
    F = X.shape[1]
    for t in range(X.shape[0]):
        for i in range(F):
            value, unit = float64(X[t, i]), float64(K[i])
            if not missing[t, i]:
                learn_scale(S, AT, F, i, value, unit)
            Z[t, i] = scale_value(S, AT, F, i, value, unit)
            Y[t, i] = mean_of(S, AT, F, i) + Z[t, i] * width_of(S, AT, F, i, unit)


def compiled(X, missing=None, unit=None):
    """Return z, what z is in the unit of its input, and the state row after all rows."""
    X = np.ascontiguousarray(X, np.float32)
    X = X[:, None] if X.ndim == 1 else X
    F = X.shape[1]
    missing = np.zeros(X.shape, bool) if missing is None else missing
    S = np.full(AT + F * COLUMNS, np.nan, np.float32)
    S[AT:] = scaling.initial(F)
    Z, Y = np.empty_like(X), np.empty_like(X)
    K = scaling.constants(np.ones(F) if unit is None else unit)
    run(S, X, missing, K, Z, Y)
    assert np.isnan(S[:AT]).all()
    return Z, Y, S[AT:]


def specified(X, missing, unit, dtype):
    X = np.asarray(X, np.float32)
    sizes = scaling.columns(X.shape[1])
    state = {name: np.zeros((1, n), dtype) for name, n in sizes.items()}
    Z = []
    for x, gone in zip(X, missing, strict=True):
        z, state = scaling.step(x[None], ~gone[None], np.float32(unit), state)
        Z.append(z[0])
    return np.array(Z), np.concatenate([state[name][0] for name in sizes])


def test_it_is_what_the_specification_says_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3)) * [1, 1e4, 1e-3] + [0, 1e6, 5]
    X[50, 0], X[0, 1], X[200:, 2] = 1e30, -999, X[200:, 2] * 1e4
    X[100:180, 1] = 7
    missing, unit = rng.random((400, 3)) < 0.2, [1, 10, 1e-3]
    Z, _, row = compiled(X, missing, unit)
    expected, state = specified(X, missing, unit, np.float32)
    assert np.array_equal(Z, expected.astype(np.float32))
    assert np.array_equal(row, state)


def test_float64_gives_the_same_to_single_precision() -> None:
    rng = np.random.default_rng(1)
    X, missing = rng.standard_normal((3000, 1)) * 3 + 101_325, np.zeros((3000, 1), bool)
    Z, _, _ = compiled(X)
    expected, _ = specified(X, missing, [1], np.float64)
    assert np.abs(Z - expected).max() < 1e-4


HARD = [0.0, 1.0, -1.0, 1e-30, -1e-30, 1e30, -1e30, 3e38, 1e-45, 7.5]


@given(st.lists(st.tuples(st.sampled_from(HARD), st.booleans()), min_size=1, max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_values_leave_it_finite_and_as_specified(rows: list[tuple[float, bool]]) -> None:
    X, missing = np.array([[x] for x, _ in rows]), np.array([[gone] for _, gone in rows])
    Z, _, row = compiled(X, missing)
    assert np.isfinite(Z).all()
    assert np.isfinite(row).all()
    assert (np.abs(Z) <= 8).all()
    expected, state = specified(X, missing, [1], np.float32)
    assert np.array_equal(Z, expected.astype(np.float32))
    assert np.array_equal(row, state)


def test_the_first_values_have_the_size_of_later_ones() -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((5000, 200)) * 40 + 1000
    Z, _, _ = compiled(X)
    assert (Z[0] == 0).all()
    assert np.allclose(np.abs(Z[1]), 0.5)
    assert (np.abs(Z[:100]) > 4).mean() < 0.01
    assert 0.8 < Z[20:100].std() < 1.25
    assert 0.95 < Z[1000:].std() < 1.05
    assert np.abs(Z[1000:].mean(axis=0)).max() < 0.3


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("level", [0.0, -3.0, 50.0])
def test_level_and_unit_make_no_difference(factor: float, level: float) -> None:
    x = np.random.default_rng(3).standard_normal(500) + level
    Z, Y, _ = compiled(x * factor)
    expected, _, _ = compiled(x)
    assert np.allclose(Z, expected, atol=2e-3)
    assert np.allclose(Y[:, 0], x * factor, rtol=1e-3, atol=1e-3 * factor)


def recovered(Z, x) -> bool:
    """Tell whether the last rows are scaled as rows of standard deviation 1 should be."""
    return bool(0.4 < Z[-100:].std() < 2.0 and np.corrcoef(Z[-100:, 0], x[-100:])[0, 1] > 0.95)


SPIKES = [1e30, -1e30, 3e38, -999.0, 65_535.0]


@pytest.mark.parametrize("value", SPIKES)
@pytest.mark.parametrize("place", [0, 1, 2, 7, 30, 500])
def test_a_spike_is_forgotten_within_200_rows(place: int, value: float) -> None:
    x = np.random.default_rng(4).standard_normal(place + 300) + 20
    x[place] = value
    Z, _, _ = compiled(x)
    assert recovered(Z, x)


@pytest.mark.parametrize("value", [1e30, -1e30, 3e38, 65_535.0])
@pytest.mark.parametrize("constant", [2, 30, 500, 5000])
@pytest.mark.parametrize("level", [20.0, 0.0])
def test_a_spike_on_a_constant_stream_is_forgotten_within_200_rows(
    level: float, constant: int, value: float
) -> None:
    noise = np.random.default_rng(4).standard_normal(300)
    x = np.concatenate([np.full(constant, level), [value], level + noise])
    Z, _, _ = compiled(x)
    assert abs(Z[constant, 0]) == 8
    assert recovered(Z, x)


@pytest.mark.parametrize("value", SPIKES)
@pytest.mark.parametrize("place", [1, 60, 500])
def test_predictions_are_as_if_there_had_been_no_spike_200_rows_later(
    place: int, value: float
) -> None:
    model = staged(Online(scale="stream"), 1)
    x = (20 + np.random.default_rng(5).standard_normal((place + 250, 3))).astype(np.float32)
    spiked = x.copy()
    spiked[place, :] = value
    expected, Y = (Engine(model, 2).run("a", rows) for rows in (x, spiked))
    assert np.isfinite(Y).all()
    assert np.abs(Y - expected)[place + 200 :].max() < 0.2


@pytest.mark.parametrize("value", SPIKES)
def test_a_spike_of_a_long_stream_changes_little(value: float) -> None:
    x = np.random.default_rng(5).standard_normal(3000) + 20
    spiked = x.copy()
    spiked[2000] = value
    Z, expected = compiled(spiked)[0], compiled(x)[0]
    assert abs(Z[2000, 0]) == 8
    assert np.abs(Z[2001:] - expected[2001:]).max() < 0.2


@pytest.mark.parametrize("factor", [1e30, -1e30, 1e6])
@pytest.mark.parametrize("before", [60, 1000])
def test_a_stream_whose_unit_changes_recovers_within_200_rows(before: int, factor: float) -> None:
    x = np.random.default_rng(6).standard_normal(before + 300) + 20
    x[before:] *= factor
    Z, _, _ = compiled(x)
    assert recovered(Z, x / abs(factor))


@pytest.mark.parametrize("shift", [-40.0, 1e4])
@pytest.mark.parametrize("before", [10, 60, 1000])
def test_another_level_is_out_of_bounds_for_50_rows_at_most(before: int, shift: float) -> None:
    x = np.random.default_rng(6).standard_normal(before + 300) + 20
    x[before:] += shift
    Z, _, _ = compiled(x)
    assert (np.abs(Z[before + 51 :]) < 8).all()


@pytest.mark.parametrize("calm", [0.0, 1e-3, 1.0])
def test_a_stream_of_two_levels_is_scaled_by_both(calm: float) -> None:
    """A machine that rests at night: each change is no surprise after the first."""
    rng = np.random.default_rng(9)
    day = np.arange(6000) // 120 % 2
    x = np.where(day, 80 + 3 * rng.standard_normal(6000), calm * rng.standard_normal(6000))
    Z, _, _ = compiled(x)
    assert (np.abs(Z) == 8).sum() < 60
    assert 0.8 < Z[1000:].std() < 1.2


@pytest.mark.parametrize("level", [0.0, 5.0, -1e30, 1e-30])
def test_a_million_constant_rows_and_then_a_change(level: float) -> None:
    x = np.full(1_000_300, level)
    noise = np.random.default_rng(7).standard_normal(300)
    x[-300:] += noise * max(abs(level), 1e-3) * 0.1
    Z, _, _ = compiled(x)
    assert (Z[:-300] == 0).all()
    assert recovered(Z, x / max(abs(level), 1e-3))


def test_missing_values_change_nothing() -> None:
    rng = np.random.default_rng(8)
    x, missing = rng.standard_normal(200) + 20, rng.random(200) < 0.3
    _, _, without = compiled(x[~missing])
    x[missing] = 1e9
    Z, _, row = compiled(x, missing[:, None])
    assert np.array_equal(row, without)
    assert (Z[missing][10:] == 8).all()
    assert (compiled(x, np.ones((200, 1), bool))[0] == 0).all()


def test_the_count_stops() -> None:
    S = np.zeros(AT + COLUMNS, np.float32)
    S[AT + COUNT], S[AT + SPREAD] = 2.0**24 - 1, 1.0
    X = np.ones((3, 1), np.float32)
    run(S, X, np.zeros((3, 1), bool), np.ones(1, np.float32), X.copy(), X.copy())
    assert S[AT + COUNT] == 2.0**24 - 1
