"""Takes out lines that are no rows of a CSV file: comments, rules, and what stands below the rows.

They become blank lines, so that the others keep their numbers.
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace

from ..table import Note
from .content import Content
from .header import Header

_WORD = re.compile(r"[^\W\d_]{2}")
_RULE = re.compile(r"[\s|+]*[-=]{3}[-=|+\s:]*")
_MOST = 20  # lines below the rows


def pass_over(content: Content, header: Header) -> tuple[Content, Note] | None:
    """Return the content without such lines, and what is said of them; None if there are none.

    Parameters
    ----------
    content : Content
        In UTF-8, with line feeds.
    header : Header
    """
    lines = content.whole().decode().split("\n")
    width = len(header.names)

    def is_row(line: str) -> bool:
        return len(next(csv.reader([line], delimiter=header.delimiter), [])) == width

    passed = {
        n
        for n, line in enumerate(lines[header.line :], header.line)
        if _RULE.fullmatch(line) or (line.lstrip().startswith("#") and not is_row(line))
    }
    filled = [n for n, line in enumerate(lines) if line.strip() and n not in passed]
    for n in reversed(filled[-_MOST:]):
        if n < header.line or is_row(lines[n]) or not _WORD.search(lines[n]):
            break
        passed.add(n)
    if not passed:
        return None
    kept = "\n".join("" if n in passed else line for n, line in enumerate(lines))
    count = f"{len(passed):,} lines" if len(passed) > 1 else "a line"
    first = min(passed)
    note = Note(
        None, f"{count} without a row passed over, the first is line {first + 1}: {lines[first]!r}"
    )
    return Content(content.path, kept.encode()), note


def with_tabs(content: Content, header: Header) -> tuple[Content, Header]:
    """Return rows whose cells are apart by blanks with tabs between them."""
    lines = content.whole().split(b"\n")
    rows = [b"\t".join(line.split()) for line in lines[header.line :]]
    data = b"\n".join([*lines[: header.line], *rows])
    return Content(content.path, data), replace(header, delimiter="\t")
