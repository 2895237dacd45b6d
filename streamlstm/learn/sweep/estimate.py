"""How far a sweep is and how long it will still take, from what its trials have taken so far.

A trial with 128 units takes many times as long as one with 16, and who goes on to the next round is
not known before. So work is counted in seconds of a core: measured for a trial that has begun,
from its arithmetic and those measured before it has, and the mean of a round for the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dataset import Dataset
from ..settings import Settings

if TYPE_CHECKING:
    from .halving import Trial

_STEP = 20_000  # multiplications that take as long as what a step costs beside its own
_LEAST = 1.0  # seconds that are measured; less says little of an epoch


class Estimate:
    """The state of a sweep.

    Parameters
    ----------
    data : Dataset
    trials : sequence of Trial
    rounds : sequence of int
        Epochs at the end of each round.
    processes : int
    kept : int
        One in so many goes on to the next round.
    clock : callable
        Returns seconds.

    Attributes
    ----------
    round, rounds : int
        The number of this round, from 1, and how many there are.
    trials : int
        How many trials are in this round.
    best : float
        The lowest validation error so far.
    """

    def __init__(
        self,
        data: Dataset,
        trials: Sequence[Trial],
        rounds: Sequence[int],
        processes: int,
        kept: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._rounds, self._processes, self._kept = list(rounds), processes, kept
        self._work = {t.number: work_of(t.settings, data) for t in trials}
        self._epochs = {t.number: 0.0 for t in trials}
        self._seconds: dict[int, float] = {}  # an epoch of each trial that was measured
        self._began: dict[int, tuple[float, float]] = {}
        self._alive = [t.number for t in trials]
        self._ended: set[int] = set()
        self.round, self.rounds, self.trials = 1, len(rounds), len(trials)
        self.best = float("inf")

    def begin(self, number: int, alive: Sequence[int]) -> None:
        """Begin the round of this number, from 0, with these trials."""
        self.round, self._alive, self.trials = number + 1, list(alive), len(alive)
        self._began.clear()
        self._ended.clear()

    def hear(self, trial: int, said: dict[str, Any]) -> None:
        """Take a report of a process."""
        now = self._clock()
        epochs = float(said.get("epochs", said.get("done", self._epochs[trial])))
        began, before = self._began.setdefault(trial, (now, epochs))
        if epochs > before and now - began >= _LEAST:
            # From the first report, so that the start of the process does not count.
            self._seconds[trial] = (now - began) / (epochs - before)
        elif said.get("done"):
            self._seconds[trial] = said["seconds"] / said["done"]
        self._epochs[trial] = max(epochs, self._epochs[trial])
        if "done" in said or "failed" in said:
            self._ended.add(trial)
            self.best = min(self.best, said.get("validation", float("inf")))

    def seconds_an_epoch(self, trial: Trial) -> float:
        """Return what an epoch of a trial takes on one core, measured or estimated."""
        return self._of(trial.number)

    @property
    def seconds_left(self) -> float:
        """Seconds until the last round ends, at most: a trial that settles ends early.

        NaN until an epoch of a trial was measured.
        """
        if not self._seconds:
            return float("nan")
        now = self._left_of_round()
        # A round is over no sooner than its slowest trial.
        left = max(max(now, default=0.0), sum(now) / self._processes)
        return left + sum(self._later()) / self._processes

    @property
    def share(self) -> float:
        """How much of the work is done, from 0 to 1."""
        left = sum(self._left_of_round()) + sum(self._later())
        spent = sum(epochs * self._of(trial) for trial, epochs in self._epochs.items())
        return spent / max(spent + left, 1e-9) if self._seconds else 0.0

    def _of(self, trial: int) -> float:
        if trial in self._seconds:
            return self._seconds[trial]
        if not self._seconds:
            return self._work[trial]
        rates = [seconds / self._work[n] for n, seconds in self._seconds.items()]
        return float(np.median(rates)) * self._work[trial]

    def _left_of_round(self) -> list[float]:
        end = self._rounds[self.round - 1] if self._rounds else 0
        return [
            max(end - self._epochs[trial], 0) * self._of(trial)
            for trial in self._alive
            if trial not in self._ended
        ]

    def _later(self) -> list[float]:
        """Return the seconds of the rounds after this one."""
        mean = float(np.mean([self._of(trial) for trial in self._alive]))
        count, found = len(self._alive), []
        for before, end in pairwise(self._rounds[self.round - 1 :]):
            count = -(-count // self._kept)
            found.append(count * (end - before) * mean)
        return found


def work_of(settings: Settings, data: Dataset) -> float:
    """Return about how many seconds an epoch takes on one core of a usual machine."""
    widths = (data.X.shape[1], *settings.hidden_sizes)
    products = sum(4 * H * (F + H) for F, H in zip(widths, settings.hidden_sizes, strict=False))
    step = products + _STEP * len(settings.hidden_sizes) / settings.batch
    return float(len(data.train_rows) * step * 4 / 1e10)
