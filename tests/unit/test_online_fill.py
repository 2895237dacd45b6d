"""Filling of missing inputs: kernel against specification, hard inputs, and its promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from streamlstm.kernels.online.fill import ABSENT, FILLED_SOME, REFUSED, fill_step, trust_of
from streamlstm.online import fill

AT, TO = 2, 1


@njit
def run(S, X, Y, F, K, flags, trusts):
    for t in range(X.shape[0]):
        flags[t] = fill_step(S, AT, F, X[t], TO, Y[t], TO, K, 1)
        if trusts.shape[0] > 0:
            for i in range(F):
                trusts[t, i] = trust_of(S, AT, F, i)


class Filled:
    """What the kernel made of rows: values, flags, trust after each row, and the state."""

    def __init__(self, x, own=None, methods=None, max_gap=50, mean=None, unit=None) -> None:
        x = np.asarray(x, np.float32)
        x = x[:, None] if x.ndim == 1 else x
        T, F = x.shape
        own = np.full(x.shape, np.nan) if own is None else np.asarray(own).reshape(T, F)
        self.methods = ("predict",) * F if methods is None else methods
        mean, unit = np.zeros(F) if mean is None else mean, np.ones(F) if unit is None else unit
        K = np.append(np.float32(np.nan), fill.constants(self.methods, max_gap, mean, unit))
        start = fill.initial(self.methods)
        S = np.append(np.full(AT, np.nan, np.float32), start)
        X, Y = np.full((T, F + 2), 7, np.float32), np.full((T, F + 2), np.nan, np.float32)
        X[:, TO:-1], Y[:, TO:-1] = x, own
        self.flags = np.empty(T, np.int64)
        self.trust = np.empty((T if "path" in fill.columns(self.methods) else 0, F))
        run(S, X, Y, F, K, self.flags, self.trust)
        assert (X[:, [0, -1]] == 7).all()
        assert np.isnan(S[:AT]).all()
        self.x, self.row = X[:, TO:-1], S[AT:]
        self.given = x, Y[:, TO:-1], max_gap, np.float32(mean), np.float32(unit)

    def check(self) -> "Filled":
        """Compare with the specification, to the bit."""
        x, own, max_gap, mean, unit = self.given
        sizes = fill.columns(self.methods)
        state = {name: np.zeros((1, n), np.float32) for name, n in sizes.items()}
        for t in range(len(x)):
            z, flags, state = fill.step(
                x[t][None], own[t][None], self.methods, max_gap, mean, unit, state
            )
            assert np.array_equal(self.x[t], z[0], equal_nan=True), t
            assert self.flags[t] == np.bitwise_or.reduce(flags[0]), t
        assert np.array_equal(self.row, np.concatenate([state[name][0] for name in sizes]))
        return self


ALL = ("last", "mean", "zero", "predict", "refuse")


def test_it_is_what_the_specification_says_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 5)).cumsum(axis=0) * [1, 1e4, 1, 1e-3, 1]
    own = x + rng.standard_normal(x.shape) * [1, 1e4, 1, 1e-3, 1]
    own[rng.random(x.shape) < 0.1] = np.nan
    x[rng.random(x.shape) < [0.3, 0.3, 0.3, 0.3, 0.02]] = np.nan
    x[100:180, 3], x[300:400, 1], x[:10, 2] = np.nan, np.nan, np.nan
    x[50, 3], x[51, 1] = 1e30, -1e30
    Filled(x, own, ALL, max_gap=20, mean=[1, 2, 3, 4, 5], unit=[1, 10, 1, 2, 1]).check()
    Filled(x[:, 3], own[:, 3], max_gap=20).check()
    Filled(x[:, [0, 2]], own[:, [0, 2]], ("last", "zero"), max_gap=20).check()


HARD = [0.0, 1.0, -1.0, 1e-30, 1e30, -1e30, 3e38, 1e-45, 7.5, np.nan]
row = st.tuples(st.sampled_from(HARD), st.sampled_from([*HARD, np.inf]), st.integers(0, 1))


@given(st.lists(row, min_size=1, max_size=60), st.sampled_from(ALL), st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_any_values_leave_it_finite_and_as_specified(rows: list, method: str, gap: int) -> None:
    x = np.array([[x, x if same else 1.0] for x, _, same in rows])
    own = np.array([[own, own] for _, own, _ in rows])
    filled = Filled(x, own, (method, "predict"), max_gap=gap).check()
    assert np.isfinite(filled.row).all()
    assert np.isfinite(filled.x[filled.flags & REFUSED == 0]).all()
    assert ((filled.trust >= 0) & (filled.trust <= 1)).all()


def test_each_method() -> None:
    x = np.array([2.0, 4, np.nan, np.nan, 6])
    assert Filled(x, methods=("last",)).x[:, 0].tolist() == [2, 4, 4, 4, 6]
    assert Filled(x, methods=("zero",)).x[:, 0].tolist() == [2, 4, 0, 0, 6]
    assert np.allclose(Filled(x, methods=("mean",)).x[:, 0], [2, 4, 3.6, 3.6, 6])
    half = Filled(x, np.full(5, 8.0)).x[:, 0]
    assert half[3] > half[2] > 4
    assert Filled(x).flags.tolist() == [0, 0, FILLED_SOME, FILLED_SOME, 0]


def test_a_row_that_is_refused_changes_nothing() -> None:
    x = np.array([[1.0, 2], [np.nan, 3], [4, np.nan], [5, np.nan]])
    filled = Filled(x, methods=("refuse", "last"))
    assert filled.flags.tolist() == [0, REFUSED, FILLED_SOME, FILLED_SOME]
    assert np.array_equal(filled.x, [[1, 2], [np.nan, 3], [4, 2], [5, 2]], equal_nan=True)


@pytest.mark.parametrize("method", ["last", "mean", "zero", "predict"])
def test_a_gap_has_an_end(method: str) -> None:
    x = np.array([np.nan, np.nan, 3, 5, *[np.nan] * 8, 7, np.nan])
    filled = Filled(x, np.full(14, 6.0), (method,), max_gap=5, mean=[-2.0])
    absent = [0, 1, 9, 10, 11]
    assert np.flatnonzero(filled.flags & ABSENT).tolist() == absent
    assert filled.x[absent, 0].tolist() == [-2, -2, 5, 5, 5]
    assert (filled.flags[np.isnan(x)] & FILLED_SOME != 0).all()


def test_predict_lies_between_the_last_value_and_the_forecast_in_short_gaps() -> None:
    rng = np.random.default_rng(1)
    x, own = rng.standard_normal(2000).cumsum(), rng.standard_normal(2000).cumsum()
    missing = rng.random(2000) < 0.3
    filled = Filled(np.where(missing, np.nan, x), own).check().x[:, 0]
    first = missing[1:] & ~missing[:-1]
    before, own = filled[:-1], own[1:]
    low, high = np.minimum(before, own), np.maximum(before, own)
    assert ((filled[1:] >= low - 1e-5) & (filled[1:] <= high + 1e-5))[first].all()


def test_long_gaps_teach_how_much_of_the_path_to_keep() -> None:
    """One step ahead the forecast is right, but its errors add up: only long gaps can tell."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal(8000)
    missing = np.zeros(8000, bool)
    for start in range(100, 7900, 100):
        missing[start : start + rng.integers(8, 45)] = True
    fed = np.where(missing, np.nan, x)

    def served(drift: float) -> np.ndarray:
        own, filled = np.full(8000, np.nan, np.float32), np.zeros(8000, np.float32)
        S, K = fill.initial(("predict",)), fill.constants(("predict",), 50, [0.0], [1.0])
        for t in range(8000):
            X = np.array([fed[t]], np.float32)
            step_once(S, X, own[t : t + 1], K)
            filled[t] = X[0]
            if t < 7999:
                own[t + 1] = X[0] + drift if missing[t + 1] and missing[t] else x[t + 1]
        return np.abs(filled - x)

    @njit
    def step_once(S, X, Y, K):
        fill_step(S, 0, 1, X, 0, Y, 0, K, 0)

    late = missing & (np.arange(8000) > 4000)
    still, drifting = served(0.0)[late].mean(), served(0.5)[late].mean()
    assert drifting < 4 * still  # without that, more than six times


def mean_reverting(seed: int, rows: int = 6000):
    """Values that go back to 5 within some rows, and gaps of 60 rows from the 3,000th on."""
    rng = np.random.default_rng(seed)
    x, missing = np.full(rows, 5.0), np.zeros(rows, bool)
    for t in range(1, rows):
        x[t] = 5 + 0.8 * (x[t - 1] - 5) + rng.standard_normal()
    for start in range(3000, rows, 100):
        missing[start : start + 60] = True
    return x, missing


def test_values_that_came_tell_what_a_long_gap_does() -> None:
    """They go back to the middle in so many rows, though the forecasts of one step are bad."""
    x, missing = mean_reverting(9)
    rows = np.where(missing, np.nan, x)
    last = np.abs(Filled(rows, methods=("last",)).x[:, 0] - x)[missing].mean()
    own = np.full(len(x), 5.0)
    assert np.abs(Filled(rows, own).x[:, 0] - x)[missing].mean() < 0.85 * last


def test_a_stream_that_walks_stays_where_it_was() -> None:
    rng = np.random.default_rng(10)
    x, missing = rng.standard_normal(6000).cumsum(), mean_reverting(0)[1]
    rows = np.where(missing, np.nan, x)
    own = np.append(0, x[:-1]) + 0.1 * rng.standard_normal(6000)
    own[missing] = np.nan
    last = np.abs(Filled(rows, methods=("last",)).x[:, 0] - x)[missing].mean()
    assert np.abs(Filled(rows, own).x[:, 0] - x)[missing].mean() < 1.03 * last


def test_forecasts_that_drift_where_nothing_changes_are_not_kept() -> None:
    """The value rests at 0 and jumps back from 20: few rows decide the mean error."""
    rng = np.random.default_rng(11)
    jumps = rng.random(4000) < 0.03
    x = np.where(jumps, 20.0, 0.0)
    own = np.full(4000, -0.01)
    missing = np.zeros(4000, bool)
    for start in range(3000, 4000, 200):
        missing[start : start + 80] = True
    x[missing] = own[missing] = 0
    for start in range(3000, 4000, 200):
        own[start : start + 80] = -0.01 * np.arange(1, 81)
    filled = Filled(np.where(missing, np.nan, x), own).x[:, 0]
    gap = np.arange(4000) % 200
    assert np.abs(filled[missing & (gap >= 10)]).max() < 0.1


def sine_with_gaps(seed: int, rows: int = 3000):
    rng = np.random.default_rng(seed)
    x = 10 + 3 * np.sin(np.arange(rows) / 8) + 0.1 * rng.standard_normal(rows)
    missing = np.zeros(rows, bool)
    for start in rng.integers(10, rows - 10, rows // 30):
        missing[start : start + 6] = True
    return x, missing


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_good_forecasts_are_believed_and_bad_ones_not(scale: float) -> None:
    x, missing = sine_with_gaps(2)
    seen = np.where(missing, np.nan, x * scale)
    good = Filled(seen, 10 * scale + 3 * scale * np.sin(np.arange(3000) / 8)).check()
    assert (good.trust[200:] > 0.9).all()
    error = np.abs(good.x[:, 0] - x * scale)[missing]
    last = np.abs(Filled(seen, methods=("last",)).x[:, 0] - x * scale)[missing]
    assert error.mean() < 0.2 * last.mean()
    noise = np.random.default_rng(3).standard_normal(3000) * 20 * scale
    bad = Filled(seen, noise).check()
    assert (bad.trust[200:] < 0.2).all()


def test_trust_that_is_lost_is_won_again() -> None:
    x, _ = sine_with_gaps(4, 6000)
    own = 10 + 3 * np.sin(np.arange(6000) / 8)
    own[2000:4000] = 20 - own[2000:4000]
    trust = Filled(x, own).trust[:, 0]
    assert trust[1999] > 0.9
    assert trust[3999] < 0.1
    assert trust[-1] > 0.6


@pytest.mark.parametrize("spike", [1e30, -1e30, 3e38, 1e4])
@pytest.mark.parametrize("place", [0, 1, 2, 1500])
def test_a_spike_is_forgotten_within_200_rows(place: int, spike: float) -> None:
    x, missing = sine_with_gaps(5)
    own = 10 + 3 * np.sin(np.arange(3000) / 8)
    x[place], missing[place] = spike, False
    own[place + 1] = spike
    filled = Filled(np.where(missing, np.nan, x), own)
    later = np.zeros(3000, bool)
    later[place + 200 :] = True
    assert np.abs(filled.x[:, 0] - x)[missing & later].mean() < 0.6


def test_a_million_constant_rows_and_then_gaps() -> None:
    x, missing = sine_with_gaps(6)
    own = 10 + 3 * np.sin(np.arange(3000) / 8)
    constant = np.full(1_000_000, x[0], np.float32)
    rows = np.append(constant, np.where(missing, np.nan, x))
    filled = Filled(rows, np.append(constant, own))
    later = filled.x[1_000_200:, 0]
    assert np.abs(later - x[200:])[missing[200:]].mean() < 0.6


def test_all_missing_is_the_training_mean_and_says_so() -> None:
    filled = Filled(np.full((500, 2), np.nan), np.ones((500, 2)), mean=[3.0, -1.0])
    assert (filled.x == [3, -1]).all()
    assert (filled.flags == FILLED_SOME | ABSENT).all()


def test_without_a_forecast_it_is_the_last_value() -> None:
    x, missing = sine_with_gaps(7)
    rows = np.where(missing, np.nan, x)
    assert np.array_equal(Filled(rows).x, Filled(rows, methods=("last",)).x)


def test_only_the_columns_that_are_needed_are_there() -> None:
    assert sum(fill.columns(("last", "zero")).values()) == 8
    assert sum(fill.columns(("last", "predict")).values()) == 66
    assert sum(fill.columns(("mean", "predict", "last")).values()) == 114
