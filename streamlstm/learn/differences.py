"""Counters in a table: their changes, as the online stage of the model will take them."""

from __future__ import annotations

from dataclasses import replace

from ..data.table import Note, Table
from ..errors import DataError
from ..network.model import Model
from ..network.online import Online
from ..online.differences import changes_of
from .settings import Settings


def with_changes(table: Table, settings: Settings) -> Table:
    """Return the table with the changes of counters in place of their values."""
    if not settings.difference:
        return table
    table.select(settings.difference)  # raises if one is missing or holds text
    values, filled = table.values.copy(), settings.fill != "refuse"
    for name in settings.difference:
        column = table.names.index(name)
        for rows in table.groups().values():
            values[rows, column] = changes_of(table.values[rows, column], filled)
    said = "a counter: its change from row to row is taken, here and in serving"
    notes = [Note(name, said) for name in settings.difference]
    return replace(table, values=values, notes=(*table.notes, *notes))


def check_counters(settings: Settings, inputs: tuple[str, ...]) -> None:
    """Raise DataError if what is to be differenced is no input, or predicted further ahead."""
    for name in settings.difference:
        if name not in inputs:
            raise DataError(
                f"difference {name!r}: expected one of the inputs, {', '.join(map(repr, inputs))}; "
                "a counter that is predicted has to be an input too"
            )
        if name in settings.target and settings.horizons != (1,):
            raise DataError(
                f"difference {name!r}: a target that is differenced can be predicted one step "
                "ahead: its last value and a change; leave out difference, or the horizon"
            )


def with_counters(model: Model, settings: Settings) -> Model:
    """Return the model of a training on changes as one that takes the values of counters."""
    if not settings.difference:
        return model
    counters = tuple(sorted(model.inputs.index(name) for name in settings.difference))
    # Classes are compared with nothing, whatever their names are.
    plain = Online(targets=(-1,) * model.output_size if settings.class_column else None)
    return model.with_online(replace(model.online or plain, difference=counters))
