"""ReadOptions: what the user says about a table, where the reader must not guess."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import DataError


@dataclass(frozen=True)
class ReadOptions:
    """How to read a table; everything may be left out.

    Attributes
    ----------
    time_columns : tuple of str
        The time column; several are joined, such as a date and a time of day.
    stream_column : str or None
        The column that names the stream of each row, for tables of many series.
    sequence_column : str or None
        The column that names the sequence of each row, which are streams of their own then; left
        out where a table has no such column.
    columns : tuple of str
        The numeric columns to read, in this order; by default every column that holds numbers.
    numbers : bool
        Whether there are numeric columns to read; without, only the categories are.
    categories : tuple of str
        Columns whose cells are names of classes, even where they are numbers.
    time_unit : str or None
        What numbers in the time column count: ``s``, ``ms``, ``us`` or ``ns`` since 1970, or
        ``excel`` for days as spreadsheets count them.
    time_format : str or None
        How times are written, in the notation of ``strptime``: ``%d.%m.%Y %H:%M``.
    timezone : str or None
        The zone of times that name none, such as ``Europe/Berlin``; by default UTC.
    decimal, thousands : str or None
        The decimal mark and the mark between thousands.
    missing_values : tuple of str
        Cells that mean "missing", beside empty ones, ``NA`` and the like.
    missing : bool
        Whether numbers may be missing: they are NaN. Otherwise they are refused.
    sort : bool
        Whether rows may be sorted by time.
    allow_gaps : bool
        Whether rows may be missing in an evenly spaced series.
    resample : str or None
        The step to resample to, and how: ``1min mean``.
    """

    time_columns: tuple[str, ...] = ()
    stream_column: str | None = None
    sequence_column: str | None = None
    columns: tuple[str, ...] = ()
    numbers: bool = True
    categories: tuple[str, ...] = ()
    time_unit: str | None = None
    time_format: str | None = None
    timezone: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    missing_values: tuple[str, ...] = ()
    missing: bool = False
    sort: bool = False
    allow_gaps: bool = True
    resample: str | None = None

    def __post_init__(self) -> None:
        marks = {"decimal": (".", ","), "thousands": (".", ",", "'", " ")}
        for name, allowed in marks.items():
            given = getattr(self, name)
            if given is not None and given not in allowed:
                raise DataError(f"--{name} {given}: expected one of {'  '.join(allowed)}")
        if self.decimal is not None and self.decimal == self.thousands:
            raise DataError(f"--decimal {self.decimal}: expected another mark than --thousands")
