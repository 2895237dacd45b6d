"""The linear part of a model, from an autoregression of each output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..network.model import Model
from ..network.scaling import Scaling
from .autoregression import Autoregression, TargetSeries, fit_autoregression, lagged, refit

if TYPE_CHECKING:
    from .dataset import Dataset

Array = NDArray[Any]
_CHOSEN = 6  # of more horizons, so many between the first and the last are chosen for


class LinearPart:
    """What is added to the outputs of a network: weighted last values of what they forecast.

    Parameters
    ----------
    parts : sequence of Autoregression
        Of each output; empty for none.
    sources : sequence of int
        For each output the input that it forecasts, or -1, which has no part.
    skip : sequence of int
        For each output the input that is added to it, or -1.
    scaling : Scaling
        Of the inputs.

    Attributes
    ----------
    lags : tuple of int
        Of all outputs, K of them.
    weights : float64[O, K]
        Of scaled inputs, in the unit of the series.
    offsets : float64[O]
        In the unit of the series.
    used : bool[O]
        Which outputs have a part.
    """

    def __init__(
        self,
        parts: Sequence[Autoregression],
        sources: Sequence[int],
        skip: Sequence[int],
        scaling: Scaling,
    ) -> None:
        O = len(sources)
        self._sources = np.array(sources)
        self.used = np.array(
            [o < len(parts) and sources[o] >= 0 and len(parts[o].lags) > 0 for o in range(O)]
        )
        outputs = np.flatnonzero(self.used).tolist()
        self.lags = tuple(sorted(set().union(*(parts[o].lags for o in outputs))))
        self.weights, self.offsets = np.zeros((O, len(self.lags))), np.zeros(O)
        for o in outputs:
            part, unit = parts[o], float(scaling.scale[sources[o]])
            self.weights[o, [self.lags.index(lag) for lag in part.lags]] = part.weights * unit
            self.offsets[o] = part.bias * unit
            if skip[o] < 0:  # a value is the last one and the change
                self.weights[o, self.lags.index(0)] += unit
                self.offsets[o] += float(scaling.mean[sources[o]])

    def added(self, X: Array) -> Array:
        """Return what is added, without offsets, to outputs not scaled: float64[n, O].

        Parameters
        ----------
        X : float[n, F]
            The scaled inputs of one series from its start.
        """
        added = np.zeros((len(X), len(self._sources)))
        for source in np.unique(self._sources[self.used]):
            outputs = np.flatnonzero(self.used & (self._sources == source))
            added[:, outputs] = lagged(X[:, source], self.lags) @ self.weights[outputs].T
        return added

    def weights_for(self, scale: Array) -> NDArray[np.float32] | None:
        """Return the weights float32[O, K] of a model with such an output scaling."""
        return (self.weights / scale[:, None]).astype(np.float32) if self.lags else None


def autoregressions(data: Dataset, season: int | None) -> list[Autoregression]:
    """Return a linear autoregression of each output of a data set.

    Of many horizons it is chosen for some, and fitted to each.

    Parameters
    ----------
    data : Dataset
    season : int or None
        Steps of a season.
    """
    found: dict[tuple[int, int], Autoregression] = {}
    steps = sorted(set(data.horizons))
    every = steps
    if len(steps) > _CHOSEN:
        ends = np.geomspace(1, len(steps), _CHOSEN).astype(int) - 1
        every = [steps[n] for n in sorted({0, *ends.tolist(), len(steps) - 1})]
    for column in dict.fromkeys(data.targets):
        if column not in data.inputs:
            found |= {(column, h): Autoregression.none() for h in steps}
            continue
        series = _target_series(data, data.inputs.index(column))
        chosen = {h: fit_autoregression(series, h, season) for h in every}
        for h in steps:
            _, nearest = min((abs(k - h), k) for k in every)
            near = chosen[nearest]
            found[column, h] = near if h in chosen else refit(near, series, h, season)
    return [found[pair] for pair in zip(data.targets, data.horizons, strict=True)]


def _target_series(data: Dataset, source: int) -> list[TargetSeries]:
    """Return the series of an input, scaled."""
    return [
        TargetSeries(
            data.X[s.offset : s.offset + len(s), source].astype(np.float64),
            s.train_end,
            s.validation_end,
        )
        for s in data.series
    ]


def autoregressions_of(
    model: Model, points: NDArray[np.intp] | None = None
) -> list[Autoregression]:
    """Return the autoregressions that make the linear part of a model, which has one.

    What they leave out is in the model's output scaling.

    Parameters
    ----------
    model : Model
    points : int[K], optional
        For each target the output that is its forecast; by default every output is one.
    """
    assert model.lag_weights is not None
    found = []
    for o in range(model.output_size) if points is None else points.tolist():
        target = model.targets[o]
        if target < 0:
            found.append(Autoregression.none())
            continue
        ratio = float(model.output_scaling.scale[o]) / float(model.input_scaling.scale[target])
        weights = model.lag_weights[o] * ratio
        if model.skip is None or model.skip[o] < 0:
            weights[model.lags.index(0)] -= 1
        found.append(Autoregression(model.lags, weights, 0.0))
    return found
