"""Training on arrays of inputs and labels, row by row in time order: y[t] from X[..t]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.table import Table
from ..data.text_column import TextColumn
from ..engine.offline import predict_rows
from ..learn.trained import Trained
from ..learn.training import train
from ..network.model import Model

Array = NDArray[Any]
_ENOUGH = 80  # rows of a series, below which it is repeated until there is enough to split
_STREAM, _CLASS = "stream", "class"


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
        repeated = _repeat(rows, len(X))
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
        streams=TextColumn.of(ids) if len(parts) > 1 else None,
        lines=np.arange(sum(map(len, parts))),
        stream_column=_STREAM if len(parts) > 1 else None,
    )
    trained = train(table, target=targets, inputs=inputs, online=False, skip=False, **settings)
    return trained, trained.model.of_labels(names, targets)


def train_on_classes(
    X: Array,
    codes: NDArray[np.intp],
    streams: Array | None,
    names: Sequence[str],
    classes: Sequence[str],
    **settings: Any,
) -> tuple[Trained, Model]:
    """Train a model whose outputs are the probabilities of the classes of a row.

    Parameters
    ----------
    X : float[n, F]
    codes : int[n]
        The class of each row, from 0.
    streams : array[n] or None
    names, classes : sequence of str
        Names of the F inputs, and of the classes.
    **settings
        As `train` takes them.

    Raises
    ------
    DataError
        If there are fewer than two classes.
    """
    inputs = [f"x {name}" for name in names]
    groups = groups_of(streams, len(X))
    repeated = [_repeat(rows, len(X)) for rows in groups]
    rows = np.concatenate(repeated)
    ids = [str(number) for number, part in enumerate(repeated) for _ in part]
    table = Table(
        path="X",
        time=None,
        names=tuple(inputs),
        values=X[rows],
        streams=TextColumn.of(ids) if len(groups) > 1 else None,
        lines=np.arange(len(rows)),
        stream_column=_STREAM if len(groups) > 1 else None,
        categories={_CLASS: TextColumn.of([str(code) for code in codes[rows]])},
    )
    trained = train(table, classify=_CLASS, inputs=inputs, **settings)
    return trained, trained.model.of_labels(names, classes)


def predict_labels(model: Model, X: Array, streams: Array | None) -> Array:
    """Predict the labels of rows, float64[n, O], each stream from a fresh state."""
    results = predict_rows(model, X, groups_of(streams, len(X)))
    return np.asarray(results[:, : model.output_size], np.float64)


def _repeat(rows: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Return the rows of a stream, several times where all n are too few to be split."""
    return np.tile(rows, -(-_ENOUGH // len(rows)) if n < _ENOUGH else 1)


def groups_of(streams: Array | None, n: int) -> list[NDArray[np.intp]]:
    """Return the rows of each stream, in order."""
    if streams is None:
        return [np.arange(n)]
    _, numbers = np.unique(np.asarray(streams), return_inverse=True)
    return [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]
