"""The store of ``streamlstm serve``: opens it, preloads its streams on request, closes it."""

from collections.abc import Iterator
from contextlib import contextmanager

from streamlstm.engine.engine import Engine
from streamlstm.serving.stores.checkpointer import Checkpointer
from streamlstm.serving.stores.open import Membership, open_checkpointer


@contextmanager
def checkpointing(
    engine: Engine,
    store: str,
    seconds: float,
    preload: bool,
    when_full: str = "refuse",
    other: str = "refuse",
    take_over: bool = False,
    member: Membership | None = None,
) -> Iterator[Checkpointer | None]:
    """Checkpoint an engine's streams to the store of ``--store`` inside a ``with`` block.

    With ``preload`` all streams of the store are loaded first; with ``evict-idle`` as many as fit.

    Raises
    ------
    StoreError
        If the store cannot be opened, or belongs to another model or worker.
    """
    checkpointer = open_checkpointer(engine, store, seconds, other, take_over, member)
    if checkpointer is None:
        yield None
        return
    with checkpointer:
        checkpointer.stored.preloads = preload
        if preload and checkpointer.shared is None:  # else when it has got partitions
            _preload(checkpointer, when_full == "evict-idle")
        yield checkpointer


def _preload(checkpointer: Checkpointer, partial: bool) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from ..console import err

    columns = (
        TextColumn("loading streams"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=None)
        count = checkpointer.stored.preload(
            lambda done, total: progress.update(task, total=total, completed=done), partial
        )
    left = (
        f"; {checkpointer.stored.count:,} more stay in the store"
        if checkpointer.stored.count
        else ""
    )
    err.print(f"loaded {count:,} streams{left}")
