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


def counted(number: int, noun: str) -> str:
    """Write a number and what it counts: "1 prediction", "2,000 predictions"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it: "4.1 us", "12 ms"; "-" for NaN."""
    if seconds != seconds:
        return "-"
    for unit, scale in (("us", 1e6), ("ms", 1e3)):
        if seconds * scale < 999.5:
            return f"{seconds * scale:.{1 if seconds * scale < 9.95 else 0}f} {unit}"
    return f"{seconds:.1f} s"


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Draw values as a line of bars, one each, the oldest first.

    Parameters
    ----------
    values : sequence of float
        Drawn as the lowest bar up to `low`, and as the highest from `high` on.
    low, high : float
        The range that the bars span; all bars are the lowest where it is empty.
    """
    top = len(_BARS) - 1
    spread = high - low
    if spread <= 0:
        return _BARS[0] * len(values)
    levels = (round((value - low) / spread * top) for value in values)
    return "".join(_BARS[min(max(level, 0), top)] for level in levels)
