"""Which columns a model and what came need, how they are read, and the inputs among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.table import Table
from ...errors import DataError
from ...network.model import Model
from ...online.layout import fills
from ..classes.kinds import class_column, recorded, tells_classes
from ..model_inputs import inputs_of, reading_of
from .points import find_points

Array = NDArray[Any]


def reading_for(model: Model, given: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the fields of `ReadOptions` that read inputs and what came for a model.

    Parameters
    ----------
    model : Model
    given : sequence of str, optional
        The columns as the user names them: one for each forecast, or that of the classes.
    """
    reading = reading_of(model, needed_columns(model, given)) | {"missing": True}
    column = told_column(model, given)
    if column is not None and column not in reading["categories"]:
        reading["categories"] = (*reading["categories"], column)
    return reading


def told_column(model: Model, given: Sequence[str] | None = None) -> str | None:
    """Return the column of the classes that a model tells; None for a model of numbers.

    Raises
    ------
    DataError
        If nothing says which it is.
    """
    if not tells_classes(model):
        return None
    if given and len(given) > 1:
        raise DataError(f"target: expected the column of the classes, got {', '.join(given)}")
    column = given[0] if given else class_column(model)
    if column is None:
        raise DataError(
            f"expected the column of the classes that the model tells "
            f"({', '.join(model.outputs[:5])}, ...); name it with --target"
        )
    return column


def has_sequences(model: Model) -> bool:
    """Return whether a model was trained on sequences with an end."""
    return recorded(model, "sequence_column") is not None


def needed_columns(model: Model, given: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the columns that are needed; none if the table has to say what an output forecasts."""
    if tells_classes(model):
        return model.inputs
    try:
        points = find_points(model, model.inputs, given)
    except DataError:
        return ()
    return tuple(dict.fromkeys([*model.inputs, *(point.target for point in points)]))


def checked_inputs(model: Model, table: Table) -> Array:
    """Return the model's inputs, refused if a value is missing that the model does not fill."""
    inputs = inputs_of(model, table)
    missing = np.isnan(inputs)
    if not fills(model) and missing.any():
        row, column = np.nonzero(missing)
        raise DataError(
            f"{table.path}:{table.lines[row[0]]}: column {model.inputs[column[0]]!r}: expected a "
            f"number, the cell is empty ({len(row)} such cells); this model fills no missing "
            "values: `streamlstm online --fill last` adds that"
        )
    return inputs
