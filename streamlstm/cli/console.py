"""Where commands write: `console` for what was asked for, `err` for what happens meanwhile.

In a terminal both draw with rich; into a pipe or file they write plain lines of any length.
"""

from collections.abc import Sequence

from rich.console import Console

_BARS = "▁▂▃▄▅▆▇█"
# What a pipe does not have is a width; rich would fold lines and tables at 80 columns.
_PIPE_WIDTH = 240


def _make(stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


console = _make(stderr=False)
err = _make(stderr=True)


def sparkline(values: Sequence[float], *, floor: float = 0.0) -> str:
    """Draw values as a line of bars: the lowest as the lowest bar, the highest as the highest.

    Parameters
    ----------
    values : sequence of float
        One bar each, the oldest first.
    floor : float
        A spread smaller than this is drawn flat, so that noise does not look like a signal.
    """
    if not values:
        return ""
    low, high = min(values), max(values)
    spread = max(high - low, floor) or 1.0
    return "".join(_BARS[round((value - low) / spread * (len(_BARS) - 1))] for value in values)
