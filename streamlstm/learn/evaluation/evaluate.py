"""Evaluates a model on a table: steps it as it would have come live, and scores what it said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.warmup import compile_for
from ...data.read import read_table
from ...data.table import Table
from ...engine.prediction import Predictions, ResultLayout
from ...errors import DataError
from ...network.model import Model
from ..model_inputs import inputs_of, options_of
from ..periods import find_periods
from ..python_names import naming_parameters
from ..season import find_season
from .alarms import StreamReport, report_stream
from .classes import judge_classes
from .evaluation import Evaluation
from .forecasts import Rows, make_forecasts
from .live import run_live
from .output_scores import score_all, score_each
from .points import Point, find_points
from .reading import checked_inputs, has_sequences, reading_for, told_column

Array = NDArray[Any]
Firsts = Mapping[str, int]


def evaluate(
    model: Model | str | PathLike[str],
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    warm_up: int = 0,
    from_row: int = 1,
    test_only: bool = False,
    season: int | None = None,
    **options: Any,
) -> Evaluation:
    """Say how good a model is on a table.

    Each stream starts from a fresh state and is stepped row by row, as a worker would; what the
    model learns while it runs it learns when it would have come. Baselines see no more than that.

    Parameters
    ----------
    model : Model or path
    data : path, frame, array, dict of arrays, or Table
        What `train` takes, or a table that has been read.
    target : str or sequence of str, optional
        The column that each output forecasts, where its name does not say; of a model of classes
        the column of these.
    warm_up : int
        Forecasts of so many first rows of each stream are not scored.
    from_row : int
        Only forecasts of this row of each stream (counted from 1) and of later ones are scored.
    test_only : bool
        Score only rows that the model was neither trained nor validated on, as its file says.
    season : int, optional
        Rows of a season, for a baseline; by default as the model's file says, or as estimated.
    **options
        How to read the data, by the names of `ReadOptions`: ``stream_column="pump"``,
        ``time_column="date"``, ...

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        If the table does not fit the model, or no row can be scored.
    """
    network = model if isinstance(model, Model) else Model.load(model)
    given = [target] if isinstance(target, str) else target
    reading = reading_for(network, given)
    with naming_parameters():
        chosen = options_of(reading, options)
        table = data if isinstance(data, Table) else read_table(data, chosen)
    column = told_column(network, given)
    points = () if column is not None else find_points(network, table.names, given)
    inputs = checked_inputs(network, table)
    compile_for(network)
    groups = table.groups()
    labels = _labels(network, points, table)
    results = run_live(network, inputs, list(groups.values()), table.time, labels)
    periods = find_periods(network, table, groups)
    firsts, notes = _first_rows(groups, periods, from_row, test_only)
    if column is None:
        return judge(network, table, results, points, firsts, warm_up, season, notes)
    if season is not None:
        raise DataError("season: classes are not compared with those of a season ago; leave it out")
    return judge_told(network, table, results, column, firsts, warm_up, notes)


def judge(
    model: Model,
    table: Table,
    results: Array,
    points: Sequence[Point],
    firsts: Firsts,
    warm_up: int = 0,
    season: int | None = None,
    notes: Sequence[str] = (),
    history: Sequence[tuple[float, float]] = (),
) -> Evaluation:
    """Score what a model said of a table.

    Parameters
    ----------
    model : Model
    table : Table
    results : float32[n, W]
        What it said of each row.
    points : sequence of Point
        Its outputs that are forecasts.
    firsts : mapping of str to int
        For each stream the first of its rows whose forecast is scored.
    warm_up, season
        As for :func:`evaluate`.
    notes : sequence of str
        What should be known about the numbers.
    history : sequence of (float, float)
        Of the training, if it is known and not in the model's file.

    Raises
    ------
    DataError
        If no row can be scored.
    """
    groups = table.groups()
    starts = [firsts[stream] for stream in groups]
    forecasts = []
    for point in points:
        actual = table.select([point.target])[:, 0]
        forecasts.append(
            make_forecasts(
                model,
                point,
                results,
                actual,
                list(groups.values()),
                starts,
                warm_up,
                season or _season(model, actual, groups),
            )
        )
    if not any(made.scored.any() for made in forecasts):
        raise DataError(
            f"{table.path}: expected rows to score, found none among {len(table)} rows with a "
            f"horizon of {model.horizon}: a forecast is scored when the value that it spoke "
            "of has come. Use a longer table, or score more of it (warm-up, first row)"
        )
    scores = score_each(table, groups, firsts, forecasts)
    return Evaluation(
        model=model,
        table=table,
        groups=groups,
        forecasts=tuple(forecasts),
        totals=score_all(forecasts, scores),
        scores=tuple(scores),
        streams=_streams(model, table, results, firsts, warm_up),
        notes=tuple(notes),
        history=tuple(history) or _history(model),
    )


def judge_told(
    model: Model,
    table: Table,
    results: Array,
    column: str,
    firsts: Firsts,
    warm_up: int = 0,
    notes: Sequence[str] = (),
    history: Sequence[tuple[float, float]] = (),
) -> Evaluation:
    """Score the classes that a model told of a table, which stand in a column: as `judge`.

    Raises
    ------
    DataError
        If no row can be scored.
    """
    sequences = has_sequences(model)
    classes, more = judge_classes(model, table, results, column, firsts, warm_up, sequences)
    return Evaluation(
        model=model,
        table=table,
        groups=table.groups(),
        forecasts=(),
        totals=(),
        scores=(),
        streams=_streams(model, table, results, firsts, warm_up),
        notes=(*notes, *more),
        history=tuple(history) or _history(model),
        classes=classes,
    )


def _streams(
    model: Model, table: Table, results: Array, firsts: Firsts, warm_up: int
) -> tuple[StreamReport, ...]:
    """Return alarms and missing rows of each stream."""
    said, inputs = Predictions(results, ResultLayout.of(model)), inputs_of(model, table)
    return tuple(
        report_stream(stream, rows, max(firsts[stream], warm_up), inputs, table.time, said)
        for stream, rows in table.groups().items()
    )


def _labels(model: Model, points: Sequence[Point], table: Table) -> Array:
    """Return the column of each output, NaN for one that is no forecast: float64[n, O]."""
    labels = np.full((len(table), model.output_size), np.nan)
    for point in points:
        labels[:, point.output] = table.select([point.target])[:, 0]
    return labels


def _first_rows(
    groups: Mapping[str, Rows],
    periods: Mapping[str, tuple[int, int]] | None,
    from_row: int,
    test_only: bool,
) -> tuple[dict[str, int], list[str]]:
    """Return for each stream the first row that is scored, and what is to be said of them."""
    firsts = dict.fromkeys(groups, from_row - 1)
    if periods is None:
        if test_only:
            raise DataError(
                "test only: expected a model whose file says on which rows of this table it was "
                "trained; this one's does not, or it was trained on another table. Say from which "
                "row on to score (--from-row)"
            )
        return firsts, []
    if test_only:
        return {name: max(first, periods[name][1]) for name, first in firsts.items()}, []
    seen = sum(max(min(len(groups[s]), periods[s][1]) - first, 0) for s, first in firsts.items())
    scored = sum(max(len(groups[s]) - first, 0) for s, first in firsts.items())
    if not seen:
        return firsts, []
    return firsts, [
        f"{seen:,} of the {scored:,} rows scored are rows that the model was trained or validated "
        "on: its errors on new rows are larger; --test-only leaves them out"
    ]


def _season(model: Model, actual: Array, groups: Mapping[str, Rows]) -> int | None:
    """Return the season that the model's file says, or that of the longest stream."""
    try:
        settings = json.loads(model.metadata.get("settings", ""))
    except ValueError:
        settings = {}
    if isinstance(settings, dict) and "season" in settings:
        season = settings["season"]
        return season if isinstance(season, int) and season > 0 else None
    values = np.asarray(actual[max(groups.values(), key=len)], np.float64)
    return find_season(values[np.isfinite(values)])


def _history(model: Model) -> tuple[tuple[float, float], ...]:
    """Return loss and validation error of each epoch, as the model's file says."""
    try:
        epochs = json.loads(model.metadata.get("training", "")).get("history", [])
        return tuple((float(loss), float(validation)) for loss, validation in epochs)
    except (ValueError, TypeError, AttributeError):
        return ()
