"""The data set of a table: its columns, periods, season and linear part, and what stands before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..data.checks import leave_out_useless
from ..data.options import ReadOptions
from ..data.read import read_table
from ..data.spacing import usual_spacing
from ..data.table import Table, missing_column
from ..errors import DataError
from ..network.model import Model
from ..network.online import MAX_HORIZON, Online
from .autoregression import Autoregression
from .calendar_choice import choose_calendar, parse_calendar, plausible
from .cells import compile_kernels
from .dataset import Dataset, Split
from .differences import check_counters, with_changes
from .linear_part import autoregressions
from .objective import objective_of
from .offsets import fit_offsets, offsets_of
from .season import find_season
from .settings import Settings
from .start import scalings_of

# What of a stage stands before the network.
_BEFORE = ("fill", "max_gap", "calendar", "zone", "spacing", "transitions", "targets")


def read_for(source: Any, settings: Settings) -> tuple[Table, tuple[str, ...]]:
    """Read the table and determine the input columns."""
    targets, inputs = settings.target, settings.inputs
    for option, given in (("target", targets), ("input", inputs or ())):
        for name in given:
            if given.count(name) > 1:
                raise DataError(f"{option} {name!r}: given twice; name each column once")
    sequence = settings.sequence_column
    options = ReadOptions(
        **settings.reading,
        sequence_column=sequence,
        columns=tuple(dict.fromkeys([*inputs, *targets])) if inputs else (),
        numbers=inputs is None or bool(inputs or targets),
        categories=(settings.class_column,) if settings.class_column else (),
        missing=settings.fill != "refuse",
    )
    table = source if isinstance(source, Table) else read_table(source, options)
    if sequence and table.stream_column not in (sequence, f"{settings.stream_column}/{sequence}"):
        raise missing_column(table.path, sequence, table.names)
    table = with_changes(table, settings)
    if inputs is None:
        table = leave_out_useless(table, targets, max(settings.horizons))
    names = table.names if inputs is None else inputs
    table.select([*names, *targets])  # raises if a column is missing or holds text
    check_counters(settings, names)
    return table, names


def make_dataset(
    table: Table,
    inputs: Sequence[str],
    settings: Settings,
    split: Split,
    start: Model | None,
    stage: Online | None = None,
    linear: Sequence[Autoregression] = (),
) -> Dataset:
    """Return the data set of a table; a DataError names the table."""
    points = objective_of(settings, len(settings.outputs)).points
    columns = list(dict.fromkeys([*inputs, *settings.target]))
    values, groups = table.select(columns), table.groups()
    seen = [values[rows[: split.bounds(len(rows))[0]]] for rows in groups.values()]
    offsets = fit_offsets(seen) if start is None else offsets_of(start, columns)
    offsets[[columns.index(name) for name in settings.difference]] = 0  # changes are not large
    moved = (values - offsets).astype(np.float32)
    try:
        return Dataset(
            [(stream, moved[rows]) for stream, rows in groups.items()],
            [columns.index(name) for name in inputs],
            [columns.index(name) for name in settings.target],
            settings.horizons,
            split,
            settings.skip,
            None if start is None else scalings_of(start, points),
            linear,
            None if table.time is None else table.time[np.concatenate([*groups.values()])],
            stage,
            sequences=settings.sequence_column is not None,
            offsets=offsets if offsets.any() else None,
        )
    except DataError as error:
        raise DataError(f"{table.path}: {error}") from None


def stage_before(
    table: Table,
    make: Callable[..., Dataset],
    settings: Settings,
    start: Model | None,
    **words: Any,
) -> Online | None:
    """Return what stands before the network: how inputs are filled, and the calendar.

    Parameters
    ----------
    table : Table
    make : callable
        Returns the data set behind a stage, and with linear parts.
    settings : Settings
    start : Model, optional
        The model that is trained on, whose stage is kept.
    **words
        Of `Online`, beside the calendar: ``fill``, if it is not that of the settings, ...
    """
    if start is not None:
        kept = start.online
        return None if kept is None else Online(**{n: getattr(kept, n) for n in _BEFORE})
    spacing = usual_spacing(table) or 1.0

    def zoned(calendar: tuple[str, ...] = ()) -> Online:
        clock: dict[str, Any] = {"zone": settings.zone, "spacing": spacing} if calendar else {}
        return Online(**{"fill": settings.fill} | words, calendar=calendar, **clock)

    features = parse_calendar(settings.calendar)
    if features is None:
        tried = () if table.time is None else plausible(np.sort(table.time), spacing)
        features = _chosen(make, zoned, tried, settings) if tried else ()
    if not features and settings.fill == "refuse":
        return None
    return zoned(calendar=features)


def _chosen(
    make: Callable[..., Dataset],
    zoned: Callable[..., Online],
    tried: tuple[str, ...],
    settings: Settings,
) -> tuple[str, ...]:
    """Return the features of the time that short trainings bear out."""
    compile_kernels(settings.cell)
    dataset = make(zoned())
    linear: Sequence[Autoregression] = ()
    if not settings.class_column:
        linear = linear_parts(dataset, settings, season_of(dataset, settings.season))
    settings, _ = shorten_window(settings, dataset)
    return choose_calendar(lambda some: make(zoned(calendar=some), linear), tried, settings)


def linear_parts(dataset: Dataset, settings: Settings, season: int | None) -> list[Autoregression]:
    """Return the autoregressions of the linear part, none where there is none."""
    wanted = settings.linear and dataset.horizon <= MAX_HORIZON
    return autoregressions(dataset, season) if wanted else []


def season_of(dataset: Dataset, given: int | None) -> int | None:
    """Return the season of the baseline: as given, or as estimated from the longest series."""
    longest = max(dataset.series, key=lambda s: s.train_end)
    if given is None:
        column = dataset.targets[0]
        values = longest.values[: longest.train_end, column]
        if column in dataset.inputs:
            rows = slice(longest.offset, longest.offset + longest.train_end)
            values = dataset.filled[rows, dataset.inputs.index(column)]
        return None if np.isnan(values).any() else find_season(values)
    if given >= longest.train_end:
        raise DataError(
            f"season {given}: expected less than the {longest.train_end} rows trained on"
        )
    return given


def shorten_window(settings: Settings, dataset: Dataset) -> tuple[Settings, tuple[str, ...]]:
    """Limit the window to the longest series of training rows."""
    rows = longest_window(dataset)
    if settings.window <= rows:
        return settings, ()
    note = f"window {settings.window}: shortened to {rows}, the longest stretch to train on"
    return replace(settings, window=rows), (note,)


def longest_window(dataset: Dataset) -> int:
    """Return the rows of the longest stretch to train on."""
    return max(series.train_end for series in dataset.series) - dataset.horizon
