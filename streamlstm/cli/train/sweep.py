"""What `streamlstm train --sweep` shows: how far it is, what was tried, what a guess would cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.table import Table as Grid

from streamlstm.cli.console import console, counted, err
from streamlstm.learn.preparation import Preparation
from streamlstm.learn.sweep.estimate import Estimate
from streamlstm.learn.sweep.halving import Sweep, Trial
from streamlstm.learn.sweep.space import differences

from .progress import bar, clock

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def show_sweep() -> Iterator[Callable[[Estimate], None]]:
    """Show the progress of a sweep; yields the callback."""
    if not err.is_terminal:
        yield _Lines()
        return
    with bar("left at most, then the best is trained on") as progress:
        task = progress.add_task("sweep", total=1.0, numbers="", left="-")

        def draw(now: Estimate) -> None:
            progress.update(
                task,
                completed=now.share,
                description=f"sweep, round {now.round}/{now.rounds}",
                numbers=_numbers(now),
                left=clock(now.seconds_left),
            )

        yield draw


class _Lines:
    """Prints a line every few seconds, and at the end of each round."""

    def __init__(self) -> None:
        self._next_line, self._round = 0.0, 0

    def __call__(self, now: Estimate) -> None:
        if time.monotonic() < self._next_line and now.round == self._round:
            return
        self._next_line, self._round = time.monotonic() + _SECONDS_BETWEEN_LINES, now.round
        err.print(
            f"sweep, round {now.round}/{now.rounds}  {100 * now.share:.0f} %  {_numbers(now)}  "
            f"{clock(now.seconds_left)} left at most",
            markup=False,
        )


def _numbers(now: Estimate) -> str:
    best = f"  best {now.best:.4f}" if now.best < float("inf") else ""
    return f"{counted(now.trials, 'setting')}{best}"


def print_sweep(prepared: Preparation) -> None:
    """Print what was tried, the best first, and what it would have cost to guess."""
    sweep = prepared.sweep
    assert sweep is not None
    console.print(_grid(sweep))
    if sweep.guess == sweep.guess:
        rounds = counted(sweep.rounds[0], "epoch")
        console.print(
            f"a guess would have cost {100 * sweep.guess:.1f} %: so far above the best is the "
            f"median of the {len(sweep.trials)} after {rounds}"
        )


def _grid(sweep: Sweep) -> Grid:
    tried = [trial.settings for trial in sweep.trials]
    grid = Grid(box=None, pad_edge=False)
    names = list(differences(tried[0], tried))
    for name in ("#", *(n.replace("_", " ") for n in names), "epochs", "seconds", "validation"):
        grid.add_column(name, justify="right")
    for trial in sweep.trials:
        cells = [_cell(getattr(trial.settings, name)) for name in names]
        seconds = f"{trial.seconds:.0f}"
        grid.add_row(str(trial.number), *cells, str(trial.epochs), seconds, _outcome(trial))
    return grid


def _outcome(trial: Trial) -> str:
    return trial.failed or f"{trial.validation:.4f}"


def _cell(value: object) -> str:
    return " x ".join(map(str, value)) if isinstance(value, tuple) else str(value)
