"""A stretch of a stream from a table: its columns, and what they are to each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from streamlstm.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamlstm.data.table import Table
    from streamlstm.plots.strip import Strip

MOST = 6  # lines of one picture
_BOUND = re.compile(r"(.*)_(low|high)_([0-9.]+)")
_AHEAD = re.compile(r"(.+)@\+[0-9]+")  # the name of a column, and so many steps later
_SAID = ("score", "p_value", "alarm", "filled", "kind")  # columns that predict and detect write


def read_strip(
    data: str, columns: Sequence[str], stream: str | None, reading: dict[str, Any]
) -> tuple[Strip, str]:
    """Return a series of a table, and its name.

    Columns that ``predict`` and ``detect`` write are understood: bounds are drawn as a band, the
    widest one, ``score`` and ``alarm`` as what they are.

    Raises
    ------
    DataError
        If there is no such series or column, or nothing to draw.
    """
    import numpy as np

    from streamlstm.plots.strip import Strip

    table, times, name, rows = _read(data, stream, reading)
    names = list(columns) or _of_interest(table, times)
    if not names:
        raise DataError(f"{table.path}: has no column of numbers to draw")
    lines = dict(zip(names, table.select(names)[rows].T, strict=True))

    def column(said: str) -> NDArray[Any] | None:
        return table.select([said])[rows, 0] if said in table.names else None

    score, alarm = column("score"), column("alarm")
    bounds = _widest(table, names)
    return Strip(
        np.arange(1.0, len(rows) + 1) if table.time is None else table.time[rows],
        lines,
        None if bounds is None else tuple(table.select(bounds)[rows].T),
        None if "score" in lines else score,
        None if alarm is None else np.nan_to_num(alarm) > 0,
        table.zone,
    ), name


def _read(
    data: str, stream: str | None, reading: dict[str, Any]
) -> tuple[Table, set[str], str, Any]:
    """Read a table, and choose one series of it; name its columns of times too."""
    from streamlstm.cli.gates.series import select_series

    reading |= {"missing": True, "allow_gaps": True}
    if stream is not None and reading["stream_column"] is None:
        reading["stream_column"] = "stream"
    table = _read_table(data, stream, reading)
    spoken_of = [
        each
        for each in (*table.text, *table.names)
        if (ahead := _AHEAD.fullmatch(each)) and ahead[1] == table.time_column
    ]
    times = {*spoken_of, table.time_column or ""}
    if len(spoken_of) == 1 and not reading["time_columns"] and data != "-":
        # Predictions are drawn at the time that they speak of, and what came then beside them.
        table = _read_table(data, stream, reading | {"time_columns": tuple(spoken_of)})
    name, rows = select_series(table, stream)
    if not len(rows):
        raise DataError(f"{table.path}: has no rows to draw")
    return table, times, name, rows


def _read_table(data: str, stream: str | None, reading: dict[str, Any]) -> Table:
    """Read a table; where its streams have names like numbers, that they are streams is tried."""
    from streamlstm.data.options import ReadOptions
    from streamlstm.data.read import read_table

    try:
        return read_table(data, ReadOptions(**reading))
    except DataError:
        if stream is None and reading["stream_column"] is None and data != "-":
            with suppress(DataError):
                return read_table(data, ReadOptions(**reading | {"stream_column": "stream"}))
        raise


def _of_interest(table: Table, times: set[str]) -> list[str]:
    """Return the columns that are lines by themselves, what came first, or else the score."""
    found = [
        each
        for each in table.names
        if each not in _SAID and each not in times and not _BOUND.fullmatch(each)
    ]
    found.sort(key=lambda name: not name.endswith("_actual"))
    return found[:MOST] or [each for each in ("score",) if each in table.names]


def _widest(table: Table, names: Sequence[str]) -> list[str] | None:
    """Return the columns with the widest bounds of the first line that has some."""
    for name in names:
        levels = [
            found[3]
            for found in map(_BOUND.fullmatch, table.names)
            if found and found[1] == name and found[2] == "high"
        ]
        for level in sorted(levels, key=float, reverse=True):
            if f"{name}_low_{level}" in table.names:
                return [f"{name}_low_{level}", f"{name}_high_{level}"]
    return None
