"""The order in which the parts of the online stage act in a step: the specification.

Before the network: fill, scale, derive. Behind it: scale back, compare what came with what had been
forecast for it, adapt, and say how sure the new forecast is.

A network whose inputs are scaled by the stream's own mean m and width w works in the unit of
training: there a value v is ``mean + scale (v - m) / w``, by the constants of training.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.anomaly import GAP_ALARM
from ..kernels.online.outcomes import TOO_OLD
from ..network.model import Model
from ..network.online import KINDS, result_places
from . import adaptation, anomaly, calendar, drift, fill, intervals, scaling
from .layout import (
    adaptation_of,
    anomaly_constants,
    fill_methods,
    fills,
    forecast_inputs,
    interval_constants,
    ring_length,
    stage_places,
    watched,
)

Array = NDArray[Any]
LARGEST_Z = 1e9  # deviations from the mean of a stream: what is further is taken as this far
DIGITS = 1 << 24  # whole numbers that float32 holds


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
        self._results = result_places(model.output_size, len(model.online.intervals))
        self._head = adaptation_of(model)
        self._targets = np.array(forecast_inputs(model))
        self._zone = np.array(model.online.transitions, np.float64).reshape(-1, 2)

    def before(self, X: Array, times: Array, state: Array) -> Array:
        """Fill observations X[B, F] and return the inputs of the network.

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
        self._missing, self._times = np.isnan(X), times
        inputs[:] = self._fill(X, state)
        Z = self._scale(inputs, state)
        if self._online.calendar:
            kept = _split(state[:, self._places["calendar"]], calendar.columns())
            spacing = self._online.spacing
            derived, kept = calendar.step(times, self._zone, self._online.calendar, spacing, kept)
            state[:, self._places["calendar"]] = _join(kept)
            Z = np.concatenate([Z, derived], axis=1)
        return Z.astype(self._dtype)

    def _fill(self, X: Array, state: Array) -> Array:
        """Return the inputs as they are filled."""
        self._absent: Array = np.zeros(X.shape, bool)
        if not fills(self._model):
            return X
        place, methods = self._places["fill"], fill_methods(self._model)
        kept = _split(state[:, place], fill.columns(methods))
        own, count = np.full(X.shape, np.nan), self._steps(state)
        ring = state[:, self._places["forecasts"]].reshape(len(X), -1, len(self._targets))
        due = ring[np.arange(len(X)), count % ring.shape[1]]
        for output, target in enumerate(self._targets):
            if target >= 0:
                own[:, target] = due[:, output]
        scaling = self._model.input_scaling
        gap = self._online.max_gap
        X, _, kept = fill.step(X, own, methods, gap, scaling.mean, scaling.scale, kept)
        self._absent = (kept["seen"] == 0) | (kept["gap"] > gap)
        state[:, place] = _join(kept)
        return X

    def _without_forecast(self) -> Array:
        """Return which outputs have no forecast, bool[B, O].

        One whose own input is absent has none; and all have none if an input is absent that no
        output forecasts.
        """
        found = np.zeros((len(self._absent), len(self._targets)), bool)
        for n in range(self._absent.shape[1]):
            concerned = (self._targets == n) | (self._targets < 0) | (n not in self._targets)
            found[:, concerned] |= self._absent[:, n : n + 1]
        return found

    def _steps(self, state: Array) -> Array:
        """Return how many steps each stream has made."""
        columns = state[:, self._places["count"]].astype(np.int64)
        count: Array = columns[:, 0] * DIGITS + columns[:, 1]
        return count

    def _scale(self, inputs: Array, state: Array) -> Array:
        constants = self._model.input_scaling
        if self._online.scale == "model":
            return constants.apply(inputs)
        kept = _split(state[:, self._places["scaling"]], scaling.columns(inputs.shape[1]))
        Z, self._kept = scaling.step(inputs, ~self._missing, constants.scale, kept)
        state[:, self._places["scaling"]] = _join(self._kept)
        return Z

    def _moments(self, columns: Array) -> tuple[Array, Array]:
        """Return the stream's mean and width of these inputs, [B, n] each."""
        zeros, ones = np.zeros((len(self._missing), len(columns))), np.ones(len(columns))
        unit = self._model.input_scaling.scale
        mean = scaling.unscale(zeros, columns, unit, self._kept)
        return mean, scaling.unscale(zeros + ones, columns, unit, self._kept) - mean

    def _to_training(self, values: Array, columns: Array) -> Array:
        """Return values of these inputs in the unit of training."""
        if self._online.scale == "model":
            return values
        mean, width = self._moments(columns)
        constants = self._model.input_scaling
        z = np.clip((values - mean) / width, -LARGEST_Z, LARGEST_Z)
        return np.asarray(constants.mean[columns] + z * constants.scale[columns])

    def _from_training(self, values: Array, columns: Array) -> Array:
        """Return values of these inputs in the stream's own unit."""
        if self._online.scale == "model":
            return values
        mean, width = self._moments(columns)
        constants = self._model.input_scaling
        z = (values - constants.mean[columns]) / constants.scale[columns]
        return np.asarray(mean + z * width)

    def behind(self, outputs: Array, hidden: Array, state: Array) -> Array:
        """Return results float[B, W] from the network's outputs [B, O] and last hidden state."""
        model, results = self._model, self._results
        inputs = state[:, self._places["inputs"]]
        Y = model.output_scaling.invert(outputs).astype(np.float64)
        for output, source in enumerate(model.skip or ()):
            if source >= 0:
                skipped = self._to_training(inputs[:, [source]], np.array([source]))[:, 0]
                Y[:, output] += model.skip_factors[output].astype(self._dtype) * skipped
        count = self._count(state)
        aimed = np.flatnonzero(self._targets >= 0)
        columns = self._targets[aimed]
        now = np.full(Y.shape, np.nan)
        now[:, aimed] = inputs[:, columns]
        came = now.copy()
        came[:, aimed] = np.where(self._missing[:, columns], np.nan, now[:, aimed])
        if self._head is not None:
            Y = self._adapt(hidden, now, came, Y, count, state)
        Y[:, aimed] = self._from_training(Y[:, aimed], columns)
        Y[self._without_forecast()] = np.nan
        error, place = self._compare(came, Y, count, state)
        result = np.full((len(Y), results.size), np.nan, self._dtype)
        result[:, : results.low] = Y
        result[:, results.error : results.score] = error
        if self._online.intervals:
            self._put_intervals(error, Y.astype(self._dtype), place, state, result)
            self._cover(came, place, state, result)
        result[:, [results.alarm, results.kind]] = 0
        result[:, results.drift] = 0
        if "drift" in self._places:
            self._put_drift(error.astype(self._dtype), state, result)
        if self._online.anomaly:
            self._judge(error.astype(self._dtype), state, result)
        untold = self._absent.any(axis=1) & (result[:, results.kind] == 0)
        result[untold, results.kind] = KINDS.index("missing")
        result[:, results.filled] = self._missing.sum(axis=1)
        return result

    def _count(self, state: Array) -> Array:
        """Count a step of each stream; return how many there were before."""
        columns = state[:, self._places["count"]]
        count = self._steps(state)
        after = np.minimum(count + 1, DIGITS * DIGITS - 2)
        columns[:, 0], columns[:, 1] = after // DIGITS, after % DIGITS
        return count

    def _compare(self, came: Array, Y: Array, count: Array, state: Array) -> tuple[Array, Array]:
        """Put forecasts Y into the ring; return the errors of those that were due, and where."""
        ring = state[:, self._places["forecasts"]].reshape(len(Y), -1, Y.shape[1]).copy()
        rows, place = np.arange(len(Y)), count % ring.shape[1]
        error = came - ring[rows, place]
        ring[rows, place] = Y
        state[:, self._places["forecasts"]] = ring.reshape(len(Y), -1)
        return error, place

    def _adapt(
        self, hidden: Array, now: Array, came: Array, Y: Array, count: Array, state: Array
    ) -> Array:
        """Learn from what came, and return adapted and mixed forecasts in the unit of training."""
        assert self._head is not None
        aimed = np.flatnonzero(self._targets >= 0)
        for values in (now := now.copy(), came := came.copy()):
            values[:, aimed] = self._to_training(values[:, aimed], self._targets[aimed])
        place, dtype = self._places["adaptation"], self._dtype
        kept = adaptation.split(self._head, state[:, place])
        now, came, Y = now.astype(dtype), came.astype(dtype), Y.astype(dtype)
        Y, kept = adaptation.step(hidden, now, came, Y, count, kept, self._head)
        state[:, place] = _join(kept)
        return Y.astype(np.float64)

    def learn(self, back: int, labels: Array, state: Array) -> int:
        """Learn from labels[O] of the step that came ``back`` steps before the last.

        Parameters
        ----------
        back : int
        labels : float[O]
            In the unit of the series, NaN for none.
        state : float[1, N]
            The stage's columns of one stream, updated in place.

        Returns
        -------
        int
            What became of them (kernels/online/outcomes.py).
        """
        assert self._head is not None
        if self._online.scale == "stream":
            columns = scaling.columns(self._model.input_size)
            self._kept = _split(state[:, self._places["scaling"]], columns)
            self._missing = np.zeros((1, self._model.input_size), bool)
        y = labels[None].astype(np.float64)
        aimed = np.flatnonzero(self._targets >= 0)
        y[:, aimed] = self._to_training(y[:, aimed], self._targets[aimed])
        number = int(self._steps(state)[0]) - 1 - back
        if number < 0:
            return TOO_OLD
        place = self._places["adaptation"]
        kept = adaptation.split(self._head, state[:, place])
        outcome, kept = adaptation.label_update(number, y[0].astype(self._dtype), kept, self._head)
        state[:, place] = _join(kept)
        return outcome

    def _put_drift(self, error: Array, state: Array, result: Array) -> None:
        """Tell whether the forecasts of any output have become worse."""
        start, columns = self._places["drift"].start, drift.columns()
        constants = drift.constants(ring_length(self._model))
        for n in range(error.shape[1]):
            part = slice(start + n * len(columns), start + (n + 1) * len(columns))
            told, kept = drift.step(error[:, n], constants, _split(state[:, part], columns))
            state[:, part] = _join(kept)
            result[told, self._results.drift] = 1

    def _judge(self, error: Array, state: Array, result: Array) -> None:
        """Judge what came: the most unusual of what is watched is told, and any alarm."""
        results, place = self._results, self._places["anomaly"]
        pairs, constants = watched(self._model), anomaly_constants(self._model)
        size, columns = (place.stop - place.start) // len(pairs), anomaly.columns()
        inputs = np.where(self._missing, np.nan, state[:, self._places["inputs"]])
        told, gaps = [], []
        for n, (target, output) in enumerate(pairs):
            part = slice(place.start + n * size, place.start + (n + 1) * size)
            residual = error[:, output] if output >= 0 else np.full(len(error), np.nan)
            kept = _split(state[:, part], columns)
            said, kept = anomaly.step(inputs[:, target], residual, self._times, constants, kept)
            state[:, part] = _join(kept)
            told.append(said)
            gaps.append(kept["gap"][:, 0])
        score, p_value, alarm, kind = (np.stack(part, axis=1) for part in zip(*told, strict=True))
        p_value = np.minimum(p_value * len(pairs), 1)
        # The kind of an alarm that begins, else of one that stands, else that values are missing.
        missing = (kind == KINDS.index("missing")) & (alarm == 0)
        short = np.stack(gaps, axis=1) < GAP_ALARM
        ranks = [alarm > 0, missing & short, missing, kind > 0]
        rank = np.select(ranks, [3, 0, 1, 2], 0)
        kind = np.where(rank > 0, kind, 0)
        first = np.argmax(2 * rank - p_value, axis=1)
        result[:, results.score] = score.max(axis=1)
        result[:, results.p_value] = p_value.min(axis=1)
        result[:, results.alarm] = alarm.max(axis=1)
        result[:, results.kind] = kind[np.arange(len(kind)), first]

    def _put_intervals(
        self, error: Array, Y: Array, place: Array, state: Array, result: Array
    ) -> None:
        """Learn from the errors, and write the bounds of the new forecasts to the results."""
        O, results = self._model.output_size, self._results
        levels, start = len(self._online.intervals), self._places["intervals"].start
        columns = intervals.columns(levels, ring_length(self._model))
        size, constants = sum(columns.values()), interval_constants(self._model)
        for position in np.unique(place):
            rows = np.flatnonzero(place == position)
            for n in range(O):
                part = slice(start + n * size, start + (n + 1) * size)
                kept = _split(state[rows, part], columns)
                bounds, kept = intervals.step(
                    error[rows, n], Y[rows, n], int(position), constants, kept
                )
                state[rows, part] = _join(kept)
                for places, bound in zip((results.low, results.high), bounds, strict=True):
                    result[rows[:, None], places + np.arange(levels) * O + n] = bound

    def _cover(self, came: Array, place: Array, state: Array, result: Array) -> None:
        """Say whether what came was inside the widest interval for it, and keep the new bounds."""
        O, results = self._model.output_size, self._results
        ring = state[:, self._places["bounds"]].reshape(len(came), -1, O, 2).copy()
        rows = np.arange(len(came))
        low, high = np.moveaxis(ring[rows, place], -1, 0)
        error = result[:, results.error : results.score]
        inside = np.where(np.isnan(error) | np.isnan(low), np.nan, (low <= came) & (came <= high))
        result[:, results.covered : results.size] = inside
        widest = (result[:, end - O : end] for end in (results.high, results.error))
        ring[rows, place] = np.stack([*widest], axis=-1)
        state[:, self._places["bounds"]] = ring.reshape(len(came), -1)


def _split(rows: Array, columns: Mapping[str, int]) -> dict[str, Array]:
    """Return the columns of rows[B, n] by name, as copies."""
    ends = np.cumsum([0, *columns.values()])
    return {n: rows[:, a:b].copy() for n, (a, b) in zip(columns, pairwise(ends), strict=True)}


def _join(kept: Mapping[str, Array]) -> Array:
    return np.concatenate(list(kept.values()), axis=1)
