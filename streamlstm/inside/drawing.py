"""Draws the parts of a panel into matplotlib axes: curves, heat map, summary, title."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..plots.style import PRINT
from .panels import Panel, round_up
from .time_axis import TimeAxis

# Both colour maps suit people who cannot tell red from green, and print in grey.
SEQUENTIAL, DIVERGING = "cividis", "RdBu_r"
# Okabe and Ito, "Color Universal Design", 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MAX_LABELLED_ROWS = 24  # of a heat map, so that labels stay legible

_MAX_LABEL = 15  # letters that fit on the left
_MANY_STEPS = 400  # thinner lines from here on


def draw_title(axes: Any, panel: Panel) -> None:
    """Write title and meaning above the axes."""
    title = axes.annotate(
        panel.title, (0, 1), (0, 4), "axes fraction", "offset points", weight="bold"
    )
    if panel.meaning:
        # Anchored at its top: letters that hang below the line are not in every title.
        axes.annotate(
            panel.meaning, (1, 1), (7, 0), title, "offset points", color=PRINT.faint, va="top"
        )


def draw_curves(axes: Any, panel: Panel, time_axis: TimeAxis) -> None:
    """Draw the curves of a panel, with a legend if there are several."""
    steps = len(time_axis.x)
    for n, curve in enumerate(panel.curves):
        count = len(curve.values) - curve.start
        if count <= 0:
            continue
        values = np.full(steps, np.nan)
        values[curve.start :] = curve.values[:count]
        colour = COLOURS[1] if curve.is_prediction else COLOURS[n % len(COLOURS)]
        if not curve.is_prediction and len(panel.curves) == 2 and panel.curves[1].is_prediction:
            colour = PRINT.ink
        x, y = time_axis.line(values)
        if curve.as_dots:
            axes.plot(x, y, ".", color=colour, ms=3)
        else:
            width = 0.8 if steps > _MANY_STEPS else 1.2
            axes.plot(x, y, color=colour, lw=width, label=curve.name)
    if panel.scale:
        low, high = panel.scale
        axes.set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    else:
        axes.margins(y=0.1)
    if len(panel.curves) > 1:
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=len(panel.curves),
            frameon=False,
            fontsize=8,
            handlelength=1.4,
            borderaxespad=0.1,
            columnspacing=1.2,
        )
    axes.grid(axis="y", color="#dddddd", lw=0.5)
    axes.set_axisbelow(True)


def draw_summary(axes: Any, panel: Panel, time_axis: TimeAxis) -> None:
    """Draw the mean over all units as one line."""
    assert panel.summary is not None
    assert panel.scale is not None
    x, y = time_axis.line(panel.summary.values)
    axes.plot(x, y, color=PRINT.ink, lw=0.9)
    low, high = panel.scale
    if panel.signed:
        low, high = 0.0, round_up(float(np.nanmax(y)))
    axes.set_ylim(low, high * 1.02)
    axes.set_yticks([low, high], [f"{low:g}", f"{high:g}"])
    axes.spines["bottom"].set_visible(False)
    axes.annotate(
        panel.summary.name, (1, 0.5), (6, 0), "axes fraction", "offset points",
        va="center", size=7.5,
    )  # fmt: skip


def draw_heat_map(axes: Any, panel: Panel, time_axis: TimeAxis) -> None:
    """Draw the heat map of a panel, with a colour bar on its right."""
    assert panel.heat is not None
    assert panel.scale is not None
    columns = time_axis.columns(panel.heat)
    N = len(columns)
    low, high = panel.scale
    image = axes.pcolorfast(
        time_axis.edges,
        np.arange(N + 1.0),
        np.ma.masked_invalid(columns),
        cmap=DIVERGING if panel.signed else SEQUENTIAL,
        vmin=low,
        vmax=high,
    )
    axes.set_ylim(N, 0)
    axes.spines[:].set_visible(False)
    axes.set_yticks([])
    if 0 < len(panel.rows) <= MAX_LABELLED_ROWS:
        axes.set_yticks(np.arange(N) + 0.5, [_shorten(row) for row in panel.rows])
    else:
        axes.set_ylabel("units" if panel.summary else f"{N} values", size=7.5)
    _draw_colour_bar(axes, image, low, high)


def _draw_colour_bar(axes: Any, image: Any, low: float, high: float) -> None:
    bar = axes.inset_axes((1.008, 0.0, 0.011, 1.0))
    values = np.ma.compressed(image.get_array())
    extend = "both" if len(values) and max(-values.min(), values.max()) > high else "neither"
    drawn = axes.figure.colorbar(image, cax=bar, extend=extend)
    drawn.set_ticks([low, (low + high) / 2, high])
    drawn.ax.tick_params(labelsize=7.5, length=2, width=0.5)
    drawn.outline.set_visible(False)


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_LABEL else name[: _MAX_LABEL - 1] + "…"
