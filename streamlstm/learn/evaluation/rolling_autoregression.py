"""A linear autoregression: the forecast that a network has to beat.

For a horizon of h rows and a season of m rows, M being the seasons that h rows need:

    v[t+h] - v[t] = w0 + w1 (v[t] - mean of v[0..t]) + sum_k a_k (v[t-k] - v[t-k-1])
                    + b0 (v[t+h-M] - v[t]) + b1 (v[t-m] - v[t]) + b2 (v[t+h-2M] - v[t])

by least squares with a ridge of one row's weight. Without weights it is persistence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64Array = NDArray[np.float64]

LAGS = 32
"""Changes from row to row that it sees."""
_FIRST_FIT = 64  # rows before the first fit: about twice the weights
_GROWTH = 1.25  # fitted again when there are so many times the rows of the last fit
_BLOCK = 1 << 15  # rows whose features are in memory at once


def rolling_autoregression(
    values: Array, horizon: int, season: int | None = None, first: int = 0
) -> Float64Array:
    """Forecast every row of a series by an autoregression that has only seen what came before.

    It is fitted before the row ``first``, and again whenever there are a quarter more rows.

    Parameters
    ----------
    values : float[n]
        One series from its start; NaN where a value is missing.
    horizon : int
        Rows from an observation to what is forecast, 1 or more.
    season : int, optional
        Rows of a season.
    first : int
        The first row whose forecast is asked for.

    Returns
    -------
    float64[n]
        In row ``t`` the forecast for row ``t + horizon``: persistence before there is enough to
        fit, NaN before ``first`` and before the first value.
    """
    lags, sums = _Lags(values, horizon, season), _Sums(_size(season))
    found = np.full(len(lags.values), np.nan)
    seen = 0  # rows whose targets have been added
    row = first
    weights = np.zeros(_size(season))
    while row < len(found):
        known = max(row + 1 - horizon, 0)  # rows whose targets have come when row is forecast
        if known >= _FIRST_FIT:
            sums.add(lags, seen, known)
            seen, weights = known, sums.solve()
        following = max(int(_GROWTH * known), _FIRST_FIT) + horizon - 1
        end = min(max(following, row + 1), len(found))
        found[row:end] = lags.forecasts(weights, row, end)
        row = end
    return found


def _size(season: int | None) -> int:
    return 2 + LAGS + (3 if season else 0)


class _Lags:
    """The features of one series, a block of rows at a time."""

    def __init__(self, values: Array, horizon: int, season: int | None) -> None:
        given = np.asarray(values, np.float64)
        self.known = np.isfinite(given)
        self.horizon, self._season = horizon, season
        self.values = fill_forward(given)
        self._begin = int(np.argmax(self.known)) if self.known.any() else len(given)
        # What no forecast is made from: nothing is known before the first value.
        self._filled = np.where(np.isnan(self.values), 0.0, self.values)
        counts = np.maximum(np.arange(len(given)) + 1 - self._begin, 1)
        self._mean = np.cumsum(self._filled) / counts
        self._steps = np.diff(self._filled, prepend=self._filled[:1])
        self._steps[self._begin : self._begin + 1] = 0

    def features(self, begin: int, end: int) -> Float64Array:
        """Return the features of rows ``begin`` to ``end``, float64[n, K]."""
        rows = np.arange(begin, end)
        now = self._filled[rows]
        found = np.ones((len(rows), _size(self._season)))
        found[:, 1] = now - self._mean[rows]
        for k in range(LAGS):
            found[:, 2 + k] = np.where(rows >= k, self._steps[np.maximum(rows - k, 0)], 0.0)
        if self._season:
            lag = seasonal_lag(self.horizon, self._season)
            for n, back in enumerate((lag - self.horizon, self._season, 2 * lag - self.horizon)):
                before = self._filled[np.maximum(rows - back, 0)]
                found[:, 2 + LAGS + n] = np.where(rows - back >= self._begin, before - now, 0.0)
        return found

    def forecasts(self, weights: Float64Array, begin: int, end: int) -> Float64Array:
        """Return what is forecast in rows ``begin`` to ``end``."""
        found = self.values[begin:end].copy()
        for first, last in _blocks(begin, end):
            found[first - begin : last - begin] += self.features(first, last) @ weights
        return found


class _Sums:
    """The sums of least squares, which grow with the rows."""

    def __init__(self, size: int) -> None:
        self._squares, self._products = np.zeros((size, size)), np.zeros(size)
        self._count = 0

    def add(self, lags: _Lags, begin: int, end: int) -> None:
        """Add the rows from ``begin`` to ``end`` whose value and target are known."""
        for first, last in _blocks(begin, end):
            rows = np.arange(first, last)
            now, later = lags.values[rows], lags.values[rows + lags.horizon]
            kept = lags.known[rows + lags.horizon] & ~np.isnan(now)
            features = lags.features(first, last)[kept]
            self._squares += features.T @ features
            self._products += features.T @ (later - now)[kept]
            self._count += int(kept.sum())

    def solve(self) -> Float64Array:
        """Return the weights; all 0 if there are no rows."""
        diagonal = self._squares.diagonal()
        ridge = diagonal / max(self._count, 1) + (diagonal == 0)
        ridge[0] += 1e-9  # the constant is not held back
        weights = np.linalg.solve(self._squares + np.diag(ridge), self._products)
        return np.asarray(weights, np.float64)


def _blocks(begin: int, end: int) -> Iterator[tuple[int, int]]:
    for first in range(begin, end, _BLOCK):
        yield first, min(first + _BLOCK, end)


def seasonal_lag(horizon: int, season: int) -> int:
    """Return the rows of the whole seasons before a target that are known when it is forecast."""
    return season * -(-horizon // season)


def fill_forward(values: Float64Array) -> Float64Array:
    """Return values with the last known one in place of each missing one; NaN before the first."""
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)
