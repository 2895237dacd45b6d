"""What training begins with: a table, the data set made of it, and settings that fit both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from ..data.table import Table
from ..errors import DataError
from ..network.model import Model
from ..network.online import Online
from .autoregression import Autoregression
from .build import build_model
from .checkpoint import Checkpoint, Snapshot
from .classes.dataset import ClassDataset
from .classes.kinds import predicts_events, tells_classes
from .classes.table import class_dataset, stage_words
from .dataset import Dataset, Split
from .differences import with_counters
from .linear_part import autoregressions_of
from .network import RecurrentNetwork
from .objective import objective_for, objective_of
from .offsets import offset_notes
from .settings import Settings
from .start import check_fits, check_stage, settings_of
from .sweep.halving import Sweep
from .table_dataset import (
    linear_parts,
    make_dataset,
    read_for,
    season_of,
    shorten_window,
    stage_before,
)


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
    check_what(settings)
    name = "the model" if isinstance(from_model, Model) else str(from_model)
    if start is not None:
        _check_kind(name, start, settings)
        check_stage(name, start, settings)
    if settings.class_column:
        return _prepare_classes(source, settings, frozenset(given), start, name)
    objective = objective_of(settings, len(settings.outputs))  # refuses what cannot be, first
    split = Split(settings.train_fraction, settings.validation_fraction)
    table, inputs = read_for(source, settings)
    of_stage = partial(make_dataset, table, inputs, settings, split, start)
    make = partial(of_stage, stage_before(table, of_stage, settings, start))
    dataset = make()
    season = season_of(dataset, settings.season)
    plain = None
    if start is None and (parts := linear_parts(dataset, settings, season)):
        plain, dataset = dataset, make(parts)
    elif start is not None and start.lags:
        dataset = make(autoregressions_of(start, objective.points))
    settings, notes = shorten_window(settings, dataset)
    notes += offset_notes(table, dataset.offsets, [*inputs, *settings.target])
    prepared = Preparation(
        table, inputs, dataset, settings, season, notes, start, frozenset(given), plain=plain
    )
    if start is not None:
        network = RecurrentNetwork.of(settings, dataset.X.shape[1], objective.head)
        made = build_model(network, dataset, inputs, settings.outputs)
        check_fits(name, start, with_counters(made, settings))
    return prepared


def check_what(settings: Settings) -> None:
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
    if settings.quantiles or settings.horizons != (1,):
        raise DataError("classes have neither quantiles nor horizons: leave these out")
    if settings.fill == "predict":
        raise DataError(
            "fill predict: a model of classes does not forecast its inputs; use last, mean or zero"
        )


def _check_kind(name: str, start: Model, settings: Settings) -> None:
    """Refuse to continue a model that tells something of another kind."""
    kinds = {
        (False, False): "forecasts of numbers (target)",
        (True, False): "the class of each row (classify)",
        (True, True): "the next category (target_category)",
    }
    had = tells_classes(start), predicts_events(start)
    asked = bool(settings.class_column), settings.target_category is not None
    if had != asked:
        raise DataError(
            f"{name}: cannot be trained on: it was trained for {kinds[had]}, the settings ask for "
            f"{kinds[asked]}; ask for the same, or train a new model"
        )


def _prepare_classes(
    source: Any, settings: Settings, given: frozenset[str], start: Model | None, name: str
) -> Preparation:
    """Read a table and make a data set of its classes."""
    table, numbers = read_for(source, settings)

    def make(stage: Online | None, linear: Sequence[Autoregression] = ()) -> ClassDataset:  # noqa: ARG001
        return class_dataset(table, numbers, settings, start, stage)

    words = {} if start is not None else stage_words(table, numbers, settings)
    dataset = make(stage_before(table, make, settings, start, **words))
    inputs = numbers
    if settings.target_category is not None:
        inputs = (settings.target_category, *numbers)
    settings, notes = shorten_window(settings, dataset)
    if dataset.offsets is not None:
        notes += offset_notes(table, dataset.offsets[len(inputs) - len(numbers) : -1], numbers)
    if start is not None:
        head = objective_for(settings, dataset).head
        network = RecurrentNetwork.of(settings, dataset.X.shape[1], head, dataset.categories)
        made = build_model(network, dataset, inputs, (settings.class_column,))
        check_fits(name, start, with_counters(made, settings))
    return Preparation(table, inputs, dataset, settings, None, notes, start, given)
