"""The order in which the parts of the online stage act in a step: the specification.

Before the network: fill, scale. Behind it: scale back, compare what came with what had been
forecast for it, and say how sure the new forecast is.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network.model import Model
from ..network.online import result_places
from . import intervals
from .layout import ring_length, stage_places
from .table import interval_constants

Array = NDArray[Any]


class Stage:
    """The online stage of one model.

    Parameters
    ----------
    model : Model
        With an online stage.
    dtype : dtype
        Of all arithmetic.
    """

    def __init__(self, model: Model, dtype: Any) -> None:
        assert model.online is not None
        self._model, self._online, self._dtype = model, model.online, dtype
        self._places = stage_places(model)
        self._constants = interval_constants(model.online)
        self._results = result_places(model.output_size, len(model.online.intervals))

    def before(self, X: Array, times: Array, state: Array) -> Array:
        """Fill observations X[B, F] and return the inputs of the network, float[B, F].

        Parameters
        ----------
        X : float[B, F]
            NaN where a value is missing.
        times : float64[B]
            Event times in seconds, NaN where there is none.
        state : float[B, N]
            The stage's columns of the state rows, which are updated in place.
        """
        inputs = state[:, self._places["inputs"]]
        self._missing = np.isnan(X)
        inputs[:] = np.where(self._missing, inputs, X)
        del times
        return self._model.input_scaling.apply(inputs).astype(self._dtype)

    def behind(self, outputs: Array, state: Array) -> Array:
        """Return results float[B, W] from the outputs of the network, float[B, O]."""
        model, results = self._model, self._results
        inputs, position = state[:, self._places["inputs"]], state[:, self._places["position"]]
        ring = state[:, self._places["forecasts"]].reshape(len(outputs), -1, model.output_size)
        Y = model.output_scaling.invert(outputs)
        for output, source in enumerate(model.skip or ()):
            if source >= 0:
                Y[:, output] += model.skip_factors[output].astype(self._dtype) * inputs[:, source]
        rows, place = np.arange(len(Y)), position[:, 0].astype(np.int64)
        due = ring[rows, place]
        came = np.where(self._missing, np.nan, inputs)
        error = np.full(due.shape, np.nan)
        for output, target in enumerate(model.targets):
            if target >= 0 and model.horizon:
                error[:, output] = came[:, target] - due[:, output]
        ring[rows, place] = Y
        state[:, self._places["forecasts"]] = ring.reshape(len(Y), -1)
        position[:, 0] = (place + 1) % ring.shape[1]
        result = np.full((len(Y), results.size), np.nan, self._dtype)
        result[:, : results.low] = Y
        result[:, results.error : results.score] = error
        if self._online.intervals:
            self._put_intervals(error, Y, place, state, result)
        result[:, [results.alarm, results.kind]] = 0
        result[:, results.filled] = self._missing.sum(axis=1)
        return result

    def _put_intervals(
        self, error: Array, Y: Array, place: Array, state: Array, result: Array
    ) -> None:
        """Learn from the errors, and write the bounds of the new forecasts to the results."""
        O, results = self._model.output_size, self._results
        levels, columns = len(self._online.intervals), self._places["intervals"]
        names = intervals.columns(levels, ring_length(self._model))
        ends = np.cumsum([0, *names.values()])
        for position in np.unique(place):
            rows = np.flatnonzero(place == position)
            for n in range(O):
                start = columns.start + n * ends[-1]
                kept = {
                    name: state[rows, start + a : start + b]
                    for name, (a, b) in zip(names, pairwise(ends), strict=True)
                }
                bounds, kept = intervals.step(
                    error[rows, n], Y[rows, n], int(position), self._constants, kept
                )
                state[rows, start : start + ends[-1]] = np.concatenate(list(kept.values()), axis=1)
                for places, bound in zip((results.low, results.high), bounds, strict=True):
                    result[rows[:, None], places + np.arange(levels) * O + n] = bound
