"""Evaluates a model on the test periods of its training, from what it has said there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.table import Table
from ...engine.prediction import ResultLayout
from ...errors import DataError
from ...network.model import Model
from ..dataset import Series
from .evaluate import judge, judge_told
from .evaluation import Evaluation
from .points import find_points
from .reading import told_column


def evaluate_held_back(
    model: Model,
    table: Table,
    series: Sequence[Series],
    results: NDArray[Any],
    season: int | None,
    history: Sequence[tuple[float, float]],
) -> Evaluation | None:
    """Return how good a model is on the test periods; None if nothing can be scored.

    Parameters
    ----------
    model : Model
    table : Table
        What was trained on, with the changes of counters.
    series : sequence of Series
        Its streams, with their periods.
    results : float32[N, W]
        The result of every row of the series, one series after the other, without offsets.
    season : int or None
        Rows of a season.
    history : sequence of (float, float)
        Loss and validation error of each epoch.
    """
    groups = table.groups()
    offsets = model.output_offsets
    model = model.of_changes().with_offsets(model.input_offsets, offsets)
    results = ResultLayout.of(model).with_offsets(results)
    by_row = np.full((len(table), results.shape[1]), np.nan, results.dtype)
    for s in series:
        by_row[groups[s.name]] = results[s.offset : s.offset + len(s)]
    firsts = {s.name: s.validation_end for s in series}
    try:
        column = told_column(model)
        if column is not None:
            return judge_told(model, table, by_row, column, firsts, history=history)
        points = find_points(model, table.names)
        return judge(model, table, by_row, points, firsts, season=season, history=history)
    except DataError:
        return None
