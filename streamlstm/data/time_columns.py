"""Finds the time of a table and converts it to seconds since 1970."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import DataError
from .cell_error import cell_error
from .cells.missing import Missing
from .cells.names import TIME_NAMES
from .cells.number_format import NumberFormat, to_float64
from .cells.numbers import recognise_numbers
from .cells.time_units import NAMES, recognise_unit, to_seconds
from .cells.times import (
    ISO,
    TimeFormat,
    TimeReading,
    convert_at_once,
    has_zone,
    recognise_times,
    timestamps_to_seconds,
)
from .columns import Columns, is_text
from .options import ReadOptions
from .table import Note
from .text_column import TextColumn
from .time_parts import find_parts, join
from .zones import SkippedHourError, check_zone, find_daylight_saving, to_utc

_MANY = 10_000  # cells that tell whether times are numbers
_SAMPLE = 1000
_EXPECTED = (
    "a time (seconds since 1970, or a time stamp like 2024-05-31 12:30:00; --time-format names "
    "another notation)"
)
_ORDINARY = (ISO, "s")
_ISO = TimeFormat()

Streams = Iterable[NDArray[np.intp]]


def find_time(columns: Columns, options: ReadOptions) -> str | None:
    """Return the time column; a time that stands in several columns is joined to one first."""
    names = time_names(columns, options)
    return _join(columns, names) if len(names) > 1 else next(iter(names), None)


def time_names(columns: Columns, options: ReadOptions) -> tuple[str, ...]:
    """Return the columns of the time; none where there is no time.

    They are as given, an index of times, one with a usual name, or of stamps; or the parts of it.
    """
    if options.time_columns:
        return options.time_columns
    if columns.index is not None:
        return (columns.index,)
    taken = {*options.columns, options.stream_column}
    free = [name for name in columns.names if name not in taken]
    found = _find_one(columns, free, options)
    return find_parts(columns, found, free) or (() if found is None else (found,))


def _find_one(columns: Columns, free: list[str], options: ReadOptions) -> str | None:
    by_name = [name for usual in TIME_NAMES for name in free if name.strip().lower() == usual]
    for name in by_name:
        if _may_be_time(columns[name], options, numbers=True):
            return name
    for name in free:
        if _may_be_time(columns[name], options, numbers=False):
            return name
    return by_name[0] if by_name else None


def _may_be_time(cells: Any, options: ReadOptions, numbers: bool) -> bool:
    """Return whether the first cells of a column are times; ``numbers`` may be."""
    if not is_text(cells.type):
        if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
            return True
        return numbers and (pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type))
    sample = Missing().to_null(cells.slice(0, _SAMPLE)).drop_null()
    if not len(sample):
        return False
    if options.time_format is not None:
        return bool(TimeFormat.of(options.time_format).convert(sample).null_count < len(sample) / 2)
    if recognise_numbers(sample, options.decimal, options.thousands).formats:
        return numbers
    formats = recognise_times(sample).formats
    # 1.2.10 under any name may be a version.
    parts = "dYyb" if numbers else "Yb"
    dated = [f for f in formats if f.notation == ISO or any(p in f.notation for p in parts)]
    return bool(dated)


def _join(columns: Columns, names: tuple[str, ...]) -> str:
    """Join columns to one with the time; return its name."""
    text = join(columns, names)
    for name in names:
        columns.pop(name)
    name = " ".join(names)
    columns.names.append(name)
    columns.arrays.append(text)
    columns.notes.append(Note(name, f"the time, joined from {' and '.join(map(repr, names))}"))
    return name


def read_time(
    columns: Columns, name: str, options: ReadOptions, streams: Streams
) -> tuple[NDArray[np.float64], TextColumn, str]:
    """Return the times of the rows, float64[n] in seconds since 1970, their cells and notation.

    Raises
    ------
    DataError
        At the first cell that is no time, or where times can be read in several ways.
    """
    if options.timezone is not None:
        check_zone(options.timezone)
    cells = columns[name]
    if is_text(cells.type):
        time, notation = _read_text(columns, name, cells, options)
        time_format, local = notation.time_format, notation.is_local
    elif pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        time, time_format = to_float64(timestamps_to_seconds(cells)), TimeFormat()
        local = getattr(cells.type, "tz", None) is None
    else:
        numbers = to_float64(cells.cast(pa.float64(), safe=False))
        time_format = _unit(numbers, options)
        time, local = to_seconds(numbers, time_format.notation), False
    if np.isnan(time).any():
        expected = _EXPECTED
        if time_format.notation not in _ORDINARY:
            expected = f"a time written as {_shown(time_format)}, as others in this column"
        raise cell_error(columns, name, int(np.isnan(time).argmax()), expected)
    if time_format.notation not in _ORDINARY:
        columns.notes.append(Note(name, f"the time, read as {_shown(time_format)}"))
    if local:
        time = _to_utc(columns, name, time, options, streams)
    return time, TextColumn(cells), time_format.notation


def _shown(time_format: TimeFormat) -> str:
    return NAMES.get(time_format.notation, time_format.notation)


class TimeNotation(NamedTuple):
    """How the cells of a column of text write times.

    Attributes
    ----------
    time_format : TimeFormat
    number_format : NumberFormat or None
        How their numbers are written, if they are numbers.
    is_local : bool
        Whether they name no zone.
    seconds : pyarrow array of float64, or None
        The times, where finding that out has converted all cells.
    """

    time_format: TimeFormat
    number_format: NumberFormat | None
    is_local: bool
    seconds: Any = None

    @property
    def shown(self) -> str:
        """The format in words."""
        return _shown(self.time_format)


def find_notation(columns: Columns, name: str, cells: Any, options: ReadOptions) -> TimeNotation:
    """Return how a column of text writes times.

    Raises
    ------
    DataError
        If they can be read in several ways, or an option is none.
    """
    present = Missing(options.missing_values).to_null(cells)
    time_format, number_format, seconds = TimeFormat(), None, None
    if options.time_format is not None:
        time_format = TimeFormat.of(options.time_format)
    else:
        marks = options.decimal, options.thousands
        formats = recognise_numbers(present.slice(0, _MANY), *marks).formats
        if formats:
            formats = recognise_numbers(present, *marks).formats
        if formats or options.time_unit is not None:
            number_format = formats[0] if len(formats) == 1 else NumberFormat()
            time_format = _unit(to_float64(number_format.convert(present)), options)
        else:
            reading = recognise_times(present)
            if len(reading.formats) > 1:
                raise _ambiguous(columns, name, cells, reading)
            time_format = reading.formats[0] if reading.formats else TimeFormat()
            seconds = None if present.null_count else reading.seconds
    return TimeNotation(time_format, number_format, not has_zone(cells, time_format), seconds)


def _read_text(
    columns: Columns, name: str, cells: Any, options: ReadOptions
) -> tuple[NDArray[np.float64], TimeNotation]:
    if options.time_format is None and options.time_unit is None:
        seconds = convert_at_once(cells)
        if seconds is not None:
            return to_float64(seconds), TimeNotation(TimeFormat(), None, not has_zone(cells, _ISO))
    notation = find_notation(columns, name, cells, options)
    if notation.number_format is None:
        seconds = notation.seconds
        seconds = notation.time_format.convert(cells) if seconds is None else seconds
        return to_float64(seconds), notation._replace(seconds=None)
    present = Missing(options.missing_values).to_null(cells)
    numbers = to_float64(notation.number_format.convert(present))
    return to_seconds(numbers, notation.time_format.notation), notation


def _unit(numbers: NDArray[np.float64], options: ReadOptions) -> TimeFormat:
    unit = options.time_unit or recognise_unit(numbers)
    if unit not in NAMES:
        raise DataError(f"--time-unit {unit}: expected one of {', '.join(NAMES)}")
    return TimeFormat(unit, digits=True)


def _ambiguous(columns: Columns, name: str, cells: Any, reading: TimeReading) -> DataError:
    """Return the error for times that can be read in several ways."""
    row = max(int(pa.compute.index(cells, reading.example).as_py()), 0)
    readings = " or ".join(
        f"{_iso(f.parse(reading.example))} (--time-format {f.notation!r})" for f in reading.formats
    )
    return DataError(
        f"{columns.where(row, name)}: {reading.example!r} can be read as {readings}; "
        "say which with --time-format"
    )


def _iso(seconds: float | None) -> str:
    moment = datetime.fromtimestamp(seconds or 0.0, UTC)
    return f"{moment:%Y-%m-%d}" + (f"{moment: %H:%M}" if (seconds or 0.0) % 86_400 else "")


def _to_utc(
    columns: Columns,
    name: str,
    local: NDArray[np.float64],
    options: ReadOptions,
    streams: Streams,
) -> NDArray[np.float64]:
    """Return local times in UTC."""
    streams = list(streams)
    zone = options.timezone
    if zone is None:
        row = find_daylight_saving(local, streams)
        if row is None:
            return local
        raise DataError(
            f"{columns.where(row, name)}: {columns[name][row].as_py()!r}: the clock goes back by "
            "an hour, as at the end of daylight saving time; name the zone of these times, as in "
            "--timezone Europe/Berlin, and the order of rows tells the two hours apart"
        )
    try:
        time, repeated = to_utc(local, zone, streams)
    except SkippedHourError as error:
        raise DataError(
            f"{columns.where(error.row, name)}: {columns[name][error.row].as_py()!r} does not "
            f"exist in {zone}: the clock was set forward over that hour; if these times do not "
            "follow daylight saving time, use --timezone UTC or one such as Etc/GMT-1"
        ) from None
    said = f"local times in {zone}"
    if repeated:
        said += f"; {repeated:,} rows in hours that come twice, told apart by their order"
    columns.notes.append(Note(name, said))
    return time
