"""Errors of forecasts, and of baselines over the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .forecasts import Float64Array, Forecasts, Rows

NAN = float("nan")


@dataclass(frozen=True)
class Errors:
    """How far forecasts were from what came, in the unit of the column unless said otherwise.

    Attributes
    ----------
    values : int
        Forecasts that were scored.
    mae, rmse : float
        Mean absolute error, and root of the mean squared error.
    bias : float
        Mean of forecast less value: above 0 where the model says too much.
    mase : float
        ``mae`` as a share of the mean absolute change from one row to the next (Hyndman and Koehler
        2006): no unit, and comparable between streams. The change is that of the rows before the
        scored ones, or of the scored ones where fewer than ten came before; NaN if it is 0.
    persistence, autoregression : float
        The mean absolute error of these baselines.
    season : float or None
        That of the value a season ago; None without a season.
    """

    values: int
    mae: float
    rmse: float
    bias: float
    mase: float
    persistence: float
    season: float | None
    autoregression: float

    @property
    def baselines(self) -> dict[str, float]:
        """The error of each baseline by its name."""
        found = {"persistence": self.persistence, "autoregression": self.autoregression}
        return found if self.season is None else found | {"season": self.season}

    @property
    def best_baseline(self) -> float:
        """The lowest error of the baselines."""
        return min(self.baselines.values())

    @property
    def against_best(self) -> float:
        """``mae`` over that of the best baseline: below 1 the model is better; NaN for 0."""
        return self.mae / self.best_baseline if self.best_baseline > 0 else NAN


MIN_BEFORE = 10  # changes before the scored rows that give the scale of mase


def score_errors(forecasts: Forecasts, rows: Rows, scale: float) -> Errors:
    """Score the forecasts of some rows.

    Parameters
    ----------
    forecasts : Forecasts
    rows : int[k]
        Scored rows of the table.
    scale : float
        What ``mase`` is a share of.
    """
    if not len(rows):
        season = None if forecasts.season is None else NAN
        return Errors(0, NAN, NAN, NAN, NAN, NAN, season, NAN)
    actual = forecasts.actual[rows]
    error = forecasts.made[rows] - actual

    def mean_error(baseline: Float64Array) -> float:
        return float(np.abs(baseline[rows] - actual).mean())

    mae = float(np.abs(error).mean())
    return Errors(
        values=len(rows),
        mae=mae,
        rmse=float(np.sqrt(np.square(error).mean())),
        bias=float(error.mean()),
        mase=mae / scale if scale > 0 else NAN,
        persistence=mean_error(forecasts.persistence),
        season=None if forecasts.season is None else mean_error(forecasts.seasonal),
        autoregression=mean_error(forecasts.autoregression),
    )


def mean_change(values: Float64Array, first: int) -> float:
    """Return the mean absolute change from row to row that ``mase`` is a share of.

    Parameters
    ----------
    values : float64[n]
        The column of one stream; NaN is missing.
    first : int
        The first row that a scored forecast spoke of.
    """
    changes = np.abs(np.diff(values))
    before = changes[: max(first - 1, 0)]
    before = before[np.isfinite(before)]
    if len(before) < MIN_BEFORE:
        before = changes[max(first - 1, 0) :]
        before = before[np.isfinite(before)]
    return float(before.mean()) if len(before) else NAN
