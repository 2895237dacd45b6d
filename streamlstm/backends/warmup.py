"""Compile kernels, which takes long, on most machines only once, and display the progress."""

import fcntl
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..network.model import Model
from .beside import compile_on_all_cores
from .plan import compile_plan

_LOG = logging.getLogger(__name__)


def compile_for(
    model: Model,
    weights: str = "float32",
    threads: int = 1,
    also: Sequence[str] = (),
    lock: Path | None = None,
) -> None:
    """Compile the kernels that an engine for ``model`` needs, with progress on standard error.

    Programs for people call this before they make the engine. ``also`` names further groups of
    kernels (kernels/compile.py). Of processes that have the same ``lock`` one compiles, while the
    others wait.
    """
    from ..kernels import compile, simd

    plan = compile_plan(model, simd.LANES, weights, sequences=True)
    online = model.online
    takes_labels = online is not None and online.labels > 0
    names = compile.needed(plan.kinds, weights, threads, online is not None, takes_labels)
    with nullcontext() if lock is None or compile.is_warm([*also, *names]) else _alone(lock):
        compile_kernels([*also, *names], report=True)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Keep other processes from what is within ``with`` by the same lock."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compile_kernels(names: Sequence[str], report: bool = False) -> None:
    """Load kernels from disk, or compile them with a progress bar on a terminal.

    Parameters
    ----------
    names : sequence of str
        Of groups of kernels, as :func:`streamlstm.kernels.compile.needed` returns them.
    report : bool
        Whether to print lines to standard error if that is no terminal.
    """
    from ..kernels.compile import is_warm, prepare

    if is_warm(names):
        prepare(None, names)
    elif sys.stderr is not None and sys.stderr.isatty():
        _with_bar(names)
    elif report:
        _say("compiling kernels for this machine")
        compile_on_all_cores(
            names, lambda begun, total, name: _say(f"compiling {begun}/{total}: {name}")
        )
    else:
        compile_on_all_cores(names)


def _say(line: str) -> None:
    """Log a line, or print it where a command does not log what it does."""
    if _LOG.isEnabledFor(logging.INFO):
        _LOG.info("%s", line)
    else:
        print(line, file=sys.stderr)


def _with_bar(names: Sequence[str]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("compiling kernels"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        compile_on_all_cores(
            names,
            lambda begun, total, name: progress.update(
                task, completed=begun, total=total, description=name
            ),
        )
