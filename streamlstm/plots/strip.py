"""A stretch of one stream, drawn: values over time, a band around a forecast, scores, alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .axes import DAY, are_dates, mark_dates
from .files import Picture
from .style import PRINT, new_figure, plotting

Numbers = NDArray[np.float64]

_COLOURS = (PRINT.ink, PRINT.made, PRINT.other, "#009E73", "#CC79A7", PRINT.faint)


@dataclass(frozen=True)
class Strip:
    """A stretch of one stream.

    Attributes
    ----------
    at : float64[n]
        Seconds, since 1970 or since some other moment; or numbers of rows.
    lines : dict of str to float64[n]
        Values by name; NaN where there is none.
    band : (float64[n], float64[n]) or None
        Lower and upper bounds of an interval.
    score : float64[n] or None
        How unusual each row is.
    alarms : bool[n] or None
    zone : str
        Time zone of the marks of the axis.
    """

    at: Numbers
    lines: Mapping[str, Numbers]
    band: tuple[Numbers, Numbers] | None = None
    score: Numbers | None = None
    alarms: NDArray[np.bool_] | None = None
    zone: str = "UTC"

    def last(self, rows: int) -> Strip:
        """Return the last rows of it."""
        part = slice(max(len(self.at) - rows, 0), None)
        return Strip(
            self.at[part],
            {name: values[part] for name, values in self.lines.items()},
            None if self.band is None else (self.band[0][part], self.band[1][part]),
            None if self.score is None else self.score[part],
            None if self.alarms is None else self.alarms[part],
            self.zone,
        )

    @property
    def alarmed(self) -> tuple[Numbers, Numbers]:
        """Where and at which value of the first line the alarms are; also what is missing there."""
        if self.alarms is None or not self.lines:
            return np.zeros(0), np.zeros(0)
        values = next(iter(self.lines.values()))[self.alarms]
        return self.at[self.alarms], values


def draw_strip(strip: Strip, title: str) -> Picture:
    """Draw it, the scores in axes of their own below.

    Raises
    ------
    StreamLSTMError
        If matplotlib is missing.
    """
    with plotting(PRINT):
        scored = strip.score is not None
        figure = new_figure(9, 4.2 if scored else 3.2)
        panels = figure.subplots(
            2 if scored else 1, sharex=True, squeeze=False, height_ratios=[3, 1] if scored else [1]
        )[:, 0]
        upper = panels[0]
        dates = are_dates(strip.at)
        x = strip.at / DAY if dates else strip.at
        if strip.band is not None:
            upper.fill_between(x, *strip.band, color=PRINT.made, alpha=0.2, lw=0, label="interval")
        for place, (name, values) in enumerate(strip.lines.items()):
            upper.plot(x, values, color=_COLOURS[place % len(_COLOURS)], lw=1, label=name)
        at, values = strip.alarmed
        if len(at):
            upper.plot(
                at / DAY if dates else at, values, "v", ms=6, color=PRINT.alarm, label="alarm"
            )
        upper.set_title(title)
        upper.legend(loc="best", ncols=4)
        if strip.score is not None:
            panels[1].plot(x, strip.score, color=PRINT.other, lw=1)
            panels[1].set_ylabel("score")
        if dates:
            mark_dates(panels[-1], 3, 8)
        panels[-1].set_xlabel(f"time ({strip.zone})" if dates else "seconds or rows")
    return Picture(figure)
