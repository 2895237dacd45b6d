"""Splits live lines into cells: a line that is no CSV costs that line, and none after it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import NamedTuple

from ..cells.delimiters import BLANKS, DELIMITERS, find_delimiter
from .lines import LONGEST

_MOST_LINES = 64  # of a row with quoted cells that go on over several lines


class Cells(NamedTuple):
    """The cells of a row, or why there are none; and the line on which it begins."""

    line: int
    cells: list[str]
    problem: str = ""


class Splitter:
    """The rows of lines, without the blank ones.

    A quoted cell may hold line breaks. If its quote is not closed, only its first line is bad:
    those after it are rows of their own.

    Parameters
    ----------
    lines : iterator of (int, str)
        Line numbers and lines.

    Attributes
    ----------
    width : int
        Cells of a row as the header has it; 0 before the header.
    """

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._delimiter = ""
        self._held: list[tuple[int, str]] = []  # lines of a row whose quote is open
        self.width = 0

    def __iter__(self) -> Iterator[Cells]:
        for number, line in self._begun():
            if not self._held and not line.strip():
                continue
            yield from self._take(number, line)
        yield from self._give_up()

    def _begun(self) -> Iterator[tuple[int, str]]:
        """Yield the lines; the header as soon as it, or the row after it, shows the delimiter."""
        waiting: list[tuple[int, str]] = []
        for number, line in self._lines:
            if self._delimiter or not line.strip():
                yield number, line
                continue
            waiting.append((number, line))
            may_be_blanks = len(line.split()) > 1 and not set(line) & set(DELIMITERS)
            if may_be_blanks and len(waiting) == 1:
                continue
            self._delimiter = find_delimiter([text for _, text in waiting])
            yield from waiting
        if not self._delimiter:
            self._delimiter = find_delimiter([text for _, text in waiting])
            yield from waiting

    def _take(self, number: int, line: str) -> Iterator[Cells]:
        if self._held and len(self._split(number, line).cells) == self.width:
            # A whole row: what is held is not the beginning of it.
            yield from self._give_up()
        self._held.append((number, line))
        first = self._held[0][0]
        row = self._split(first, "".join(held for _, held in self._held))
        if row.problem and self._is_open() and len(self._held) < _MOST_LINES:
            return
        if row.problem and len(self._held) > 1:
            yield from self._give_up()
            return
        self._held.clear()
        yield row

    def _split(self, number: int, line: str) -> Cells:
        if len(line) >= LONGEST:
            return Cells(number, [], f"expected a row, got a line of {LONGEST:,} characters")
        if self._delimiter == BLANKS:
            return Cells(number, line.split())
        try:
            row = next(csv.reader([line], delimiter=self._delimiter, strict=True), [])
        except csv.Error as error:
            return Cells(number, [], f"expected a row of CSV: {error}")
        return Cells(number, row)

    def _is_open(self) -> bool:
        return sum(held.count('"') for _, held in self._held) % 2 == 1

    def _give_up(self) -> Iterator[Cells]:
        """Take each of the lines that are held as a row of its own."""
        held, self._held = self._held, []
        yield from (self._split(*line) for line in held if line[1].strip())
