"""The anomaly stage: compiled, it is what the reference says; both keep what they promise."""

from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from streamlstm.errors import ModelError
from streamlstm.kernels.online import anomaly_columns as kernel
from streamlstm.kernels.online.anomaly import anomaly_step
from streamlstm.online.anomaly import KINDS, columns, constants, initial, step

Array = NDArray[Any]
NAN = np.nan
AT, PLACE = 3, 2  # the columns and the constants do not begin at 0


@njit
def _run(S, at, values, residuals, times, K, k, rows, made):
    for n in range(values.size):
        made[n] = anomaly_step(S, at, values[n], residuals[n], times[n], K, k)
        if n < len(rows):
            rows[n] = S[at : at + rows.shape[1]]


def run(
    values: Array, residuals: Array | None = None, times: Array | None = None,
    rate: float = 1e-4, record: bool = False,
) -> tuple[Array, Array]:  # fmt: skip
    """Return outputs [T, 4], and the rows after each step if asked for, else the last alone."""
    values = np.asarray(values, float)
    start = initial()
    S, table = np.full(len(start) + 6, -7, np.float32), np.full(6, -7, np.float32)
    S[AT : AT + len(start)], table[PLACE : PLACE + 2] = start, constants(rate)
    rows = np.zeros((len(values) if record else 0, len(start)), np.float32)
    errors = np.diff(values, prepend=NAN) if residuals is None else residuals
    times = 300.0 * np.arange(len(values)) if times is None else times
    made = np.empty((len(values), 4))
    _run(S, AT, values, errors, times, table, PLACE, rows, made)
    assert (S[:AT] == -7).all()
    assert (S[AT + len(start) :] == -7).all()
    return made, rows if record else S[AT : AT + len(start)].copy()


def noise(rows: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(rows)


def state_of(rows: Array, dtype: Any) -> dict[str, Array]:
    ends = np.cumsum(list(columns().values()))
    parts = np.split(rows.astype(dtype), ends[:-1], axis=1)
    return dict(zip(columns(), parts, strict=True))


def hard_series() -> Array:
    """Noise with a jump, a spike, calm, unrest, gaps, sign flips, and values of all sizes."""
    x = noise(1200, 1)
    x[300:] += 9
    x[400], x[500:540], x[600:640] = 60, 5, 20 * x[600:640]
    x[[650, 652]], x[700:715] = NAN, NAN
    x[800:820] *= np.where(np.arange(20) % 2, 1e30, -1e30)
    x[900:960], x[1000:1100] = 1e-30, 3.0
    return x


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_kernel_is_what_the_reference_says(dtype: Any) -> None:
    x = hard_series()
    times = 1.4e9 + 1800.0 * np.arange(len(x))
    times[:10], times[20:30] = NAN, times[19]
    errors = np.diff(x, prepend=NAN)
    errors[50:60] = NAN
    made, rows = run(x, errors, times, rate=0.01, record=True)
    before = np.concatenate([initial()[None], rows[:-1]])
    outputs, state = step(x, errors, times, constants(0.01), state_of(before, dtype))
    assert (made[:, 2] > 0).sum() > 3
    tolerance = 1e-5
    for n, (name, output) in enumerate(zip(("score", "p", "alarm", "kind"), outputs, strict=True)):
        np.testing.assert_allclose(output, made[:, n], tolerance, tolerance, err_msg=name)
    for name, array in state_of(rows, dtype).items():
        np.testing.assert_allclose(state[name], array, 1e-5, 1e-6, err_msg=name)


def test_the_columns_are_those_of_the_kernel() -> None:
    assert sum(columns().values()) == kernel.SIZE == len(initial())
    names = list(columns())
    assert names.index("kind") == kernel.KIND
    assert sum(list(columns().values())[: names.index("season_weights")]) == kernel.SEASON
    assert KINDS[kernel.MISSING] == "missing"
    assert KINDS[kernel.NOVEL] == "novelty"
    assert len(initial()) <= 150


def test_a_rate_that_is_none_is_refused() -> None:
    for rate in (0.0, -1e-4, 0.5, NAN):
        with pytest.raises(ModelError, match="alarm rate"):
            constants(rate)


def sines(rows: int) -> Array:
    return 10 * np.sin(2 * np.pi * np.arange(rows) / 288)


def spoiled(kind: str, x: Array, forecast: Array) -> tuple[Array, Array]:
    """Return values and residuals that are abnormal from row 3,000 on."""
    late = np.arange(len(x)) >= 3000
    forecast = np.where(late & (kind == "novelty"), NAN, forecast)
    if kind == "spike":
        x = np.where(np.arange(len(x)) == 3000, x + 12, x)
    elif kind == "missing":
        x = np.where(np.arange(len(x)) // 40 == 75, NAN, x)
    elif kind == "variance":
        x = np.where(late, forecast + 6 * np.where(np.arange(len(x)) % 2, 1, -1), x)
    else:
        x = np.where(late, {"level": x + 4, "calm": forecast, "novelty": x + 25}[kind], x)
    return x, x - forecast


@pytest.mark.parametrize("kind", KINDS[1:])
def test_what_is_abnormal_is_told_and_why(kind: str) -> None:
    forecast = sines(4000)
    clean = forecast + noise(4000)
    quiet, _ = run(clean, clean - forecast, rate=1e-3)
    told, _ = run(*spoiled(kind, clean, forecast), rate=1e-3)
    assert not quiet[2500:3200, 2].any()
    assert told[3000:3100, 2].any()
    assert kind in [KINDS[int(n)] for n in told[3000:3100, 3]]


def test_a_spike_scores_highest_and_is_told_once() -> None:
    x = noise(5000)
    x[4000] += 12
    made, _ = run(x, x)
    assert made[4000, 0] > 1.5
    assert made[:, 1].argmin() == 4000
    assert made[4000, 1] < 1e-5
    assert made[4000, 2] == 1
    assert not made[4001:4016, 2].any()
    assert made[4001, 3] == made[4000, 3] > 0  # it still stands


def autoregression(rows: int, seed: int, a: float) -> tuple[Array, Array]:
    made = _autoregression(noise(rows, seed), a)
    return made, noise(rows, seed)


@njit
def _autoregression(e: Array, a: float) -> Array:
    x = np.empty(e.size)
    last = 0.0
    for n in range(e.size):
        last = a * last + e[n]
        x[n] = last
    return x


SIMULATED = {
    "noise": (0.0, 0.0),
    "autoregression": (0.9, 0.0),
    "season": (0.5, 8.0),
    "random walk": (1.0, 0.0),
}


def simulated(name: str, rows: int, seed: int) -> tuple[Array, Array]:
    a, season = SIMULATED[name]
    x, e = autoregression(rows, seed, a)
    return x + season * np.sin(2 * np.pi * np.arange(rows) / 288), e


@pytest.mark.parametrize("name", SIMULATED)
def test_false_alarms_come_at_a_rate_between_a_third_and_once_the_owners(name: str) -> None:
    rows = 300_000
    made, _ = run(*simulated(name, rows, 3), rate=1e-3)
    assert rows * 1e-3 / 3 <= made[:, 2].sum() <= rows * 1e-3
    for p, slack in ((0.1, 1.2), (0.01, 1.2), (0.001, 1.6)):
        assert p / slack <= np.mean(made[:, 1] <= p) <= p * slack


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SIMULATED)
def test_false_alarms_of_a_million_rows(name: str, seed: int) -> None:
    made, _ = run(*simulated(name, 1_000_000, seed))
    assert 100 / 3 <= made[:, 2].sum() <= 100


def test_alarms_are_few_on_a_stream_that_is_abnormal_all_the_time() -> None:
    x = noise(200_000) ** 9
    made, _ = run(x, x, rate=1e-3)
    assert made[:, 2].sum() <= 200


STEADY = {"noise": (0.0, 0.0), "autoregression": (0.9, 0.0), "season": (0.5, 8.0)}


@pytest.mark.parametrize("name", STEADY)
def test_a_sensor_that_is_stuck_is_told_as_calm_within_twelve_rows(name: str) -> None:
    x, _ = simulated(name, 6000, 5)
    x[4000:4300] = x[3999]
    made, _ = run(x)
    assert not made[2000:4000, 2].any()
    first = int(np.argmax(made[4000:, 2] > 0))
    assert first < 12
    assert KINDS[int(made[4000 + first, 3])] == "calm"
    assert made[4000 : 4000 + first + 100, 2].sum() == 1
    assert made[4000 + first, 1] < 1e-4


@pytest.mark.parametrize(("name", "rows"), [("noise", 1000), ("noise", 300), ("season", 300)])
def test_a_slow_rise_is_told_as_a_level(name: str, rows: int) -> None:
    """Five standard deviations; the forecasts follow it, and only the calendar's error grows."""
    x, e = simulated(name, 8000, 6)
    x[5000:] += 5 * x[:5000].std() * np.minimum(np.arange(1, 3001) / rows, 1)
    made, _ = run(x, e)
    assert not made[2000:5000, 2].any()
    first = int(np.argmax(made[5000:, 2] > 0))
    assert 0 < first < rows
    assert KINDS[int(made[5000 + first, 3])] == "level"


def test_values_that_often_repeat_are_stuck_only_if_they_do_so_for_longer_than_ever() -> None:
    """A sensor of whole numbers, and one that rests every night."""
    whole, _ = simulated("autoregression", 40_000, 7)
    whole = np.round(whole / 4)
    night = np.where(np.arange(40_000) % 288 < 96, 3.0, 5 + noise(40_000))
    for x in (whole, night):
        made, _ = run(x)
        calm = made[3000:, 3][made[3000:, 2] > 0] == KINDS.index("calm")
        assert calm.sum() <= 2
        x[30_000:31_000] = x[30_000]
        made, _ = run(x)
        assert made[30_000:30_500, 2].any()


def test_a_stream_that_never_changed_is_not_stuck() -> None:
    made, _ = run(np.full(3000, 7.0))
    assert not made[:, 2].any()


HARD = {
    "tiny": 1e-30 * noise(3000),
    "huge": 1e30 * noise(3000),
    "tiny, then huge": np.where(np.arange(3000) < 1500, 1e-30, 1e30) * noise(3000),
    "huge, then tiny": np.where(np.arange(3000) < 1500, 1e30, 1e-30) * noise(3000),
    "flips": np.where(np.arange(3000) % 2, 1.0, -1.0),
    "zeros": np.zeros(3000),
    "infinite": np.where(np.arange(3000) % 7, 1.0, np.inf),
    "a huge one": np.where(np.arange(3000) == 1500, 1e300, noise(3000)),
    "missing": np.full(3000, NAN),
    "mostly missing": np.where(np.arange(3000) % 9, NAN, 1.0),
}


@pytest.mark.parametrize("name", HARD)
def test_everything_stays_finite_and_recovers_within_200_rows(name: str) -> None:
    after = noise(500, 9)
    x = np.concatenate([HARD[name], after])
    with np.errstate(invalid="ignore"):
        made, rows = run(x, record=True)
    assert np.isfinite(rows).all()
    assert np.isfinite(made).all()
    assert ((made[:, 1] > 0) & (made[:, 1] <= 1)).all()
    then = rows[3200]
    assert 0.5 < then[kernel.SPREAD] < 2.0
    assert abs(then[kernel.MEAN]) < 0.5
    assert np.median(made[3200:, 1]) > 0.05


def test_after_a_million_constant_rows_a_step_is_an_alarm_and_noise_is_normal_again() -> None:
    x = np.concatenate([np.full(1_000_000, 20.0), 25 + noise(1000)])
    made, row = run(x)
    assert made[1_000_000:1_000_003, 2].any()
    assert np.isfinite(row).all()
    assert np.median(made[-500:, 1]) > 0.05
    assert 0.5 < row[kernel.SPREAD] < 2.0


def test_a_long_gap_is_told_once_and_short_ones_never() -> None:
    x = noise(3000)
    x[np.random.default_rng(0).random(3000) < 0.2] = NAN
    made, _ = run(x, x)
    assert not made[np.isnan(x), 2].any()
    x[2000:2100] = NAN
    made, _ = run(x, x)
    assert made[2000:2100, 2].sum() == 1
    assert (made[np.isnan(x), 3] == kernel.MISSING).all()


def test_a_season_is_learnt_from_event_time_and_what_breaks_it_is_told() -> None:
    rows = 288 * 28
    x = sines(rows) + noise(rows)
    x[288 * 20 : 288 * 20 + 100] *= -1  # a night in the day: no value is new, but the hour is
    times = 300.0 * np.arange(rows)
    made, _ = run(x, np.full(rows, NAN), times)
    without, _ = run(x, np.full(rows, NAN), np.full(rows, NAN))
    there, before = slice(288 * 20, 288 * 20 + 100), slice(288 * 10, 288 * 20)
    assert made[there, 1].min() < min(1e-3, made[before, 1].min())
    assert without[there, 1].min() > 1e-2


def test_every_step_is_the_same_whatever_came_of_other_streams() -> None:
    x = hard_series()
    alone, rows = run(x)
    again, same = run(x)
    assert alone.tobytes() == again.tobytes()
    assert rows.tobytes() == same.tobytes()
