"""The parts of a report that are about classes: sentences, tables and where plots stand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .class_plots import (
    LABELLED,
    draw_accuracy_over_time,
    draw_certainty,
    draw_confusion,
    draw_progress,
)
from .parts import plot
from .svg import PAGE
from .tables import MOST, html_table
from .words import counted, number, percent

if TYPE_CHECKING:
    from ..evaluation.class_scores import ClassScores
    from ..evaluation.classes import ClassEvaluation
    from ..evaluation.evaluation import Evaluation

_CONFUSION = "Rows by the class that they were and the class that was told: right on the diagonal."
_OVER_TIME = "The share of rows whose class was told, over time."
_PROGRESS = "How early it is right: the share of sequences whose class is told, over how much came."
_CERTAINTY = (
    "How sure the model was, and how often it was right: on the line the shares that it tells can "
    "be taken as probabilities, below it the model is too sure."
)
_TERMS = {
    "accuracy": "share of rows whose class was told",
    "precision": "of the rows that were told to be of a class, the share that was",
    "recall": "of the rows of a class, the share that was told",
    "F1": "harmonic mean of precision and recall; the mean F1 is over the classes that occur, "
    "however rare",
    "cross entropy": "mean of minus the logarithm of the share that was told of the true class: "
    "lower is better, 0 is certain and right",
    "right after": "the share of a sequence after which its class is right and stays so, on "
    "average",
}
GLOSSARY = (
    "<details><summary>What the columns mean</summary><dl>"
    + "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in _TERMS.items())
    + "</dl></details>"
)


def about_classes(found: ClassEvaluation) -> list[str]:
    """Return how good the classes are, in sentences."""
    scores = found.total
    said = [
        f"The class that the model told was right in {percent(scores.accuracy)} of "
        f"{counted(scores.rows, 'row')}; always telling the most frequent class is right in "
        f"{percent(scores.most_frequent)}."
    ]
    if scores.follower is not None:
        said.append(
            f"Telling what usually follows the last event is right in {percent(scores.follower)}."
        )
    f1 = scores.f1
    occur = [
        name for name, rows in zip(scores.classes, scores.confusion, strict=True) if rows.sum()
    ]
    worst = min(occur, key=lambda name: f1[name])
    said.append(
        f"The mean F1 of the classes is {scores.macro_f1:.3f}; it is lowest for {worst}, "
        f"{f1[worst]:.3f}."
    )
    if scores.settled is not None:
        said.append(
            f"On average a sequence is told rightly, and stays so, after {percent(scores.settled)} "
            "of its rows."
        )
    return said


def class_sections(evaluation: Evaluation, found: ClassEvaluation) -> Iterator[str]:
    """Yield the plots and tables of the classes of an evaluation."""
    yield class_table(found.total)
    confusion = partial(draw_confusion, scores=found.total, palette=PAGE)
    height = 1.2 + 0.3 * min(len(found.total.classes), LABELLED)
    yield plot("confusion", confusion, _CONFUSION, height=height)
    parts = {name: found.told.rows(rows) for name, rows in evaluation.groups.items()}
    if found.sequences:
        yield "<h2>How early it is right</h2>"
        draw = partial(draw_progress, found=found, parts=[*parts.values()], palette=PAGE)
        yield plot("progress", draw, _PROGRESS)
    else:
        name = max(parts, key=lambda name: len(parts[name]))
        draw = partial(
            draw_accuracy_over_time,
            evaluation=evaluation,
            found=found,
            rows=parts[name],
            palette=PAGE,
        )
        yield f"<h2>Over time{_escaped(f', {name}' if name else '')}</h2>"
        yield plot("time", draw, _OVER_TIME)
    yield "<h2>How sure it is</h2>"
    yield plot("certainty", partial(draw_certainty, found=found, palette=PAGE), _CERTAINTY, 3.4)
    yield "<h2>Where most was told wrong</h2>"
    yield _worst_table(evaluation, found)
    yield _stream_table(found)


def class_table(scores: ClassScores) -> str:
    """Return rows, precision, recall and F1 of each class; of many those with the most rows."""
    counts = scores.confusion
    shown = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:MOST])
    f1 = scores.f1
    rows = []
    for place in shown.tolist():
        right, told, was = (
            counts[place, place],
            counts[:, place].sum(),
            counts[place].sum(),
        )
        name = scores.classes[place]
        precision, recall = right / max(told, 1), right / max(was, 1)
        rows.append([name, f"{was:,}", percent(precision), percent(recall), f"{f1[name]:.3f}"])
    return html_table(["class", "rows", "precision", "recall", "F1"], rows)


def _worst_table(evaluation: Evaluation, found: ClassEvaluation) -> str:
    streams = evaluation.table.streams
    rows = [
        [
            *([streams[stretch.first_row]] if streams else []),
            evaluation.when(stretch.first_row),
            evaluation.when(stretch.last_row),
            percent(stretch.mae),
            number(stretch.times),
        ]
        for stretch in found.worst
    ]
    names = ["from", "to", "told wrong", "times the mean"]
    return html_table([*(["series"] if streams else []), *names], rows)


def _stream_table(found: ClassEvaluation) -> str:
    """Return the scores of each stream; of many those where the model is worst."""
    scores = [(name, score) for name, score in found.scores.items() if score.rows]
    if len(found.scores) == 1:
        return ""
    scores.sort(key=lambda pair: pair[1].accuracy)
    rows = [
        [
            name,
            f"{score.rows:,}",
            percent(score.accuracy),
            f"{score.macro_f1:.3f}",
            number(score.log_loss),
            "" if score.settled is None else percent(score.settled),
        ]
        for name, score in scores[:MOST]
    ]
    title = f"The {MOST} worst of {len(scores):,}" if len(scores) > MOST else "Each series"
    names = ["series", "rows", "accuracy", "mean F1", "cross entropy", "right after"]
    return f"<h2>{title}, by accuracy</h2>{html_table(names, rows)}"


def _escaped(text: str) -> str:
    from html import escape

    return escape(text)
