"""Scores predictions beside persistence, the value of a season ago, and an autoregression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset, Series
from .evaluation.rolling_autoregression import rolling_autoregression, seasonal_lag

Array = NDArray[Any]


@dataclass(frozen=True)
class Score:
    """Mean absolute errors on the test periods of the series, in the target's unit.

    Attributes
    ----------
    target : str
        Name of the output: the column, and with several horizons how far ahead.
    values : int
        Number of predicted values.
    model : float
        The model's error, stepped from the start of each series.
    persistence : float
        The error of predicting the current value.
    seasonal : float or None
        The error of predicting the value of a season before; None without a season.
    autoregression : float or None
        The error of a linear autoregression that is fitted to what has come before.
    horizon : int
        Steps ahead.
    """

    target: str
    values: int
    model: float
    persistence: float
    seasonal: float | None
    autoregression: float | None = None
    horizon: int = 1


def score(
    data: Dataset, predictions: Array, outputs: Sequence[str], season: int | None = None
) -> list[Score]:
    """Score predictions on the test periods.

    Parameters
    ----------
    data : Dataset
        The series and their test periods.
    predictions : float[N, O]
        The prediction at every row of the data set, in the series' unit.
    outputs : sequence of str
        Names of the O outputs.
    season : int, optional
        Length of a season in steps.

    Returns
    -------
    list of Score
        One for each output; empty if there is no test period.
    """
    parts = [
        [_errors(data, s, o, predictions, season) for s in data.series] for o in range(len(outputs))
    ]
    scores = []
    for o, name in enumerate(outputs):
        errors = np.concatenate(parts[o])
        if len(errors):
            model, persistence, autoregression, seasonal = errors.mean(axis=0).tolist()
            scores.append(
                Score(
                    target=name,
                    values=len(errors),
                    model=model,
                    persistence=persistence,
                    seasonal=seasonal if season else None,
                    autoregression=autoregression,
                    horizon=data.horizons[o],
                )
            )
    return scores


def _errors(data: Dataset, s: Series, o: int, predictions: Array, season: int | None) -> Array:
    """Return the errors float64[n, 4] of one output on the test period of one series.

    Of the model, persistence, the autoregression and the season; only of rows where all are known.
    """
    steps, values = data.horizons[o], s.values[:, data.targets[o]].astype(np.float64)
    # Whole seasons before the target, far enough to be known when the prediction is made.
    lag = seasonal_lag(steps, season) if season else steps
    rows = np.arange(max(s.validation_end, data.horizon, lag), len(s))
    if not len(rows):
        return np.zeros((0, 4))
    made = rolling_autoregression(values, steps, season, int(rows[0]) - steps)
    told = [
        predictions[s.offset + rows - steps, o],
        values[rows - steps],
        made[rows - steps],
        values[rows - lag],
    ]
    errors = np.abs(np.stack(told, axis=1) - values[rows, None])
    return np.asarray(errors[~np.isnan(errors).any(axis=1)])
