"""What was forecast beside what came: the arrays that everything else is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...network.model import Model
from ...network.online import result_places
from .autoregression import fill_forward, rolling_autoregression, seasonal_lag

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


def target_columns(
    model: Model, names: Sequence[str], given: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return for each output of a model the column of a table that it forecasts.

    Parameters
    ----------
    model : Model
    names : sequence of str
        Columns of the table.
    given : sequence of str, optional
        The columns as the user names them, one for each output.

    Raises
    ------
    DataError
        If there is an output of which nothing in the table says what it forecasts.
    """
    outputs = model.outputs
    if given:
        if len(given) not in (1, len(outputs)):
            raise DataError(
                f"target: expected one column for each output ({', '.join(outputs)}), got "
                f"{', '.join(given)}"
            )
        return tuple(given) if len(given) == len(outputs) else tuple(given) * len(outputs)
    found = []
    for output, source in zip(outputs, model.targets, strict=True):
        base = output.partition("@+")[0]
        if output in names or base in names:
            found.append(output if output in names else base)
        elif source >= 0:
            found.append(model.inputs[source])
        else:
            raise DataError(
                f"expected a column {base!r} with what came, to compare the model's output with; "
                f"the columns are {', '.join(names)}. Name the column with --target, once for each "
                "output"
            )
    return tuple(found)


def make_forecasts(
    model: Model,
    output: int,
    results: Array,
    actual: Array,
    groups: Sequence[Rows],
    first: Sequence[int],
    warm_up: int = 0,
    target: str = "",
    season: int | None = None,
) -> Forecasts:
    """Lay what a model said beside what came.

    Parameters
    ----------
    model : Model
    output : int
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
    target : str
        Name of that column.
    season : int, optional
        Rows of a season.
    """
    n, horizon = len(results), model.horizons[output]
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
    low, high = _bounds(model, output, results)
    said = results[:, output].astype(np.float64)
    for values in (said, columns["actual"], columns["persistence"]):
        scored &= np.isfinite(values)
    levels = () if model.online is None else model.online.intervals
    return Forecasts(
        output=model.outputs[output],
        target=target or model.outputs[output],
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


def _bounds(model: Model, output: int, results: Array) -> tuple[Float64Array, Float64Array]:
    """Return low and high of every interval of an output, float64[n, L] each."""
    levels = 0 if model.online is None else len(model.online.intervals)
    places = result_places(model.output_size, levels)
    steps = np.arange(levels) * model.output_size + output
    return (
        results[:, places.low + steps].astype(np.float64),
        results[:, places.high + steps].astype(np.float64),
    )
