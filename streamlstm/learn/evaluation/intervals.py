"""Whether intervals keep their promise: coverage, width, Winkler score, and the worst window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .forecasts import Float64Array, Forecasts, Rows

WINDOW = 500
"""Rows of the window in which coverage may be worst."""
NAN = float("nan")


@dataclass(frozen=True)
class IntervalScore:
    """One interval over some rows.

    Attributes
    ----------
    level : float
        The share of values that it promises to hold.
    values : int
        Rows for which it was known.
    coverage : float
        The share that it held.
    width : float
        Mean of high less low, in the unit of the column; NaN for an interval of one side.
    winkler : float
        Mean Winkler (interval) score, in the unit of the column: the width, and where a value fell
        outside ``2 / (1 - level)`` times its distance; lower is better; NaN for one side. Winkler
        (1972), Gneiting and Raftery (2007).
    worst : float
        Coverage of the 500 consecutive rows where it was furthest from the level; of all rows, if
        there are fewer.
    worst_row : int
        The first row of the table of that window; -1 if there is none.
    """

    level: float
    values: int
    coverage: float
    width: float
    winkler: float
    worst: float
    worst_row: int


def score_intervals(forecasts: Forecasts, rows: Rows) -> tuple[IntervalScore, ...]:
    """Score every interval over rows of one stream."""
    return tuple(_score(forecasts, n, rows) for n in range(len(forecasts.levels)))


def _score(forecasts: Forecasts, n: int, rows: Rows) -> IntervalScore:
    level = forecasts.levels[n]
    low, high = forecasts.low[rows, n], forecasts.high[rows, n]
    known = ~(np.isnan(low) & np.isnan(high))
    rows, low, high = rows[known], low[known], high[known]
    if not len(rows):
        return IntervalScore(level, 0, NAN, NAN, NAN, NAN, -1)
    actual = forecasts.actual[rows]
    # The side that an interval does not have is NaN, which nothing is below or above.
    inside = ~((actual < low) | (actual > high))
    start, worst = worst_window(inside, level)
    width = float((high - low).mean())
    return IntervalScore(
        level=level,
        values=len(rows),
        coverage=float(inside.mean()),
        width=width,
        winkler=float(winkler(low, high, actual, level).mean()),
        worst=worst,
        worst_row=int(rows[start]),
    )


def winkler(
    low: Float64Array, high: Float64Array, actual: Float64Array, level: float
) -> Float64Array:
    """Return the Winkler score of each interval."""
    outside = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
    return np.asarray(high - low + 2 / (1 - level) * outside)


def worst_window(inside: np.ndarray, level: float) -> tuple[int, float]:
    """Return where coverage was furthest from the level over 500 rows, and how much it was."""
    size = min(WINDOW, len(inside))
    sums = np.cumsum(np.concatenate([[0], inside]))
    shares = (sums[size:] - sums[:-size]) / size
    start = int(np.argmax(np.abs(shares - level)))
    return start, float(shares[start])


def pooled(scores: list[IntervalScore]) -> IntervalScore:
    """Return one interval over all streams: means over all rows, and the worst of the windows."""
    level = scores[0].level
    scores = [score for score in scores if score.values]
    values = sum(score.values for score in scores)
    if not values:
        return IntervalScore(level, 0, NAN, NAN, NAN, NAN, -1)

    def mean(name: str) -> float:
        return float(sum(score.values * getattr(score, name) for score in scores) / values)

    # A short stream says little: the windows of long ones count first.
    longest = min(WINDOW, max(score.values for score in scores))
    full = [score for score in scores if score.values >= longest]
    worst = max(full, key=lambda score: abs(score.worst - level))
    return IntervalScore(
        level=level,
        values=values,
        coverage=mean("coverage"),
        width=mean("width"),
        winkler=mean("winkler"),
        worst=worst.worst,
        worst_row=worst.worst_row,
    )
