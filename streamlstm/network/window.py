"""Window models: networks that run over the last T rows from their initial state at each step."""

from collections.abc import Sequence

import numpy as np

from ..errors import ModelError, shown
from .layers import Conv1D, Layer, Parallel

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
        _check_steps(layers)
        return None
    whole = isinstance(window, int | np.integer) and not isinstance(window, bool)
    if not whole or not 1 <= window <= MAX_WINDOW:
        raise ModelError(
            f"window: expected a number of rows from 1 to {MAX_WINDOW}, or None for a network that "
            f"keeps its state from step to step, got {shown(window)}."
        )
    if not any(layer.state or layer.over_rows for layer in layers):
        raise ModelError(
            "window: expected a recurrent layer, the model has none: its prediction depends on "
            "the last row only. Leave window out."
        )
    if window * layers[0].input_size > MAX_NUMBERS:
        raise ModelError(
            f"window: expected at most {MAX_NUMBERS} numbers, which every stream keeps, got "
            f"{window} rows of {layers[0].input_size}."
        )
    rows_through(layers, window)
    return int(window)


def can_be_stepped(layers: Sequence[Layer]) -> bool:
    """Tell whether a network can run without a window, row by row."""
    return all(layer.can_step for layer in layers)


def _check_steps(layers: Sequence[Layer]) -> None:
    """Refuse layers that a network which is stepped row by row cannot have."""
    for n, layer in enumerate(layers):
        if not layer.can_step:
            what = "at later rows too" if isinstance(layer, Conv1D) else "at several rows at once"
            raise ModelError(
                f"layer {n} ({layer.kind}) looks {what}: expected a window, whose rows these are, "
                "got none. Give window=T, the number of rows that the network was trained on."
            )


def rows_through(layers: Sequence[Layer], window: int) -> list[int]:
    """Return how many rows of so many go into each layer, and how many come out of the last.

    Raises
    ------
    ModelError
        If a layer cannot take as many as come.
    """
    rows = [window]
    for n, layer in enumerate(layers):
        rows.append(layer.rows_of(rows[-1]))
        if rows[-1] < 1 and isinstance(layer, Parallel):
            raise ModelError(_unequal(n, layer, rows[-2]))
        if rows[-1] < 1:
            raise ModelError(
                f"layer {n} ({layer.kind}): expected {getattr(layer, 'rows', 'more')} rows, got "
                f"{rows[-2]} of a window of {window}."
            )
        if rows[-1] * layer.output_size > MAX_NUMBERS:
            raise ModelError(
                f"layer {n} ({layer.kind}): expected at most {MAX_NUMBERS} numbers, got "
                f"{rows[-1]} rows of {layer.output_size}."
            )
        for branch in layer.branches if isinstance(layer, Parallel) else ():
            rows_through(branch, rows[-2])
    return rows


def _unequal(n: int, layer: Parallel, rows: int) -> str:
    """Return why branches cannot be merged; raises if a layer in one cannot take its rows."""
    lengths = ", ".join(str(rows_through(branch, rows)[-1]) for branch in layer.branches)
    return (
        f"layer {n} (parallel): expected branches of equally many rows, or of one, got {lengths} "
        f"of {rows}."
    )


def takes_any_rows(layers: Sequence[Layer], window: int) -> bool:
    """Tell whether a network can answer from any number of rows, not only from a whole window."""
    # No layer makes more rows of fewer, so what can be done with one can be with any number. Only
    # branches may fit together for some numbers.
    forks = any(isinstance(layer, Parallel) for layer in layers)
    return all(_takes(layers, rows) for rows in range(1, (window if forks else 1) + 1))


def _takes(layers: Sequence[Layer], rows: int) -> bool:
    for layer in layers:
        rows = layer.rows_of(rows)
        if rows < 1:
            return False
    return True


def check_start(start: str | None, window: int | None, layers: Sequence[Layer], stage: bool) -> str:
    """Return what happens before a window is full; by default it answers, if it can."""
    any_rows = window is None or takes_any_rows(layers, window)
    if start is None:
        return ANSWER if any_rows else FIRST
    if not isinstance(start, str) or start not in STARTS:
        raise ModelError(f"start: expected {', '.join(STARTS)}, got {shown(start)}.")
    if start == ANSWER and not any_rows:
        raise ModelError(
            f"start: expected wait, zeros or first, since a layer of this network takes {window} "
            "rows and no fewer, got answer."
        )
    if window is None and start != ANSWER:
        raise ModelError(f"start: expected a window, whose start {start!r} would be, got none.")
    if start == WAIT and stage:
        raise ModelError(
            "start: expected answer, zeros or first where there is an online stage, which "
            "compares every prediction with what comes, got wait."
        )
    return start


def describe_window(window: int, start: str) -> str:
    """Return a window in words."""
    return f"window of {window} rows ({STARTS[start]})"
