"""Gives a trained model its online stage: intervals, anomaly scores, and adaptation if it helps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.warmup import compile_for
from ..engine.offline import predict_rows
from ..network.model import Model
from ..network.online import MAX_HORIZON, MAX_SEASON, Online
from ..network.result_places import result_places
from .dataset import Dataset

Array = NDArray[Any]
LEVELS = (0.5, 0.9)
MANY = 4  # horizons: of more, each with a head that learns, a stream would keep too much
# The mix costs little, and follows where the naive forecasts become better than the network: it is
# taken unless it is this much worse on the validation period. The head that learns costs more, and
# has to leave less than this of the error.
HEDGE, WORTH = 1.01, 0.995


def predict_all(model: Model, dataset: Dataset) -> Array:
    """Return the results of all rows of a data set, float32[n, W], each series stepped as live.

    As the values of the data set they are without offsets, and changes of counters.
    """
    compile_for(model)
    model = model.of_changes()
    values = np.concatenate([s.values[:, dataset.inputs] for s in dataset.series])
    return predict_rows(model, values, dataset.groups, dataset.times)


def add_stage(
    model: Model, dataset: Dataset, points: NDArray[np.intp], season: int | None = None
) -> Model:
    """Return the model with an online stage; as it is if no output forecasts an input.

    Parameters
    ----------
    model : Model
    dataset : Dataset
        What it was trained on; its validation period decides whether it adapts.
    points : int[K]
        For each target the output that is its forecast. The others are quantiles: what came is
        compared with the median alone, and no interval is added to those that were learned.
    season : int, optional
        Steps of a season, for the naive forecasts of the mix.
    """
    if not set(dataset.targets) & set(dataset.inputs) or model.horizon > MAX_HORIZON:
        return model
    base = model.online or Online()
    if len(points) < model.output_size and model.lags:
        return model.with_online(replace(base, anomaly=True))  # which watches the medians
    if len(points) < model.output_size:
        inputs = {column: n for n, column in enumerate(dataset.inputs)}
        targets = np.full(model.output_size, -1)
        targets[points] = [inputs.get(column, -1) for column in dataset.targets]
        return model.with_online(replace(base, anomaly=True, targets=tuple(targets.tolist())))
    online = replace(base, intervals=LEVELS, anomaly=True)
    plain = model.with_online(online)
    if len(set(model.horizons)) > MANY:
        return plain  # each horizon would keep forecasts and a head of its own for every stream
    steps = season if season and season <= MAX_SEASON else 0
    mixed, adapted = (
        model.with_online(replace(online, adapt=adapt, season=steps)) for adapt in ("mix", "rls")
    )
    errors = [_validation_error(staged, dataset) for staged in (plain, mixed, adapted)]
    best, least = (mixed, errors[1]) if errors[1] < HEDGE * errors[0] else (plain, errors[0])
    return adapted if errors[2] < WORTH * least else best


def _validation_error(model: Model, dataset: Dataset) -> float:
    """Return the mean absolute error on the validation stretch, over the spread of each target."""
    results, errors = predict_all(model, dataset), []
    spread = model.output_scaling.scale
    for s in dataset.series:
        rows = np.arange(max(s.train_end, dataset.horizon), s.validation_end)
        made = dataset.said_of(s, rows, results[:, : model.output_size])
        errors.append(np.abs(made - s.values[rows][:, dataset.targets]) / spread)
    every = np.concatenate(errors)
    return float(np.nanmean(every)) if not np.isnan(every).all() else np.inf


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
            low, high = (
                dataset.said_of(s, rows, results[:, at + n * O : at + (n + 1) * O])
                for at in (places.low, places.high)
            )
            inside.append(((low <= truth) & (truth <= high))[~np.isnan(truth)])
        held = np.concatenate(inside)
        found[level] = float(held.mean()) if held.size else float("nan")
    return found
