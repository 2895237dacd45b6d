"""How good a model of classes is on a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.table import Table
from ...errors import DataError
from ...network.model import Model
from ..classes.dataset import UNKNOWN
from ..classes.kinds import predicts_events
from ..classes.table import classes_of
from .class_scores import ClassScores, score_classes
from .stretches import Stretch, worst_of
from .told import Rows, ToldClasses, baseline_of, told_classes


@dataclass(frozen=True, eq=False)
class ClassEvaluation:
    """The classes that a model told of a table, and how good they are.

    Attributes
    ----------
    column : str
        The column of the classes.
    told : ToldClasses
    total : ClassScores
        Over all streams.
    scores : dict of str to ClassScores
        Of each stream.
    worst : tuple of Stretch
        Where most was wrong, the worst first: ``mae`` is the share of rows told wrong.
    sequences : bool
        Whether each stream is a sequence with an end.
    """

    column: str
    told: ToldClasses
    total: ClassScores
    scores: dict[str, ClassScores]
    worst: tuple[Stretch, ...]
    sequences: bool

    def summary(self) -> dict[str, Any]:
        """Return everything but the streams as plain values for JSON."""
        return {"column": self.column, **self.total.summary()}


def judge_classes(
    model: Model,
    table: Table,
    results: NDArray[Any],
    column: str,
    firsts: Mapping[str, int],
    warm_up: int = 0,
    sequences: bool = False,
) -> tuple[ClassEvaluation, tuple[str, ...]]:
    """Score what a model of classes told of a table.

    Parameters
    ----------
    model : Model
    table : Table
        With the column of the classes among its categories.
    results : float32[n, W]
        What it said of each row.
    column : str
        That column.
    firsts : mapping of str to int
        For each stream the first of its rows whose class is scored.
    warm_up : int
        What the first rows of each stream tell is not scored.
    sequences : bool
        Whether each stream is a sequence with an end.

    Returns
    -------
    ClassEvaluation
    tuple of str
        What should be known about it, in sentences.

    Raises
    ------
    DataError
        If there is no row to score.
    """
    own, unknown = classes_of(table, column, model.outputs)
    groups = table.groups()
    told = told_classes(
        model, results, own, [*groups.values()], [firsts[name] for name in groups], warm_up
    )
    if not told.scored.any():
        raise DataError(
            f"{table.path}: expected rows to score, found none among {len(table)}: a row is scored "
            f"whose class stands in column {column!r} and is one of the model's "
            f"({', '.join(model.outputs[:20])}). Use a longer table, or score more of it (warm-up, "
            "first row)"
        )
    baseline = baseline_of(told, predicts_events(model))
    parts = {name: told.rows(rows) for name, rows in groups.items()}
    whole = [*parts.values()] if sequences else []
    notes: tuple[str, ...] = ()
    if unknown:
        rows = int((own == UNKNOWN).sum())
        many = "1 row has" if rows == 1 else f"{rows:,} rows have"
        named = ", ".join(map(repr, unknown[:5]))
        notes = (f"{many} no class that the model knows ({named}): not scored",)
    found = ClassEvaluation(
        column=column,
        told=told,
        total=score_classes(told, baseline, told.rows(), whole),
        scores={
            name: score_classes(told, baseline, rows, [rows] if sequences else [])
            for name, rows in parts.items()
        },
        worst=_worst(told, [*parts.values()]),
        sequences=sequences,
    )
    return found, notes


def _worst(told: ToldClasses, parts: Sequence[Rows]) -> tuple[Stretch, ...]:
    """Return the stretches of rows of which most was told wrong."""
    found: list[Stretch] = []
    for rows in parts:
        wrong = (told.told[rows] != told.truth[rows]).astype(np.float64)
        found += worst_of(wrong, told.aimed[rows])
    return tuple(sorted(found, key=lambda stretch: -stretch.mae)[:5])


def no_scores(classes: Sequence[str]) -> ClassScores:
    """Return the scores of no row."""
    C, nan = len(classes), float("nan")
    return ClassScores(tuple(classes), np.zeros((C, C), np.int64), nan, nan, nan, None, {}, None)
