"""Predicts whole files with an engine, step by step as a worker does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlstm.backends.work import few_streams
from streamlstm.engine.engine import Engine
from streamlstm.engine.prediction import ResultLayout
from streamlstm.network.model import Model
from streamlstm.network.result_places import result_places

Rows = NDArray[Any] | range
PART = 16_384  # rows of results that are in memory at once


def predict_rows(
    model: Model,
    values: NDArray[Any],
    groups: Sequence[Rows],
    times: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Predict from every row, each stream from a fresh state.

    Parameters
    ----------
    model : Model
        The model to run.
    values : float[n, F]
        The model's inputs, float64 for a model with offsets.
    groups : sequence of int[k]
        The rows of each stream, in order; a ``range`` where one stream has all.
    times : float64[n], optional
        Event times in seconds.

    Returns
    -------
    float32[n, W], float64 where outputs have offsets
        The result of each row: its prediction, and what the online stage says of it.
    """
    engine = Engine(model, capacity=max(len(groups), 1))
    Y = np.empty((len(values), model.result_size), np.float32)
    longest_first = sorted(map(np.asarray, groups), key=len, reverse=True)
    lengths = np.array([len(rows) for rows in longest_first], np.int64)
    worth = few_streams(model)
    # Row t of every stream with more than t rows goes into one block, while these are enough.
    begun = int(lengths[worth]) if len(lengths) > worth else 0
    for t in range(begun):
        alive = range(int(np.count_nonzero(lengths > t)))
        block = np.array([longest_first[n][t] for n in alive])
        moments = None if times is None else times[block]
        Y[block] = engine.result_many(alive, values[block], times=moments)
    for n, rows in enumerate(longest_first):
        rest = rows[begun:]
        if len(rest):
            moments = None if times is None else times[rest]
            Y[rest] = engine.result_run(n, values[rest], moments)
    return ResultLayout.of(model).with_offsets(Y)


def predict_in_parts(
    model: Model,
    values: NDArray[Any],
    groups: Sequence[Rows],
    times: NDArray[Any] | None = None,
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield what :func:`predict_rows` returns in parts, each with its rows, in their order.

    The next part is computed while one is used. Streams so many that blocks of them are quicker are
    one part.

    Parameters
    ----------
    model, values, groups, times
        As for :func:`predict_rows`; the rows of each stream rise.
    """
    parts = _in_parts(model, values, groups, times)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = pool.submit(next, parts, None)
            yield part


def _in_parts(
    model: Model,
    values: NDArray[Any],
    groups: Sequence[Rows],
    times: NDArray[Any] | None,
) -> Iterator[tuple[slice, NDArray[Any]]]:
    if len(groups) > few_streams(model):
        yield slice(0, len(values)), predict_rows(model, values, groups, times)
        return
    engine, layout = Engine(model, capacity=max(len(groups), 1)), ResultLayout.of(model)
    for start in range(0, len(values), PART):
        part = slice(start, min(start + PART, len(values)))
        Y = np.empty((part.stop - start, model.result_size), np.float32)
        for n, rows in enumerate(groups):
            here = _within(rows, part)
            if here is not None:
                moments = None if times is None else times[here]
                places = here - start if isinstance(here, np.ndarray) else slice(None)
                Y[places] = engine.result_run(n, values[here], moments)
        yield part, layout.with_offsets(Y)


def _within(rows: Rows, part: slice) -> NDArray[Any] | slice | None:
    """Return which of the rows are in a part; the part itself if all of it, None if none are."""
    if isinstance(rows, range):
        return part
    first, last = np.searchsorted(rows, (part.start, part.stop))
    if last - first == part.stop - part.start:
        return part
    return rows[first:last] if first < last else None


def result_columns(model: Model) -> tuple[list[str], list[int]]:
    """Return names and places of the numbers of a result that are worth a column.

    The outputs; with an online stage also the bounds of each interval (``value_low_90``), and
    ``score``, ``p_value`` and ``alarm``.
    """
    names, places = list(model.outputs), list(range(model.output_size))
    online = model.online
    if online is None:
        return names, places
    at = result_places(model.output_size, len(online.intervals))
    for n, level in enumerate(online.intervals):
        for side, start in (("low", at.low), ("high", at.high)):
            names += [f"{name}_{side}_{100 * level:g}" for name in model.outputs]
            first = start + n * model.output_size
            places += range(first, first + model.output_size)
    if online.anomaly:
        names += ["score", "p_value", "alarm"]
        places += [at.score, at.p_value, at.alarm]
    return names, places
