"""The character between cells, found from the first lines of a file or pipe."""

from __future__ import annotations

import csv
from collections.abc import Sequence

DELIMITERS = "\t|;,^~"
"""Those that are looked for. Of two that fit alike the earlier: commas are in numbers and texts."""
BLANKS = " "
"""Cells are apart by blanks, as many as there are."""


def find_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that splits the most rows into as many cells as the header.

    Of a header alone it is the one that occurs most often; blanks are between cells where nothing
    else is and all rows say so. The comma where there is none.

    Parameters
    ----------
    lines : sequence of str
        The header and the rows after it, as far as they are known.
    """

    def fit(delimiter: str) -> tuple[float, int]:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row and row != [""]]
        if not rows or len(rows[0]) < 2:
            return 0.0, 0
        alike = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        return alike, len(rows[0]) if len(rows) == 1 else 0

    best = max(DELIMITERS, key=fit)
    if fit(best) > (0.0, 0):
        return best
    return BLANKS if _are_apart_by_blanks(lines) else ","


def _are_apart_by_blanks(lines: Sequence[str]) -> bool:
    widths = {len(line.split()) for line in lines if line.strip()}
    rows = sum(bool(line.strip()) for line in lines)
    return rows > 1 and len(widths) == 1 and widths != {1} and '"' not in "".join(lines)
