"""The inputs of a model in a table: numbers, and for models of events a category by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.options import ReadOptions
from ..data.table import Table
from ..errors import DataError
from ..network.model import Model
from .classes.kinds import predicts_events, recorded

Array = NDArray[Any]


def reading_of(model: Model, columns: Sequence[str]) -> dict[str, Any]:
    """Return the fields of `ReadOptions` that read these columns for a model.

    What it was trained on as sequences is read as such where the table has that column.
    """
    category = model.inputs[0] if predicts_events(model) else None
    numbers = tuple(name for name in columns if name != category)
    return {
        "columns": numbers,
        "numbers": category is None or len(model.inputs) > 1,
        "categories": () if category is None else (category,),
        "sequence_column": recorded(model, "sequence_column"),
    }


def options_of(reading: Mapping[str, Any], given: Mapping[str, Any]) -> ReadOptions:
    """Return how to read a table: as a model needs it, and as parameters of Python say.

    ``time_column`` is one too, as in `train`; names alone stand for tuples of one.

    Raises
    ------
    DataError
        If there is no option of a name.
    """
    options = {"time_columns" if n == "time_column" else n: value for n, value in given.items()}
    known = [field.name for field in fields(ReadOptions)]
    for name, value in options.items():
        if name not in known:
            raise DataError(f"there is no option {name!r}; the options are {', '.join(known)}")
        if isinstance(value, str) and name in ("time_columns", "columns", "missing_values"):
            options[name] = (value,)
    return ReadOptions(**(dict(reading) | options))


def inputs_of(model: Model, table: Table) -> Array:
    """Return the inputs float64[n, F]; a category is the number of the output with its name.

    Raises
    ------
    DataError
        If a column is missing, or a category is unknown to the model.
    """
    category = model.inputs[0] if predicts_events(model) else None
    if category is None or category not in table.categories:
        return table.select(model.inputs)
    codes, texts = table.categories[category].codes()
    places = {name: place for place, name in enumerate(model.outputs)}
    numbers = {str(place): place for place in range(model.output_size)}
    of_text = np.array([(numbers | places).get(text, -1) for text in texts], np.int64)
    unknown = np.flatnonzero(of_text[codes] < 0)
    if len(unknown):
        row = int(unknown[0])
        raise DataError(
            f"{table.path}:{table.lines[row]}: column {category!r}: expected a category of the "
            f"model ({', '.join(map(repr, model.outputs[:20]))}), got {texts[codes[row]]!r}"
        )
    others = model.inputs[1:]
    values = table.select(others) if others else np.zeros((len(table), 0))
    return np.column_stack([of_text[codes], values])
