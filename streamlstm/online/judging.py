"""What is done with the outputs of one group: compared, adapted, given intervals. Specification.

Outputs of one horizon share a ring of forecasts (layout.Group); the stage has one of these objects
for each group, and calls them in the order of the outputs.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.outcomes import APPLIED
from ..network.model import Model
from ..network.result_places import ResultPlaces
from . import adaptation, drift, intervals, labelled, persistence
from .columns import join, split
from .layout import (
    Group,
    adaptation_of,
    anomaly_constants,
    forecast_inputs,
    interval_constants,
    shares,
    stage_places,
)

Array = NDArray[Any]


def _bounded(error: Array) -> Array:
    """Return an error that is finite, however far two values are apart."""
    largest = np.finfo(np.float32).max
    return np.clip(error, -largest, largest)


class GroupJudge:
    """The parts of the stage that are kept by output, of one group of outputs.

    Parameters
    ----------
    model : Model
        With an online stage.
    group : Group
    places : dict of str to slice
        Its columns (layout.group_places).
    results : ResultPlaces
    """

    def __init__(
        self, model: Model, group: Group, places: dict[str, slice], results: ResultPlaces
    ) -> None:
        assert model.online is not None
        self.group, self.places = group, places
        self.head = adaptation_of(model, group)
        self._model, self._results = model, results
        self._levels, self._anomaly = len(model.online.intervals), model.online.anomaly
        self._at_labelled = stage_places(model).get("labelled", slice(0)).start
        self._targets = forecast_inputs(model)[group.outputs]

    def adapt(
        self, hidden: Array, now: Array, came: Array, Y: Array, count: Array, state: Array
    ) -> Array:
        """Learn from what came, and return adapted and mixed forecasts, float[B, n].

        Parameters
        ----------
        hidden : float[B, H]
        now, came, Y : float[B, n]
            Of the group's outputs, in the unit of training: the value now of what each forecasts;
            the same, NaN where none came; the network's forecasts.
        count : int[B]
            How many steps each stream has made before.
        state : float[B, N]
            The stage's columns, updated in place.
        """
        assert self.head is not None
        place = self.places["adaptation"]
        kept = adaptation.split(self.head, state[:, place])
        Y, kept = adaptation.step(hidden, now, came, Y, count, kept, self.head)
        state[:, place] = join(kept)
        return Y

    def learn(self, number: int, labels: Array, state: Array) -> int:
        """Learn from labels[n] from outside of the step ``number``; return what became of them."""
        assert self.head is not None
        place = self.places["adaptation"]
        kept = adaptation.split(self.head, state[:, place])
        self._judge_labels(number, labels, adaptation.told_of(number, kept, self.head), state)
        outcome, kept = adaptation.label_update(number, labels, kept, self.head)
        state[:, place] = join(kept)
        if self._levels and outcome == APPLIED:
            self._learn_intervals(number, labels, state)
        return outcome

    def _judge_labels(self, number: int, labels: Array, told: Array, state: Array) -> None:
        """Judge labels of outputs that forecast no input and had been told ``told``, NaN: none."""
        errors = _bounded(labels.astype(np.float64) - told)
        for n in np.flatnonzero(~np.isnan(errors) & (np.array(self._targets) < 0)).tolist():
            head, part = self._labelled(self.group.first + n)
            kept = split(state[:, part], labelled.columns(self._anomaly))
            known, kept = labelled.judge(
                float(labels[n]),
                float(errors[n]),
                self._held(number, n, labels[n], state),
                drift.constants(self.group.horizon),
                anomaly_constants(self._model),
                shares(self._model),
                split(state[:, head], labelled.HEAD),
                kept,
            )
            state[:, head], state[:, part] = join(known), join(kept)

    def _labelled(self, output: int) -> tuple[slice, slice]:
        """Return the columns of what labels have told, of all outputs and of one."""
        start, size = self._at_labelled, sum(labelled.columns(self._anomaly).values())
        end = start + sum(labelled.HEAD.values())
        first = end + size * self._model.labelled.index(output)
        return slice(start, end), slice(first, first + size)

    def _held(self, number: int, n: int, label: float, state: Array) -> float:
        """Return 1 if a label is inside the interval that was told for it, 0 if not, else NaN."""
        if not self._levels:
            return np.nan
        ring = state[0, self.places["bounds"]].reshape(-1, self.group.size, 2)
        low, high = ring[number % self.group.ring, n]
        return np.nan if np.isnan(low) else float(low <= label <= high)

    def tell_labels(self, state: Array, result: Array) -> None:
        """Write what labels of the group have told since the last observation, and forget it."""
        for n in self._model.labelled:
            if not self.group.first <= n < self.group.end:
                continue
            _, part = self._labelled(n)
            kept = split(state[:, part], labelled.columns(self._anomaly))
            fresh = kept["fresh"][:, 0] != 0
            for place in ("error", "covered"):
                at = getattr(self._results, place) + n
                result[:, at] = np.where(fresh, kept[place][:, 0], result[:, at])
            kept["fresh"][:] = 0
            state[:, part] = join(kept)

    def _learn_intervals(self, number: int, labels: Array, state: Array) -> None:
        """Learn from labels of outputs that forecast no input, each once."""
        ring = state[:, self.places["forecasts"]].reshape(-1, self.group.size)
        position = number % self.group.ring
        error = _bounded(labels.astype(np.float64) - ring[position])
        for n in range(self.group.size):
            if self._targets[n] < 0 and not np.isnan(error[n]):
                self._put_interval(n, error[None, n], np.zeros(1), position, [0], state)
                ring[position, n] = np.nan
        state[:, self.places["forecasts"]] = ring.reshape(1, -1)

    def due(self, count: Array, state: Array) -> Array:
        """Return the forecasts[B, n] for this step, made earlier."""
        ring = state[:, self.places["forecasts"]].reshape(len(state), -1, self.group.size)
        return np.asarray(ring[np.arange(len(state)), count % self.group.ring])

    def compare(self, came: Array, Y: Array, count: Array, state: Array) -> Array:
        """Put forecasts Y[B, n] into the ring; return the errors of those that were due."""
        ring = state[:, self.places["forecasts"]].reshape(len(Y), -1, Y.shape[1]).copy()
        rows, place = np.arange(len(Y)), count % self.group.ring
        error = _bounded(came.astype(np.float64) - ring[rows, place])
        ring[rows, place] = Y
        state[:, self.places["forecasts"]] = ring.reshape(len(Y), -1)
        return error

    def relate(
        self, came: Array, error: Array, now: Array, count: Array, state: Array, result: Array
    ) -> None:
        """Compare the errors with those of persistence, and keep the values ``now``."""
        results, group = self._results, self.group
        places = self.places["held"], self.places["usual"]
        ring = state[:, places[0]].reshape(len(now), group.ring, group.size).copy()
        rows, place = np.arange(len(now)), count % group.ring
        *errors, usual = persistence.step(
            came, error, ring[rows, place], state[:, places[1]], count
        )
        ring[rows, place] = now
        state[:, places[0]], state[:, places[1]] = ring.reshape(len(now), -1), usual
        for first, values in zip((results.own_error, results.naive_error), errors, strict=True):
            result[:, first + group.first : first + group.end] = values

    def put_drift(self, error: Array, state: Array, result: Array) -> None:
        """Tell whether the forecasts of any output have become worse."""
        start, columns = self.places["drift"].start, drift.columns()
        constants = drift.constants(self.group.horizon)
        for n in range(error.shape[1]):
            part = slice(start + n * len(columns), start + (n + 1) * len(columns))
            told, kept = drift.step(error[:, n], constants, split(state[:, part], columns))
            state[:, part] = join(kept)
            result[told, self._results.drift] = 1

    def put_intervals(
        self, error: Array, Y: Array, count: Array, state: Array, result: Array
    ) -> None:
        """Learn from the errors, and write the bounds of the new forecasts to the results."""
        O, results, ring = self._model.output_size, self._results, self.group.ring
        for position in np.unique(count % ring):
            rows = np.flatnonzero(count % ring == position)
            for n in range(self.group.size):
                bounds = self._put_interval(
                    n, error[rows, n], Y[rows, n], int(position), rows, state
                )
                levels = np.arange(self._levels) * O + self.group.first + n
                for places, bound in zip((results.low, results.high), bounds, strict=True):
                    result[rows[:, None], places + levels] = bound

    def _put_interval(
        self, n: int, error: Array, y: Array, position: int, rows: Any, state: Array
    ) -> tuple[Array, Array]:
        """Learn from errors[B] of output ``n`` of some streams; return bounds of forecasts y[B]."""
        place, largest = self.places["intervals"], self.places["largest"].start + n
        size = (place.stop - place.start) // self.group.size
        part = slice(place.start + n * size, place.start + (n + 1) * size)
        kept = split(state[rows, part], intervals.columns(self._levels, self.group.ring))
        kept["largest"] = state[rows, largest][:, None]
        constants = interval_constants(self._model, self.group.horizon)
        bounds, kept = intervals.step(error, y, position, constants, kept)
        state[rows, largest] = kept.pop("largest")[:, 0]
        state[rows, part] = join(kept)
        return bounds

    def cover(self, error: Array, came: Array, count: Array, state: Array, result: Array) -> None:
        """Say whether what came was inside the widest interval for it, and keep the new bounds."""
        O, results, group = self._model.output_size, self._results, self.group
        ring = state[:, self.places["bounds"]].reshape(len(came), group.ring, group.size, 2).copy()
        rows, place = np.arange(len(came)), count % group.ring
        low, high = np.moveaxis(ring[rows, place], -1, 0)
        inside = np.where(np.isnan(error) | np.isnan(low), np.nan, (low <= came) & (came <= high))
        result[:, results.covered + group.first : results.covered + group.end] = inside
        widest = [end - O + group.first for end in (results.high, results.error)]
        ring[rows, place] = np.stack([result[:, at : at + group.size] for at in widest], axis=-1)
        state[:, self.places["bounds"]] = ring.reshape(len(came), -1)
