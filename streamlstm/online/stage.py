"""The order in which the parts of the online stage act in a step: the specification.

Before the network: fill, scale, derive. Behind it: scale back, compare what came with what had been
forecast for it, adapt, and say how sure the new forecast is.

A network whose inputs are scaled by the stream's own mean m and width w works in the unit of
training: there a value v is ``mean + scale (v - m) / w``, by the constants of training.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.anomaly_columns import GAP_ALARM
from ..kernels.online.outcomes import APPLIED, TOO_OLD
from ..kernels.online.unit import LARGEST_Z
from ..network.model import Model
from ..network.online import KINDS
from . import anomaly, calendar, differences, fill, labelled, lags, scaling
from .columns import join, split
from .judging import GroupJudge
from .layout import (
    anomaly_constants,
    fill_methods,
    fills,
    forecast_inputs,
    group_places,
    groups,
    lagged_inputs,
    levels_of,
    own_forecasts,
    shares,
    stage_places,
    watched,
)

Array = NDArray[Any]
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
        self._results = model.result_places
        of_groups = zip(groups(model), group_places(model), strict=True)
        self._groups = [GroupJudge(model, *group, self._results) for group in of_groups]
        self._adapts = model.online.adapt != "none"
        self._targets = np.array(forecast_inputs(model))
        self._zone = np.array(model.online.transitions, np.float64).reshape(-1, 2)

    def before(self, X: Array, times: Array, state: Array) -> Array:
        """Fill observations X[B, F] and return the inputs of the network.

        Parameters
        ----------
        X : float[B, F + D]
            NaN where a value is missing; behind the inputs the second floats of counters.
        times : float64[B]
            Event times in seconds, NaN where there is none.
        state : float[B, N]
            The stage's columns of the state rows, which are updated in place.
        """
        inputs = state[:, self._places["inputs"]]
        X = self._take_changes(X, state)
        self._missing, self._times = np.isnan(X), times
        inputs[:] = self._fill(X, state)
        self._advance_levels(inputs, state)
        Z = self._scale(inputs, state)
        if self._online.calendar:
            kept = split(state[:, self._places["calendar"]], calendar.columns())
            spacing = self._online.spacing
            derived, kept = calendar.step(times, self._zone, self._online.calendar, spacing, kept)
            state[:, self._places["calendar"]] = join(kept)
            Z = np.concatenate([Z, derived], axis=1)
        return Z.astype(self._dtype)

    def _take_changes(self, X: Array, state: Array) -> Array:
        """Return the inputs, counters as their changes."""
        counters, F = list(self._model.differences), self._model.input_size
        if not counters:
            return X
        place = self._places["differences"]
        kept = split(state[:, place], differences.columns(len(counters)))
        filled = np.array([method != "refuse" for method in fill_methods(self._model)])[counters]
        changes, kept = differences.step(X[:, counters], X[:, F:], filled, kept)
        state[:, place] = join(kept)
        X = X[:, :F].copy()
        X[:, counters] = changes
        return X

    def _advance_levels(self, inputs: Array, state: Array) -> None:
        """Move the levels of counters that did not come by their filled changes."""
        counters = list(self._model.differences)
        if counters:
            place = self._places["differences"]
            kept = split(state[:, place], differences.columns(len(counters)))
            kept = differences.advance(kept["rows"] == 1, inputs[:, counters], kept)
            state[:, place] = join(kept)

    def _put_levels(self, state: Array, result: Array) -> None:
        """Write what is added to the outputs."""
        columns = differences.columns(len(self._model.differences))
        kept = split(state[:, self._places["differences"]], columns)
        levels = differences.levels(np.array(levels_of(self._model)), kept)
        result[:, self._results.level :] = np.concatenate(levels, axis=1)

    def _fill(self, X: Array, state: Array) -> Array:
        """Return the inputs as they are filled."""
        self._absent: Array = np.zeros(X.shape, bool)
        if not fills(self._model):
            return X
        place, methods = self._places["fill"], fill_methods(self._model)
        kept = split(state[:, place], fill.columns(methods))
        own, count = np.full(X.shape, np.nan), self._steps(state)
        due = np.concatenate([group.due(count, state) for group in self._groups], axis=1)
        for target, output in enumerate(own_forecasts(self._model)):
            if output >= 0:
                own[:, target] = due[:, output]
        scaling = self._model.input_scaling
        gap = self._online.max_gap
        X, _, kept = fill.step(X, own, methods, gap, scaling.mean, scaling.scale, kept)
        self._absent = (kept["seen"] == 0) | (kept["gap"] > gap)
        state[:, place] = join(kept)
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
        kept = split(state[:, self._places["scaling"]], scaling.columns(inputs.shape[1]))
        Z, self._kept = scaling.step(inputs, ~self._missing, constants.scale, kept)
        state[:, self._places["scaling"]] = join(self._kept)
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
        count = self._count(state)
        outputs = self._add_lags(outputs, inputs, count, state)
        Y = model.output_scaling.invert(outputs).astype(np.float64)
        for output, source in enumerate(model.skip or ()):
            if source >= 0:
                skipped = self._to_training(inputs[:, [source]], np.array([source]))[:, 0]
                Y[:, output] += model.skip_factors[output].astype(self._dtype) * skipped
        aimed = np.flatnonzero(self._targets >= 0)
        columns = self._targets[aimed]
        now = np.full(Y.shape, np.nan)
        now[:, aimed] = inputs[:, columns]
        came = now.copy()
        came[:, aimed] = np.where(self._missing[:, columns], np.nan, now[:, aimed])
        if self._adapts:
            Y = self._adapt(hidden, now, came, Y, count, state)
        Y[:, aimed] = self._from_training(Y[:, aimed], columns)
        Y[self._without_forecast()] = np.nan
        result = np.full((len(Y), results.size), np.nan, self._dtype)
        result[:, : results.low] = Y
        result[:, [results.alarm, results.kind, results.drift]] = 0
        for group in self._groups:
            self._compare(group, now, came, count, state, result)
        if self._online.anomaly:
            self._judge(result[:, results.error : results.score], state, result)
        if model.labelled:
            self._tell_labels(state, result)
        untold = self._absent.any(axis=1) & (result[:, results.kind] == 0)
        result[untold, results.kind] = KINDS.index("missing")
        result[:, results.filled] = self._missing.sum(axis=1)
        if self._model.has_levels:
            self._put_levels(state, result)
        return result

    def _add_lags(self, outputs: Array, inputs: Array, count: Array, state: Array) -> Array:
        """Return the network's outputs with the linear part, neither of them scaled back."""
        model = self._model
        if model.lag_weights is None:
            return outputs
        sources, place = np.array(lagged_inputs(model)), self._places["lags"]
        values, constants = self._to_training(inputs[:, sources], sources), model.input_scaling
        z = (values - constants.mean[sources]) / constants.scale[sources]
        read, state[:, place] = lags.step(z, count, model.lags, state[:, place])
        outputs = outputs.copy()
        for output, target in enumerate(self._targets):
            if target >= 0:
                of_input = read[:, np.searchsorted(sources, target)]
                outputs[:, output] += of_input @ model.lag_weights[output]
        return outputs

    def _compare(
        self,
        group: GroupJudge,
        now: Array,
        came: Array,
        count: Array,
        state: Array,
        result: Array,
    ) -> None:
        """Compare what came with a group's forecasts, and keep the new ones, in ``result``."""
        outputs, errors = group.group.outputs, self._results.error
        now, came, Y = now[:, outputs], came[:, outputs], result[:, outputs]
        error = group.compare(came, Y, count, state).astype(self._dtype)
        result[:, errors + outputs.start : errors + outputs.stop] = error
        if "held" in group.places:
            group.relate(came, error.astype(np.float64), now, count, state, result)
        if self._online.intervals:
            group.put_intervals(error, Y, count, state, result)
            group.cover(error, came, count, state, result)
        if "drift" in group.places:
            group.put_drift(error, state, result)

    def _adapt(
        self, hidden: Array, now: Array, came: Array, Y: Array, count: Array, state: Array
    ) -> Array:
        """Learn from what came, and return adapted and mixed forecasts in the unit of training."""
        aimed = np.flatnonzero(self._targets >= 0)
        for values in (now := now.copy(), came := came.copy()):
            values[:, aimed] = self._to_training(values[:, aimed], self._targets[aimed])
        now, came, Y = (values.astype(self._dtype) for values in (now, came, Y))
        adapted = []
        for group in self._groups:
            of = group.group.outputs
            adapted.append(group.adapt(hidden, now[:, of], came[:, of], Y[:, of], count, state))
        return np.concatenate(adapted, axis=1).astype(np.float64)

    def _count(self, state: Array) -> Array:
        """Count a step of each stream; return how many there were before."""
        columns = state[:, self._places["count"]]
        count = self._steps(state)
        after = np.minimum(count + 1, DIGITS * DIGITS - 2)
        columns[:, 0], columns[:, 1] = after // DIGITS, after % DIGITS
        return count

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
        if self._online.scale == "stream":
            columns = scaling.columns(self._model.input_size)
            self._kept = split(state[:, self._places["scaling"]], columns)
            self._missing = np.zeros((1, self._model.input_size), bool)
        y = labels[None].astype(np.float64)
        aimed = np.flatnonzero(self._targets >= 0)
        y[:, aimed] = self._to_training(y[:, aimed], self._targets[aimed])
        number = int(self._steps(state)[0]) - 1 - back
        if number < 0:
            return TOO_OLD
        labels, outcomes = y[0].astype(self._dtype), []
        for group in self._groups:
            outcomes.append(group.learn(number, labels[group.group.outputs], state))
        return APPLIED if APPLIED in outcomes else max(outcomes)

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
            kept = split(state[:, part], columns)
            said, kept = anomaly.step(inputs[:, target], residual, self._times, constants, kept)
            state[:, part] = join(kept)
            told.append(said)
            gaps.append(kept["gap"][:, 0])
        score, p_value, alarm, kind = (np.stack(part, axis=1) for part in zip(*told, strict=True))
        p_value = np.minimum(p_value * shares(self._model), 1)
        # The kind of an alarm that begins, else of one that stands, else that values are missing.
        missing = (kind == KINDS.index("missing")) & (alarm == 0)
        short = np.stack(gaps, axis=1) < GAP_ALARM
        ranks = [alarm > 0, missing & short, missing, kind > 0]
        rank = np.select(ranks, [3, 0, 1, 2], 0)
        kind, of_kind = np.where(rank > 0, kind, 0), p_value
        if self._model.labelled:  # what labels have shown comes before what inputs show
            known = labelled.known(split(state[:, self._head()], labelled.HEAD))
            parts = zip(known, (score, p_value, alarm, kind, rank, of_kind), strict=True)
            score, p_value, alarm, kind, rank, of_kind = (np.column_stack(part) for part in parts)
        first = np.argmax(2 * rank - of_kind, axis=1)
        result[:, results.score] = score.max(axis=1)
        result[:, results.p_value] = p_value.min(axis=1)
        result[:, results.alarm] = alarm.max(axis=1)
        result[:, results.kind] = kind[np.arange(len(kind)), first]

    def _head(self) -> slice:
        start = self._places["labelled"].start
        return slice(start, start + sum(labelled.HEAD.values()))

    def _tell_labels(self, state: Array, result: Array) -> None:
        """Tell what labels have shown since the last observation, once."""
        head = split(state[:, self._head()], labelled.HEAD)
        result[head["drift"][:, 0] != 0, self._results.drift] = 1
        for group in self._groups:
            group.tell_labels(state, result)
        came = head["came"][:, 0] != 0
        state[:, self._head()] = np.where(came[:, None], 0, state[:, self._head()])
