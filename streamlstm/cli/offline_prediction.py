"""Predicts whole files with an engine, step by step as a worker does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamlstm.network.model import Model


def predict_rows(
    model: Model, values: NDArray[Any], groups: Sequence[NDArray[Any]]
) -> NDArray[Any]:
    """Predict from every row, each stream from a fresh state.

    Parameters
    ----------
    model : Model
        The model to run.
    values : float32[n, F]
        The model's inputs.
    groups : sequence of int[k]
        The rows of each stream, in order.

    Returns
    -------
    float32[n, O]
        The prediction of each row.
    """
    import numpy as np

    from streamlstm.engine.engine import Engine

    engine = Engine(model, capacity=max(len(groups), 1))
    Y = np.empty((len(values), model.output_size), np.float32)
    if len(groups) == 1:
        stream = engine.stream(0)
        for row in groups[0]:
            Y[row] = stream.step(values[row])
        return Y
    # Row t of every stream with more than t rows goes into one block.
    longest_first = sorted(groups, key=len, reverse=True)
    lengths = np.array([len(rows) for rows in longest_first])
    for t in range(lengths[0] if len(lengths) else 0):
        alive = int(np.count_nonzero(lengths > t))
        block = np.array([rows[t] for rows in longest_first[:alive]])
        Y[block] = engine.step_many(range(alive), values[block])
    return Y
