"""What can be wrong with live input, and what becomes of it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from ...errors import DataError


class OnBad(StrEnum):
    """What becomes of a row that cannot be used as it is.

    ``skip`` passes over it, ``fill`` sends its bad cells as missing values (and skips it where that
    does not help), ``stop`` ends the input with an error.
    """

    SKIP = "skip"
    FILL = "fill"
    STOP = "stop"


class Kind(StrEnum):
    """Kinds of problems: a row that was skipped or filled, a clock, a header that was repeated."""

    SKIPPED = "skipped"
    FILLED = "filled"
    CLOCK = "clock"
    HEADER = "header"


class Problem(NamedTuple):
    """Something in the input that was not as expected, and did not end it.

    Attributes
    ----------
    kind : Kind
    line : int
        Where: a line of the source, or a sample of this machine.
    text : str
        What was expected, and what came.
    """

    kind: Kind
    line: int
    text: str


class BadRowError(DataError):
    """A row that cannot be used; ``line`` is where it is, ``text`` what was expected and came."""

    def __init__(self, path: str, line: int, text: str, advice: str = "") -> None:
        super().__init__(f"{path}:{line}: {text}{advice and '; ' + advice}")
        self.line, self.text = line, text
