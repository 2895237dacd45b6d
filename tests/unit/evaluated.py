"""Small tables and models, whose evaluation can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

import streamlstm as sl
from streamlstm.data.table import Table

Array = np.ndarray[Any, Any]


def table(streams: list[str] | None = None, time: Any = None, **columns: Any) -> Table:
    values = np.stack([np.asarray(v, np.float32) for v in columns.values()], axis=1)
    return Table(
        path="made.csv",
        time=None if time is None else np.asarray(time, np.float64),
        names=tuple(columns),
        values=values,
        streams=streams,
        lines=np.arange(2, len(values) + 2),
    )


def identity(
    inputs: tuple[str, ...] = ("value",), outputs: tuple[str, ...] | None = None, **options: Any
) -> sl.Model:
    """A model that answers with its inputs: persistence."""
    n = len(inputs)
    layer = sl.Dense(n, n)
    weights = {"weight": np.eye(n), "bias": np.zeros(n)}
    return sl.Model([layer], [weights], inputs, outputs or inputs, **options)


def recurrent(**online: Any) -> sl.Model:
    """A small LSTM that forecasts the next value as the last one and a little."""
    rng = np.random.default_rng(7)
    layers = [sl.LSTM(1, 4), sl.Dense(4, 1)]
    weights = [
        {name: 0.3 * rng.standard_normal(shape) for name, shape in layer.parameters().items()}
        for layer in layers
    ]
    model = sl.Model(layers, weights, ["value"], ["value"], skip=[0])
    return model.with_online(sl.Online(**online)) if online else model


def walk(n: int = 300, seed: int = 0) -> Array:
    return np.cumsum(np.random.default_rng(seed).standard_normal(n)).astype(np.float32)
