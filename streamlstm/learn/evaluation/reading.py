"""Which columns a model and what came need, and the inputs among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.table import Table
from ...errors import DataError
from ...network.model import Model
from ...online.layout import fills
from ..model_inputs import inputs_of
from .points import find_points

Array = NDArray[Any]


def needed_columns(model: Model, given: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the columns that are needed; none if the table has to say what an output forecasts."""
    try:
        points = find_points(model, model.inputs, given)
    except DataError:
        return ()
    return tuple(dict.fromkeys([*model.inputs, *(point.target for point in points)]))


def checked_inputs(model: Model, table: Table) -> Array:
    """Return the model's inputs, refused if a value is missing that the model does not fill."""
    inputs = inputs_of(model, table)
    row, column = np.nonzero(np.isnan(inputs))
    if len(row) and not fills(model):
        raise DataError(
            f"{table.path}:{table.lines[row[0]]}: column {model.inputs[column[0]]!r}: expected a "
            f"number, the cell is empty ({len(row)} such cells); this model fills no missing "
            "values: `streamlstm online --fill last` adds that"
        )
    return inputs
