"""TimeFormat: how the times of a column are written, and how it is recognised."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .number_format import NumberFormat, to_float64
from .time_pattern import convert_pattern
from .time_text import patterns_of
from .time_units import EXCEL, UNITS, recognise_unit, to_seconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_LEAST = 0.5  # share of the cells that are times, from which on the column holds them
_SAMPLE = 10_000  # cells of a longer column that mostly tell how the others are written
ISO = "iso"


@dataclass(frozen=True)
class TimeFormat:
    """How times are written.

    Attributes
    ----------
    notation : str
        ``iso`` for time stamps in ISO 8601; a unit of numbers, such as ``ms`` since 1970 or
        ``excel``; or a pattern in the notation of ``strptime``.
    digits : bool
        Whether cells are numbers, of a unit or of the digits of a date such as 20230131.
    """

    notation: str = ISO
    digits: bool = False

    @classmethod
    def of(cls, notation: str) -> TimeFormat:
        """Return the format of a notation."""
        return cls(notation, notation in UNITS or notation == EXCEL)

    def parse(self, cell: str) -> float | None:
        """Return the time in a cell, in seconds since 1970; None if it holds none."""
        if self.notation == ISO:
            return _parse_iso(cell)
        if self.digits:
            number = NumberFormat().parse(cell)
            seconds = to_seconds(np.array([np.nan if number is None else number]), self.notation)[0]
            return float(seconds) if np.isfinite(seconds) else None
        found: float | None = self.convert(pa.array([cell]))[0].as_py()
        return found

    def convert(self, cells: Any) -> Any:
        """Return the times of an Arrow array of text in seconds; null where there is none."""
        if self.notation == ISO:
            return _convert_iso(cells)
        if not self.digits:
            return convert_pattern(cells, self.notation)
        seconds = to_seconds(to_float64(NumberFormat().convert(cells)), self.notation)
        return pa.array(seconds, mask=~np.isfinite(seconds))


@dataclass(frozen=True)
class TimeReading:
    """What the times of a column may be.

    Attributes
    ----------
    formats : tuple of TimeFormat
        None where the column holds no times; several where it can be read in several ways.
    example : str
        A cell that can be read in several ways.
    seconds : pyarrow array of float64, or None
        The cells, where all were converted to see that they can be.
    """

    formats: tuple[TimeFormat, ...]
    example: str = ""
    seconds: Any = field(default=None, compare=False, repr=False)


def recognise_times(cells: Any) -> TimeReading:
    """Return how the times of a column are written.

    Parameters
    ----------
    cells : pyarrow array of text, or sequence of str
        The column. Missing cells are null.
    """
    if not isinstance(cells, pa.Array | pa.ChunkedArray):
        cells = pa.array(cells, pa.string())
    cells = cells.drop_null()
    if not len(cells):
        return TimeReading(())
    try:
        numbers = pc.cast(cells, pa.float64())
    except pa.ArrowInvalid:
        return _recognise_text(cells)
    return TimeReading((TimeFormat(recognise_unit(to_float64(numbers)), digits=True),))


def _recognise_text(cells: Any) -> TimeReading:
    for type_ in _ISO_TYPES:
        try:
            pc.cast(cells, type_)
            return TimeReading((TimeFormat(ISO),))
        except pa.ArrowInvalid:
            continue
    if len(cells) > _SAMPLE:
        # What all cells can be is the reading, if no other is possible even of a sample.
        places = np.linspace(0, len(cells) - 1, _SAMPLE).astype(np.int64)
        best = list(_best(pa.concat_arrays(_parts(cells.take(pa.array(places))))))
        if len(best) == 1:
            seconds = best[0].convert(cells)
            if not seconds.null_count:
                return TimeReading((best[0],), seconds=seconds)
    found = _best(cells)
    best = list(found)
    if len(best) < 2 or best[0].notation == ISO:
        return TimeReading(tuple(best[:1]))
    different = np.zeros(len(cells), np.bool_)
    for other in best[1:]:
        a, b = found[best[0]], found[other]
        different |= (a != b) & ~(np.isnan(a) & np.isnan(b))
    if not different.any():
        return TimeReading((best[0],))
    return TimeReading(tuple(best), cells[int(different.argmax())].as_py())


def _best(cells: Any) -> dict[TimeFormat, NDArray[np.float64]]:
    """Return the formats that most of the cells have, and the times that they are by each."""
    first = cells[0].as_py()
    found: dict[TimeFormat, NDArray[np.float64]] = {}
    for notation in (ISO, *patterns_of(first)):
        if notation != ISO or _parse_iso(first) is not None:
            found[TimeFormat(notation)] = to_float64(TimeFormat(notation).convert(cells))
    counts = {f: int(np.isfinite(seconds).sum()) for f, seconds in found.items()}
    most = max(counts.values(), default=0)
    if most < _LEAST * len(cells):
        return {}
    return {f: found[f] for f, count in counts.items() if count == most}


_ISO_TYPES = (pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("ns"))


def _parse_iso(cell: str) -> float | None:
    text = cell.strip()
    if text.isdecimal():
        return None
    try:
        moment = datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        return None
    return (moment - (_EPOCH if moment.tzinfo else _NAIVE_EPOCH)).total_seconds()


def convert_at_once(cells: Any) -> Any:
    """Return time stamps in ISO 8601 as seconds; None if any cell is something else."""
    for type_ in _ISO_TYPES:
        try:
            parts = [timestamps_to_seconds(pc.cast(p, type_)) for p in _parts(cells)]
        except pa.ArrowInvalid:
            continue
        return pa.chunked_array(parts, pa.float64())
    return None


def _parts(cells: Any) -> list[Any]:
    return cells.chunks if isinstance(cells, pa.ChunkedArray) else [cells]


def _convert_iso(cells: Any) -> Any:
    seconds = convert_at_once(cells)
    if seconds is not None:
        return seconds
    return pa.array([None if c is None else _parse_iso(c) for c in cells.to_pylist()], pa.float64())


def timestamps_to_seconds(stamps: Any) -> Any:
    """Return an Arrow array of dates or time stamps as seconds since 1970, float64."""
    if not pa.types.is_timestamp(stamps.type):
        stamps = stamps.cast(pa.timestamp("ms"))
    per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[stamps.type.unit]
    return pc.divide(pc.cast(stamps.cast(pa.int64()), pa.float64(), safe=False), per_second)


def has_zone(cells: Any, time_format: TimeFormat) -> bool:
    """Return whether times name their zone, or count since 1970, which has only one meaning."""
    if time_format.digits:
        return time_format.notation in UNITS
    if time_format.notation != ISO:
        return "%z" in time_format.notation
    pattern = r"\d[T ]\d.*(?:Z|UTC|[+-]\d{2}:?\d{2})$"
    return bool(pc.any(pc.match_substring_regex(cells.slice(0, 1000), pattern)).as_py())
