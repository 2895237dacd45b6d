"""Progress of training: a bar in a terminal, plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streamlstm.cli.console import err
from streamlstm.learn.fit import EpochMetrics

_SECONDS_BETWEEN_LINES = 2.0


@contextmanager
def show_progress(epochs: int) -> Iterator[Callable[[EpochMetrics], None]]:
    """Show the progress of training; yields the callback for the end of each epoch."""
    if err.is_terminal:
        with _bar() as progress:
            task = progress.add_task("starting", total=epochs, numbers="")

            def draw(epoch: EpochMetrics) -> None:
                progress.update(
                    task,
                    completed=epoch.number,
                    description=f"epoch {epoch.number}/{epoch.epochs}",
                    numbers=_numbers(epoch),
                )

            yield draw
    else:
        yield _Lines()


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
        TextColumn("left at most"),
        console=err,
    )


class _Lines:
    """Prints a line every few seconds."""

    def __init__(self) -> None:
        self._next_line = 0.0

    def __call__(self, epoch: EpochMetrics) -> None:
        if epoch.seconds < self._next_line and epoch.number < epoch.epochs:
            return
        self._next_line = epoch.seconds + _SECONDS_BETWEEN_LINES
        left = epoch.seconds / epoch.number * (epoch.epochs - epoch.number)
        err.print(
            f"epoch {epoch.number}/{epoch.epochs}  {_numbers(epoch)}  {left:.0f} s left at most",
            markup=False,
        )


def _numbers(epoch: EpochMetrics) -> str:
    return f"loss {epoch.loss:.4f}  validation {epoch.validation:.4f}  best {epoch.best:.4f}"
