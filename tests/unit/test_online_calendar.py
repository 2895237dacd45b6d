"""Calendar features: kernel, specification and zoneinfo agree; times that do not advance."""

import subprocess
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from streamlstm.errors import ModelError
from streamlstm.kernels.online.calendar import (
    BACK,
    BACKWARD,
    COLUMNS,
    TIMELESS,
    calendar_step,
    sine_cosine,
)
from streamlstm.network.online import CALENDAR
from streamlstm.network.time_zone import transitions
from streamlstm.online import calendar

AT, TO, ALL = 2, 3, ("hour", "weekday", "yearday", "since")
ZONES = ("UTC", "Europe/Zurich", "America/New_York", "Asia/Kathmandu", "Africa/Casablanca")
TABLES = {zone: np.array(transitions(zone, 1970, 2040)) for zone in ZONES}


@njit
def run(S, times, T, t, count, X, K, flags):
    for n in range(times.shape[0]):
        flags[n] = calendar_step(S, AT, times[n], T, t, count, X[n], TO, K, 1)


def compiled(times, table=TABLES["UTC"], features=ALL, spacing=60.0):
    """Return the features of each row, the flags, and the state row."""
    S = np.full(AT + COLUMNS, np.nan, np.float32)
    S[AT:] = calendar.initial()
    X = np.full((len(times), TO + sum(CALENDAR[name] for name in features) + 1), np.nan, np.float32)
    K = np.append(np.float32(np.nan), calendar.constants(features, spacing))
    flags = np.empty(len(times), np.int64)
    T = np.concatenate([[np.nan, np.nan], table.ravel()])
    run(S, np.array(times, np.float64), T, 2, len(table), X, K, flags)
    assert np.isnan(X[:, :TO]).all()
    assert np.isnan(X[:, -1]).all()
    assert np.isnan(S[:AT]).all()
    return X[:, TO:-1], flags, S[AT:]


def specified(times, table=TABLES["UTC"], features=ALL, spacing=60.0):
    state = {name: np.zeros((1, n), np.float32) for name, n in calendar.columns().items()}
    rows = []
    for time in times:
        z, state = calendar.step(np.array([time], np.float64), table, features, spacing, state)
        rows.append(z[0])
    return np.array(rows), np.concatenate([each[0] for each in state.values()])


def from_zoneinfo(time: float, zone: str) -> list[float]:
    """Return the first six features by the standard library alone."""
    there = datetime.fromtimestamp(time, UTC).astimezone(ZoneInfo(zone))
    clock = (there.hour * 3600 + there.minute * 60 + there.second + there.microsecond / 1e6) / 86400
    first, last = (datetime(year, 1, 1) for year in (there.year, there.year + 1))
    passed = (there.timetuple().tm_yday - 1 + clock) / (last - first).days
    turns = np.array([clock, (there.weekday() + clock) / 7, passed])
    return np.stack([np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)], axis=1).ravel().tolist()


times = st.floats(0, datetime(2039, 12, 30, tzinfo=UTC).timestamp())


@given(st.lists(times, min_size=1, max_size=20), st.sampled_from(ZONES))
@settings(max_examples=60, deadline=None)
def test_features_are_those_of_local_time(moments: list[float], zone: str) -> None:
    moments = [round(moment, 3) for moment in moments]
    X, _, row = compiled(moments, TABLES[zone])
    wanted = np.array([from_zoneinfo(moment, zone) for moment in moments])
    assert np.abs(X[:, :6] - wanted).max() < 1e-6
    Z, state = specified(moments, TABLES[zone])
    assert np.array_equal(X[:, :6], Z[:, :6].astype(np.float32))
    assert np.allclose(X[:, 6], Z[:, 6], rtol=1e-6)
    assert np.array_equal(row, state)


@pytest.mark.parametrize("zone", ZONES)
def test_every_transition_is_exact_to_the_second(zone: str) -> None:
    table = TABLES[zone]
    assert table[0, 0] < -1e14
    assert (np.diff(table[:, 1]) != 0).all()
    for since in table[1:, 0]:
        X, _, _ = compiled([since - 1, since], table)
        wanted = [from_zoneinfo(since - 1, zone), from_zoneinfo(since, zone)]
        assert np.abs(X[:, :6] - wanted).max() < 1e-6
    counts = {"UTC": 1, "Asia/Kathmandu": 2}
    assert len(table) == counts.get(zone, len(table))
    assert zone != "Europe/Zurich" or len(table) == 1 + 2 * 59  # since 1981


def test_the_ends_of_years_and_days() -> None:
    moments = [
        datetime(year, month, day, tzinfo=UTC).timestamp() + second
        for year in (1969, 1900, 1999, 2000, 2023, 2024, 2100, 2400)
        for month, day in ((1, 1), (2, 28), (2, 29), (3, 1), (12, 31))
        if (month, day) != (2, 29) or year in (2000, 2024, 2400)
        for second in (0.0, 86_399.0)
    ]
    X, _, _ = compiled(moments)
    wanted = np.array([from_zoneinfo(moment, "UTC") for moment in moments])
    assert np.abs(X[:, :6] - wanted).max() < 1e-6


def test_sine_and_cosine_are_those_of_the_library() -> None:
    turns = np.linspace(-2, 3, 100_001)
    both = np.array(calendar.sine_cosine(turns))
    wanted = np.array([np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)])
    assert np.abs(both - wanted).max() < 1e-10
    call = njit(lambda u: sine_cosine(u))
    for n in range(0, 100_001, 997):
        assert call(turns[n]) == (both[0, n], both[1, n])


def test_the_time_since_the_last_observation() -> None:
    start = 1_700_000_000.0
    X, flags, _ = compiled([start, start + 60, start + 60 + 6000, start + 6060.001], features=ALL)
    assert np.allclose(X[:, 6], np.log1p([1, 1, 100, 0.001 / 60]), rtol=1e-2, atol=1e-7)
    assert (flags == 0).all()


def test_time_that_goes_back_or_stands_still_is_counted_and_forgotten() -> None:
    start = 1_700_000_000.123
    moments = [start, start, start - 1e6, start - 1e6 + 60, start + 60, 4e9, start, start + 60]
    X, flags, row = compiled(moments)
    assert flags.tolist() == [0, BACK, BACK, 0, 0, 0, BACK, 0]
    assert row[BACKWARD] == 3
    assert (X[flags == BACK, 6] == 0).all()
    assert X[7, 6] == pytest.approx(np.log(2), rel=1e-6)


def test_no_time_gives_zeros_and_leaves_the_state() -> None:
    start = 1_700_000_000.0
    for nothing in (np.nan, np.inf, -np.inf, 1e300, -2e13):
        X, flags, row = compiled([start, nothing, start + 60])
        expected, _, without = compiled([start, start + 60])
        assert flags.tolist() == [0, TIMELESS, 0]
        assert (X[1] == 0).all()
        assert np.array_equal(X[[0, 2]], expected)
        assert np.array_equal(row, without)
    assert compiled([np.nan], features=("since",))[0].shape == (1, 1)


@given(st.lists(st.floats(width=64), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_times_leave_it_finite_and_as_specified(moments: list[float]) -> None:
    X, _, row = compiled(moments, TABLES["Europe/Zurich"])
    assert np.isfinite(X).all()
    assert np.isfinite(row).all()
    Z, state = specified(moments, TABLES["Europe/Zurich"])
    assert np.array_equal(X[:, :6], Z[:, :6].astype(np.float32))
    assert np.allclose(X[:, 6], Z[:, 6], rtol=1e-6)
    assert np.array_equal(row, state)


@pytest.mark.parametrize(
    "features", [("hour",), ("weekday", "since"), ("yearday",), ("hour", "yearday"), ("since",)]
)
def test_only_chosen_features_are_written(features: tuple[str, ...]) -> None:
    moments = [1_700_000_000.0, np.nan, 1_700_000_030.0]
    X, _, _ = compiled(moments, features=features)
    everything, _, _ = compiled(moments)
    places = {"hour": [0, 1], "weekday": [2, 3], "yearday": [4, 5], "since": [6]}
    chosen = [place for name in features for place in places[name]]
    assert np.array_equal(X, everything[:, chosen])


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd", "/etc/passwd"])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(ModelError, match="zone: expected a time zone such as"):
        transitions(zone)


def test_serving_needs_no_data_of_time_zones() -> None:
    program = (
        "import sys, numpy as np\n"
        "from streamlstm.kernels.online import calendar\n"
        "print([m for m in sys.modules if m in ('zoneinfo', 'tzdata')])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"
