"""Makes the data set of a training for classes from a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...data.table import Table, missing_column
from ...data.text_column import TextColumn
from ...errors import DataError
from ..dataset import Split
from ..settings import Settings
from .dataset import MAX_CLASSES, UNKNOWN, ClassDataset


def class_dataset(table: Table, inputs: Sequence[str], settings: Settings) -> ClassDataset:
    """Return the data set of a table.

    Parameters
    ----------
    table : Table
        With the column of the classes among its categories.
    inputs : sequence of str
        The numeric inputs.
    settings : Settings
        With ``classify`` or ``target_category``.

    Raises
    ------
    DataError
        If there are too few rows or classes, or too many classes.
    """
    name = settings.class_column
    codes, names = read_classes(table, name)
    next_event = settings.target_category is not None
    if next_event and (codes == UNKNOWN).any():
        line = int(table.lines[np.flatnonzero(codes == UNKNOWN)[0]])
        raise DataError(
            f"{table.path}, line {line}: column {name!r}: expected a category, got none"
        )
    if not inputs and not next_event:
        raise DataError(f"{table.path}: expected at least one numeric input, got none")
    values = table.select(inputs) if inputs else np.zeros((len(table), 0))
    if next_event:
        values = np.column_stack([codes, values])
    try:
        return ClassDataset(
            [(series, values[rows], codes[rows]) for series, rows in table.groups().items()],
            names,
            Split(settings.train_fraction, settings.validation_fraction),
            next_event=next_event,
            sequences=settings.sequence_column is not None,
            class_weights=settings.class_weights,
        )
    except DataError as error:
        raise DataError(f"{table.path}: {error}") from None


def read_classes(table: Table, name: str) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return the class of each row, int[n], -1 for none, and the names of the classes.

    Numbers are in their own order, text is in that of the alphabet.
    """
    if name not in table.categories:
        raise missing_column(table.path, name, tuple(table.categories))
    found, texts = TextColumn(table.categories[name].array).codes()
    names = sorted((text for text in texts if text.strip()), key=_order)
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(
            f"{table.path}: column {name!r}: expected from 2 to {MAX_CLASSES} classes, got "
            f"{len(names)}"
        )
    places = {text: place for place, text in enumerate(names)}
    of_text = np.array([places.get(text, UNKNOWN) for text in texts], np.intp)
    return of_text[found], tuple(names)


def _order(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text
