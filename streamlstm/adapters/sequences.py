"""Training on arrays of inputs and labels, row by row in time order: y[t] from X[..t]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.table import Table
from ..engine.offline import predict_rows
from ..learn.trained import Trained
from ..learn.training import train
from ..network.model import Model

Array = NDArray[Any]
_ENOUGH = 80  # rows of a series, below which it is repeated until there is enough to split
_STREAM = "stream"


def train_on_labels(
    X: Array, Y: Array, streams: Array | None, names: Sequence[str], **settings: Any
) -> tuple[Trained, Model]:
    """Train a model whose outputs are labels of the row itself, not forecasts.

    Parameters
    ----------
    X : float[n, F]
        Inputs, each stream's rows in the order of time.
    Y : float[n, O]
        Labels.
    streams : array[n] or None
        The stream of each row.
    names : sequence of str
        Names of the F inputs.
    **settings
        As `train` takes them.

    Returns
    -------
    Trained, Model
        The model predicts the label of a row from that row and those before it.
    """
    targets = [f"y{n}" for n in range(Y.shape[1])]
    inputs = [f"x {name}" for name in names]  # whatever the targets are called
    parts, ids = [], []
    for number, rows in enumerate(groups_of(streams, len(X))):
        repeated = np.tile(rows, -(-_ENOUGH // len(rows)) if len(X) < _ENOUGH else 1)
        # The label of a row stands in the next one, so that it is what comes a step later.
        values = np.zeros((len(repeated) + 1, X.shape[1] + Y.shape[1]))
        values[:-1, : X.shape[1]] = X[repeated]
        values[-1, : X.shape[1]] = X[repeated[-1]]
        values[1:, X.shape[1] :] = Y[repeated]
        values[0, X.shape[1] :] = Y[repeated[0]]
        parts.append(values)
        ids += [str(number)] * len(values)
    table = Table(
        path="X",
        time=None,
        names=(*inputs, *targets),
        values=np.concatenate(parts),
        streams=ids if len(parts) > 1 else None,  # type: ignore[arg-type]
        lines=np.arange(sum(map(len, parts))),
        stream_column=_STREAM if len(parts) > 1 else None,
    )
    trained = train(table, target=targets, inputs=inputs, online=False, skip=False, **settings)
    return trained, trained.model.of_labels(names, targets)


def predict_labels(model: Model, X: Array, streams: Array | None) -> Array:
    """Predict the labels of rows, float64[n, O], each stream from a fresh state."""
    results = predict_rows(model, X, groups_of(streams, len(X)))
    return np.asarray(results[:, : model.output_size], np.float64)


def groups_of(streams: Array | None, n: int) -> list[NDArray[np.intp]]:
    """Return the rows of each stream, in order."""
    if streams is None:
        return [np.arange(n)]
    _, numbers = np.unique(np.asarray(streams), return_inverse=True)
    return [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]
