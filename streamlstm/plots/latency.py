"""Latencies, drawn over the share of replies that took longer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .files import Picture
from .style import PRINT, new_figure, plotting

_POINTS = 400
_MARKS = (0.5, 0.9, 0.99, 0.999, 0.9999)


def draw_latency(latency: NDArray[np.float64], title: str) -> Picture:
    """Draw how long replies took, from the quickest half to the slowest.

    Parameters
    ----------
    latency : float64[N]
        Seconds, sorted.
    title : str

    Raises
    ------
    StreamLSTMError
        If matplotlib is missing.
    """
    # As many points in each power of ten of the share that took longer.
    longer = np.geomspace(1.0, 1 / len(latency), _POINTS)
    places = np.ceil((1 - longer) * (len(latency) - 1)).astype(np.intp)
    with plotting(PRINT):
        figure = new_figure(7, 3.6)
        axes = figure.subplots()
        axes.plot(1 / longer, 1e3 * latency[places], color=PRINT.made, lw=1.2)
        axes.set_xscale("log")
        axes.set_yscale("log")
        marks = [mark for mark in _MARKS if (1 - mark) * len(latency) >= 1]
        axes.set_xticks([1 / (1 - mark) for mark in marks], [f"{100 * m:g} %" for m in marks])
        axes.set_xticks([], minor=True)
        axes.grid(color=PRINT.faint, alpha=0.3, lw=0.5)
        axes.set_xlabel("replies that took at most this long")
        axes.set_ylabel("ms from when the request was due")
        axes.set_title(title)
    return Picture(figure)
