"""Finds columns that cannot help a prediction, or would be given its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .order import rows_by_stream, stream_codes
from .suspects import Column, is_clock, is_counter, is_id, is_shifted
from .table import Note, Table

_ALWAYS = "is always"
_COUNTER = (
    "only rises, as a counter does, beyond all that training sees: --difference {name} takes its "
    "change from row to row instead"
)


def leave_out_useless(table: Table, targets: Sequence[str], steps: int = 1) -> Table:
    """Return the table without the columns that are of no use as an input, and notes on them.

    They are columns that are constant; that hold what a target is up to ``steps`` rows later (a
    leak: a prediction would be given its answer) or was one row before; ids; and such that only
    count the rows or the time, whose later values training never sees.

    Parameters
    ----------
    table : Table
        Its rows are in the order of time within each stream.
    targets : sequence of str
        Columns that are kept whatever they hold.
    steps : int
        The longest horizon of the prediction.
    """
    codes = stream_codes(table)
    rows = rows_by_stream(codes)
    ordered = table if isinstance(rows, slice) else table.take(rows)
    streams = codes[rows]
    notes, kept = [], []
    for k, name in enumerate(table.names):
        reason = _reason(ordered, streams, k, targets, steps)
        if name in targets:
            kept.append(k)
            if reason.startswith(_ALWAYS):
                notes.append(Note(name, f"{reason}: there is nothing to predict"))
        elif reason:
            keep = f"--input {name} takes it nevertheless"
            notes.append(Note(name, f"{reason}: left out of the inputs; {keep}"))
        else:
            kept.append(k)
        if kept[-1:] == [k] and is_counter(Column(name, ordered.values[:, k], streams, None)):
            notes.append(Note(name, _COUNTER.format(name=name)))
    if not notes or not kept:
        return table
    return replace(
        table,
        names=tuple(table.names[k] for k in kept),
        values=np.ascontiguousarray(table.values[:, kept]),
        notes=(*table.notes, *notes),
    )


def _reason(
    table: Table, streams: NDArray[np.integer], k: int, targets: Sequence[str], steps: int
) -> str:
    """Return why a column is of no use; empty if none is seen."""
    name, values = table.names[k], table.values[:, k]
    least, most = _limits(values)
    if least == most:
        return f"{_ALWAYS} {least:g}"
    if np.isnan(least):
        return f"{_ALWAYS} missing"
    for target in targets:
        if target in table.names and target != name:
            found = is_shifted(values, table.values[:, table.names.index(target)], streams, steps)
            if found:
                return _shifted(target, found)
    column = Column(name, values, streams, table.time)
    return is_clock(column) or is_id(column)


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the least and the largest of values that may be NaN; NaN if all are."""
    least, most = values.min(), values.max()
    if np.isnan(least):
        least, most = np.fmin.reduce(values), np.fmax.reduce(values)
    return float(least), float(most)


def _shifted(target: str, rows: int) -> str:
    if rows < 0:
        return f"is {target!r} one row before, which the network remembers"
    count = "one row" if rows == 1 else f"{rows} rows"
    return f"is {target!r} {count} later (a prediction would be given its answer)"
