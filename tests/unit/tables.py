"""Tables in memory for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from streamlstm import Dense, Model
from streamlstm.data.table import Table
from streamlstm.data.text_column import TextColumn


def make_table(
    time: ArrayLike | None, streams: Sequence[str] | None = None, **columns: ArrayLike
) -> Table:
    """Return a table as if read from the lines from 2 on of ``x.csv``."""
    values = np.array(list(columns.values()), np.float64).T
    return Table(
        path="x.csv",
        time=None if time is None else np.array(time, np.float64),
        names=tuple(columns),
        values=np.ascontiguousarray(values),
        streams=None if streams is None else TextColumn.of(streams),
        lines=np.arange(len(values)) + 2,
        time_column=None if time is None else "time",
        stream_column=None if streams is None else "id",
    )


def notes(table: Table) -> list[str]:
    """Return the notes of a table, each with its column before."""
    return [f"{note.column}: {note.text}" for note in table.notes]


def class_model(classes: Sequence[str], horizon: int = 0, **options: Any) -> Model:
    """Return a model whose share of class n rises with input n, ``x`` and the name of the class."""
    C = len(classes)
    weights = {"weight": 4 * np.eye(C), "bias": np.zeros(C)}
    inputs = [f"x {name}" for name in classes]
    layers = [Dense(C, C, "softmax")]
    return Model(layers, [weights], inputs, list(classes), horizon=horizon, **options)
