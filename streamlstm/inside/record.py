"""Steps a stream through a series and records every gate at every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.engine import Engine
from ..errors import ModelError, StreamLSTMError
from ..network.layers import Layer
from ..network.model import Model

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """The values of one layer over T steps.

    Attributes
    ----------
    number : int
        Index in the model.
    layer : Layer
        Its specification.
    values : dict of str to float32[T, H]
        Named as in :class:`streamlstm.engine.explain.LayerTrace`.
    units : dict of str to int[H]
        The unit of each column.
    """

    number: int
    layer: Layer
    values: dict[str, Float32Array]
    units: dict[str, NDArray[np.intp]]

    @property
    def name(self) -> str:
        """Index and specification, for headings and messages."""
        return f"layer {self.number}, {self.layer.describe()}"

    def __getattr__(self, name: str) -> Float32Array:
        """Return values by name."""
        try:
            return self.values[name]
        except KeyError:
            known = ", ".join(self.values)
            raise AttributeError(f"{self.name} has no {name}; it has {known}") from None


@dataclass(frozen=True, eq=False)
class Recording:
    """T steps of one stream.

    Attributes
    ----------
    model : Model
    first : int
        Number of observations before the first recorded one.
    X : float32[T, F]
        The observations.
    Y : float32[T, O]
        The predictions.
    layers : tuple of LayerRecord
        The recorded layers.
    """

    model: Model
    first: int
    X: Float32Array
    Y: Float32Array
    layers: tuple[LayerRecord, ...]

    def __len__(self) -> int:
        """Return T."""
        return len(self.X)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all numbers as columns of length T, named like ``layer 0 forget_gate 7``."""
        found: dict[str, NDArray[Any]] = dict(zip(self.model.inputs, self.X.T, strict=True))
        for name, column in zip(self.model.outputs, self.Y.T, strict=True):
            found[f"predicted {name}"] = column
        for layer in self.layers:
            for name, values in layer.values.items():
                for unit, column in zip(layer.units[name], values.T, strict=True):
                    found[f"layer {layer.number} {name} {unit}"] = column
        return found


def record(
    model: Model,
    X: Float32Array,
    *,
    first: int = 0,
    layers: Sequence[int] | None = None,
    units: Sequence[int] | None = None,
    backend: str = "auto",
    on_step: Callable[[int], None] | None = None,
    times: Sequence[float] | None = None,
) -> Recording:
    """Step a fresh stream through a series and record its gates.

    Parameters
    ----------
    model : Model
        The network.
    X : float32[n, F]
        Float64 for a model with offsets. The series from its start.
    first : int
        First step to record. Steps before it are run for their effect on the state only.
    layers : sequence of int, optional
        Indices of the layers; by default all recurrent ones.
    units : sequence of int, optional
        Units of these layers; by default all.
    backend : str
        As for :class:`streamlstm.Engine`.
    on_step : callable, optional
        Called after each observation with the number of observations so far.
    times : sequence of float, length n, optional
        Event times in seconds, for a model that needs them.

    Returns
    -------
    Recording
        Of ``n - first`` steps.

    Raises
    ------
    ModelError
        If there is no such layer or unit, or no recurrent layer.
    StreamLSTMError
        As :meth:`streamlstm.Engine.step`, naming the row.
    """
    chosen = choose_layers(model, layers, units)
    kind, made = (
        np.float32 if offsets is None else np.float64
        for offsets in (model.input_offsets, model.output_offsets)
    )
    X = np.asarray(X, kind)
    Y = np.empty((len(X) - first, model.output_size), made)
    traces: dict[int, dict[str, list[Float32Array]]] = {n: {} for n in chosen}
    engine = Engine(model, capacity=1, backend=backend)
    for row, x in enumerate(X):
        time = None if times is None else float(times[row])
        try:
            if row >= first:
                explained = engine.explain(0, x, time=time).layers
                for n in chosen:
                    for name, vector in explained[n].values.items():
                        traces[n].setdefault(name, []).append(vector)
            y = engine.step(0, x, time=time)
        except StreamLSTMError as error:
            raise type(error)(f"row {row + 1}: {error}") from None
        if row >= first:
            Y[row - first] = y
        if on_step:
            on_step(row + 1)
    records = [_stack(n, model.layers[n], trace, units) for n, trace in traces.items()]
    return Recording(model, first, X[first:], Y, tuple(records))


def _stack(
    n: int, layer: Layer, trace: dict[str, list[Float32Array]], units: Sequence[int] | None
) -> LayerRecord:
    """Stack the values of a layer over time, and select the units; some vectors have fewer."""
    values, columns = {}, {}
    for name, vectors in trace.items():
        width = len(vectors[0])
        selected = [unit for unit in dict.fromkeys(units or range(width)) if unit < width]
        columns[name] = np.array(selected, np.intp)
        values[name] = np.ascontiguousarray(np.stack(vectors)[:, selected])
    return LayerRecord(n, layer, values, columns)


def choose_layers(
    model: Model, layers: Sequence[int] | None = None, units: Sequence[int] | None = None
) -> list[int]:
    """Return the layers to record: those given, or all recurrent ones.

    Raises
    ------
    ModelError
        As :func:`record`.
    """
    chosen = layers if layers is not None else [n for n, m in enumerate(model.layers) if m.state]
    if not chosen:
        raise ModelError(
            f"expected a recurrent layer, got {model!r}; name a layer to see its outputs."
        )
    for n in chosen:
        if not 0 <= n < len(model.layers):
            known = [f"{k}: {layer.describe()}" for k, layer in enumerate(model.layers)]
            raise ModelError(f"there is no layer {n}; the layers are {'; '.join(known)}.")
        _check_units(n, model.layers[n], units)
    return list(dict.fromkeys(chosen))


def _check_units(n: int, layer: Layer, units: Sequence[int] | None) -> None:
    width = getattr(layer, "hidden_size", layer.output_size)
    for unit in units or ():
        if not 0 <= unit < width:
            raise ModelError(
                f"layer {n} ({layer.kind}) has the units 0 to {width - 1}, got unit {unit}."
            )
