"""LiveNumbers: understands the numbers of one column as they come."""

from __future__ import annotations

from ...errors import DataError
from ..cells.number_format import NumberFormat
from ..cells.numbers import recognise_numbers
from ..columns import Columns
from ..options import ReadOptions


class LiveNumbers:
    """How a column writes numbers: as the first rows show, or as its first cells do.

    A number without a decimal mark leaves open how the next ones are written: the first cell that
    shows a mark decides.

    Parameters
    ----------
    options : ReadOptions
        Its marks are known, if they are given.
    number_format : NumberFormat or None
        What the first rows show; None if that is nothing.
    """

    def __init__(self, options: ReadOptions, number_format: NumberFormat | None = None) -> None:
        self._decimal, self._thousands = options.decimal, options.thousands
        self._is_given = self._decimal is not None or bool(self._thousands)
        self._format = number_format
        self._is_open = number_format is None or (number_format.is_plain and not self._is_given)

    def parse(self, cell: str) -> float | None:
        """Return the number in a cell, which may be NaN or infinite; None if it holds none."""
        if self._format is not None:
            value = self._format.parse(cell)
            if value is not None or not self._is_open:
                self._is_open = self._is_open and not _shows_mark(cell)
                return value
        formats = self._readings(cell)
        if len(formats) != 1:
            return None
        found = formats[0]
        if self._format is not None and self._format.unit + self._format.before:
            return None
        self._format, self._is_open = found, not _shows_mark(cell)
        return found.parse(cell)

    def format_of(self, cells: Columns, name: str) -> NumberFormat | None:
        """Return the format of the first cell of a column; None if it is no number.

        Raises
        ------
        DataError
            If it can be read in two ways; the message names the option that says which.
        """
        cell = cells[name][0].as_py()
        formats = self._readings(cell)
        if len(formats) > 1:
            ways = " or ".join(f"{f.parse(cell):.15g} (--decimal {f.decimal})" for f in formats)
            raise DataError(
                f"{cells.where(0, name)}: {cell!r} can be read in two ways: {ways}; name the "
                "decimal mark"
            )
        return formats[0] if formats else None

    def expected(self, cell: str) -> str:
        """Return what a cell that holds no number should have held."""
        if self._format is not None and not self._format.is_plain:
            return f"a number like others in this column ({self._format})"
        if len(self._readings(cell)) > 1:
            return "a number that can be read in one way (--decimal names the mark)"
        return "a number"

    def _readings(self, cell: str) -> tuple[NumberFormat, ...]:
        plain = NumberFormat()
        if not self._is_given and plain.parse(cell) is not None:
            return (plain,)
        return recognise_numbers([cell], self._decimal, self._thousands).formats


def _shows_mark(cell: str) -> bool:
    return "." in cell or "," in cell
