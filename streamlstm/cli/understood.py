"""Prints what was understood of a table, before anything is done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .console import err

if TYPE_CHECKING:
    from streamlstm.data.table import Table

_WHOLE = "*"  # in place of a column


def print_notes(table: Table) -> None:
    """Print the notes of a table on stderr, aligned; nothing where all is ordinary."""
    if not table.notes:
        return
    names = [_WHOLE if note.column is None else note.column for note in table.notes]
    width = min(max(map(len, names)), 30)
    err.print(f"understood in {table.path}:", markup=False)
    for name, note in zip(names, table.notes, strict=True):
        err.print(f"  {name:<{width}}  {note.text}", markup=False)
