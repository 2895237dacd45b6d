"""Reads one series of a CSV file, and selects a range of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from streamlstm.cli.console import err
from streamlstm.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streamlstm.data.table import Table
    from streamlstm.network.model import Model


@dataclass(frozen=True, eq=False)
class SeriesSlice:
    """Rows of one series, and the rows before them.

    Attributes
    ----------
    name : str
        The series; empty where the file has only one.
    values : float32[n, F]
        The model's inputs from the beginning of the series to the end of the slice.
    time : float64[n] or None
        Time of each row in seconds.
    first : int
        Index of the first row of the slice.
    time_column : str
        Name of the time column.
    stamps : list of str
        The times as written in the file; empty without a time column.
    """

    name: str
    values: NDArray[Any]
    time: NDArray[np.float64] | None
    first: int
    time_column: str
    stamps: list[str]


def read_series(
    source: str,
    model: Model,
    reading: dict[str, Any],
    *,
    stream: str | None = None,
    begin: str | None = None,
    end: str | None = None,
    last: int | None = None,
) -> SeriesSlice:
    """Read one series from a CSV file.

    Parameters
    ----------
    source : str
        Path, or ``-`` for standard input.
    model : Model
        The model whose inputs are read.
    reading : dict of str to object
        How to read it, by the fields of `ReadOptions`.
    stream : str, optional
        The series to read.
    begin, end : str, optional
        The first and the last row: a number, from 1, or a time stamp.
    last : int, optional
        Number of rows at the end, instead of ``begin`` and ``end``.

    Raises
    ------
    DataError
        If a row cannot be used, or the requested series or rows do not exist.
    """
    import numpy as np

    from streamlstm.cli.understood import print_notes
    from streamlstm.learn.model_inputs import inputs_of

    table = _read(source, model, stream, reading)
    print_notes(table)
    name, rows = select_series(table, stream)
    time = None if table.time is None else table.time[rows]
    first, stop = 0, len(rows)
    if last is not None:
        if begin is not None or end is not None:
            raise DataError("--last: expected alone, without --from and --to")
        first = max(stop - last, 0)
    if begin is not None:
        first = _row_index("--from", begin, stop, time, table.zone)
    if end is not None:
        stop = _row_index("--to", end, stop, time, table.zone, after=True)
    if first >= stop:
        raise DataError(f"{table.path}: there are no rows from {begin} to {end or 'the end'}")
    rows = rows[:stop]
    values = inputs_of(model, table)[rows].astype(
        np.float32 if model.input_offsets is None else np.float64
    )
    _check_values(table, rows, values, model)
    return SeriesSlice(
        name=name or stream or "",
        values=values,
        time=None if time is None else time[:stop],
        first=first,
        time_column=table.time_column or "",
        stamps=list(table.stamps.take(rows)) if table.stamps else [],
    )


def _read(
    source: str,
    model: Model,
    stream: str | None,
    reading: dict[str, Any],
) -> Table:
    from streamlstm.data.options import ReadOptions
    from streamlstm.data.read import read_table
    from streamlstm.learn.model_inputs import reading_of

    needed = reading_of(model, model.inputs)

    def read(column: str | None) -> Table:
        return read_table(source, ReadOptions(**reading | needed | {"stream_column": column}))

    column = reading["stream_column"]
    if stream is None or column is not None:
        return read(column)
    if needed["sequence_column"] is not None:
        table = read(None)
        if table.streams is not None:
            return table
    try:
        return read("stream")
    except DataError:
        if source == "-":  # standard input cannot be read twice
            raise
    table = read(None)
    err.print(
        f"{table.path}: no column 'stream', so the whole file is taken as the one series "
        f"{stream!r}; --stream-column names the column that distinguishes series",
        markup=False,
    )
    return table


def select_series(table: Table, stream: str | None) -> tuple[str, NDArray[np.intp]]:
    """Return a series of a table by name, or its only one: the name and its rows.

    Raises
    ------
    DataError
        If there is no such series, or several and none is named.
    """
    groups = table.groups()
    if table.streams is None:
        return "", groups[""]
    if stream is None and len(groups) == 1:
        return next(iter(groups.items()))
    if stream in groups:
        return stream, groups[stream]
    shown = ", ".join(repr(name) for name in list(groups)[:8]) + ", ..." * (len(groups) > 8)
    wanted = "expected --stream to name one" if stream is None else f"there is no {stream!r}"
    raise DataError(
        f"{table.path}: column {table.stream_column!r} names {len(groups)} series, {wanted}; "
        f"they are {shown}"
    )


def _row_index(
    option: str,
    given: str,
    count: int,
    time: NDArray[np.float64] | None,
    zone: str,
    after: bool = False,
) -> int:
    """Return the index of the row with a number or a time stamp, or the index after it."""
    import numpy as np

    try:
        row = int(given)
    except ValueError:
        seconds = _seconds(option, given, zone)
    else:
        if not 1 <= row <= count:
            raise DataError(f"{option} {given}: expected a row from 1 to {count}")
        return row if after else row - 1
    if time is None:
        raise DataError(f"{option} {given}: the file has no time column; give the row's number")
    return int(np.searchsorted(time, seconds, "right" if after else "left"))


def _seconds(option: str, given: str, zone: str) -> float:
    """Return a time stamp in seconds; one that names no zone is of the table's."""
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise DataError(
            f"{option} {given}: expected a row's number, from 1, or a time stamp like "
            "2024-05-31T12:30"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()


def _check_values(table: Table, rows: Any, values: NDArray[Any], model: Model) -> None:
    """Raise for values that the engine would refuse, such as invalid categories, with the line."""
    from streamlstm.engine.input_schema import InputSchema

    schema = InputSchema(model)
    for n in schema.bad_rows(values):
        raise DataError(str(schema.error(values[n], f"{table.path}:{table.lines[rows[n]]}")))
