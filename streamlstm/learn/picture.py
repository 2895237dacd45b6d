"""The picture of a training: its learning curve, and its last forecasts beside what came."""

from __future__ import annotations

import io
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StreamLSTMError
from ..network.online import result_places

if TYPE_CHECKING:
    from .trained import Trained

_INK, _MADE, _OTHER = "#222222", "#1f77b4", "#999999"
_ROWS = 200  # of the test period


class Picture:
    """A drawing that a notebook shows, and that can be saved.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    """

    def __init__(self, figure: Any) -> None:
        self.figure = figure

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a file whose suffix is .png, .svg or .pdf."""
        self.figure.savefig(path)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=90)
        return buffer.getvalue()

    def __repr__(self) -> str:
        return "<Picture: save(path) writes it>"


def draw(trained: Trained) -> Picture:
    """Draw a training.

    Raises
    ------
    StreamLSTMError
        If matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise StreamLSTMError(
            "drawing needs matplotlib, which is not installed: pip install 'streamlstm[plot]'"
        ) from None
    targets = trained.model.outputs[:4]
    figure = Figure(figsize=(9, 2.4 * (1 + len(targets))), layout="constrained")
    curve, *forecasts = figure.subplots(1 + len(targets))
    draw_learning_curve(curve, trained)
    for output, axes in enumerate(forecasts):
        _draw_forecast(axes, trained, output)
    return Picture(figure)


def draw_learning_curve(axes: Any, trained: Trained) -> None:
    """Draw the loss and the validation error of each epoch, and mark the one that was kept."""
    epochs = [epoch.number for epoch in trained.history]
    axes.plot(epochs, [e.loss for e in trained.history], color=_OTHER, lw=1, label="loss")
    axes.plot(
        epochs, [e.validation for e in trained.history], color=_MADE, lw=1.4, label="validation"
    )
    axes.plot([trained.best.number], [trained.best.validation], "o", color=_MADE, label="kept")
    if all(e.validation > 0 for e in trained.history):
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_title("learning curve: validation error as a fraction of persistence's", fontsize=9)
    axes.legend(loc="upper right", ncols=3, fontsize=8)


def _draw_forecast(axes: Any, trained: Trained, output: int) -> None:
    """Draw the last forecasts of the longest series of the test period."""
    model, data = trained.model, trained.dataset
    series = max(data.series, key=len)
    horizon = model.horizons[output]
    column = data.targets[output] if output < len(data.targets) else data.targets[0]
    first = max(len(series) - _ROWS, horizon)
    rows = np.arange(first, len(series))
    made = trained.results[series.offset + rows - horizon]
    if model.online is not None and model.online.intervals:
        levels = len(model.online.intervals)
        places = result_places(model.output_size, levels)
        last = (levels - 1) * model.output_size + output
        axes.fill_between(
            rows,
            made[:, places.low + last],
            made[:, places.high + last],
            color=_MADE,
            alpha=0.2,
            lw=0,
            label=f"{100 * model.online.intervals[-1]:g} % interval",
        )
    axes.plot(rows, made[:, output], color=_MADE, lw=1.2, label="forecast")
    axes.plot(rows, series.values[rows, column], color=_INK, lw=0.8, label="what came")
    ahead = f"{horizon} step{'s' * (horizon != 1)} ahead"
    name = f" of {series.name}" if series.name else ""
    axes.set_title(f"{model.outputs[output]}{name}, {ahead}: the last rows", fontsize=9)
    axes.legend(loc="upper right", ncols=3, fontsize=8)
