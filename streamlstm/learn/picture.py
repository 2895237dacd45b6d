"""The picture of a training: its learning curve, and its last forecasts beside what came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..network.result_places import result_places
from ..plots.files import Picture
from ..plots.style import PRINT, new_figure, plotting
from .fit import learning_curve
from .objective import objective_of
from .report.class_plots import draw_confusion
from .report.plots import draw_beside, draw_learning_curve

if TYPE_CHECKING:
    from .trained import Trained

_ROWS = 200  # of the test period
_TARGETS = 4  # forecasts that are drawn


def draw(trained: Trained) -> Picture:
    """Draw a training.

    Raises
    ------
    StreamLSTMError
        If matplotlib is missing.
    """
    shown = range(min(len(trained.dataset.targets), _TARGETS))
    if trained.classes is not None:
        shown = range(1)
    history = learning_curve(trained.history)
    baseline = "persistence's" if trained.classes is None else "the class frequencies'"
    with plotting(PRINT):
        figure = new_figure(9, 2.4 * (1 + len(shown)))
        curve, *others = figure.subplots(1 + len(shown))
        if history:
            draw_learning_curve(curve, history, PRINT, baseline)
        for target, axes in zip(shown, others, strict=True):
            if trained.classes is None:
                _draw_forecast(axes, trained, target)
            else:
                draw_confusion(axes, trained.classes, PRINT)
                right = f"{100 * trained.classes.accuracy:.1f} % right"
                axes.set_title(f"classes of the test period, {right}")
    return Picture(figure)


def _draw_forecast(axes: Any, trained: Trained, target: int) -> None:
    """Draw the last forecasts of the longest series of the test period."""
    data, settings = trained.dataset, trained.settings
    objective = objective_of(settings, len(settings.outputs))
    output = int(objective.points[target])
    series = max(data.series, key=len)
    horizon = data.horizons[target]
    rows = np.arange(max(len(series) - _ROWS, horizon), len(series))
    column = data.targets[target]
    offset = 0.0 if data.offsets is None else float(data.offsets[column])
    made = trained.results[series.offset + rows - horizon].astype(np.float64) + offset
    band = None
    if (places := _band(trained, output)) is not None:
        low, high, name = places
        band = made[:, low], made[:, high], name
    draw_beside(axes, rows, made[:, output], series.values[rows, column] + offset, band, PRINT)
    ahead = f"{horizon} step{'s' * (horizon != 1)} ahead"
    of = f" of {series.name}" if series.name else ""
    axes.set_title(f"{settings.outputs[target]}{of}, {ahead}: the last rows")
    axes.legend(loc="upper right", ncols=3)


def _band(trained: Trained, output: int) -> tuple[int, int, str] | None:
    """Return the places of the widest bounds of an output in a result, and their name."""
    model, quantiles = trained.model, trained.settings.quantiles
    if len(quantiles) > 2:
        first = output - output % len(quantiles)
        low, high = quantiles[0], quantiles[-1]
        name = f"quantiles {low:g} and {high:g}"
        return first, first + len(quantiles) - 1, name
    if model.online is None or not model.online.intervals:
        return None
    levels = len(model.online.intervals)
    places = result_places(model.output_size, levels)
    last = (levels - 1) * model.output_size + output
    return places.low + last, places.high + last, f"{100 * model.online.intervals[-1]:g} % interval"
