"""Converts the columns of a table to numbers, and leaves out those that hold text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import DataError
from .cell_error import cell_error
from .cells.missing import Missing
from .cells.number_format import NumberFormat, to_float64
from .cells.numbers import (
    MAX_FLOAT32,
    NumberReading,
    evidence,
    recognise_numbers,
    recognise_quickly,
)
from .columns import Columns, is_number, is_text, is_time
from .memory import release
from .options import ReadOptions
from .sentinels import suspect_sentinels
from .table import Note


def read_numbers(
    columns: Columns, names: Sequence[str], options: ReadOptions
) -> tuple[tuple[str, ...], NDArray[np.float64], tuple[str, ...]]:
    """Convert columns to numbers; their cells are freed on the way.

    Returns
    -------
    tuple of str
        The columns that hold numbers.
    float64[n, F]
        Their values, NaN where one is missing.
    tuple of str
        The columns that hold text.

    Raises
    ------
    DataError
        At the first cell that is no number, of a column that was asked for or holds numbers.
    """
    missing = Missing(options.missing_values)
    readings = recognise_columns(columns, names, missing, options)
    kept = [name for name in names if name in readings]
    values = np.empty((len(columns.lines), len(kept)), order="F")
    for k, name in enumerate(kept):
        values[:, k] = _convert(columns, name, readings.pop(name), missing, options.missing)
        columns.notes += suspect_sentinels(name, values[:, k])
        if columns.names.count(name):
            columns.pop(name)
            release()
    return tuple(kept), values, tuple(name for name in names if name not in kept)


def recognise_columns(
    columns: Columns, names: Sequence[str], missing: Missing, options: ReadOptions
) -> dict[str, NumberReading]:
    """Return the reading of each column that holds numbers: it has one format."""
    found: dict[str, NumberReading] = {}
    ambiguous: dict[str, NumberReading] = {}
    for name in names:
        reading = _reading(columns[name], missing, options)
        if len(reading.formats) == 1:
            found[name] = _keep_numbers(columns, name, reading)
        elif len(reading.formats) > 1:
            found[name] = ambiguous[name] = reading
        elif name in options.columns:
            # So that the error says where the text is.
            found[name] = NumberReading((NumberFormat(),))
        else:
            columns.notes.append(Note(name, f"{_content(columns[name], missing)} and is left out"))
    if ambiguous:
        found |= _settle(columns, found, ambiguous, missing, options)
    for name, reading in found.items():
        if not reading.formats[0].is_plain:
            columns.notes.append(Note(name, f"numbers with {reading.formats[0]}"))
    return found


def _keep_numbers(columns: Columns, name: str, reading: NumberReading) -> NumberReading:
    """Put the numbers of a column that has no other cells in place of its text, which is freed."""
    numbers = reading.numbers
    if numbers is None or not pc.all(pc.less_equal(pc.abs(numbers), MAX_FLOAT32)).as_py():
        return reading
    columns.arrays[columns.names.index(name)] = numbers
    return replace(reading, numbers=None)


def _content(cells: Any, missing: Missing) -> str:
    """Return what a column holds that holds no numbers."""
    if is_time(cells.type):
        return "holds times"
    if is_number(cells.type) or (cells.null_count == 0 and pc.all(missing.mask(cells)).as_py()):
        return "is empty"
    return "holds text"


def _is_empty(cells: Any) -> bool:
    return pc.all(pc.is_null(cells, nan_is_null=True)).as_py() is True


def _settle(
    columns: Columns,
    found: dict[str, NumberReading],
    ambiguous: dict[str, NumberReading],
    missing: Missing,
    options: ReadOptions,
) -> dict[str, NumberReading]:
    """Return the readings of columns that can be read in two ways, as the other columns say."""
    marks, ungrouped = set(), False
    for name in columns.names:
        if name not in ambiguous:
            cells = columns[name]
            formats = (found.get(name) or _reading(cells, missing, options)).formats
            if len(formats) == 1 and columns.from_text:
                cells = missing.to_null(cells) if is_text(cells.type) else cells
                mark, long = evidence(cells, formats[0])
                marks |= {mark} - {""}
                ungrouped |= long
    settled = {}
    for name, reading in ambiguous.items():
        if len(marks) == 1:
            fitting = [f for f in reading.formats if f.decimal in marks]
        elif not marks and ungrouped:
            fitting = [f for f in reading.formats if f.thousands not in (".", ",")]
        else:
            fitting = []
        if len(fitting) != 1:
            raise _two_readings(columns, name, reading)
        settled[name] = NumberReading((fitting[0],))
    return settled


def _two_readings(columns: Columns, name: str, reading: NumberReading) -> DataError:
    """Return the error for a column that can be read in two ways."""
    cells = columns[name]
    row = cells.to_pylist().index(reading.example) if reading.example in cells.to_pylist() else 0
    readings = " or ".join(
        f"{f.parse(reading.example):.15g} with a {f} (--decimal {f.decimal})"
        for f in reading.formats
    )
    return DataError(
        f"{columns.where(row, name)}: {reading.example!r} can be read in two ways: {readings}; "
        "name the decimal mark"
    )


def _reading(cells: Any, missing: Missing, options: ReadOptions) -> NumberReading:
    if not is_text(cells.type):
        usable = is_number(cells.type) and not _is_empty(cells)
        return NumberReading((NumberFormat(),) if usable else ())
    if cells.null_count == 0 and len(cells):
        reading = recognise_quickly(cells, options.decimal, options.thousands)
        if reading is not None:
            return reading
    return recognise_numbers(missing.to_null(cells), options.decimal, options.thousands)


def _convert(
    columns: Columns, name: str, reading: NumberReading, missing: Missing, may_miss: bool
) -> NDArray[np.float64]:
    """Return the numbers of a column, float64[n], NaN where one is missing."""
    cells, number_format = columns[name], reading.formats[0]
    if is_time(cells.type):
        cells = cells.cast(pa.string())  # of which none is a number
    numbers = reading.numbers
    values = to_float64(_to_numbers(cells, number_format, missing) if numbers is None else numbers)
    told = np.isin(values, missing.numbers) if missing.numbers else np.zeros((), np.bool_)
    if told.any():
        values = np.where(told, np.nan, values)
    unusable = ~(np.abs(values) <= MAX_FLOAT32)
    if not unusable.any():
        return values
    wrong = unusable & ~(told | _missing_rows(cells, values, missing)) if may_miss else unusable
    if wrong.any():
        row = int(wrong.argmax())
        too_large = np.abs(values[row]) > MAX_FLOAT32
        fits = f" that fits float32 (up to {MAX_FLOAT32:.1e})" if too_large else ""
        expected = f"a number{fits}" + _as_others(number_format)
        raise cell_error(columns, name, row, expected, missing)
    return values


def _to_numbers(cells: Any, number_format: NumberFormat, missing: Missing) -> Any:
    """Return the numbers as an Arrow array of float64, null where a cell holds none."""
    if not is_text(cells.type):
        if pa.types.is_boolean(cells.type):
            cells = cells.cast(pa.uint8())
        return cells.cast(pa.float64(), safe=False)
    if number_format.is_plain:
        try:
            return pc.cast(cells, pa.float64())
        except pa.ArrowInvalid:
            pass
    return number_format.convert(missing.to_null(cells))


def _missing_rows(cells: Any, values: NDArray[np.float64], missing: Missing) -> NDArray[np.bool_]:
    if not is_text(cells.type):
        return np.isnan(values)
    mask: NDArray[np.bool_] = missing.mask(cells).to_numpy(zero_copy_only=False)
    return mask


def _as_others(number_format: NumberFormat) -> str:
    return "" if number_format.is_plain else f" like others in this column ({number_format})"
