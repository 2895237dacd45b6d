"""Figures as inline SVG that follow the colours of the page around them."""

from __future__ import annotations

import io
import re
from typing import Any

from ...plots.files import write
from ...plots.style import Palette

# Colours that stand for the variables of the page's style sheet, which has them light and dark.
PAGE = Palette("#010203", "#010204", "#010205", "#010206", "#010207", "none")
_VARIABLES = {
    getattr(PAGE, name): f"var(--{name})" for name in ("ink", "faint", "made", "other", "alarm")
}


def to_svg(figure: Any, name: str) -> str:
    """Return a figure drawn with the colours of a page as an element of HTML.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    name : str
        Stands before its ids, which no other plot of the page may have.
    """
    file = io.StringIO()
    # Text stays text in the page, whose reader has fonts for it.
    write(figure, file, "svg", **{"svg.fonttype": "none"})
    text = file.getvalue()
    head, rest = text[text.index("<svg") :].split(">", 1)
    head = re.sub(r'\s(xmlns(:\w+)?|width|height|version)="[^"]*"', "", head)
    return f"{head}>{re.sub('<[^>]*>', lambda tag: _adapt(tag[0], name), rest)}"


def _adapt(tag: str, name: str) -> str:
    """Return a tag with the colours of the page and ids of this plot."""
    for colour, variable in _VARIABLES.items():
        tag = tag.replace(colour, variable)
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    return tag.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
