"""Residuals of simple forecasts of public series, for benchmarks of what stands behind a forecast.

The folder DATA holds `nab/` (NAB's `data/` and `labels/`) and `ett/ETTh1.csv`. A series is a value
a row; missing rows are not looked for. Every forecast uses the past alone.
"""

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
DAY = 86_400
LAGS = 12
FORGETTING, START, CLIP = 0.9995, 0.01, 4.0  # of the least squares, as of the adapted head


class Series(NamedTuple):
    """One series and its number of rows a day."""

    name: str
    values: Array
    day: int


class Forecast(NamedTuple):
    """Forecasts of row t, made ``horizon`` rows before, and by how much it differed from them.

    Both begin with the first row of which there is a forecast.
    """

    y: Array
    residual: Array


def series(data: Path) -> Iterator[Series]:
    """Yield every column of every file below ``data``, in the order of their names."""
    for path in sorted(data.glob("nab/data/*/*.csv")) + sorted(data.glob("ett/*.csv")):
        with path.open() as file:
            head, *rows = csv.reader(file)
        times = [datetime.fromisoformat(row[0]) for row in rows[:100]]
        apart = np.median(np.diff([time.timestamp() for time in times]))
        for column, name in enumerate(head[1:], 1):
            values = np.array([float(row[column]) for row in rows])
            one = len(head) == 2
            yield Series(path.stem if one else f"{path.stem}/{name}", values, round(DAY / apart))


def forecasts(series: Series, horizon: int) -> dict[str, Forecast]:
    """Forecast a series in several simple ways, ``horizon`` rows ahead.

    Returns
    -------
    dict of str to Forecast
        "persistence", "seasonal" (the same time a day before), "autoregression" (recursive least
        squares on the last changes and on the change of a day before, learning as it goes).
    """
    y, day = series.values, series.day
    lag = day * -(-horizon // day)
    first = max(2 * day, lag + horizon) + LAGS  # of which there are all lags
    made = {
        "persistence": y[first - horizon : -horizon],
        "seasonal": y[first - lag : -lag],
        "autoregression": _autoregression(y, day, horizon, first)[first:],
    }
    return {name: Forecast(p, y[first:] - p) for name, p in made.items()}


@njit(cache=False)
def _autoregression(y: Array, day: int, horizon: int, first: int) -> Array:
    size = LAGS + 2
    features = np.zeros((y.size, size))
    made = np.zeros(y.size)
    weights, spread, error = np.zeros(size), START * np.eye(size), 0.0
    unit = np.abs(np.diff(y[:first])).mean() + 1e-9
    for now in range(first - horizon, y.size):
        x = features[now]
        x[0] = 1.0
        for lag in range(LAGS):
            x[1 + lag] = (y[now - lag] - y[now - lag - 1]) / unit
        back = now + horizon - day * ((horizon + day - 1) // day)
        season = now - day * ((horizon + day - 1) // day)
        x[LAGS + 1] = (y[back] - y[season]) / unit
        then = now - horizon
        if then >= first - horizon:
            z = features[then]
            missed = (y[now] - y[then]) / unit - (weights * z).sum()
            limit = CLIP * error if error > 0.0 else np.inf
            error += 0.01 * (min(abs(missed), 10 * limit) - error) if error > 0.0 else abs(missed)
            gain = (spread * z).sum(axis=1)
            total = FORGETTING + (z * gain).sum()
            weights += gain / total * min(max(missed, -limit), limit)
            u = gain / np.sqrt(total)
            for i in range(size):
                for j in range(size):
                    spread[i, j] = (spread[i, j] - u[i] * u[j]) / FORGETTING
                spread[i, i] = min(spread[i, i], 1e4)
        if now + horizon < y.size:
            made[now + horizon] = y[now] + unit * ((weights * x).sum())
    return made
