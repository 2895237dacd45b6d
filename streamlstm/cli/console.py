"""Output of commands: `console` prints results on stdout, `err` prints messages on stderr.

In a terminal both use rich; into a pipe or file they print plain lines of any length.
"""

from collections.abc import Sequence

from rich.console import Console

_BARS = "▁▂▃▄▅▆▇█"
# A pipe has no width; rich would fold lines and tables at 80 columns.
_PIPE_WIDTH = 240


def _make(stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


console = _make(stderr=False)
err = _make(stderr=True)


def counted(number: int, noun: str) -> str:
    """Format a number with its noun: "1 prediction", "2,000 predictions"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """Format a duration in a suitable unit: "4.1 us", "12 ms"; "-" for NaN."""
    if seconds != seconds:
        return "-"
    for unit, scale in (("us", 1e6), ("ms", 1e3)):
        if seconds * scale < 999.5:
            return f"{seconds * scale:.{1 if seconds * scale < 9.95 else 0}f} {unit}"
    return f"{seconds:.1f} s"


def bar(value: float, most: float = 10.0, width: int = 8) -> str:
    """Draw a number from 0 to ``most`` as a bar of up to ``width`` characters."""
    eighths = round(min(max(value / most, 0.0), 1.0) * width * 8)
    whole, part = divmod(eighths, 8)
    return ("█" * whole + ("▏▎▍▌▋▊▉"[part - 1] if part else "")).ljust(width)


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Draw values as a line of bars, one bar a value, the oldest first.

    Parameters
    ----------
    values : sequence of float
        Values up to `low` are drawn as the lowest bar, values from `high` on as the highest.
    low, high : float
        The range of the bars; if it is empty, all bars are the lowest.
    """
    top = len(_BARS) - 1
    spread = high - low
    if spread <= 0:
        return _BARS[0] * len(values)
    levels = (round((value - low) / spread * top) for value in values)
    return "".join(_BARS[min(max(level, 0), top)] for level in levels)
