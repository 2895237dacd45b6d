"""Pictures of forecasts for files and notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...data.spacing import usual_spacing
from ...data.table import Table
from ...errors import DataError
from ...network.model import Model
from ...plots.files import Picture
from ...plots.style import PRINT, new_figure, plotting
from ..evaluation.forecasts import Rows, make_forecasts
from ..evaluation.points import Point, find_points
from .choice import chosen_streams, last_rows
from .class_plots import draw_accuracy_over_time, draw_confusion, draw_progress
from .plots import draw_error_over_time, draw_forecast, draw_lines
from .time_axis import place

if TYPE_CHECKING:
    from ..evaluation.classes import ClassEvaluation
    from ..evaluation.evaluation import Evaluation

_MOST = 6  # streams and outputs that are drawn from predictions


def figure(evaluation: Evaluation, stream: str | None = None, rows: int = 240) -> Picture:
    """Return a picture: for each output the last forecasts beside what came, and its error.

    Parameters
    ----------
    evaluation : Evaluation
    stream : str, optional
        The stream to draw; a typical one if left out.
    rows : int
        How many forecasts are drawn.

    Returns
    -------
    Picture

    Raises
    ------
    DataError
        If there is no such stream.
    StreamLSTMError
        If matplotlib is missing.
    """
    if stream is not None and stream not in evaluation.groups:
        raise DataError(f"expected a stream of {evaluation.table.path}, got {stream!r}")
    if evaluation.classes is not None:
        return _class_figure(evaluation, evaluation.classes, stream)
    shown = [n for n, score in enumerate(evaluation.totals) if score.errors.values][:8]
    with plotting(PRINT):
        made = new_figure(9, 1.2 + 3.2 * len(shown))
        all_axes = made.subplots(2 * len(shown), height_ratios=[2, 1] * len(shown))
        for n, output in enumerate(shown):
            forecasts = evaluation.forecasts[output]
            name = chosen_streams(evaluation, output)[0][0] if stream is None else stream
            scored = forecasts.rows(evaluation.groups[name])
            close, over_time = all_axes[2 * n], all_axes[2 * n + 1]
            close.set_title(f"{forecasts.output}{f' of {name}' if name else ''}")
            last = last_rows(evaluation, forecasts, name, rows)
            if len(scored):
                draw_forecast(close, evaluation, forecasts, last, PRINT)
                draw_error_over_time(over_time, evaluation, forecasts, scored, PRINT)
    return Picture(made)


def _class_figure(evaluation: Evaluation, found: ClassEvaluation, stream: str | None) -> Picture:
    """Return a picture of the confusion matrix, and of accuracy over time or in sequences."""
    parts = {name: found.told.rows(rows) for name, rows in evaluation.groups.items()}
    name = max(parts, key=lambda name: len(parts[name])) if stream is None else stream
    scores = found.total if stream is None else found.scores[stream]
    with plotting(PRINT):
        made = new_figure(9, 6)
        above, below = made.subplots(2)
        draw_confusion(above, scores, PRINT)
        above.set_title(f"{found.column}: {100 * scores.accuracy:.1f} % right")
        if found.sequences and stream is None:
            draw_progress(below, found, [*parts.values()], PRINT)
        elif len(parts[name]):
            draw_accuracy_over_time(below, evaluation, found, parts[name], PRINT)
    return Picture(made)


def prediction_figure(
    model: Model, table: Table, results: NDArray[Any], rows: int = 240
) -> Picture:
    """Return a picture of the last predictions of some outputs, at the times that they speak of.

    Parameters
    ----------
    model : Model
    table : Table
        What was predicted from; what came is drawn where it has that column.
    results : float32[n, W]
        The result of each row.
    rows : int
        Rows of each stream that are drawn.

    Raises
    ------
    StreamLSTMError
        If matplotlib is missing.
    """
    groups = table.groups()
    points = _points(model, table)
    shown = [(name, point) for name in groups for point in points][:_MOST]
    with plotting(PRINT):
        drawn = new_figure(9, 0.4 + 2.6 * len(shown))
        for axes, (name, point) in zip(
            drawn.subplots(len(shown), squeeze=False)[:, 0], shown, strict=True
        ):
            last = groups[name][-rows:]
            known = point.target in table.names
            came = table.select([point.target])[:, 0] if known else np.full(len(table), np.nan)
            made = make_forecasts(model, point, results, came, [groups[name]], [0])
            at = place(axes, _spoken_of(table, last, made.horizon), table, model)
            draw_lines(axes, at, made, last, PRINT)
            axes.set_title(f"{made.output}{f' of {name}' if name else ''}")
            axes.legend(loc="best", ncols=4)
    return Picture(drawn)


def _points(model: Model, table: Table) -> tuple[Point, ...]:
    """Return the outputs that are forecasts; every output where nothing says of what."""
    try:
        return find_points(model, table.names)
    except DataError:
        return tuple(Point(n, name, ()) for n, name in enumerate(model.outputs))


def _spoken_of(table: Table, rows: Rows, horizon: int) -> NDArray[np.float64]:
    """Return the time, or the row, that predictions of some rows of a stream speak of."""
    if table.time is None:
        return np.asarray(rows + 1.0 + horizon)
    ahead = np.arange(len(rows)) + horizon
    spacing = usual_spacing(table) or 0.0
    beyond = np.maximum(ahead - (len(rows) - 1), 0) * spacing
    return np.asarray(table.time[rows[np.minimum(ahead, len(rows) - 1)]] + beyond)
