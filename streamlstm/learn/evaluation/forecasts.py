"""What was forecast beside what came: the arrays that everything else is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...network.model import Model
from ...network.result_places import result_places
from .points import Point
from .rolling_autoregression import fill_forward, rolling_autoregression, seasonal_lag

Array = NDArray[Any]
Float64Array = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Forecasts:
    """One output of the model over a table of n rows, and the values that it spoke of.

    Row ``t`` holds what was forecast when row ``t`` of the table had come, for the row ``horizon``
    rows later in the same stream. Unknown is NaN.

    Attributes
    ----------
    output, target : str
        Name of the output, and of the column that it forecasts.
    horizon : int
        Rows ahead; 0 if it is no forecast.
    season : int or None
        Rows of the season of the baseline.
    made, actual : float64[n]
        The forecast, and what came.
    persistence, seasonal, autoregression : float64[n]
        What the baselines forecast at the same moment: the last known value, the value of whole
        seasons before (persistence where there is none yet), a linear autoregression that has seen
        the rows before.
    levels : tuple of float
        Of the intervals, rising.
    low, high : float64[n, L]
        Their bounds.
    aimed : int[n]
        The row of the table that was spoken of; -1 where the stream ends before.
    scored : bool[n]
        Which rows are scored.
    """

    output: str
    target: str
    horizon: int
    season: int | None
    made: Float64Array
    actual: Float64Array
    persistence: Float64Array
    seasonal: Float64Array
    autoregression: Float64Array
    levels: tuple[float, ...]
    low: Float64Array
    high: Float64Array
    aimed: Rows
    scored: NDArray[np.bool_]

    def rows(self, of: Rows | None = None) -> Rows:
        """Return the scored rows, all or those of a stream."""
        return np.flatnonzero(self.scored) if of is None else of[self.scored[of]]

    @property
    def error(self) -> Float64Array:
        """What was forecast less what came, float64[n]: above 0 where the forecast was too high."""
        return self.made - self.actual


def make_forecasts(
    model: Model,
    point: Point,
    results: Array,
    actual: Array,
    groups: Sequence[Rows],
    first: Sequence[int],
    warm_up: int = 0,
    season: int | None = None,
) -> Forecasts:
    """Lay what a model said beside what came.

    Parameters
    ----------
    model : Model
    point : Point
        Which of its outputs.
    results : float32[n, W]
        The result of every row.
    actual : float64[n]
        The column that the output forecasts; NaN where it is missing.
    groups : sequence of int[k]
        The rows of each stream, in order.
    first : sequence of int
        For each stream the first of its rows whose forecast is scored.
    warm_up : int
        So many first rows of each stream make no forecast that is scored.
    season : int, optional
        Rows of a season.
    """
    n, horizon = len(results), model.horizons[point.output]
    ahead = max(horizon, 1)  # baselines know of a row only what came before it
    columns = {
        name: np.full(n, np.nan) for name in ("actual", "persistence", "seasonal", "autoregression")
    }
    aimed, scored = np.full(n, -1, np.intp), np.zeros(n, bool)
    for rows, start in zip(groups, first, strict=True):
        values = np.asarray(actual[rows], np.float64)
        made = np.arange(len(rows) - horizon)  # positions in the stream whose target is there
        if len(made) <= 0:
            continue
        begin = max(start - horizon, warm_up, 0)
        aimed[rows[made]] = rows[made + horizon]
        columns["actual"][rows[made]] = values[made + horizon]
        baselines = _baselines(values, ahead, season, max(begin + horizon - ahead, 0))
        known = made[made + horizon >= ahead]
        for name, forecast in baselines.items():
            columns[name][rows[known]] = forecast[known + horizon - ahead]
        scored[rows[made[made >= begin]]] = True
    levels, low, high = _bounds(model, point, results)
    said = results[:, point.output].astype(np.float64)
    for values in (said, columns["actual"], columns["persistence"]):
        scored &= np.isfinite(values)
    return Forecasts(
        output=model.outputs[point.output],
        target=point.target,
        horizon=horizon,
        season=season,
        made=said,
        levels=levels,
        low=low,
        high=high,
        aimed=aimed,
        scored=scored,
        **columns,
    )


def _baselines(
    values: Float64Array, ahead: int, season: int | None, first: int
) -> dict[str, Float64Array]:
    """Return what each baseline forecasts in each row of a stream for ``ahead`` rows later."""
    persistence = fill_forward(values)
    seasonal = persistence.copy()
    if season:
        back = seasonal_lag(ahead, season) - ahead
        before = persistence[: max(len(values) - back, 0)]
        seasonal[back:] = np.where(np.isnan(before), seasonal[back:], before)
    return {
        "persistence": persistence,
        "seasonal": seasonal,
        "autoregression": rolling_autoregression(values, ahead, season, first),
    }


def _bounds(
    model: Model, point: Point, results: Array
) -> tuple[tuple[float, ...], Float64Array, Float64Array]:
    """Return levels, low and high of every interval around an output, float64[n, L].

    Quantiles that the model itself makes take the place of the intervals of its online stage.
    """
    if point.pairs:
        levels, low, high = zip(*point.pairs, strict=True)
        lows, highs = list(low), list(high)
    else:
        levels = () if model.online is None else model.online.intervals
        places = result_places(model.output_size, len(levels))
        steps = np.arange(len(levels)) * model.output_size + point.output
        lows, highs = (places.low + steps).tolist(), (places.high + steps).tolist()
    return levels, results[:, lows].astype(np.float64), results[:, highs].astype(np.float64)
