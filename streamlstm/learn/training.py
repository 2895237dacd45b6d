"""Training from a table to a scored model: read, split, fit, build, online stage, scores.

`train` does it at once. The command does the same step by step, for its messages and signals:
`prepare`, `compile_kernels`, `fit`, `to_model`, `finish`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import __version__
from ..data.table import Table
from ..errors import DataError
from ..network.model import Model
from .build import build_model
from .cells import compile_kernels
from .checkpoint import Checkpoint, Snapshot
from .classes.dataset import ClassDataset
from .classes.scores import score_classes
from .classes.table import class_dataset
from .dataset import Dataset, Split
from .evaluation.held_back import evaluate_held_back
from .fit import EpochMetrics, FitResult, fit
from .known_settings import add_settings, check_known
from .linear_part import autoregressions_of
from .network import RecurrentNetwork
from .objective import objective_of
from .offsets import offset_notes
from .periods import describe_periods
from .preparing import (
    linear_parts,
    longest_window,
    make_dataset,
    read_for,
    season_of,
    shorten_window,
    stage_before,
)
from .quantiles import calibration
from .scores import score
from .settings import NetworkSettings, OptimizationSettings, Settings
from .stage import add_stage, coverage, predict_all
from .start import check_fits, settings_of
from .sweep.estimate import Estimate
from .sweep.halving import Sweep, run_sweep
from .sweep.pool import cores
from .sweep.space import candidates
from .trained import Trained

_WORTH = 0.5  # of a network's outputs: where less is kept, a network alone is tried


@dataclass(frozen=True)
class Preparation:
    """What a training begins with.

    Attributes
    ----------
    table : Table
        The data as it was read.
    inputs : tuple of str
        The input columns.
    dataset : Dataset
        The data as the network sees it.
    settings : Settings
        As given, and adjusted to the data.
    season : int or None
        Steps per season of the seasonal baseline, as given or as estimated.
    notes : tuple of str
        What was adjusted, in sentences.
    start : Model or None
        The model that is trained on.
    given : frozenset of str
        Names of the settings that were asked for.
    sweep : Sweep or None
        What was tried before; the settings are those of the best.
    snapshot : Snapshot or None
        How far the best of the sweep was trained.
    plain : Dataset or None
        The data without a linear part, which a network is trained on if beside the linear part it
        has little to add.
    """

    table: Table
    inputs: tuple[str, ...]
    dataset: Dataset
    settings: Settings
    season: int | None
    notes: tuple[str, ...]
    start: Model | None = None
    given: frozenset[str] = frozenset()
    sweep: Sweep | None = None
    snapshot: Snapshot | None = None
    plain: Dataset | None = None

    @property
    def start_weights(self) -> Sequence[Mapping[str, Any]] | None:
        """The weights that training begins with, a dict for each layer; None if drawn."""
        return None if self.start is None else self.start.weights

    def checkpoint(self, path: str | PathLike[str]) -> Checkpoint:
        """Return the checkpoint of this training in a file."""
        return Checkpoint(Path(path), self.dataset, self.settings, self.start_weights)


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
        A file in which the state of the training is kept. If it is there, training continues from
        it bit for bit; it is removed at the end, unless training was interrupted.
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
    check_one_of(sweep, checkpoint)
    prepared = prepare(source, given, from_model)
    compile_kernels(prepared.settings.cell)
    if sweep > 1:
        prepared = choose(prepared, sweep, processes=processes)
    kept = None if checkpoint is None else prepared.checkpoint(checkpoint)
    prepared, fitted = fit_best(prepared, on_epoch, checkpoint=kept)
    trained = finish(prepared, fitted, to_model(prepared, fitted))
    if kept and trained.ended != "interrupted":
        kept.remove()
    return trained


add_settings(train)


def check_one_of(sweep: int, checkpoint: object) -> None:
    """Raise DataError if both a sweep and a checkpoint are asked for."""
    if sweep > 1 and checkpoint is not None:
        raise DataError("sweep: cannot be continued from a checkpoint; give one of the two")


def hidden_sizes(hidden: int | Sequence[int], layers: int) -> tuple[int, ...]:
    """Return the hidden units of each layer."""
    return (hidden,) * layers if isinstance(hidden, int) else tuple(hidden)


def prepare(
    source: Any,
    given: Mapping[str, Any],
    from_model: Model | str | PathLike[str] | None = None,
) -> Preparation:
    """Read a table, split it and make a data set of it.

    Parameters
    ----------
    source : path
        The table.
    given : mapping of str to object
        The settings that were asked for; the others are those of ``from_model``, or the defaults.
    from_model : Model or path, optional
        A model to train on.

    Raises
    ------
    DataError
        If the table or the model does not fit the settings.
    ModelFileError
        If the model cannot be read.
    """
    start = from_model if isinstance(from_model, Model | None) else Model.load(from_model)
    settings = Settings(**(given if start is None else settings_of(start, given)))
    check_what(settings, start)
    if settings.class_column:
        return _prepare_classes(source, settings, frozenset(given))
    objective = objective_of(settings, len(settings.outputs))  # refuses what cannot be, first
    split = Split(settings.train_fraction, settings.validation_fraction)
    table, inputs = read_for(source, settings)
    stage = stage_before(table, inputs, settings, split, start)
    make = partial(make_dataset, table, inputs, settings, split, start, stage)
    dataset = make()
    season = season_of(dataset, settings.season)
    plain = None
    if start is None and (parts := linear_parts(dataset, settings, season)):
        plain, dataset = dataset, make(parts)
    elif start is not None and start.lags:
        dataset = make(autoregressions_of(start))
    settings, notes = shorten_window(settings, dataset)
    notes += offset_notes(table, dataset.offsets, [*inputs, *settings.target])
    prepared = Preparation(
        table, inputs, dataset, settings, season, notes, start, frozenset(given), plain=plain
    )
    if start is not None:
        name = "the model" if isinstance(from_model, Model) else str(from_model)
        network = RecurrentNetwork.of(settings, dataset.X.shape[1], objective.head)
        check_fits(name, start, build_model(network, dataset, inputs, settings.outputs))
    return prepared


def check_what(settings: Settings, start: Model | None) -> None:
    """Raise DataError unless the settings say what is to be predicted, in one way."""
    asked = [bool(settings.target), settings.classify is not None]
    asked.append(settings.target_category is not None)
    if sum(asked) != 1:
        raise DataError(
            "expected the columns to predict (target), the column of a class (classify) or of a "
            f"category (target_category), one of these; got {sum(asked) or 'none'}"
        )
    if not settings.class_column:
        return
    if start is not None:
        raise DataError("a model of classes cannot be trained on; train a new one")
    if settings.quantiles or settings.horizons != (1,):
        raise DataError("classes have neither quantiles nor horizons: leave these out")
    if settings.fill != "refuse" or settings.calendar != "none":
        raise DataError("models of classes have no fill and no calendar: leave these out")


def _prepare_classes(source: Any, settings: Settings, given: frozenset[str]) -> Preparation:
    """Read a table and make a data set of its classes."""
    table, inputs = read_for(source, settings)
    dataset = class_dataset(table, inputs, settings)
    if settings.target_category is not None:
        inputs = (settings.target_category, *inputs)
    settings, notes = shorten_window(settings, dataset)
    return Preparation(table, inputs, dataset, settings, None, notes, given=given)


def choose(
    prepared: Preparation,
    n: int,
    *,
    processes: int | None = None,
    on_progress: Callable[[Estimate], None] | None = None,
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
    with TemporaryDirectory(prefix="streamlstm-sweep-") as name:
        sweep = run_sweep(
            prepared.dataset,
            tried,
            Path(name),
            processes=processes or cores(),
            start=prepared.start_weights,
            on_progress=on_progress,
        )
        chosen = replace(prepared, settings=sweep.best.settings, sweep=sweep)
        snapshot = chosen.checkpoint(Path(name) / sweep.best.checkpoint).load()
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

    What a linear part leaves may be hard to learn although the series itself is not.

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
        With or without the linear part, whichever left less of the validation error.
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
    if second.validation < fitted.validation:
        return other, second
    if second.ended == "interrupted":
        fitted = replace(fitted, ended=second.ended)
    return prepared, fitted


def to_model(prepared: Preparation, fitted: FitResult) -> Model:
    """Return the model of the fitted network, without an online stage and not scored yet."""
    return build_model(
        fitted.network,
        prepared.dataset,
        prepared.inputs,
        prepared.settings.outputs or (prepared.settings.class_column,),
        _metadata(prepared, fitted),
    )


def finish(prepared: Preparation, fitted: FitResult, model: Model) -> Trained:
    """Add the online stage to the model from `to_model`, and score it on the test period."""
    dataset, settings = prepared.dataset, prepared.settings
    if isinstance(dataset, ClassDataset):
        return _finish_classes(prepared, fitted, model, dataset)
    points = objective_of(settings, len(settings.outputs)).points
    if settings.online and prepared.start is not None:
        model = model.with_online(prepared.start.online)  # or its streams could not continue
    elif settings.online:
        model = add_stage(model, dataset, points, prepared.season)
    results = predict_all(model, dataset)
    made = results[:, : model.output_size]
    scores = score(dataset, made[:, points], settings.outputs, prepared.season)
    model.metadata["scores"] = json.dumps([vars(score) for score in scores])
    return Trained(
        model=model,
        settings=settings,
        history=fitted.history,
        ended=fitted.ended,
        best=fitted.best,
        season=prepared.season,
        scores=scores,
        coverage=coverage(model, dataset, results),
        calibration=calibration(dataset, made, settings.quantiles, settings.outputs),
        dataset=dataset,
        results=results,
        sweep=prepared.sweep,
        evaluation=evaluate_held_back(
            model,
            prepared.table,
            dataset.series,
            results,
            prepared.season,
            [(epoch.loss, epoch.validation) for epoch in fitted.history],
        ),
    )


def _finish_classes(
    prepared: Preparation, fitted: FitResult, model: Model, dataset: ClassDataset
) -> Trained:
    """Score the classes on the test period; there is no online stage, which is for numbers."""
    results = predict_all(model, dataset)
    scores = score_classes(dataset, results)
    model.metadata["scores"] = json.dumps(scores.summary())
    return Trained(
        model=model,
        settings=prepared.settings,
        history=fitted.history,
        ended=fitted.ended,
        best=fitted.best,
        season=None,
        scores=[],
        coverage={},
        calibration={},
        dataset=dataset,
        results=results,
        sweep=prepared.sweep,
        classes=scores,
    )


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _metadata(prepared: Preparation, fitted: FitResult) -> dict[str, str]:
    """Return the metadata of the model file, the same in every run of the same training."""
    settings, best, sweep = prepared.settings, fitted.best, prepared.sweep
    tried = {} if sweep is None else {"sweep": json.dumps(sweep.summary())}
    return (
        tried
        | {
            "made_by": f"streamlstm train {__version__}",
            "data": Path(prepared.table.path).name,
            "targets": json.dumps(settings.target or [settings.class_column]),
            "settings": json.dumps(
                settings.of(NetworkSettings, OptimizationSettings)
                | {"train": settings.train_fraction, "validation": settings.validation_fraction}
                | {"season": prepared.season}
            ),
            "training": json.dumps(
                {
                    "sweeps": fitted.history[-1].number,
                    "best_sweep": best.number,
                    "validation_of_persistence": round(best.validation, 6),
                    "ended": fitted.ended,
                    "history": [
                        [round(epoch.loss, 6), round(epoch.validation, 6)]
                        for epoch in fitted.history
                    ],
                }
            ),
        }
        | _periods(prepared)
    )


def _periods(prepared: Preparation) -> dict[str, str]:
    """Return by which rows the table is recognised: those of a numeric column, if it has one."""
    names = (*prepared.settings.target, *prepared.table.names)
    if not names:
        return {}
    return {"periods": describe_periods(prepared.table, names[0], prepared.dataset.series)}
