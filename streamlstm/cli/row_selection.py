"""Which rows of a file are meant: one series of several, and a stretch of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from streamlstm.cli.console import err
from streamlstm.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streamlstm.data.csv import Table
    from streamlstm.network.model import Model


@dataclass(frozen=True, eq=False)
class Stretch:
    """A part of one series, and what came before it.

    Attributes
    ----------
    name : str
        The series; empty where the file has only one.
    values : float32[n, F]
        The model's inputs from the beginning of the series to the end of the stretch.
    time : float64[n] or None
        When each row was, in seconds.
    first : int
        Where the stretch begins.
    time_column : str
        What the time is called in the file.
    stamps : list of str
        The times as they are written; empty if there are none.
    """

    name: str
    values: NDArray[np.float32]
    time: NDArray[np.float64] | None
    first: int
    time_column: str
    stamps: list[str]


def read_stretch(
    source: str,
    model: Model,
    *,
    stream: str | None = None,
    stream_column: str | None = None,
    time_column: str | None = None,
    begin: str | None = None,
    end: str | None = None,
    last: int | None = None,
) -> Stretch:
    """Read one series from a CSV file.

    Parameters
    ----------
    source : str
        Path, or ``-`` for standard input.
    model : Model
        Whose inputs are read.
    stream, stream_column, time_column : str, optional
        As the options of ``streamlstm gates`` of these names.
    begin, end : str, optional
        The first and the last row: a number, from 1, or a time stamp.
    last : int, optional
        How many rows at the end, in their place.

    Raises
    ------
    DataError
        If a row cannot be used, or what is asked for is not there.
    """
    table = _read(source, model, stream, stream_column, time_column)
    name, rows = _series(table, stream)
    time = None if table.time is None else table.time[rows]
    first, stop = 0, len(rows)
    if last is not None:
        if begin is not None or end is not None:
            raise DataError("--last: expected alone, without --from and --to")
        first = max(stop - last, 0)
    if begin is not None:
        first = _place("--from", begin, stop, time)
    if end is not None:
        stop = _place("--to", end, stop, time, after=True)
    if first >= stop:
        raise DataError(f"{table.path}: there are no rows from {begin} to {end or 'the end'}")
    rows = rows[:stop]
    values = table.values[rows]
    _check_values(table, rows, values, model)
    return Stretch(
        name=name or stream or "",
        values=values,
        time=None if time is None else time[:stop],
        first=first,
        time_column=table.time_column or "",
        stamps=[table.stamps[row] for row in rows] if table.stamps else [],
    )


def _read(
    source: str,
    model: Model,
    stream: str | None,
    stream_column: str | None,
    time_column: str | None,
) -> Table:
    from streamlstm.data.csv import read_csv

    def read(column: str | None) -> Table:
        return read_csv(source, time_column=time_column, stream_column=column, columns=model.inputs)

    if stream is None or stream_column is not None:
        return read(stream_column)
    try:
        return read("stream")
    except DataError:
        if source == "-":  # it cannot be read twice
            raise
    table = read(None)
    err.print(
        f"{table.path}: no column 'stream', so the whole file is taken as the one series "
        f"{stream!r}; --stream-column names the column that tells series apart",
        markup=False,
    )
    return table


def _series(table: Table, stream: str | None) -> tuple[str, NDArray[np.intp]]:
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


def _place(
    option: str, given: str, count: int, time: NDArray[np.float64] | None, after: bool = False
) -> int:
    """Return where the row stands that a number or a time stamp names, or the place after it."""
    import numpy as np

    try:
        row = int(given)
    except ValueError:
        moment = _seconds(option, given)
    else:
        if not 1 <= row <= count:
            raise DataError(f"{option} {given}: expected a row from 1 to {count}")
        return row if after else row - 1
    if time is None:
        raise DataError(f"{option} {given}: the file has no time column; give the row's number")
    return int(np.searchsorted(time, moment, "right" if after else "left"))


def _seconds(option: str, given: str) -> float:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise DataError(
            f"{option} {given}: expected a row's number, from 1, or a time stamp like "
            "2024-05-31T12:30"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _check_values(table: Table, rows: Any, values: NDArray[np.float32], model: Model) -> None:
    """Refuse what the engine would refuse, naming the line: categories that are none."""
    from streamlstm.engine.validation import bad_rows, bad_value

    for n in bad_rows(values, model.categories):
        where = f"{table.path}:{table.lines[rows[n]]}"
        raise DataError(str(bad_value(values[n], model.inputs, model.categories, where)))
