"""Training from a table to a scored model: read, split, fit, build, online stage, scores.

`train` does it at once. The command does the same step by step, for its messages and signals:
`prepare`, `compile_kernels`, `choose`, `fit_best`, `to_model`, `finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

from ..backends.beside import cores
from ..errors import DataError
from ..network.model import Model
from .cells import compile_kernels
from .checkpoint import Checkpoint
from .finishing import finish, to_model
from .fit import EpochMetrics, FitResult, fit
from .known_settings import add_settings, check_known
from .preparation import Preparation, prepare
from .python_names import naming_parameters
from .sweep.estimate import Estimate
from .sweep.halving import run_sweep
from .sweep.record import folder_of, sweep_folder
from .sweep.space import candidates
from .table_dataset import longest_window
from .trained import Trained

_WORTH = 0.5  # of a network's outputs: where less is kept, a network alone is tried
_CLEARLY = 0.97  # of the validation error: what a network alone has to leave to be taken


def train(
    source: Any,
    *,
    target: str | Sequence[str] = (),
    hidden: int | Sequence[int] | None = None,
    layers: int = 1,
    inputs: str | Sequence[str] | None = None,
    from_model: Model | str | PathLike[str] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    sweep: int = 1,
    processes: int | None = None,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
    **settings: Any,
) -> Trained:
    """Train a model on a table and score it.

    Parameters
    ----------
    source : path, frame, array or dict of arrays
        The table: a CSV file; a pandas, polars or Arrow table; arrays, by name or not (``x0``,
        ``x1``, ...). The index of a pandas frame is its time, if it holds times.
    target : str or sequence of str
        The columns to predict; none with ``classify`` or ``target_category``.
    hidden : int or sequence of int, optional
        Hidden units of each layer, 64 by default; a sequence gives each layer its own number.
    layers : int
        Number of layers of ``hidden`` units.
    inputs : str or sequence of str, optional
        The input columns; by default every numeric one that may help (docs/data.md).
    from_model : Model or path, optional
        A model to train on: its layers, scaling and online stage are kept, so that a worker that
        serves it can be reloaded. Settings that are not given are those it was trained with.
    checkpoint : path, optional
        A file in which the state of the training is kept, that of a sweep in a folder beside it. If
        it is there, training continues from it bit for bit; it is removed at the end, unless
        training was interrupted.
    sweep : int
        How many settings to try, by successive halving on the validation period. Those that are
        given are not varied.
    processes : int, optional
        How many of them to train at the same time; as many as there are cores by default.
    on_epoch : callable, optional
        Called with the `EpochMetrics` of each epoch. KeyboardInterrupt, from here or from anywhere
        during an epoch, ends training with the best weights so far.
    **settings
        Any other setting of `Settings`, by name: ``epochs=50``, ``horizon=24``, ...

    Returns
    -------
    Trained

    Raises
    ------
    DataError
        If the table does not fit what is asked for, there is no such setting, or training diverged.
    """
    check_known(settings)
    given = settings | {"target": _names(target)}
    if inputs is not None:
        given["inputs"] = _names(inputs)
    if hidden is not None or layers != 1:
        given["hidden_sizes"] = hidden_sizes(64 if hidden is None else hidden, layers)
    with naming_parameters():
        prepared = prepare(source, given, from_model)
    compile_kernels(prepared.settings.cell)
    if sweep > 1:
        prepared = choose(prepared, sweep, processes=processes, checkpoint=checkpoint)
    kept = None if checkpoint is None else prepared.checkpoint(checkpoint)
    prepared, fitted = fit_best(prepared, on_epoch, checkpoint=kept)
    trained = finish(prepared, fitted, to_model(prepared, fitted))
    if kept and trained.ended != "interrupted":
        kept.remove()
    return trained


add_settings(train)


def hidden_sizes(hidden: int | Sequence[int], layers: int) -> tuple[int, ...]:
    """Return the hidden units of each layer.

    Raises
    ------
    DataError
        If they are no whole numbers of 1 or more.
    """
    sizes: tuple[Any, ...] = (
        tuple(hidden) if isinstance(hidden, list | tuple) else (hidden,) * layers
    )
    for size in sizes or (None,):
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise DataError(
                "hidden: expected a whole number of 1 or more, or one for each layer, "
                f"got {hidden!r}"
            )
    return tuple(map(int, sizes))


def choose(
    prepared: Preparation,
    n: int,
    *,
    processes: int | None = None,
    on_progress: Callable[[Estimate], None] | None = None,
    checkpoint: str | PathLike[str] | None = None,
) -> Preparation:
    """Try n settings, and return the preparation with the best of them.

    Parameters
    ----------
    prepared : Preparation
    n : int
    processes : int, optional
        As many as there are cores by default.
    on_progress : callable, optional
        Called with the `Estimate` now and then; KeyboardInterrupt ends the sweep with the best so
        far.
    checkpoint : path, optional
        Beside this file a folder keeps what has been trained, from which the same sweep continues.

    Raises
    ------
    DataError
        If all settings failed.
    KeyboardInterrupt
        If it comes before the first result.
    """
    tried = candidates(
        prepared.settings,
        n,
        prepared.given,
        longest=longest_window(prepared.dataset),
        keep_network=prepared.start is not None,
    )
    kept = None if checkpoint is None else Path(checkpoint)
    if kept is not None and kept.exists() and not folder_of(kept).exists():
        raise DataError(
            f"{kept}: is the checkpoint of a training without a sweep; name another file"
        )
    with sweep_folder(kept) as folder:
        sweep = run_sweep(
            prepared.dataset,
            tried,
            folder,
            processes=processes or cores(),
            start=prepared.start_weights,
            on_progress=on_progress,
        )
        chosen = replace(prepared, settings=sweep.best.settings, sweep=sweep)
        snapshot = chosen.checkpoint(folder / sweep.best.checkpoint).load()
        return replace(chosen, snapshot=snapshot)


def fit_prepared(
    prepared: Preparation,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
    *,
    on_batch: Callable[[float], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> FitResult:
    """Train the network, as `fit` does, from where the preparation or the checkpoint is."""
    settings = prepared.settings
    interrupted = prepared.sweep is not None and prepared.sweep.interrupted
    if interrupted and prepared.sweep:
        settings = replace(settings, epochs=prepared.sweep.best.epochs)
    fitted = fit(
        prepared.dataset,
        settings,
        on_epoch,
        start=prepared.start_weights,
        checkpoint=checkpoint,
        snapshot=prepared.snapshot,
        on_batch=on_batch,
    )
    return replace(fitted, ended="interrupted") if interrupted else fitted


def fit_best(
    prepared: Preparation,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
    *,
    on_batch: Callable[[float], None] | None = None,
    checkpoint: Checkpoint | None = None,
    on_again: Callable[[], None] | None = None,
) -> tuple[Preparation, FitResult]:
    """Train the network, and once more without the linear part if it has little to add to that.

    What a linear part leaves may be hard to learn although the series itself is not. A network
    alone is taken if it leaves clearly less of the validation error, and is better on the rows
    before too: what is unusual in the validation period does not choose it.

    Parameters
    ----------
    prepared : Preparation
    on_epoch, on_batch : callable, optional
        As of `fit`.
    checkpoint : Checkpoint, optional
        Of the first training. The second one begins anew after a kill, and ends as it would have.
    on_again : callable, optional
        Called before the second training.

    Returns
    -------
    Preparation
        With or without the linear part.
    FitResult
    """
    fitted = fit_prepared(prepared, on_epoch, on_batch=on_batch, checkpoint=checkpoint)
    is_worth = float(fitted.shares.mean()) >= _WORTH
    if prepared.plain is None or is_worth or fitted.ended == "interrupted":
        return prepared, fitted
    if on_again:
        on_again()
    settings = replace(prepared.settings, linear=False)
    other = replace(prepared, dataset=prepared.plain, plain=None, snapshot=None, settings=settings)
    try:
        second = fit_prepared(other, on_epoch, on_batch=on_batch)
    except KeyboardInterrupt:
        return prepared, replace(fitted, ended="interrupted")
    if second.validation < _CLEARLY * fitted.validation and second.whole < fitted.whole:
        return other, second
    if second.ended == "interrupted":
        fitted = replace(fitted, ended=second.ended)
    return prepared, fitted


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return names of columns, one or several; raise DataError if they are none."""
    names = (given,) if isinstance(given, str) or not isinstance(given, Sequence) else tuple(given)
    for name in names:
        if not isinstance(name, str):
            raise DataError(
                f"expected the name of a column, got {name!r}; the columns of an array are called "
                "'x0', 'x1', ..., or 'value' if there is one, numbers that name columns of a frame "
                "are text: '0'"
            )
    return names
