"""What a person sees while a network trains: a bar in a terminal, plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streamlstm.cli.console import err
from streamlstm.learn.fit import Epoch

_SECONDS_BETWEEN_LINES = 2.0


@contextmanager
def watched(epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """Show training as it goes; yields what to call after each sweep."""
    if err.is_terminal:
        with _bar() as progress:
            task = progress.add_task("starting", total=epochs, numbers="")

            def draw(epoch: Epoch) -> None:
                progress.update(
                    task,
                    completed=epoch.number,
                    description=f"sweep {epoch.number}/{epoch.epochs}",
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
    """Prints a line now and then."""

    def __init__(self) -> None:
        self._due = 0.0

    def __call__(self, epoch: Epoch) -> None:
        if epoch.seconds < self._due and epoch.number < epoch.epochs:
            return
        self._due = epoch.seconds + _SECONDS_BETWEEN_LINES
        left = epoch.seconds / epoch.number * (epoch.epochs - epoch.number)
        err.print(
            f"sweep {epoch.number}/{epoch.epochs}  {_numbers(epoch)}  {left:.0f} s left at most",
            markup=False,
        )


def _numbers(epoch: Epoch) -> str:
    return f"loss {epoch.loss:.4f}  validation {epoch.validation:.4f}  best {epoch.best:.4f}"
