"""Draw a recording: the series on top, and under it what every gate does, over the same time."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from streamlstm.errors import DataError, StreamLSTMError

from .panels import Panel, nice, panels
from .record import Recording
from .timeline import Timeline

FORMATS = (".png", ".svg", ".pdf")
# Both maps are told apart by people who cannot tell red from green, and in grey.
SHARES, SIGNED = "cividis", "RdBu_r"
# Okabe and Ito, "Color Universal Design", 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, FAINT = "#222222", "#777777"

_WIDTH = 11.0  # inches, as are all below
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.95, 1.0, 0.62, 0.62
_LINES, _SUMMARY, _HEAT, _BETWEEN, _HEADING, _LABELS = 1.15, 0.34, 0.86, 0.36, 0.34, 0.14
_MOST_NAMES = 24  # of rows that can be read
_LONGEST_NAME = 15  # letters that have room on the left
_DAY = 86_400.0
_A_DATE = 1e8  # seconds; smaller ones are no date, but count from some beginning
_STYLE = {
    "font.size": 9,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.6,
    "axes.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # names of columns may hold a dollar sign
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 7.5,
    "svg.hashsalt": "streamlstm",  # the same picture gives the same file
}


def check_drawing(out: str | PathLike[str] | None = None) -> None:
    """Say now what would fail when the picture is drawn.

    Raises
    ------
    StreamLSTMError
        If matplotlib is missing.
    DataError
        If ``out`` has another suffix than .png, .svg or .pdf.
    """
    if out is not None and Path(out).suffix.lower() not in FORMATS:
        raise DataError(f"{out}: expected a picture's name that ends in {', '.join(FORMATS)}")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise StreamLSTMError(
            "drawing needs matplotlib, which is not installed: pip install 'streamlstm[plot]'"
        ) from None


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
        When each step was, in seconds: since 1970 if they are large, else since any moment. Left
        out, steps are counted.
    labels : sequence of str, optional
        What to write under each step, such as the letters of a text, in the place of the series.
    marks : sequence of float
        Where to draw an upright line through the whole picture, as ``time``, or as the number of
        the step, from 1.
    title : str

    Raises
    ------
    StreamLSTMError, DataError
        As :func:`check_drawing`.
    OSError
        If the file cannot be written.
    """
    check_drawing(out)
    import matplotlib as mpl

    suffix = Path(out).suffix.lower()
    # Without a date in it the same picture is the same file.
    metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = _Picture(recording, time, labels, marks, title).figure
        figure.savefig(out, format=suffix[1:], dpi=140, metadata=metadata.get(suffix, {}))


def _height(panel: Panel) -> float:
    """Return how high a panel is, without what stands above it."""
    if panel.heat is None:
        return _LINES
    # Few rows need less room, and names of rows need more.
    heat: float = min(_HEAT, 0.3 + 0.035 * panel.heat.shape[1])
    if 0 < len(panel.rows) <= _MOST_NAMES:
        heat = max(heat, 0.13 * len(panel.rows))
    return heat + (_SUMMARY if panel.summary else 0.0)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


class _Picture:
    """A figure while it is drawn, from top to bottom."""

    def __init__(
        self,
        recording: Recording,
        time: ArrayLike | None,
        labels: Sequence[str] | None,
        marks: Sequence[float],
        title: str,
    ) -> None:
        from matplotlib.figure import Figure

        self._panels = list(panels(recording, series=labels is None))
        between = _BETWEEN + (_LABELS if labels is not None else 0.0)
        heights = [_height(panel) for panel in self._panels]
        headings = sum(bool(panel.new_layer) for panel in self._panels)
        self._total = _TOP + _BOTTOM + sum(heights) + between * (len(heights) - 1)
        self._total += _HEADING * headings
        self.figure = Figure(figsize=(_WIDTH, self._total), facecolor="white")
        self._labels, self._marks = labels, marks
        self._counted, self._is_date = time is None, False
        self._timeline = Timeline(self._place(recording, time))
        self._many = len(recording) > 400
        self.figure.text(_LEFT / _WIDTH, 1 - 0.27 / self._total, title, size=12, weight="bold")
        top = _TOP
        for panel, height in zip(self._panels, heights, strict=True):
            if panel.new_layer:
                self._heading(panel.new_layer, top)
                top += _HEADING
            last = self._draw(panel, top, height)
            if labels is not None:
                self._label(last)
            top += height + between
        self._write_below(last)

    def _place(self, recording: Recording, time: ArrayLike | None) -> Any:
        """Return where each step stands; large times become days, as matplotlib counts dates."""
        if time is None or self._labels is not None:
            return recording.first + 1.0 + np.arange(len(recording))
        seconds = np.asarray(time, np.float64)
        self._is_date = bool(np.abs(seconds).max() > _A_DATE)
        return seconds / _DAY if self._is_date else seconds

    def _axes(self, top: float, height: float) -> Any:
        axes = self.figure.add_axes(
            (
                _LEFT / _WIDTH,
                1 - (top + height) / self._total,
                1 - (_LEFT + _RIGHT) / _WIDTH,
                height / self._total,
            )
        )
        axes.set_xlim(*self._timeline.limits)
        axes.tick_params(axis="x", labelbottom=False, length=0)
        axes.tick_params(axis="y", length=2, width=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        for mark in self._marks:
            axes.axvline(mark / _DAY if self._is_date else mark, color="#D55E00", lw=1.0, ls="--")
        return axes

    def _heading(self, text: str, top: float) -> None:
        y = 1 - (top + 0.02) / self._total
        self.figure.text(_LEFT / _WIDTH, y, text, size=10.5, weight="bold", color=COLOURS[0])

    def _draw(self, panel: Panel, top: float, height: float) -> Any:
        """Draw one panel and return its lowest axes."""
        if panel.heat is None:
            axes = self._axes(top, height)
            self._draw_lines(axes, panel)
            self._name(axes, panel)
            return axes
        above = _SUMMARY if panel.summary else 0.0
        if panel.summary:
            strip = self._axes(top, above - 0.04)
            self._draw_summary(strip, panel)
            self._name(strip, panel)
        axes = self._axes(top + above, height - above)
        self._draw_heat(axes, panel)
        if not panel.summary:
            self._name(axes, panel)
        return axes

    def _name(self, axes: Any, panel: Panel) -> None:
        name = axes.annotate(
            panel.title, (0, 1), (0, 4), "axes fraction", "offset points", weight="bold"
        )
        if panel.meaning:
            # Anchored at its top: letters that hang below the line are not in every title.
            axes.annotate(
                panel.meaning, (1, 1), (7, 0), name, "offset points", color=FAINT, va="top"
            )

    def _draw_lines(self, axes: Any, panel: Panel) -> None:
        width = 0.8 if self._many else 1.2
        for n, curve in enumerate(panel.curves):
            kept = len(curve.values) - curve.start
            if kept <= 0:
                continue
            values = np.full(len(self._timeline.x), np.nan)
            values[curve.start :] = curve.values[:kept]
            colour = COLOURS[1] if curve.is_prediction else COLOURS[n % len(COLOURS)]
            if not curve.is_prediction and len(panel.curves) == 2 and panel.curves[1].is_prediction:
                colour = INK
            x, y = self._timeline.line(values)
            if curve.as_dots:
                axes.plot(x, y, ".", color=colour, ms=3)
            else:
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

    def _draw_summary(self, axes: Any, panel: Panel) -> None:
        assert panel.summary is not None
        assert panel.scale is not None
        x, y = self._timeline.line(panel.summary.values)
        axes.plot(x, y, color=INK, lw=0.9)
        low, high = panel.scale
        if panel.signed:
            low, high = 0.0, nice(float(np.nanmax(y)))
        axes.set_ylim(low, high * 1.02)
        axes.set_yticks([low, high], [f"{low:g}", f"{high:g}"])
        axes.spines["bottom"].set_visible(False)
        axes.annotate(
            panel.summary.name, (1, 0.5), (6, 0), "axes fraction", "offset points",
            va="center", size=7.5,
        )  # fmt: skip

    def _draw_heat(self, axes: Any, panel: Panel) -> None:
        assert panel.heat is not None
        assert panel.scale is not None
        columns = self._timeline.columns(panel.heat)
        N = len(columns)
        low, high = panel.scale
        image = axes.pcolorfast(
            self._timeline.edges,
            np.arange(N + 1.0),
            np.ma.masked_invalid(columns),
            cmap=SIGNED if panel.signed else SHARES,
            vmin=low,
            vmax=high,
        )
        axes.set_ylim(N, 0)
        axes.spines[:].set_visible(False)
        axes.set_yticks([])
        if 0 < len(panel.rows) <= _MOST_NAMES:
            axes.set_yticks(np.arange(N) + 0.5, [_short(row) for row in panel.rows])
        else:
            axes.set_ylabel("units" if panel.summary else f"{N} values", size=7.5)
        self._colour_bar(axes, image, low, high)

    def _colour_bar(self, axes: Any, image: Any, low: float, high: float) -> None:
        bar = axes.inset_axes((1.008, 0.0, 0.011, 1.0))
        beyond = np.ma.compressed(image.get_array())
        extend = "both" if len(beyond) and max(-beyond.min(), beyond.max()) > high else "neither"
        drawn = self.figure.colorbar(image, cax=bar, extend=extend)
        drawn.set_ticks([low, (low + high) / 2, high])
        drawn.ax.tick_params(labelsize=7.5, length=2, width=0.5)
        drawn.outline.set_visible(False)

    def _label(self, axes: Any) -> None:
        assert self._labels is not None
        axes.tick_params(axis="x", labelbottom=True, pad=1)
        axes.set_xticks(self._timeline.x, self._labels, family="monospace")

    def _write_below(self, axes: Any) -> None:
        """Put time under the lowest panel."""
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
        from matplotlib.ticker import MaxNLocator

        if self._labels is not None:
            return
        axes.tick_params(axis="x", labelbottom=True, length=3, width=0.6)
        if self._is_date:
            locator = AutoDateLocator(maxticks=12)
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
            axes.set_xlabel("time (UTC)")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(12, integer=self._counted))
            axes.set_xlabel("row" if self._counted else "time in seconds")
        if self._timeline.steps_a_column > 1:
            axes.annotate(
                f"each column of colours is the mean of {self._timeline.steps_a_column} rows",
                (0, 0), (0, -30), "axes fraction", "offset points",
                color=FAINT, size=7.5,
            )  # fmt: skip
