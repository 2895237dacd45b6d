"""Steps a table as it would have come live; labels are learnt when they would have come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.engine import Engine
from ...engine.offline import predict_rows
from ...engine.prediction import ResultLayout
from ...network.model import Model
from .forecasts import Rows

Array = NDArray[Any]


def run_live(
    model: Model, inputs: Array, groups: Sequence[Rows], time: Array | None, actual: Array
) -> Array:
    """Return what a model says of every row.

    A model whose labels are its inputs learns from them as it steps. One that takes labels from
    outside gets those of a row as soon as the row has come that they stand in.

    Parameters
    ----------
    model : Model
    inputs : float[n, F]
    groups : sequence of int[k]
        The rows of each stream, in order.
    time : float64[n] or None
    actual : float[n, O]
        The column of each output.

    Returns
    -------
    float32[n, W], float64 where outputs have offsets
    """
    if model.online is None or not model.online.labels:
        return predict_rows(model, inputs, groups, time)
    results = np.empty((len(inputs), model.result_size), np.float32)
    for rows in groups:
        _run_with_labels(model, inputs, rows, time, actual, results)
    return ResultLayout.of(model).with_offsets(results)


def _run_with_labels(
    model: Model, inputs: Array, rows: Rows, time: Array | None, actual: Array, results: Array
) -> None:
    """Step one stream, and learn the labels of each row that has come."""
    assert model.online is not None
    engine, ahead = Engine(model, capacity=1), np.array(model.horizons)
    late = int(ahead.max())  # labels of one observation are learnt together
    for position, row in enumerate(rows.tolist()):
        moment = None if time is None else [float(time[row])]
        results[row] = engine.result_many([0], inputs[row : row + 1], times=moment)[0]
        if not late < model.online.labels or position < late:
            continue
        labels = actual[rows[position - late + ahead], np.arange(len(ahead))]
        if np.isfinite(labels).any():
            engine.learn(0, position + 1 - late, labels)
