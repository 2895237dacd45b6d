"""Parts of a page: paragraphs, and plots with their captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from ...plots.style import new_figure, plotting
from .svg import PAGE, to_svg


def paragraph(sentences: Sequence[str]) -> str:
    """Return sentences as a paragraph; nothing for none."""
    return f"<p>{escape(' '.join(sentences))}</p>" if sentences else ""


def plot(name: str, draw: Callable[[Any], bool | None], caption: str, height: float = 2.6) -> str:
    """Return a plot with its caption; nothing if there is nothing to draw."""
    with plotting(PAGE):
        figure = new_figure(8, height)
        if draw(figure.subplots()) is False:
            return ""
        drawn = to_svg(figure, name)
    return f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>"
