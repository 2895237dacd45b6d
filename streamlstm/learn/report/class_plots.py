"""The plots of a report on classes, each drawn into axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...plots.style import Palette
from ..evaluation.class_scores import ClassScores, accuracy_after
from ..evaluation.stretches import stretch_means
from .time_axis import place_rows

if TYPE_CHECKING:
    from ..evaluation.classes import ClassEvaluation
    from ..evaluation.evaluation import Evaluation
    from ..evaluation.told import Rows

LABELLED = 20  # classes that are named
_MEANS = 100  # points of a line over time
_BINS = 10  # of shares, each with about as many rows
_PLACES = tuple(np.linspace(0.05, 1, 20).tolist())


def draw_confusion(axes: Any, scores: ClassScores, palette: Palette) -> None:
    """Draw how many rows of each class were told to be which, of many those with the most rows.

    The colour of a cell is its share of the rows of its class.
    """
    shown = np.sort(np.argsort(-scores.confusion.sum(axis=1), kind="stable")[:LABELLED])
    counts = scores.confusion[np.ix_(shown, shown)]
    shares = counts / np.maximum(scores.confusion.sum(axis=1)[shown, None], 1)
    for row, column in np.argwhere(counts).tolist():
        share = float(shares[row, column])
        left, right, top, bottom = column - 0.5, column + 0.5, row - 0.5, row + 0.5
        corners = [left, right, right, left], [top, top, bottom, bottom]
        axes.fill(*corners, color=palette.made, alpha=0.6 * share, lw=0)
        axes.text(column, row, counts[row, column], ha="center", va="center")
    names = [scores.classes[place] for place in shown]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("told")
    axes.set_ylabel("was")


def draw_accuracy_over_time(
    axes: Any, evaluation: Evaluation, found: ClassEvaluation, rows: Rows, palette: Palette
) -> None:
    """Draw the share of right rows in consecutive stretches of a stream."""
    told = found.told
    right = (told.told[rows] == told.truth[rows]).astype(np.float64)
    length = max(-(-len(rows) // _MEANS), min(20, max(len(rows) // 20, 1)))
    starts, means = stretch_means(right, length)
    x = place_rows(axes, evaluation.table, evaluation.model, told.aimed[rows[starts]])
    axes.plot(x, means, color=palette.made, lw=1.2, label=f"right, of {length} rows each")
    usual = found.total.most_frequent
    axes.axhline(usual, color=palette.other, lw=0.8, ls=":", label="always the most frequent class")
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("accuracy")
    axes.legend(loc="best", ncols=2)


def draw_progress(axes: Any, found: ClassEvaluation, parts: list[Rows], palette: Palette) -> None:
    """Draw how many sequences are right over how much of them has come."""
    right = found.told.told == found.told.truth
    by_place = accuracy_after([right[rows] for rows in parts if len(rows)], _PLACES)
    axes.plot(list(by_place), list(by_place.values()), "o-", ms=3, lw=1.2, color=palette.made)
    axes.axhline(found.total.most_frequent, color=palette.other, lw=0.8, ls=":")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("share of the sequence that has come")
    axes.set_ylabel("sequences that are right")


def draw_certainty(axes: Any, found: ClassEvaluation, palette: Palette) -> bool:
    """Draw how often the class told is right over how sure the model was of it."""
    rows = found.told.rows()
    if len(rows) < 5 * _BINS:
        return False
    order = rows[np.argsort(found.told.share[rows], kind="stable")]
    right = found.told.told == found.told.truth
    bins = np.array_split(order, _BINS)
    sure = [float(found.told.share[part].mean()) for part in bins]
    held = [float(right[part].mean()) for part in bins]
    axes.plot([0, 1], [0, 1], color=palette.faint, lw=0.8, label="as told")
    axes.plot(sure, held, "o-", ms=4, lw=1, color=palette.made, label="a tenth of the rows each")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("share of the class told")
    axes.set_ylabel("share right")
    axes.legend(loc="best")
    return True
