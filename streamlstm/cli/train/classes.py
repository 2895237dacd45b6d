"""The scores of a model of classes, as `streamlstm train` prints them."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from streamlstm.cli.console import console
from streamlstm.learn.classes.scores import ClassScores

_SHOWN = 12  # classes in the table; of more, those with the most rows


def print_classes(scores: ClassScores) -> None:
    """Print accuracy, F1, the confusion matrix, and how early in a sequence classes are right."""
    if not scores.rows:
        console.print("nothing was held back, so there is nothing to score")
        return
    console.print(
        f"accuracy on the last {scores.rows} rows: {100 * scores.accuracy:.1f} % "
        f"({100 * scores.most_frequent:.1f} % for always the most frequent class); "
        f"mean F1 {scores.macro_f1:.3f}"
    )
    console.print(
        f"cross entropy {scores.log_loss:.4f} ({scores.frequencies:.4f} for the frequencies)"
    )
    _print_confusion(scores)
    if scores.by_progress:
        steps = ", ".join(
            f"{100 * right:.0f} % after {100 * place:g} %"
            for place, right in scores.by_progress.items()
        )
        console.print(f"sequences that are right: {steps} of their rows")
    if scores.settled is not None:
        console.print(
            f"right, and right from then on, after {100 * scores.settled:.0f} % on average"
        )


def _print_confusion(scores: ClassScores) -> None:
    """Print the number of rows by true class and class told."""
    shown = np.sort(np.argsort(-scores.confusion.sum(axis=1), kind="stable")[:_SHOWN])
    table = Table("is \\ told", box=None, pad_edge=False)
    for place in shown:
        table.add_column(scores.classes[place], justify="right")
    table.add_column("F1", justify="right")
    f1 = scores.f1
    for place in shown:
        name = scores.classes[place]
        counts = map(str, scores.confusion[place, shown])
        table.add_row(name, *counts, f"{f1[name]:.3f}")
    console.print(table)
    if len(shown) < len(scores.classes):
        console.print(f"({len(scores.classes) - len(shown)} rarer classes are not shown)")
