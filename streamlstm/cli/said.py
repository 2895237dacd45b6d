"""What a prediction and its online stage say, as a line for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .console import bar

if TYPE_CHECKING:
    from streamlstm.engine.prediction import Prediction

_BARS, _CAME, _BOUNDS = range(3)  # what a narrow terminal has no room for, the first to go first


LARGE = 1e6  # from here on six digits would say nothing of what is behind the point


def digits(value: float) -> str:
    """Format a number with six digits, or twelve if it is large."""
    return f"{value:.6g}" if abs(value) < LARGE or value != value else f"{value:.12g}"


def name_of(stream: object, room: int | None = None) -> str:
    """Return a stream's id as a line of a terminal may have it, cut in the middle to fit.

    Clients choose ids: what would move the cursor, colour or end a line is escaped.
    """
    name = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in str(stream)
    )
    if room is None or len(name) <= room:
        return name
    return f"{name[: (room - 1) // 2]}…{name[len(name) - room // 2 :]}"


def in_words(
    observed: Prediction, room: int | None = None, came: Sequence[float] | None = None
) -> str:
    """Format what came, outputs with their widest intervals, score, alarm and missing values.

    Parameters
    ----------
    observed : Prediction
    room : int, optional
        Columns that there are. Where they do not suffice the bar is left out, then what came, then
        the intervals, then the last outputs: an alarm stays.
    came : sequence of float, optional
        What each output's column was in this observation, NaN where it is not known: said with the
        errors of what had been forecast for it. Left out, neither is said.
    """
    end = f"  ALARM: {observed.kind}" if observed.alarm else ""
    if observed.filled:
        end += f"  ({observed.filled} missing)"
    line = ""
    for left_out in ((), (_BARS,), (_BARS, _CAME), (_BARS, _CAME, _BOUNDS)):
        line = "" if _CAME in left_out else _what_came(observed, came)
        line += _outputs(observed, _BOUNDS not in left_out)
        if _BARS not in left_out and observed.score == observed.score:
            line += f"  {bar(observed.score)} {observed.score:.1f}"
        if room is None or len(line) + len(end) <= room:
            return line + end
    assert room is not None
    return (line[: max(room - len(end) - 1, 0)] + "\N{HORIZONTAL ELLIPSIS}" + end)[: max(room, 0)]


def _what_came(observed: Prediction, came: Sequence[float] | None) -> str:
    """Format what came and the errors of the forecasts of it; nothing if neither is known."""
    errors = observed.error.tolist()
    if came is None or all(error != error for error in errors):
        return ""
    told = " ".join(f"{error:+.3g}" if error == error else "-" for error in errors)
    if all(value != value for value in came):
        return f"error {told}, next "
    values = " ".join(digits(value) if value == value else "-" for value in came)
    return f"came {values} (error {told}), next "


def _outputs(observed: Prediction, with_bounds: bool) -> str:
    """Format the outputs, each with its widest interval if there is one."""
    words = []
    for y, low, high in zip(observed.y, observed.low, observed.high, strict=True):
        known = with_bounds and low == low
        words.append(f"{digits(y)} [{digits(low)}, {digits(high)}]" if known else digits(y))
    return " ".join(words)
