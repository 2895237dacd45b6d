"""LiveNumbers: understands the numbers of one column as they come."""

from __future__ import annotations

from ..cells.number_format import NumberFormat
from ..cells.numbers import recognise_numbers
from ..options import ReadOptions


class LiveNumbers:
    """The format of a column, found from its first cells.

    A number without a decimal mark leaves open how the next ones are written: the first cell that
    shows a mark decides. A point is taken for the decimal mark unless something speaks against it.

    Parameters
    ----------
    options : ReadOptions
        Its marks are known, if they are given.
    number_format : NumberFormat or None
        What the cells of a whole file show.
    """

    def __init__(self, options: ReadOptions, number_format: NumberFormat | None = None) -> None:
        self._decimal, self._thousands = options.decimal, options.thousands
        self._format = number_format
        self._is_open = number_format is None or number_format.is_plain and not self._is_known

    @property
    def _is_known(self) -> bool:
        return self._decimal is not None or bool(self._thousands)

    def parse(self, cell: str) -> float | None:
        """Return the number in a cell, which may be NaN or infinite; None if it holds none."""
        if self._format is not None:
            value = self._format.parse(cell)
            if value is not None or not self._is_open:
                self._is_open = self._is_open and not ("." in cell or "," in cell)
                return value
        elif not self._is_known:
            value = NumberFormat().parse(cell)
            if value is not None:
                self._format = NumberFormat()
                self._is_open = "." not in cell
                return value
        return self._decide(cell)

    def why(self, cell: str) -> str:
        """Return what to say of a cell that holds no number, beside that."""
        if self._format is not None and not self._format.is_plain:
            return f" like others in this column ({self._format})"
        return ""

    def readings(self, cell: str) -> str:
        """Return in which ways a number that is not understood can be read; empty if in none."""
        formats = recognise_numbers([cell], self._decimal, self._thousands).formats
        if len(formats) < 2:
            return ""
        return " or ".join(f"{f.parse(cell):.15g} (--decimal {f.decimal})" for f in formats)

    def _decide(self, cell: str) -> float | None:
        formats = recognise_numbers([cell.strip()], self._decimal, self._thousands).formats
        if len(formats) != 1:
            return None
        found = formats[0]
        if self._format is not None and (found.before, found.unit) != (
            self._format.before,
            self._format.unit,
        ):
            return None
        self._format = found
        self._is_open = not ("." in cell or "," in cell)
        return found.parse(cell)
