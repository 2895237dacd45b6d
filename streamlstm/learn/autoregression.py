"""Linear autoregressions: a baseline, and the linear part of a model beside the network.

Of each output the change of its target is foreseen from the target's last values:

    z[t + h] - z[t] = bias + sum_k w_k z[t - lag_k]

with lags of the last steps and, where there is a season, around one, two and seven seasons before
the time that is spoken of, and one and two seasons before now.

A few sets of lags are fitted by least squares and by Huber's loss (iteratively reweighted; P. J.
Huber, Robust Statistics, 1981), with the level and by differences alone, which no drift disturbs.
The choice is by the mean absolute error of the periods of training and validation, in which a row
of validation counts twice; what was chosen is then fitted to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_RECENT = (2, 8, 24, 48)  # numbers of last values
_SEASONS = (1, 2, 7)  # seasons before
_AROUND = 2  # steps around each
_LONGEST = 4096  # steps: no lag is longer
_ROWS = 20_000  # to fit on, at most: further ones change little
_ITERATIONS = 6
_RIDGE = 1e-6  # of the mean of the diagonal
_VALIDATION = 2.0  # weight of a row of validation


class TargetSeries(NamedTuple):
    """One series of a target.

    Attributes
    ----------
    values : float64[n]
        Scaled; NaN where one is missing.
    train_end, validation_end : int
        Ends of these periods.
    """

    values: Array
    train_end: int
    validation_end: int


class Kind(NamedTuple):
    """How a regression is fitted.

    Attributes
    ----------
    by_level : bool
        On the values and a constant; else on differences from the last value alone.
    robust : bool
        By Huber's loss; else by least squares.
    """

    by_level: bool
    robust: bool


KINDS = tuple(Kind(by_level, robust) for by_level in (False, True) for robust in (False, True))


@dataclass(frozen=True)
class Autoregression:
    """A linear forecast of a change from the last values.

    Attributes
    ----------
    lags : tuple of int
        Steps back, rising.
    weights : float64[K]
    bias : float
    kind : Kind or None
        How it was fitted, if it was chosen among others.
    """

    lags: tuple[int, ...]
    weights: Array
    bias: float
    kind: Kind | None = None

    @classmethod
    def none(cls) -> Autoregression:
        """Return persistence: no change."""
        return cls((), np.zeros(0), 0.0)

    def changes(self, values: Array) -> Array:
        """Return the forecast change at each row of a series, float64[n]."""
        if not self.lags:
            return np.full(len(values), self.bias)
        return np.asarray(lagged(values, self.lags) @ self.weights + self.bias)


def lagged(values: Array, lags: Sequence[int]) -> Array:
    """Return float64[n, K]: at each row the values of some steps before.

    What would be before the first row, or is missing, is taken as the row's own, as serving does.
    """
    rows = np.arange(len(values))[:, None] - np.array(lags, np.intp)
    found = np.asarray(values, np.float64)[np.maximum(rows, 0)]
    own = np.asarray(values, np.float64)[:, None]
    return np.where((rows < 0) | np.isnan(found), own, found)


def fit_autoregression(
    series: Sequence[TargetSeries], horizon: int, season: int | None
) -> Autoregression:
    """Choose and fit an autoregression.

    Parameters
    ----------
    series : sequence of TargetSeries
        The series, of one target.
    horizon : int
        Steps ahead.
    season : int or None
        Steps of a season.

    Returns
    -------
    Autoregression
        Without lags, which is persistence, where no other is better.
    """
    longest = min(max(p.train_end for p in series) // 3, _LONGEST)
    none = Autoregression.none()
    found = _Rows(series, horizon, _candidate_lags(horizon, season, longest))
    if not found.enough:
        return none
    simple = [none] if season is None else [none, _seasonal(horizon, season)]
    best = min(simple, key=lambda made: found.loss(made, 0))
    least, chosen = found.loss(best, 0), None
    for columns in found.candidates:
        for kind in KINDS:
            made = _fitted(found, columns, found.training, kind)
            loss = found.loss(made, len(columns))
            if loss < least:
                least, chosen = loss, (columns, kind)
    if chosen is None:
        return best
    return replace(_fitted(found, chosen[0], found.known, chosen[1]), kind=chosen[1])


def refit(
    chosen: Autoregression, series: Sequence[TargetSeries], horizon: int, season: int | None
) -> Autoregression:
    """Fit the lags that were chosen for a near horizon to another one, by least squares."""
    if chosen.kind is None:
        if season is None or not chosen.lags:
            return Autoregression.none()
        return _seasonal(horizon, season)
    longest = min(max(p.train_end for p in series) // 3, _LONGEST)
    recent = next((n for n, lag in enumerate(chosen.lags) if n != lag), len(chosen.lags))
    is_seasonal = recent < len(chosen.lags)
    lags = {*range(recent), *(_seasonal_lags(horizon, season) if is_seasonal else ())}
    tried = sorted(lag for lag in lags if lag <= longest)
    found = _Rows(series, horizon, [tried])
    kind = Kind(chosen.kind.by_level, robust=False)
    return _fitted(found, found.candidates[0], found.known, kind)


def _seasonal(horizon: int, season: int) -> Autoregression:
    """Return the forecast that the value is that of a season before: now's, of whole seasons."""
    lag = season * -(-horizon // season) - horizon
    return Autoregression((0, lag), np.array([-1.0, 1.0]), 0.0) if lag else Autoregression.none()


def _seasonal_lags(horizon: int, season: int | None) -> set[int]:
    """Return the steps back of the values around some seasons before the time spoken of."""
    if season is None:
        return set()
    before = [n * season - horizon + d for n in _SEASONS for d in range(-_AROUND, _AROUND + 1)]
    spoken_of = {lag if lag >= 0 else lag + season * -(lag // season) for lag in before}
    return spoken_of | {n * season for n in _SEASONS[:2]}


def _candidate_lags(horizon: int, season: int | None, longest: int) -> list[list[int]]:
    """Return the sets of lags that are tried, each rising."""
    found = []
    for recent in _RECENT:
        for seasonal in (set(), _seasonal_lags(horizon, season)):
            lags = [lag for lag in sorted({*range(recent), *seasonal}) if lag <= longest]
            if lags not in found:
                found.append(lags)
    return found


class _Rows:
    """The rows to fit on and to choose by, of all series.

    Parameters
    ----------
    series : sequence of TargetSeries
    horizon : int
    tried : sequence of lists of int
        Sets of lags.
    """

    def __init__(
        self, series: Sequence[TargetSeries], horizon: int, tried: Sequence[list[int]]
    ) -> None:
        every = sorted(set().union(*tried)) if tried else []
        self.candidates = [[every.index(lag) for lag in lags] for lags in tried]
        past, change, weight = [], [], []
        for p in series:
            rows = np.arange(max(p.validation_end - horizon, 0))
            past.append(lagged(p.values, every)[rows])
            change.append(p.values[rows + horizon] - p.values[rows])
            # A stretch before the longest lag is known tells little of a stream that has it.
            begun = rows >= min(every[-1] if every else 0, p.train_end // 3)
            weight.append(np.where(rows + horizon < p.train_end, 1.0, _VALIDATION) * begun)
        self.past, self.change = np.concatenate(past), np.concatenate(change)
        self.weight = np.concatenate(weight)
        self.weight[np.isnan(self.change) | np.isnan(self.past).any(axis=1)] = 0
        self.now = np.concatenate([p.values[: max(p.validation_end - horizon, 0)] for p in series])
        training, known = np.flatnonzero(self.weight == 1.0), np.flatnonzero(self.weight > 0)
        self.training = training[:: -(-len(training) // _ROWS) or 1]
        self.known = known[:: -(-len(known) // _ROWS) or 1]
        self.every = every

    @property
    def enough(self) -> bool:
        """Whether there is anything to fit on."""
        return len(self.training) > 16 and bool(self.candidates)

    def loss(self, made: Autoregression, parameters: int) -> float:
        """Return the mean absolute error; that of training as of rows that were not fitted."""
        columns = [self.every.index(lag) for lag in made.lags if lag in self.every]
        if len(columns) < len(made.lags):
            return np.inf
        known = self.weight > 0
        told = self.past[known][:, columns] @ made.weights + made.bias
        error, weight = np.abs(told - self.change[known]), self.weight[known]
        n = len(self.training)
        fitted = (n + parameters) / max(n - parameters, 1)
        error[weight == 1.0] *= fitted
        return float((error * weight).sum() / weight.sum())


def _fitted(rows: _Rows, columns: list[int], of: NDArray[np.intp], kind: Kind) -> Autoregression:
    """Fit the lags in some columns to some rows."""
    lags = tuple(rows.every[n] for n in columns)
    past, change = rows.past[of][:, columns], rows.change[of]
    if kind.by_level:
        w = _solve(np.concatenate([past, np.ones((len(past), 1))], axis=1), change, kind.robust)
        return Autoregression(lags, w[:-1], float(w[-1]))
    w = _solve(rows.now[of][:, None] - past[:, 1:], change, kind.robust)
    return Autoregression(lags, np.concatenate([[w.sum()], -w]), 0.0)


def _solve(A: Array, b: Array, robust: bool) -> Array:
    """Solve a regression by least squares, or by Huber's loss with the median error as its bend."""
    weight: Array = np.ones(len(A))
    w = np.zeros(A.shape[1])
    for _ in range(_ITERATIONS if robust else 1):
        weighted = A * weight[:, None]
        G = weighted.T @ A
        G[np.diag_indices_from(G)] += _RIDGE * np.trace(G) / len(G) + 1e-12
        w = np.linalg.solve(G, weighted.T @ b)
        size = np.abs(A @ w - b)
        bend = max(float(np.median(size)), 1e-9)
        weight = np.minimum(1.0, bend / np.maximum(size, 1e-12))
    return w
