"""Gives a trained model its online stage: intervals, anomaly scores, and adaptation if it helps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.warmup import compile_for
from ..engine.offline import predict_rows
from ..network.model import Model
from ..network.online import MAX_HORIZON, Online, result_places
from .dataset import Dataset

Array = NDArray[Any]
LEVELS = (0.5, 0.9)
WORTH = 0.995  # adaptation is switched on if it leaves less than this of the validation error


def predict_all(model: Model, dataset: Dataset) -> Array:
    """Return the results of all rows of a data set, float32[n, W], each series stepped as live."""
    compile_for(model)
    values = np.concatenate([s.values[:, dataset.inputs] for s in dataset.series])
    groups = [np.arange(s.offset, s.offset + len(s)) for s in dataset.series]
    return predict_rows(model, values, groups)


def add_stage(model: Model, dataset: Dataset, points: NDArray[np.intp]) -> Model:
    """Return the model with an online stage; as it is if no output forecasts an input.

    Parameters
    ----------
    model : Model
    dataset : Dataset
    points : int[K]
        For each target the output that is its forecast. The others are quantiles: what came is
        compared with the median alone, and no interval is added to those that were learned.
    """
    if not set(dataset.targets) & set(dataset.inputs) or model.horizon > MAX_HORIZON:
        return model
    if len(points) < model.output_size:
        inputs = {column: n for n, column in enumerate(dataset.inputs)}
        targets = np.full(model.output_size, -1)
        targets[points] = [inputs.get(column, -1) for column in dataset.targets]
        return model.with_online(Online(anomaly=True, targets=tuple(targets.tolist())))
    online = Online(intervals=LEVELS, anomaly=True)
    candidates = [replace(online, adapt=adapt) for adapt in ("none", "rls")]
    plain, adapted = (model.with_online(candidate) for candidate in candidates)
    before, after = (_validation_error(staged, dataset) for staged in (plain, adapted))
    return adapted if after < WORTH * before else plain


def _validation_error(model: Model, dataset: Dataset) -> float:
    """Return the mean absolute error on the validation stretch, over the spread of each target."""
    results, errors = predict_all(model, dataset), []
    spread = model.output_scaling.scale
    for s in dataset.series:
        rows = np.arange(max(s.train_end, dataset.horizon), s.validation_end)
        truth = s.values[rows][:, dataset.targets]
        made = results[s.offset + rows - dataset.horizon, : model.output_size]
        errors.append(np.abs(made - truth) / spread)
    return float(np.nan_to_num(np.concatenate(errors).mean(), nan=np.inf))


def coverage(model: Model, dataset: Dataset, results: Array) -> dict[float, float]:
    """Return for each interval the share of values of the test stretch that fell inside."""
    if model.online is None:
        return {}
    O, found = model.output_size, {}
    places = result_places(O, len(model.online.intervals))
    for n, level in enumerate(model.online.intervals):
        inside = []
        for s in dataset.series:
            rows = np.arange(max(s.validation_end, dataset.horizon), len(s))
            truth = s.values[rows][:, dataset.targets]
            made = results[s.offset + rows - dataset.horizon]
            low = made[:, places.low + n * O : places.low + (n + 1) * O]
            high = made[:, places.high + n * O : places.high + (n + 1) * O]
            inside.append((low <= truth) & (truth <= high))
        found[level] = float(np.concatenate(inside).mean()) if inside[0].size else float("nan")
    return found
