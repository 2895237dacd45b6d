"""Tells what was wrong with the input of ``streamlstm publish`` and did not end it."""

from __future__ import annotations

import time
from collections import Counter

from streamlstm.data.live.problems import Kind, Problem

from ..console import counted, err

SECONDS = 1.0  # between two lines of a kind

_SO_FAR = {
    Kind.SKIPPED: ("row", "skipped"),
    Kind.FILLED: ("cell", "sent as missing"),
    Kind.CLOCK: ("time", "not later than the one before (the row is kept)"),
    Kind.HEADER: ("header", "passed over"),
}


class Problems:
    """Counts problems, and prints at most one line a second of each kind on stderr.

    Parameters
    ----------
    place : str
        What the number of a problem counts: ``"line"`` or ``"sample"``.
    """

    def __init__(self, place: str = "line") -> None:
        self._place = place
        self._counts: Counter[Kind] = Counter()
        self._silent_until: dict[Kind, float] = {}

    def __call__(self, problem: Problem) -> None:
        """Count a problem, and print it unless one of its kind was printed just now."""
        kind = problem.kind
        self._counts[kind] += 1
        now = time.monotonic()
        if now < self._silent_until.get(kind, 0.0):
            return
        self._silent_until[kind] = now + SECONDS
        err.print(
            f"{self._place} {problem.line}: {problem.text}; {self._counted(kind)} so far",
            markup=False,
        )

    def summarize(self) -> None:
        """Print the number of each kind, if there were any."""
        if self._counts:
            err.print(", ".join(self._counted(kind) for kind in Kind if self._counts[kind]))

    def _counted(self, kind: Kind) -> str:
        noun, what = _SO_FAR[kind]
        return f"{counted(self._counts[kind], noun)} {what}"
