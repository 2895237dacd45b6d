"""Scores predictions against two baselines: persistence and the value of a season ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset

Array = NDArray[Any]


@dataclass(frozen=True)
class Score:
    """Mean absolute errors on the test periods of the series, in the target's unit.

    Attributes
    ----------
    target : str
        Name of the column.
    values : int
        Number of predicted values.
    model : float
        The model's error, stepped from the start of each series.
    persistence : float
        The error of predicting the current value.
    seasonal : float or None
        The error of predicting the value of a season before; None without a season.
    """

    target: str
    values: int
    model: float
    persistence: float
    seasonal: float | None


def score(
    data: Dataset, predictions: Array, targets: Sequence[str], season: int | None = None
) -> list[Score]:
    """Score predictions on the test periods.

    Parameters
    ----------
    data : Dataset
        The series and their test periods.
    predictions : float[N, O]
        The prediction at every row of the data set, in the series' unit.
    targets : sequence of str
        Names of the O targets.
    season : int, optional
        Length of a season in steps.

    Returns
    -------
    list of Score
        One for each target; empty if there is no test period.
    """
    # Whole seasons before the target, far enough to be known when the prediction is made.
    lag = None if season is None else season * -(-data.horizon // season)
    model, persistence, seasonal = [], [], []
    for s in data.series:
        rows = np.arange(max(s.validation_end, data.horizon, lag or 0), len(s))
        truth = s.values[rows][:, data.targets].astype(np.float64)
        model.append(np.abs(predictions[s.offset + rows - data.horizon] - truth))
        persistence.append(np.abs(s.values[rows - data.horizon][:, data.targets] - truth))
        seasonal.append(np.abs(s.values[rows - (lag or 0)][:, data.targets] - truth))
    errors, persistence_errors, seasonal_errors = (
        np.concatenate(part) for part in (model, persistence, seasonal)
    )
    if not len(errors):
        return []
    return [
        Score(
            target=target,
            values=len(errors),
            model=float(errors[:, o].mean()),
            persistence=float(persistence_errors[:, o].mean()),
            seasonal=float(seasonal_errors[:, o].mean()) if lag else None,
        )
        for o, target in enumerate(targets)
    ]
