"""Colours of plots, and figures as inline SVG that follow the colours of the page around them."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...errors import StreamLSTMError

STYLE = {
    "font.size": 9,
    "axes.linewidth": 0.6,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "text.parse_math": False,  # names of columns may hold a dollar sign
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Palette:
    """The colours of a plot.

    Attributes
    ----------
    ink, faint : str
        Text and what came; axes and grids.
    made, other, alarm : str
        What the model said; baselines; alarms.
    paper : str
        What is behind.
    """

    ink: str
    faint: str
    made: str
    other: str
    alarm: str
    paper: str

    def style(self) -> dict[str, Any]:
        """Return the settings of matplotlib for these colours."""
        inked = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
        return {
            **STYLE,
            **dict.fromkeys(inked, self.ink),
            "axes.edgecolor": self.faint,
            "figure.facecolor": self.paper,
            "axes.facecolor": self.paper,
            "savefig.facecolor": self.paper,
        }


PRINT = Palette("#1b1f24", "#8a9099", "#0072B2", "#B26A00", "#C0392B", "white")
# Colours that stand for the variables of the page's style sheet, which has them light and dark.
PAGE = Palette("#010203", "#010204", "#010205", "#010206", "#010207", "none")
_VARIABLES = {
    getattr(PAGE, name): f"var(--{name})" for name in ("ink", "faint", "made", "other", "alarm")
}


def check_plots() -> None:
    """Raise StreamLSTMError if matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise StreamLSTMError(
            "plots need matplotlib, which is not installed: pip install 'streamlstm[plot]'"
        ) from None


@contextmanager
def plotting(palette: Palette) -> Iterator[None]:
    """Draw with these colours, and leave the settings of matplotlib as they were."""
    check_plots()
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        # The same plot is the same text.
        mpl.rcParams.update(palette.style() | {"svg.hashsalt": "streamlstm"})
        yield


def to_svg(figure: Any, name: str) -> str:
    """Return a figure drawn with the colours of a page as an element of HTML.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    name : str
        Stands before its ids, which no other plot of the page may have.
    """
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Type", "Format"))
    with warnings.catch_warnings():
        # Text stays text in the page, whose reader has fonts for it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, format="svg", metadata=nothing)
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
