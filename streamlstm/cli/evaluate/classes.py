"""Prints how good classes are: accuracy, confusion, how early in a sequence they are right."""

from __future__ import annotations

import numpy as np
from rich.markup import escape
from rich.table import Table

from streamlstm.cli.console import console, counted
from streamlstm.learn.evaluation.class_scores import ClassScores
from streamlstm.learn.evaluation.classes import ClassEvaluation

_SHOWN = 12  # classes in the table; of more, those with the most rows
_STREAMS, _WORST = 20, 10  # series that are shown; of more, so many of those where it is worst


def print_classes(found: ClassEvaluation) -> None:
    """Print scores and the confusion matrix over all series, and the accuracy of each."""
    scores = found.total
    _say(f"accuracy on {counted(scores.rows, 'row')}: {_percent(scores.accuracy)} {_naive(scores)}")
    _say(
        f"mean F1 {scores.macro_f1:.3f}; cross entropy {scores.log_loss:.4f} "
        f"({scores.frequencies:.4f} for the frequencies of the classes)"
    )
    _print_confusion(scores)
    if scores.by_progress:
        steps = ", ".join(
            f"{100 * right:.0f} % after {100 * place:g} %"
            for place, right in scores.by_progress.items()
        )
        _say(f"sequences that are right: {steps} of their rows")
    if scores.settled is not None:
        _say(f"right, and right from then on, after {100 * scores.settled:.0f} % on average")


def print_streams(found: ClassEvaluation) -> None:
    """Print the scores of each series; of many those where the model is worst."""
    scores = [(name, score) for name, score in found.scores.items() if score.rows]
    if len(found.scores) == 1:
        return
    console.print()
    if len(scores) > _STREAMS:
        _say(f"the worst of {len(scores):,} series, by accuracy (--json has all):")
        scores = sorted(scores, key=lambda pair: pair[1].accuracy)[:_WORST]
    grid = Table("series", box=None, pad_edge=False)
    for name in ("rows", "accuracy", "mean F1", "cross entropy", "most frequent", "right after"):
        grid.add_column(name, justify="right")
    for name, score in scores:
        grid.add_row(
            escape(name),
            f"{score.rows:,}",
            _percent(score.accuracy),
            f"{score.macro_f1:.3f}",
            f"{score.log_loss:.4f}",
            _percent(score.most_frequent),
            "" if score.settled is None else _percent(score.settled),
        )
    console.print(grid)


def _say(sentence: str) -> None:
    console.print(sentence, markup=False)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _naive(scores: ClassScores) -> str:
    """Return how good one is without a model."""
    said = f"{_percent(scores.most_frequent)} for always the most frequent class"
    if scores.follower is not None:
        said += f", {_percent(scores.follower)} for what usually follows the last event"
    return f"({said})"


def _print_confusion(scores: ClassScores) -> None:
    """Print the number of rows by true class and class told."""
    shown = np.sort(np.argsort(-scores.confusion.sum(axis=1), kind="stable")[:_SHOWN])
    table = Table("is \\ told", box=None, pad_edge=False)
    for place in shown:
        table.add_column(escape(scores.classes[place]), justify="right")
    table.add_column("F1", justify="right")
    f1 = scores.f1
    for place in shown:
        name = scores.classes[place]
        counts = map(str, scores.confusion[place, shown])
        table.add_row(escape(name), *counts, f"{f1[name]:.3f}")
    console.print(table)
    if len(shown) < len(scores.classes):
        _say(f"({len(scores.classes) - len(shown)} rarer classes are not shown)")
