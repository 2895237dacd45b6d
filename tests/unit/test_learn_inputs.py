"""What a network is trained on is what it gets when it serves: filled values, calendar, lags."""

from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl
from streamlstm import Engine, Model, Online
from streamlstm.errors import BadValueError, DataError, StreamLSTMError
from streamlstm.learn.autoregression import Autoregression, TargetSeries, fit_autoregression
from streamlstm.learn.build import build_model
from streamlstm.learn.calendar_choice import parse_calendar, plausible
from streamlstm.learn.dataset import Dataset
from streamlstm.learn.fit import fit
from streamlstm.learn.linear_part import autoregressions, autoregressions_of
from streamlstm.learn.settings import Settings, parse_horizons
from streamlstm.learn.stage import predict_all

SMALL = Settings(hidden_sizes=(6,), epochs=3, window=32)


def noisy(n: int = 400, seed: int = 0) -> np.ndarray:
    """Return two columns, a wave of 24 steps with noise and noise, float32[n, 2]."""
    rng = np.random.default_rng(seed)
    wave = np.sin(2 * np.pi * np.arange(n) / 24)
    return np.stack([5 + wave + rng.normal(0, 0.2, n), rng.normal(0, 1, n)], 1).astype(np.float32)


def with_gaps(n: int = 400) -> np.ndarray:
    values = noisy(n)
    missing = np.random.default_rng(3).random(values.shape) < 0.1
    missing[[0, 250]] = False  # a stream forecasts nothing before its first values
    values[missing] = np.nan
    return values


def served(model: Model, data: Dataset) -> np.ndarray:
    """Return the network's outputs in training's unit as the engine serves them."""
    results = predict_all(model, data)[:, : model.output_size].astype(np.float64)
    for o, source in enumerate(data.skip):
        results[:, o] -= data.filled[:, source] if source >= 0 else 0
    for s in data.series:
        rows = slice(s.offset, s.offset + len(s))
        if data.lag_weights is None:
            continue
        for o, source in enumerate(model.targets):
            z = data.X[rows, source]
            lag_rows = np.arange(len(s))[:, None] - np.array(data.lags)
            past = np.where(lag_rows < 0, z[:, None], z[np.maximum(lag_rows, 0)])
            results[rows, o] -= past @ data.lag_weights[o] * data.output_scaling.scale[o]
    return (results - data.output_scaling.mean) / data.output_scaling.scale


@pytest.mark.parametrize("fill", ["last", "mean", "zero"])
@pytest.mark.parametrize("calendar", [(), ("hour", "weekday", "since")])
def test_training_sees_what_serving_computes(fill: str, calendar: tuple[str, ...]) -> None:
    clock = {"zone": "Europe/Zurich", "spacing": 3600.0} if calendar else {}
    stage = Online(fill=fill, calendar=calendar, **clock)
    values = with_gaps()
    times = 1.7e9 + 3600.0 * np.arange(400) + np.random.default_rng(1).uniform(0, 900, 400)
    parts = [("a", values[:250]), ("b", values[250:])]

    def make(linear: list[Autoregression]) -> Dataset:
        return Dataset(parts, [0, 1], [0], [1, 3], linear=linear, times=times, stage=stage)

    data = make(autoregressions(make([]), 24))
    assert data.lags
    assert data.derived == stage.derived
    fitted = fit(data, SMALL)
    model = build_model(fitted.network, data, ["a", "b"], ["a@+1", "a@+3"])
    assert model.online == stage
    tape_outputs = _run(fitted.network, data)
    assert np.allclose(served(model, data), tape_outputs, atol=1e-4)


def _run(network, data: Dataset) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Return a network's outputs over all rows of a data set, each series from an empty state."""
    from streamlstm.learn.bptt import Tape

    parts = []
    for s in data.series:
        tape = Tape(network, len(s), 1)
        parts.append(tape.forward(data.X[s.offset : s.offset + len(s), None])[:, 0])
    return np.concatenate(parts)


def test_a_missing_target_is_not_learned_from() -> None:
    values = with_gaps()
    data = Dataset([("", values)], [0, 1], [0], [1, 2], stage=Online(fill="last"))
    missing = np.isnan(values[:, 0])
    for o, steps in enumerate((1, 2)):
        assert np.array_equal(data.known[:-steps, o], ~missing[steps:])
        assert not data.known[-steps:, o].any()
    _, _, weights = data.windows(np.array([0, 100]), 64)
    rows = np.arange(64)[:, None] + [0, 100]
    assert np.array_equal(weights, data.known[rows].astype(np.float32))
    assert np.isfinite(data.X).all()
    assert np.isfinite(data.Y).all()


def test_the_change_is_from_the_value_as_it_was_filled() -> None:
    values = noisy()[:, :1]
    values[10] = np.nan
    data = Dataset([("", values)], [0], [0], stage=Online(fill="last"))
    assert data.filled[10, 0] == values[9, 0]
    change = data.Y[10, 0] * data.output_scaling.scale[0] + data.output_scaling.mean[0]
    assert change == pytest.approx(values[11, 0] - values[9, 0], abs=1e-5)


def test_an_autoregression_is_found_and_used() -> None:
    rng = np.random.default_rng(0)
    x = np.zeros(3000)
    for t in range(2, 3000):
        x[t] = 1.2 * x[t - 1] - 0.6 * x[t - 2] + rng.normal()
    found = fit_autoregression([TargetSeries(x, 2100, 2400)], 1, None)
    changes = found.changes(x)[2400:-1]
    error = np.abs(x[2400:-1] + changes - x[2401:]).mean()
    assert error < 1.03 * np.abs(rng.normal(size=100_000)).mean()
    walk = np.cumsum(rng.normal(size=3000))
    found = fit_autoregression([TargetSeries(walk, 2100, 2400)], 1, None)
    assert np.abs(found.changes(walk)).mean() < 0.2


def test_a_season_is_found_by_its_lag() -> None:
    x = np.tile(np.random.default_rng(0).normal(size=50), 40)
    for horizon in (1, 24, 60):
        found = fit_autoregression([TargetSeries(x, 1400, 1600)], horizon, 50)
        made = x[400:-horizon] + found.changes(x)[400:-horizon]
        assert np.allclose(made, x[400 + horizon :], atol=1e-3)


def test_the_linear_part_of_a_model_is_found_again() -> None:
    data = Dataset([("", noisy())], [0, 1], [0, 1], [1, 24])
    parts = autoregressions(data, 24)
    lagged = Dataset([("", noisy())], [0, 1], [0, 1], [1, 24], linear=parts)
    model = build_model(fit(lagged, SMALL).network, lagged, ["a", "b"], ["a", "b", "c", "d"])
    model = Model(
        model.layers,
        model.weights,
        ["a", "b"],
        ["a@+1", "b@+1", "a@+24", "b@+24"],
        model.input_scaling,
        model.output_scaling,
        model.skip,
        model.horizons,
        online=Online(),
        lags=model.lags,
        lag_weights=model.lag_weights,
    )
    scalings = (model.input_scaling, model.output_scaling)
    again = Dataset(
        [("", noisy())],
        [0, 1],
        [0, 1],
        [1, 24],
        scalings=scalings,
        linear=autoregressions_of(model),
    )
    assert again.lags == lagged.lags
    assert np.allclose(again.lag_weights, lagged.lag_weights, atol=1e-4)
    assert np.allclose(again.Y, lagged.Y, atol=1e-3)


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        (24, 24),
        ("24", 24),
        ("1..4", (1, 2, 3, 4)),
        (["24", "1"], (1, 24)),
        (["1..3", "2..5"], (1, 2, 3, 4, 5)),
        ((7, 7), 7),
        (range(1, 3), (1, 2)),
    ],
)
def test_horizons_as_people_give_them(given: object, steps: object) -> None:
    assert parse_horizons(given) == steps


@pytest.mark.parametrize("given", [0, -1, "0..3", "3..1", "1..", "a", "", [], "1..5000", 1.5, True])
def test_horizons_that_cannot_be(given: object) -> None:
    with pytest.raises(DataError, match="horizon"):
        parse_horizons(given)


def test_calendars_as_people_give_them() -> None:
    assert parse_calendar("weekday,hour") == ("hour", "weekday")
    assert parse_calendar("none") == ()
    assert parse_calendar("auto") is None
    with pytest.raises(DataError, match="expected auto, none, or some of hour, weekday"):
        parse_calendar("hour,month")
    hours = np.arange(24 * 40) * 3600.0
    assert plausible(hours, 3600.0) == ("hour", "weekday")
    assert plausible(hours[:48], 3600.0) == ()
    assert plausible(np.arange(900) * 86_400.0, 86_400.0) == ("weekday", "yearday")


def write(path: Path, values: np.ndarray, stamped: bool = True) -> Path:
    """Write hourly rows; two work days' wave that rests at the weekend."""
    lines = ["time,value"] if stamped else ["value"]
    for n, value in enumerate(values):
        cell = "" if np.isnan(value) else f"{value:.4f}"
        stamp = f"{np.datetime64('2024-01-01T00:00') + np.timedelta64(n, 'h')},"
        lines.append((stamp if stamped else "") + cell)
    path.write_text("\n".join(lines) + "\n")
    return path


def week(n: int = 24 * 60) -> np.ndarray:
    """Return a wave with a pause at each weekend, and noise."""
    hours = np.arange(n)
    works = (hours // 24) % 7 < 5
    noise = np.random.default_rng(0).normal(0, 0.05, n)
    return works * (2 + np.sin(2 * np.pi * hours / 24)) + noise


def test_a_calendar_is_chosen_where_it_helps(tmp_path: Path) -> None:
    path = write(tmp_path / "week.csv", week())
    options = {"target": "value", "hidden": 8, "epochs": 12, "linear": False}
    trained = sl.train(path, **options, calendar="auto", zone="Europe/Berlin")
    online = trained.model.online
    assert online is not None
    assert "hour" in online.calendar
    assert online.zone == "Europe/Berlin"
    engine = Engine(trained.model)
    with pytest.raises(StreamLSTMError, match="time"):
        engine.step("s", [1.0])
    assert np.isfinite(engine.step("s", [1.0], time=1.7e9)).all()
    plain = sl.train(path, **options)
    assert plain.model.online is None or not plain.model.online.calendar
    assert trained.scores[0].errors.mae < plain.scores[0].errors.mae


def test_a_calendar_needs_times(tmp_path: Path) -> None:
    path = write(tmp_path / "week.csv", week(), stamped=False)
    with pytest.raises(DataError, match="calendar: expected a time"):
        sl.train(path, target="value", calendar="hour", epochs=1)
    trained = sl.train(path, target="value", calendar="auto", epochs=1, hidden=4)
    assert not trained.model.online.calendar


def test_training_with_missing_values(tmp_path: Path) -> None:
    values = week(24 * 20)
    values[np.random.default_rng(2).random(len(values)) < 0.1] = np.nan
    path = write(tmp_path / "gaps.csv", values)
    with pytest.raises(DataError):
        sl.train(path, target="value", epochs=1)
    trained = sl.train(path, target="value", horizon="1..3", fill="last", epochs=4, hidden=6)
    model = trained.model
    assert model.outputs == ("value@+1", "value@+2", "value@+3")
    assert model.online.fill == "last"
    assert [score.horizon for score in trained.scores] == [1, 2, 3]
    assert all(np.isfinite(score.errors.mae) for score in trained.scores)
    assert np.isfinite(Engine(model).step("s", [np.nan])).sum() == 0  # nothing has come yet
    with pytest.raises(BadValueError):
        Engine(sl.train(write(path, week()), target="value", epochs=1).model).step("s", [np.nan])
