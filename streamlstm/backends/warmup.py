"""Compiling what a model needs, once on a machine, and showing that it is going on."""

import sys
from collections.abc import Sequence


def compile_kernels(names: Sequence[str], tell: bool = False) -> None:
    """Load kernels from disk, or compile them with a progress bar on a terminal.

    Parameters
    ----------
    names : sequence of str
        As :func:`streamlstm.kernels.compile.needed` gives them.
    tell : bool
        Whether to print lines to standard error where that is no terminal.
    """
    from ..kernels.compile import is_warm, prepare

    if is_warm(names):
        prepare(None, names)
    elif sys.stderr is not None and sys.stderr.isatty():
        _with_bar(names)
    elif tell:
        print("compiling kernels for this machine, the first time only", file=sys.stderr)
        prepare(
            lambda done, total, name: print(f"compiling {done}/{total}: {name}", file=sys.stderr),
            names,
        )
    else:
        prepare(None, names)


def _with_bar(names: Sequence[str]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from ..kernels.compile import prepare

    columns = (
        TextColumn("compiling kernels, the first time only"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        prepare(
            lambda done, total, name: progress.update(
                task, completed=done, total=total, description=name
            ),
            names,
        )
