"""Makes the data set of a training for classes from a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.table import Table, list_names, missing_column
from ...data.text_column import TextColumn
from ...errors import DataError
from ...network.model import Model
from ...network.online import Online
from ..dataset import Split
from ..offsets import fit_offsets, offsets_of
from ..settings import Settings
from .dataset import MAX_CLASSES, UNKNOWN, ClassDataset


def class_dataset(
    table: Table,
    inputs: Sequence[str],
    settings: Settings,
    start: Model | None = None,
    stage: Online | None = None,
) -> ClassDataset:
    """Return the data set of a table.

    Parameters
    ----------
    table : Table
        With the column of the classes among its categories.
    inputs : sequence of str
        The numeric inputs.
    settings : Settings
        With ``classify`` or ``target_category``.
    start : Model, optional
        The model that is trained on: its classes, scaling and offsets are kept.
    stage : Online, optional
        How missing inputs are filled, and which features of the time stand behind the inputs.

    Raises
    ------
    DataError
        If there are too few rows or classes, too many classes, or some that ``start`` lacks.
    """
    name = settings.class_column
    codes, names = read_classes(table, name, () if start is None else start.outputs)
    next_event = settings.target_category is not None
    if next_event and (codes == UNKNOWN).any():
        line = int(table.lines[np.flatnonzero(codes == UNKNOWN)[0]])
        raise DataError(
            f"{table.path}, line {line}: column {name!r}: expected a category, got none"
        )
    if not inputs and not next_event:
        raise DataError(f"{table.path}: expected at least one numeric input, got none")
    values = table.select(inputs) if inputs else np.zeros((len(table), 0))
    split, groups = Split(settings.train_fraction, settings.validation_fraction), table.groups()
    if start is None:
        offsets = fit_offsets(
            [values[rows[: split.bounds(len(rows))[0]]] for rows in groups.values()]
        )
        offsets[[inputs.index(name) for name in settings.difference]] = 0  # changes are not large
        offsets = np.append(np.zeros(int(next_event)), offsets)  # a category has none
    else:
        offsets = offsets_of(start, start.inputs)
    if next_event:
        values = np.column_stack([codes, values])
    moved = values - offsets
    try:
        return ClassDataset(
            [(series, moved[rows], codes[rows]) for series, rows in groups.items()],
            names,
            split,
            next_event=next_event,
            sequences=settings.sequence_column is not None,
            class_weights=settings.class_weights,
            scaling=None if start is None else start.input_scaling,
            times=None if table.time is None else table.time[np.concatenate([*groups.values()])],
            stage=stage,
            offsets=offsets if offsets.any() else None,
        )
    except DataError as error:
        raise DataError(f"{table.path}: {error}") from None


def stage_words(table: Table, inputs: Sequence[str], settings: Settings) -> dict[str, Any]:
    """Return what an online stage says of classes: which inputs it fills, that it compares nothing.

    Raises
    ------
    DataError
        If there is no input that could be filled.
    """
    _, names = read_classes(table, settings.class_column)
    fill: Any = settings.fill
    if settings.target_category is not None and fill != "refuse":
        if not inputs:
            raise DataError(
                f"fill {fill}: the only input is the category {settings.target_category!r}, which "
                "is never filled; leave it out"
            )
        fill = ("refuse", *(fill for _ in inputs))
    return {"fill": fill, "targets": (-1,) * len(names)}


def read_classes(
    table: Table, name: str, known: Sequence[str] = ()
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return the class of each row, int[n], -1 for none, and the names of the classes.

    Parameters
    ----------
    table : Table
    name : str
        The column.
    known : sequence of str
        The classes there are; by default those of the table, numbers in their own order, text in
        that of the alphabet.

    Raises
    ------
    DataError
        If there are too few or too many, or others than the known ones.
    """
    if name not in table.categories:
        raise missing_column(table.path, name, tuple(table.categories))
    _, texts = TextColumn(table.categories[name].array).codes()
    names = sorted((text for text in texts if text.strip()), key=_order)
    if known:
        unknown = [text for text in names if text not in known]
        if unknown:
            raise DataError(
                f"{table.path}: column {name!r}: expected the classes that the model knows "
                f"({list_names(known)}), got {list_names(unknown)} too; train a new model"
            )
        names = list(known)
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(
            f"{table.path}: column {name!r}: expected from 2 to {MAX_CLASSES} classes, got "
            f"{len(names)}"
        )
    return classes_of(table, name, names)[0], tuple(names)


def classes_of(
    table: Table, name: str, known: Sequence[str]
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return the class of each row among known ones, int[n], -1 for none, and other names found.

    Raises
    ------
    DataError
        If there is no such column.
    """
    if name not in table.categories:
        raise missing_column(table.path, name, (*table.categories, *table.names))
    found, texts = TextColumn(table.categories[name].array).codes()
    places = {text: place for place, text in enumerate(known)}
    of_text = np.array([places.get(text, UNKNOWN) for text in texts], np.intp)
    others = tuple(text for text in texts if text.strip() and text not in places)
    return of_text[found], others


def _order(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text
