"""Progress of training: a bar in a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, Progress, TextColumn

from streamlstm.cli.console import err
from streamlstm.learn.fit import EpochMetrics

_SECONDS_BETWEEN_LINES = 2.0
_SECONDS_WITHIN_EPOCHS = 10.0  # between lines where an epoch takes long


class Shown(Protocol):
    """What is called while a network is trained."""

    def epoch(self, epoch: EpochMetrics) -> None:
        """Show the end of an epoch."""

    def batch(self, epochs: float) -> None:
        """Show the epochs so far, such as 2.25."""

    def again(self) -> None:
        """Say that another training begins."""


_AGAIN = "the network adds little to the linear part: it is trained once more without that"


@contextmanager
def show_progress(epochs: int) -> Iterator[Shown]:
    """Show the progress of training."""
    if err.is_terminal:
        with bar("left at most") as progress:
            yield _Bar(progress, epochs)
    else:
        yield _Lines(epochs)


def bar(after: str) -> Progress:
    """Return a bar with a description, numbers, and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[numbers]}"),
        TextColumn("{task.fields[left]} " + after),
        console=err,
    )


class _Left:
    """Estimates the time left from the epochs that were made here."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._began: tuple[float, float] | None = None

    def seconds(self, epochs: float) -> float:
        """Return the seconds until all epochs are done; NaN at first."""
        now = time.monotonic()
        began, before = self._began = self._began or (now, epochs)
        if epochs <= before:
            return float("nan")
        return (now - began) / (epochs - before) * (self._epochs - epochs)


class _Bar:
    def __init__(self, progress: Progress, epochs: int) -> None:
        self._progress, self._epochs, self._left = progress, epochs, _Left(epochs)
        self._task = progress.add_task("starting", total=epochs, numbers="", left="-")

    def epoch(self, epoch: EpochMetrics) -> None:
        self._progress.update(self._task, numbers=_numbers(epoch))
        self._show(epoch.number, epoch.number)

    def batch(self, epochs: float) -> None:
        self._show(epochs, min(int(epochs) + 1, self._epochs))

    def again(self) -> None:
        err.print(_AGAIN)
        self._left = _Left(self._epochs)

    def _show(self, epochs: float, number: int) -> None:
        self._progress.update(
            self._task,
            completed=epochs,
            description=f"epoch {number}/{self._epochs}",
            left=clock(self._left.seconds(epochs)),
        )


class _Lines:
    """Prints a line every few seconds."""

    def __init__(self, epochs: int) -> None:
        self._epochs, self._left = epochs, _Left(epochs)
        self._next_line = 0.0
        self._next_within = time.monotonic() + _SECONDS_WITHIN_EPOCHS

    def epoch(self, epoch: EpochMetrics) -> None:
        now, left = time.monotonic(), self._left.seconds(epoch.number)
        if now < self._next_line and epoch.number < epoch.epochs:
            return
        self._next_line = now + _SECONDS_BETWEEN_LINES
        self._next_within = now + _SECONDS_WITHIN_EPOCHS
        if left != left:  # the first epoch of all, without a batch before
            left = epoch.seconds / max(epoch.number, 1) * (epoch.epochs - epoch.number)
        err.print(
            f"epoch {epoch.number}/{epoch.epochs}  {_numbers(epoch)}  {left:.0f} s left at most",
            markup=False,
        )

    def batch(self, epochs: float) -> None:
        now, left = time.monotonic(), self._left.seconds(epochs)
        if now >= self._next_within and epochs % 1:
            self._next_within = now + _SECONDS_WITHIN_EPOCHS
            number, share = int(epochs) + 1, 100 * (epochs % 1)
            at_most = f"{left:.0f} s left at most"
            err.print(f"epoch {number}/{self._epochs}  {share:.0f} %  {at_most}", markup=False)

    def again(self) -> None:
        err.print(_AGAIN)
        self._left, self._next_line = _Left(self._epochs), 0.0


def clock(seconds: float) -> str:
    """Format a time: "0:12", "1:02:03"; "-" for NaN."""
    if seconds != seconds or seconds == float("inf"):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _numbers(epoch: EpochMetrics) -> str:
    return f"loss {epoch.loss:.4f}  validation {epoch.validation:.4f}  best {epoch.best:.4f}"
