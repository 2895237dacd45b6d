"""The store of ``streamlstm serve``: opened, read in if that was asked for, closed."""

from collections.abc import Iterator
from contextlib import contextmanager

from streamlstm.engine.engine import Engine
from streamlstm.serving.checkpointer import Keeper, open_keeper


@contextmanager
def keeping(
    engine: Engine,
    store: str,
    seconds: float,
    preload: bool,
    when_full: str = "refuse",
    other: str = "refuse",
) -> Iterator[Keeper | None]:
    """Keep an engine's streams in the store that ``--store`` names, within ``with``.

    With ``preload`` all of them come back at once; as many as fit, if others may stay away.

    Raises
    ------
    StoreError
        If it cannot be opened, or is of another model.
    """
    keeper = open_keeper(engine, store, seconds, other)
    if keeper is None:
        yield None
        return
    with keeper:
        if preload:
            _preload(keeper, when_full == "evict-idle")
        yield keeper


def _preload(keeper: Keeper, some: bool) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from .console import err

    columns = (
        TextColumn("bringing streams back"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=None)
        count = keeper.preload(
            lambda done, total: progress.update(task, total=total, completed=done), some
        )
    left = f"; {keeper.absent:,} more stay in the store" if keeper.absent else ""
    err.print(f"brought back {count:,} streams{left}")
