"""Window models: networks that run over the last T rows from their initial state at each step."""

from collections.abc import Sequence

import numpy as np

from ..errors import ModelError, shown
from .layers import Layer

MAX_WINDOW = 2**16  # rows
MAX_NUMBERS = 2**24  # T F, which every stream keeps

ANSWER, WAIT, ZEROS, FIRST = "answer", "wait", "zeros", "first"
STARTS = {
    ANSWER: "before, from those that came",
    WAIT: "before, NaN",
    ZEROS: "before, zeros on the left",
    FIRST: "before, the first row on the left",
}
"""What a window model answers before its window is full, and how people read it."""


def check_window(window: int | None, layers: Sequence[Layer]) -> int | None:
    """Return the rows of a window, T, if the network can run over windows; None for stateful."""
    if window is None:
        return None
    whole = isinstance(window, int | np.integer) and not isinstance(window, bool)
    if not whole or not 1 <= window <= MAX_WINDOW:
        raise ModelError(
            f"window: expected a number of rows from 1 to {MAX_WINDOW}, or None for a network that "
            f"keeps its state from step to step, got {shown(window)}."
        )
    if not any(layer.state for layer in layers):
        raise ModelError(
            "window: expected a recurrent layer, the model has none: its prediction depends on "
            "the last row only. Leave window out."
        )
    if window * layers[0].input_size > MAX_NUMBERS:
        raise ModelError(
            f"window: expected at most {MAX_NUMBERS} numbers, which every stream keeps, got "
            f"{window} rows of {layers[0].input_size}."
        )
    return int(window)


def check_start(start: str, window: int | None, has_stage: bool) -> str:
    """Return what happens before a window is full."""
    if not isinstance(start, str) or start not in STARTS:
        raise ModelError(f"start: expected {', '.join(STARTS)}, got {shown(start)}.")
    if window is None and start != ANSWER:
        raise ModelError(f"start: expected a window, whose start {start!r} would be, got none.")
    if start == WAIT and has_stage:
        raise ModelError(
            "start: expected answer, zeros or first where there is an online stage, which "
            "compares every prediction with what comes, got wait."
        )
    return start


def describe_window(window: int, start: str) -> str:
    """Return a window in words."""
    return f"window of {window} rows ({STARTS[start]})"
