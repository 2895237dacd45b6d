"""Which rows a model was trained on, as its file says, so that nobody is told of errors on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.table import Table
from ..network.model import Model
from ..online.differences import changes_of
from .dataset import Series

_ROWS = 1_000  # rows by which a stream is recognised


def describe_periods(table: Table, target: str, series: Sequence[Series]) -> str:
    """Return the ends of the training and validation period of each stream, for the metadata.

    Parameters
    ----------
    table : Table
        What was trained on.
    target : str
        A column, by whose values the table is recognised.
    series : sequence of Series
    """
    ends = {s.name: (s.train_end, s.validation_end) for s in series}
    name = series[0].name
    rows = min(_ROWS, series[0].train_end)
    digest = _digest(table, target, table.groups()[name][:rows])
    return json.dumps({"target": target, "rows": rows, "digest": digest, "ends": ends})


def find_periods(
    model: Model, table: Table, groups: Mapping[str, NDArray[np.intp]]
) -> dict[str, tuple[int, int]] | None:
    """Return where training and validation ended in each stream of a table.

    A table is recognised by the first rows of the first stream, whatever its name is and however
    much has been appended to it since.

    Parameters
    ----------
    model : Model
        With the metadata of `describe_periods`.
    table : Table
    groups : mapping of str to int[k]
        The rows of each stream.

    Returns
    -------
    dict of str to (int, int), or None
        By stream; (0, 0) for one that the model has not seen. None if the model was not trained on
        this table, or does not say.
    """
    try:
        found = json.loads(model.metadata.get("periods", ""))
        ends = {
            name: (int(train), int(validation))
            for name, (train, validation) in found["ends"].items()
        }
        target, rows, digest = found["target"], int(found["rows"]), found["digest"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    first = next(iter(ends), "")
    if first not in groups or target not in (*table.names, *table.categories):
        return None
    if _digest(table, target, groups[first][:rows], model) != digest:
        return None
    return {name: ends.get(name, (0, 0)) for name in groups}


def _digest(table: Table, column: str, rows: NDArray[np.intp], model: Model | None = None) -> str:
    """Return a digest of some cells of a column, of numbers or of classes.

    Of a counter of the model it is that of its changes, which training has seen.
    """
    if column not in table.names:
        cells = "\n".join(table.categories[column].take(rows)).encode()
    else:
        seen = table.select([column])[rows, 0]
        if model is not None and column in model.counters:
            filled = model.online is not None and model.online.fill_of(model.inputs.index(column))
            seen = changes_of(seen, filled != "refuse")
        cells = np.asarray(seen, np.float32).tobytes()
    return hashlib.sha256(cells).hexdigest()[:16]
