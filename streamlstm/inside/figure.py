"""Draws a recording: the series on top, and below it every gate, over the same time axis."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..plots.axes import DAY, are_dates, mark_dates, mark_numbers
from ..plots.files import check_picture, write
from ..plots.style import PRINT, new_figure, plotting
from .drawing import (
    COLOURS,
    MAX_LABELLED_ROWS,
    draw_curves,
    draw_heat_map,
    draw_summary,
    draw_title,
)
from .panels import Panel, panels
from .record import Recording
from .time_axis import TimeAxis

# Sizes in inches.
_WIDTH = 11.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.95, 1.0, 0.62, 0.62
_CURVES, _SUMMARY, _HEAT_MAP, _BETWEEN, _HEADING, _LABELS = 1.15, 0.34, 0.86, 0.36, 0.34, 0.14


def draw(
    recording: Recording,
    out: str | PathLike[str],
    *,
    time: ArrayLike | None = None,
    labels: Sequence[str] | None = None,
    marks: Sequence[float] = (),
    title: str = "",
) -> None:
    """Write a picture of a recording.

    Parameters
    ----------
    recording : Recording
        Of T steps.
    out : path
        .png, .svg or .pdf.
    time : float64[T], optional
        Time of each step in seconds: since 1970 if large, else since any moment. By default steps
        are counted.
    labels : sequence of str, optional
        A label below each step, such as the letters of a text, instead of the series.
    marks : sequence of float
        Positions of vertical lines, in the unit of ``time``, or as numbers of steps from 1.
    title : str

    Raises
    ------
    StreamLSTMError, DataError
        As :func:`check_picture`.
    OSError
        If the file cannot be written.
    """
    check_picture(out)
    with plotting(PRINT):
        figure = _FigureBuilder(recording, time, labels, marks, title).figure
    write(figure, out, Path(out).suffix.lower()[1:])


def _panel_height(panel: Panel) -> float:
    """Return the height of a panel without its title."""
    if panel.heat is None:
        return _CURVES
    # Few rows need less room, and labels of rows need more.
    height: float = min(_HEAT_MAP, 0.3 + 0.035 * panel.heat.shape[1])
    if 0 < len(panel.rows) <= MAX_LABELLED_ROWS:
        height = max(height, 0.13 * len(panel.rows))
    return height + (_SUMMARY if panel.summary else 0.0)


class _FigureBuilder:
    """Builds a figure from top to bottom."""

    def __init__(
        self,
        recording: Recording,
        time: ArrayLike | None,
        labels: Sequence[str] | None,
        marks: Sequence[float],
        title: str,
    ) -> None:
        shown = list(panels(recording, series=labels is None))
        heights = [_panel_height(panel) for panel in shown]
        between = _BETWEEN + (_LABELS if labels is not None else 0.0)
        headings = sum(bool(panel.new_layer) for panel in shown)
        self._height = _TOP + _BOTTOM + sum(heights) + between * (len(heights) - 1)
        self._height += _HEADING * headings
        self.figure = new_figure(_WIDTH, self._height, layout=None)
        self._labels, self._marks = labels, marks
        self._has_time, self._is_date = time is not None, False
        self._time_axis = TimeAxis(self._positions(recording, time))
        self.figure.text(_LEFT / _WIDTH, 1 - 0.27 / self._height, title, size=12, weight="bold")
        top = _TOP
        for panel, height in zip(shown, heights, strict=True):
            if panel.new_layer:
                self._add_heading(panel.new_layer, top)
                top += _HEADING
            lowest = self._add_panel(panel, top, height)
            if labels is not None:
                lowest.tick_params(axis="x", labelbottom=True, pad=1)
                lowest.set_xticks(self._time_axis.x, labels, family="monospace")
            top += height + between
        if labels is None:
            self._label_time(lowest)

    def _positions(self, recording: Recording, time: ArrayLike | None) -> Any:
        """Return the position of each step; large times become days, as matplotlib counts dates."""
        if time is None or self._labels is not None:
            return recording.first + 1.0 + np.arange(len(recording))
        seconds = np.asarray(time, np.float64)
        self._is_date = are_dates(seconds)
        return seconds / DAY if self._is_date else seconds

    def _add_heading(self, text: str, top: float) -> None:
        y = 1 - (top + 0.02) / self._height
        self.figure.text(_LEFT / _WIDTH, y, text, size=10.5, weight="bold", color=COLOURS[0])

    def _add_axes(self, top: float, height: float) -> Any:
        axes = self.figure.add_axes(
            (
                _LEFT / _WIDTH,
                1 - (top + height) / self._height,
                1 - (_LEFT + _RIGHT) / _WIDTH,
                height / self._height,
            )
        )
        axes.set_xlim(*self._time_axis.limits)
        axes.tick_params(axis="x", labelbottom=False, length=0)
        axes.tick_params(axis="y", length=2, width=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        for mark in self._marks:
            axes.axvline(mark / DAY if self._is_date else mark, color=COLOURS[1], lw=1.0, ls="--")
        return axes

    def _add_panel(self, panel: Panel, top: float, height: float) -> Any:
        """Draw one panel; return its lowest axes."""
        if panel.heat is None:
            axes = self._add_axes(top, height)
            draw_curves(axes, panel, self._time_axis)
            draw_title(axes, panel)
            return axes
        above = 0.0
        if panel.summary:
            above = _SUMMARY
            summary = self._add_axes(top, above - 0.04)
            draw_summary(summary, panel, self._time_axis)
            draw_title(summary, panel)
        axes = self._add_axes(top + above, height - above)
        draw_heat_map(axes, panel, self._time_axis)
        if not panel.summary:
            draw_title(axes, panel)
        return axes

    def _label_time(self, axes: Any) -> None:
        """Draw the time axis below the lowest panel."""
        axes.tick_params(axis="x", labelbottom=True, length=3, width=0.6)
        if self._is_date:
            mark_dates(axes, 5, 12)
            axes.set_xlabel("time (UTC)")
        else:
            mark_numbers(axes, 12, whole=not self._has_time)
            axes.set_xlabel("time in seconds" if self._has_time else "row")
        if self._time_axis.steps_per_column > 1:
            axes.annotate(
                f"each column of colours is the mean of {self._time_axis.steps_per_column} rows",
                (0, 0), (0, -30), "axes fraction", "offset points",
                color=PRINT.faint, size=7.5,
            )  # fmt: skip
