"""Quantiles that never cross: the median, and the distances to its neighbours, which are positive.

Of each target the last layer makes the median m and a number g for each distance. The quantile
above the median is ``m + softplus(g)``, the next one ``softplus(g')`` above that, and likewise
below.

A served network is a chain of layers with one activation for all outputs of each. As ``m =
softplus(m) - softplus(-m)``, this one is a dense layer with softplus of m, -m and every g, and a
dense layer that adds and subtracts. Rounding is monotone and the sums of all quantiles have the
same order, so that quantiles do not cross by rounding either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..network.layers import Dense
from .cells.block import Exported
from .dataset import Dataset
from .head import Head

Array = NDArray[Any]


def check_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Return the quantiles, rising, each once and with the median.

    Raises
    ------
    DataError
        If they are not.
    """
    levels = tuple(float(q) for q in quantiles)
    inside = all(0 < level < 1 for level in levels)
    if not inside or list(levels) != sorted(set(levels)) or 0.5 not in levels:
        raise DataError(
            "quantiles: expected levels between 0 and 1 that rise, with 0.5 among them (the "
            f"forecast that is scored), such as 0.1,0.5,0.9; got {', '.join(map(str, quantiles))}"
        )
    return levels


def quantile_name(target: str, level: float) -> str:
    """Return the name of an output: ``value_q10``."""
    return f"{target}_q{round(100 * level, 6):g}"


class QuantileHead(Head):
    """Q quantiles of each of K targets, the lowest first, target by target.

    Parameters
    ----------
    targets : int
        K.
    quantiles : sequence of float
        Between 0 and 1, rising, 0.5 among them.

    Attributes
    ----------
    medians : int[K]
        The outputs that are medians.
    """

    def __init__(self, targets: int, quantiles: Sequence[float]) -> None:
        self.quantiles, Q = check_quantiles(quantiles), len(quantiles)
        super().__init__(targets * Q, targets * Q)
        self.outputs_per_target = Q
        middle = self.quantiles.index(0.5)
        self.medians = np.arange(targets) * Q + middle
        # sums[q, j]: how the distance between quantiles j and j + 1 enters quantile q.
        below, distance = np.arange(Q)[:, None], np.arange(Q - 1)[None, :]
        above = (distance >= middle) & (below > distance)
        self._sums = above.astype(np.float32) - ((distance < middle) & (below <= distance))

    shrinks = True

    def shrunk(self, outputs: Array, share: float) -> Array:
        """Return quantiles around a share of the median, as far from it as they were."""
        return outputs - np.repeat((1 - share) * outputs[:, self.medians], len(self.quantiles), 1)

    def shrink(self, W: Array, shares: Array) -> None:
        """Multiply each median by a share of its own."""
        self._by_target(W)[..., 0] *= shares.astype(W.dtype)

    def names(self, targets: Sequence[str]) -> list[str]:
        """Return the names of the outputs."""
        return [quantile_name(target, level) for target in targets for level in self.quantiles]

    def initialize(self, W: Array) -> None:
        """Begin with the distances of a normal distribution as wide as the targets."""
        at = np.array([NormalDist().inv_cdf(level) for level in self.quantiles])
        self._by_target(W[-1])[:, 1:] = np.log(np.expm1(np.diff(at)))

    def _by_target(self, raw: Array) -> Array:
        return raw.reshape(*raw.shape[:-1], -1, self.outputs_per_target)

    def forward(self, raw: Array) -> Array:
        """Return the quantiles, float[T, B, K Q]."""
        parts = self._by_target(raw)
        distances = np.logaddexp(parts[..., 1:], raw.dtype.type(0))
        quantiles: Array = parts[..., :1] + distances @ self._sums.T
        return quantiles.reshape(raw.shape)

    def backward(self, raw: Array, d_output: Array) -> Array:
        """Return the gradient by the medians and the distances."""
        parts, d_out = self._by_target(raw), self._by_target(d_output)
        d_raw = np.empty_like(parts)
        d_raw[..., 0] = d_out.sum(axis=-1)
        half = raw.dtype.type(0.5)
        d_raw[..., 1:] = (d_out @ self._sums) * (half + half * np.tanh(half * parts[..., 1:]))
        return d_raw.reshape(raw.shape)

    def export(self, W: Array) -> list[Exported]:
        """Return a dense layer with softplus, and one that adds up."""
        K, Q, H = len(self.medians), self.outputs_per_target, len(W) - 1
        parts = self._by_target(W)  # [H + 1, K, Q]
        wide = np.concatenate([parts[..., :1], -parts[..., :1], parts[..., 1:]], axis=2)
        wide = wide.reshape(H + 1, K * (Q + 1))
        one_target = np.hstack([np.ones((Q, 1)), -np.ones((Q, 1)), self._sums]).astype(W.dtype)
        adding = np.kron(np.eye(K, dtype=W.dtype), one_target)
        return [
            (
                Dense(H, K * (Q + 1), "softplus"),
                {"weight": wide[:-1].T.copy(), "bias": wide[-1].copy()},
            ),
            (
                Dense(K * (Q + 1), K * Q),
                {"weight": adding, "bias": np.zeros(K * Q, W.dtype)},
            ),
        ]

    def load(self, W: Array, weights: Mapping[str, Array]) -> None:
        """Set the parameters from the weights of the first layer that `export` returned."""
        K, Q = len(self.medians), self.outputs_per_target
        for rows, source in ((W[:-1], weights["weight"].T), (W[-1:], weights["bias"][None])):
            wide = source.reshape(len(rows), K, Q + 1)
            self._by_target(rows)[:] = np.concatenate([wide[..., :1], wide[..., 2:]], axis=2)


def calibration(
    data: Dataset, predictions: Array, quantiles: Sequence[float], targets: Sequence[str]
) -> dict[str, float]:
    """Return the share of the values of the test periods that were not above each quantile.

    Parameters
    ----------
    data : Dataset
        The series and their test periods.
    predictions : float[N, K Q]
        The quantiles at every row of the data set, in the series' unit.
    quantiles : sequence of float
    targets : sequence of str
        Names of the K targets.

    Returns
    -------
    dict of str to float
        By the name of the output; 0.1 is right for a quantile of 0.1. Empty without quantiles or
        without a test period.
    """
    if not quantiles:
        return {}
    below: list[Array] = []
    by_level = predictions.reshape(len(predictions), -1, len(quantiles))
    for s in data.series:
        rows = np.arange(max(s.validation_end, data.horizon), len(s))
        truth = s.values[rows][:, data.targets]
        said = [data.said_of(s, rows, by_level[:, :, q]) for q in range(len(quantiles))]
        not_above = truth[:, :, None] <= np.stack(said, axis=2)
        below.append(np.where(np.isnan(truth)[:, :, None], np.nan, not_above))
    shares = np.concatenate(below).reshape(-1, predictions.shape[1])
    names = [quantile_name(target, level) for target in targets for level in quantiles]
    if np.isnan(shares).all(axis=0).any() or not len(shares):
        return {}
    return dict(zip(names, map(float, np.nanmean(shares, axis=0)), strict=True))
