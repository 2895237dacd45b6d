"""The score of the Numenta Anomaly Benchmark, written from its description.

Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark",
ICMLA 2015. Each file has windows around its anomalies. A detection inside a window counts, and more
the earlier it comes; only the best in a window counts. Each one outside costs, least shortly after
a window; a window without any costs too. The first 15 % of a file's rows, of at most 5,000, count
for nothing. A row is a detection if its score reaches the threshold, one for all files, which is
the one that gives the highest sum. That sum is told on a scale on which a detector that never
speaks has 0, and one that speaks in the first row of every window and nowhere else has 100.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Windows = tuple[tuple[int, int], ...]  # first and last row of each
PROBATION, PROBATION_ROWS = 0.15, 5000
FAR = 3.0  # window widths after a window from which on a false detection costs all


class Profile(NamedTuple):
    """What a detection, a false one and a missed window are worth."""

    detected: float
    false: float
    missed: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "reward_low_FP": Profile(1.0, 0.22, 1.0),
    "reward_low_FN": Profile(1.0, 0.11, 2.0),
}


class Series(NamedTuple):
    """One file: event times in seconds, values, and first and last row of each window."""

    name: str
    times: Array
    values: Array
    windows: Windows


def load(folder: Path) -> list[Series]:
    """Read every series of ``folder/data`` with its windows from ``folder/labels``."""
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text())
    return [_series(folder / "data" / n, n, labels[n]) for n in sorted(labels)
            if (folder / "data" / n).exists()]  # fmt: skip


def _series(path: Path, name: str, windows: Sequence[Sequence[str]]) -> Series:
    with path.open(newline="") as file:
        rows = [(_seconds(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    times, values = np.array(rows).T
    first_row = {time: n for n, time in reversed(list(enumerate(times)))}
    spans = tuple((first_row[_seconds(a)], first_row[_seconds(b)]) for a, b in windows)
    return Series(name, times, values, spans)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def position_score(position: float) -> float:
    """Return what a detection is worth: 1 early in a window, 0 at its end, -1 far behind it.

    Parameters
    ----------
    position : float
        -1 at the first row of a window, 0 behind its last one, 1 a window's width later.
    """
    return -1.0 if position >= FAR else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


@cache
def row_values(rows: int, windows: Windows) -> tuple[Array, NDArray[np.int64]]:
    """Return what a detection in each row is worth, and its window: -1 outside, -2 on probation."""
    worth, window = np.full(rows, -1.0), np.full(rows, -1)
    for number, (first, last) in enumerate(windows):
        width = last - first + 1
        for n in range(first, last + 1):
            worth[n] = position_score(-(last - n + 1) / width) / position_score(-1.0)
        end = windows[number + 1][0] if number + 1 < len(windows) else rows
        for n in range(last + 1, min(end, last + 1 + math.ceil(FAR * width))):
            worth[n] = position_score((n - last) / (width - 1)) if width > 1 else -1.0
        window[first : last + 1] = number
    window[: math.ceil(min(math.floor(PROBATION * rows), PROBATION * PROBATION_ROWS))] = -2
    return worth, window


def sweep(
    series: Sequence[Series], scores: Sequence[Array], profile: Profile
) -> tuple[Array, Array]:
    """Return all thresholds, highest first, and the sum over all files at each.

    The first threshold is infinite: no row is a detection.
    """
    start, levels, gains = 0.0, [np.array([np.inf])], [np.zeros(1)]
    for one, score in zip(series, scores, strict=True):
        worth, window = row_values(len(score), one.windows)
        levels.append(score[window == -1])
        gains.append(profile.false * worth[window == -1])
        for number in set(window[window >= 0]):
            start -= profile.missed
            level = score[window == number]
            order = np.argsort(-level, kind="stable")
            best = np.maximum.accumulate(profile.detected * worth[window == number][order])
            levels.append(level[order])
            gains.append(np.diff(best, prepend=-profile.missed))
    level, gain = np.concatenate(levels), np.concatenate(gains)
    order = np.argsort(-level, kind="stable")
    level, total = level[order], start + np.cumsum(gain[order])
    last_of_level = np.append(level[1:] != level[:-1], True)
    return level[last_of_level], total[last_of_level]


def normalised(
    series: Sequence[Series], scores: Sequence[Array], profile: Profile
) -> tuple[float, float]:
    """Return the score, 0 for silence and 100 for perfection, and the threshold that gives it.

    NaN if no file has a window.
    """
    thresholds, totals = sweep(series, scores, profile)
    best, windows = int(np.argmax(totals)), sum(len(one.windows) for one in series)
    if not windows:
        return math.nan, math.inf
    span = windows * (profile.detected + profile.missed)
    return 100.0 * (float(totals[best]) + windows * profile.missed) / span, float(thresholds[best])


def at_threshold(one: Series, score: Array, profile: Profile, threshold: float) -> float:
    """Return the sum of one file at a given threshold."""
    thresholds, totals = sweep([one], [score], profile)
    return float(totals[np.flatnonzero(thresholds >= threshold)[-1]])


def all_profiles(series: Sequence[Series], scores: Sequence[Array]) -> Mapping[str, float]:
    """Return the normalised score of each profile, each with a threshold of its own."""
    return {name: normalised(series, scores, p)[0] for name, p in PROFILES.items()}
