"""What notebooks show of an object: a small table of names and values."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_CELL = "text-align:left;padding:1px 12px 1px 0;vertical-align:top"


def as_table(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """Return HTML with a title and a row for each name and value; all text is escaped."""
    lines = [
        f"<tr><th style='{_CELL}'>{escape(name)}</th>"
        f"<td style='{_CELL}'>{escape(str(value))}</td></tr>"
        for name, value in rows
    ]
    return f"<div><strong>{escape(title)}</strong><table>{''.join(lines)}</table></div>"
