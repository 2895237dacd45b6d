"""The style and the colours of every picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import StreamLSTMError

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


def check_plots() -> None:
    """Raise StreamLSTMError if matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401 - to see whether it is there
    except ImportError:
        raise StreamLSTMError(
            "drawing needs matplotlib, which is not installed: pip install matplotlib"
        ) from None


@contextmanager
def plotting(palette: Palette) -> Iterator[None]:
    """Draw with these colours, and leave the settings of matplotlib as they were.

    Raises
    ------
    StreamLSTMError
        If matplotlib is missing.
    """
    check_plots()
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(palette.style())
        yield


def new_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Any:
    """Return an empty figure of this size in inches, which no window shows."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)
