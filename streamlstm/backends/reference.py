"""The backend in NumPy: the specification that tests compare every other one with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels import reference
from ..network.model import Model
from ..network.window import FIRST, WAIT
from ..online.layout import stage_size
from ..online.stage import Stage
from .backend import step_one_by_one
from .plan import initial_row, row_layout, stage_start, state_size
from .precision import narrow
from .reference_rows import RowsLayer, step_of
from .stages import runs_over_rows

Float32Array = NDArray[np.float32]


class ReferenceBackend:
    """The NumPy specification, slow and readable; in float64 the reference for all others.

    Parameters
    ----------
    model : Model
    dtype : dtype
        The type of all arithmetic: float32 or float64.
    weights : str
        Their precision; the model's are rounded to it already.
    """

    name = "reference"
    threads = 1
    why_not_in_a_child = ""

    def __init__(self, model: Model, dtype: Any = np.float32, weights: str = "float32") -> None:
        self._model, self._dtype = model, dtype
        places, self.row_size = row_layout(model)
        self._stage = None if model.online is None else Stage(model, dtype)
        start = stage_start(model)
        # Everything behind the states of the layers but the last result.
        self._columns = slice(state_size(model), start + stage_size(model))
        self._window_size = start - state_size(model)
        initial = initial_row(model).astype(dtype)
        self._initial = [{name: initial[at] for name, at in place.items()} for place in places]
        typed = [
            {n: array.astype(dtype, copy=False) for n, array in arrays.items()}
            for arrays in model.weights
        ]
        rounds = narrow(weights)
        self._layers: list[Any] = []
        self._over_rows: list[RowsLayer] = []
        self._least = 1 if model.start != WAIT else model.window or 1
        if runs_over_rows(model):
            parts = zip(model.layers, typed, self._initial, strict=True)
            self._over_rows = [RowsLayer(*part, rounds) for part in parts]
        else:
            pairs = zip(model.layers, typed, strict=True)
            self._layers = [step_of(*pair, rounds) for pair in pairs]
        self._places = places

    def step_block(
        self,
        rows: NDArray[Any],
        slots: NDArray[np.int64],
        X: NDArray[Any],
        Y: NDArray[Any],
        seqs: NDArray[np.uint64] | None = None,  # noqa: ARG002 - of devices
        times: NDArray[np.float64] | None = None,
    ) -> None:
        """Advance ``rows[S, R]`` at ``slots[B]`` (each once) by X[B, F]; results to Y[B, W]."""
        state = [
            {name: rows[slots, columns] for name, columns in place.items()}
            for place in self._places
        ]
        if times is None or not len(times):
            times = np.full(len(X), np.nan)
        kept = rows[slots, self._columns]
        Y[:], state, _ = self._step(X, times, state, kept)
        rows[slots, self._columns] = kept
        for place, vectors in zip(self._places, state, strict=True):
            for name, columns in place.items():
                rows[slots, columns] = vectors[name]

    def step_run(self, rows: Any, slot: NDArray[np.int64], *arrays: Any) -> None:
        """Advance one row by many observations, as :meth:`.backend.Backend.step_run` says."""
        step_one_by_one(self, rows, slot, *arrays)

    def use_rows(self, rows: NDArray[Any]) -> None:
        """Do nothing: rows are given with every block."""

    def learn(self, rows: NDArray[Any], slot: int, back: int, labels: Float32Array) -> int:
        """Learn from labels[O] of a step, as :meth:`.backend.Backend.learn` says."""
        assert self._stage is not None
        columns = rows[[slot], self._columns]
        outcome = self._stage.learn(back, labels, columns[:, self._window_size :])
        rows[[slot], self._columns] = columns
        return outcome

    def trace(
        self, rows: NDArray[Any], X: NDArray[Any], times: NDArray[np.float64]
    ) -> tuple[NDArray[Any], list[dict[str, NDArray[Any]]]]:
        """Step rows[B, R] by X[B, F], but for the layers' states; return results and traces.

        Returns
        -------
        Y : float[B, W]
        traces : list of dict
            As :meth:`compute` returns them.
        """
        state = [
            {name: rows[:, columns] for name, columns in place.items()} for place in self._places
        ]
        Y, _, traces = self._step(X, times, state, rows[:, self._columns], traced=True)
        return Y, traces

    def _step(
        self,
        X: NDArray[Any],
        times: NDArray[np.float64],
        state: list[dict[str, NDArray[Any]]],
        kept: NDArray[Any],
        traced: bool = False,
    ) -> tuple[NDArray[Any], list[dict[str, NDArray[Any]]], list[dict[str, NDArray[Any]]]]:
        """Compute results, new states and traces; what the stage keeps is updated in place."""
        windows, kept = np.split(kept, [self._window_size], axis=1)
        if self._stage is None:
            return self.compute(X, state, traced, windows)
        values = self._stage.before(X.astype(self._dtype), times, kept)
        values, state, traces = self._network(values, state, traced, windows)
        layers = zip(self._model.layers, state, strict=True)
        hidden = [vectors[layer.hidden] for layer, vectors in layers if layer.hidden]
        return self._stage.behind(values, hidden[-1] if hidden else values, kept), state, traces

    def reserve(self, count: int) -> None:
        """Do nothing: a block needs no further memory."""

    def single_stream(self, rows: Float32Array, head: int) -> None:
        """Return None: a single stream is stepped as a block."""

    def warm_up(self, initial: Float32Array, inputs: int, results: int) -> None:
        """Make a first step of a temporary stream."""
        row, X, Y = initial[None].copy(), np.zeros((1, inputs)), np.zeros((1, results))
        self.step_block(row, np.zeros(1, np.int64), X, Y)

    def take_over(self, old: "ReferenceBackend", rows: Float32Array) -> None:
        """Do nothing: this backend has no task with an address."""

    def compute(
        self,
        X: NDArray[Any],
        state: list[dict[str, NDArray[Any]]],
        traced: bool = False,
        windows: NDArray[Any] | None = None,
    ) -> tuple[NDArray[Any], list[dict[str, NDArray[Any]]], list[dict[str, NDArray[Any]]]]:
        """Compute all layers for X[B, F] from a state for each.

        Only ``windows``, the columns of windows in state rows, are modified: a window model is
        stepped as a stateful one if they are left out.

        Returns
        -------
        Y : float[B, O]
            Predictions.
        state : list of dict
            State of each layer after the step.
        traces : list of dict
            If ``traced``, the gates of each recurrent layer by name, and each layer's ``output``.
        """
        model = self._model
        values = model.input_scaling.apply(X.astype(self._dtype)).astype(self._dtype)
        values, after, traces = self._network(values, state, traced, windows)
        Y = model.output_scaling.invert(values)
        for output, source in enumerate(model.skip or ()):
            if source >= 0:
                Y[:, output] += model.skip_factors[output].astype(self._dtype) * X[:, source]
        return Y, after, traces

    def _network(
        self,
        values: NDArray[Any],
        state: list[dict[str, NDArray[Any]]],
        traced: bool,
        windows: NDArray[Any] | None,
    ) -> tuple[NDArray[Any], list[dict[str, NDArray[Any]]], list[dict[str, NDArray[Any]]]]:
        """Take scaled inputs through the layers to outputs that are not scaled back."""
        if windows is None or not self._window_size:
            return self._through(values, state, traced)
        T = self._model.window
        assert T is not None
        ring = reference.put(values, windows, T, self._model.start == FIRST)
        lengths = windows[:, 0]
        if self._over_rows:
            values, traces = self._through_windows(ring, lengths, state, traced)
        else:
            for t in range(T):
                before = (lengths <= T - t)[:, None]
                state = [
                    {n: np.where(before, start[n], vector) for n, vector in vectors.items()}
                    for vectors, start in zip(state, self._initial, strict=True)
                ]
                values, state, traces = self._through(ring[t], state, traced and t == T - 1)
        if self._model.start == WAIT:
            values = np.where(lengths[:, None] < T, np.nan, values).astype(self._dtype)
        return values, state, traces

    def _through_windows(
        self,
        ring: NDArray[Any],
        lengths: NDArray[Any],
        state: list[dict[str, NDArray[Any]]],
        traced: bool,
    ) -> tuple[NDArray[Any], list[dict[str, NDArray[Any]]]]:
        """Take windows of rows ring[T, B, F] through the layers; ``state`` is updated in place.

        Windows of equal length go together.
        """
        values = np.empty((len(lengths), self._model.output_size), self._dtype)
        traces: list[dict[str, NDArray[Any]]] = []
        for length in np.unique(lengths):
            which = np.flatnonzero(lengths == length)
            if length < self._least:
                values[which] = np.nan
                for start, vectors in zip(self._initial, state, strict=True):
                    for name, vector in vectors.items():
                        vector[which] = start[name]
                traces = self._unknown(ring) if traced else []
                continue
            X = ring[len(ring) - int(length) :, which]
            traces = []
            for layer, vectors in zip(self._over_rows, state, strict=True):
                with np.errstate(invalid="ignore"):
                    X, after, trace = layer.run(X, traced)
                traces.append(trace | {"output": X[-1]})
                for name, vector in after.items():
                    vectors[name][which] = vector
            values[which] = X[-1]
        return values, traces

    def _unknown(self, ring: NDArray[Any]) -> list[dict[str, NDArray[Any]]]:
        """Return the traces of a window that has too few rows: NaN."""
        traces: list[dict[str, NDArray[Any]]] = []
        X = np.zeros((len(ring), 1, ring.shape[2]), self._dtype)
        for layer in self._over_rows:
            X, _, trace = layer.run(X, True)
            traces.append(trace | {"output": X[-1]})
        return [{name: np.full_like(a, np.nan) for name, a in trace.items()} for trace in traces]

    def _through(
        self, values: NDArray[Any], state: list[dict[str, NDArray[Any]]], traced: bool
    ) -> tuple[NDArray[Any], list[dict[str, NDArray[Any]]], list[dict[str, NDArray[Any]]]]:
        """Take inputs through the layers once."""
        after: list[dict[str, NDArray[Any]]] = []
        traces: list[dict[str, NDArray[Any]]] = []
        for step, before in zip(self._layers, state, strict=True):
            traces.append({})
            keywords = {"trace": traces[-1]} if traced and "h" in before else {}
            # Products of finite numbers were seen to warn now and then; a NaN shows in the result.
            with np.errstate(invalid="ignore"):
                values, new = step(values, before, **keywords)
            after.append(new)
            traces[-1]["output"] = values
        return values, after, traces
