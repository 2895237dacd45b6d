"""Scores classes: accuracy, F1, confusion matrix, and how early in a sequence they are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import ClassDataset

Array = NDArray[Any]
PLACES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of a sequence after which its class is judged."""


@dataclass(frozen=True)
class ClassScores:
    """How good the classes of the test period are.

    Attributes
    ----------
    classes : tuple of str
    confusion : int64[C, C]
        Number of rows by true class (row) and class told (column).
    log_loss : float
        Mean cross entropy, in nats.
    most_frequent : float
        Accuracy of always telling the most frequent class of the training rows.
    frequencies : float
        Cross entropy of telling the frequencies of the training rows.
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
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "f1": self.f1,
            "log_loss": self.log_loss,
            "most_frequent": self.most_frequent,
            "frequencies": self.frequencies,
            "by_progress": {str(place): right for place, right in self.by_progress.items()},
            "settled": self.settled,
        }


def score_classes(data: ClassDataset, results: Array) -> ClassScores:
    """Score the classes of the test period.

    Parameters
    ----------
    data : ClassDataset
        The series and their test periods.
    results : float[N, C]
        Probabilities at every row of the data set, or their logarithms for next events.
    """
    C = len(data.class_names)
    judged = data.periods([(s.validation_end, len(s)) for s in data.series])[:, 0]
    truth, told = data.Y[:, 0].astype(np.intp), results[:, :C].argmax(axis=1)
    confusion = np.zeros((C, C), np.int64)
    np.add.at(confusion, (truth[judged], told[judged]), 1)
    said = results[np.flatnonzero(judged), truth[judged]].astype(np.float64)
    logs = said if data.next_event else np.log(np.maximum(said, 1e-30))
    by_progress, settled = _progress(data, truth == told, judged) if data.sequences else ({}, None)
    most = int(data.frequencies.argmax())
    expected = -np.log(data.frequencies[truth[judged]])
    return ClassScores(
        classes=data.class_names,
        confusion=confusion,
        log_loss=float(-logs.mean()) if len(logs) else float("nan"),
        most_frequent=float((truth[judged] == most).mean()) if len(logs) else float("nan"),
        frequencies=float(expected.mean()) if len(logs) else float("nan"),
        by_progress=by_progress,
        settled=settled,
    )


def _progress(
    data: ClassDataset, right: NDArray[np.bool_], judged: NDArray[np.bool_]
) -> tuple[dict[float, float], float | None]:
    """Return the accuracy by the share of a sequence, and when the class told is settled."""
    places: list[list[bool]] = []
    settled = []
    for s in data.series:
        rows = s.offset + np.flatnonzero(judged[s.offset : s.offset + len(s)])
        if not len(rows):
            continue
        correct = right[rows]
        places.append([bool(correct[max(int(np.ceil(p * len(rows))), 1) - 1]) for p in PLACES])
        wrong = np.flatnonzero(~correct)
        first = wrong[-1] + 2 if len(wrong) else 1  # the step from which it is right, from 1
        settled.append(min(first / len(rows), 1.0))
    if not places:
        return {}, None
    shares = np.mean(places, axis=0)
    return dict(zip(PLACES, map(float, shares), strict=True)), float(np.mean(settled))
