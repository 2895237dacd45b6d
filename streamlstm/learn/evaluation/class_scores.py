"""Scores classes: accuracy, F1, confusion matrix, and how early in a sequence they are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .told import Baseline, Rows, ToldClasses

PLACES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of a sequence after which its class is judged."""


@dataclass(frozen=True)
class ClassScores:
    """How good the classes of some rows are.

    Attributes
    ----------
    classes : tuple of str
    confusion : int64[C, C]
        Number of rows by true class (row) and class told (column).
    log_loss : float
        Mean cross entropy, in nats.
    most_frequent : float
        Accuracy of always telling the class that was the most frequent before.
    frequencies : float
        Cross entropy of telling the frequencies of the rows before.
    follower : float or None
        Of next events the accuracy of telling what followed most often on the last event before.
    by_progress : dict of float to float
        For sequences: the accuracy after these shares of a sequence; else empty.
    settled : float or None
        For sequences: the mean share of a sequence after which the class told is right and stays
        so, 1 where it never is.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    log_loss: float
    most_frequent: float
    frequencies: float
    follower: float | None
    by_progress: dict[float, float]
    settled: float | None

    @property
    def rows(self) -> int:
        """Number of rows that were judged."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of rows whose class was told."""
        return float(np.trace(self.confusion) / max(self.rows, 1))

    @property
    def f1(self) -> dict[str, float]:
        """Harmonic mean of precision and recall of each class; 0 for one never told right."""
        right = np.diag(self.confusion)
        either = self.confusion.sum(axis=0) + self.confusion.sum(axis=1)
        scores = 2 * right / np.maximum(either, 1)
        return dict(zip(self.classes, map(float, scores), strict=True))

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that occur."""
        occur = self.confusion.sum(axis=1) > 0
        return float(np.mean(np.array(list(self.f1.values()))[occur])) if occur.any() else 0.0

    def summary(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "rows": self.rows,
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "f1": self.f1,
            "log_loss": self.log_loss,
            "most_frequent": self.most_frequent,
            "frequencies": self.frequencies,
            "follower": self.follower,
            "by_progress": {str(place): right for place, right in self.by_progress.items()},
            "settled": self.settled,
        }


def score_classes(
    told: ToldClasses,
    baseline: Baseline,
    rows: Rows,
    sequences: Sequence[Rows] = (),
) -> ClassScores:
    """Score the classes of some rows.

    Parameters
    ----------
    told : ToldClasses
    baseline : Baseline
    rows : int[k]
        Scored rows of the table.
    sequences : sequence of int[k]
        The scored rows of each sequence, in order.
    """
    C = len(told.classes)
    truth, said = told.truth[rows], told.told[rows]
    confusion = np.zeros((C, C), np.int64)
    np.add.at(confusion, (truth, said), 1)
    right = told.told == told.truth
    by_progress, settled = _progress([right[part] for part in sequences if len(part)])
    followed = None if baseline.followers is None else baseline.followers[told.own[rows]]
    return ClassScores(
        classes=told.classes,
        confusion=confusion,
        log_loss=_mean(-told.log_share[rows]),
        most_frequent=_mean(truth == int(baseline.shares.argmax())),
        frequencies=_mean(-np.log(baseline.shares[truth])),
        follower=None if followed is None else _mean(truth == followed),
        by_progress=by_progress,
        settled=settled,
    )


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _progress(sequences: Sequence[NDArray[np.bool_]]) -> tuple[dict[float, float], float | None]:
    """Return the accuracy by the share of a sequence, and when the class told is settled."""
    if not sequences:
        return {}, None
    settled = []
    for right in sequences:
        wrong = np.flatnonzero(~right)
        first = wrong[-1] + 2 if len(wrong) else 1  # the step from which it is right, from 1
        settled.append(min(first / len(right), 1.0))
    return accuracy_after(sequences, PLACES), float(np.mean(settled))


def accuracy_after(
    sequences: Sequence[NDArray[np.bool_]], places: Sequence[float]
) -> dict[float, float]:
    """Return the share of sequences that are right after each share of their rows."""
    found = [
        [bool(right[max(int(np.ceil(p * len(right))), 1) - 1]) for p in places]
        for right in sequences
    ]
    return dict(zip(places, map(float, np.mean(found, axis=0)), strict=True))
