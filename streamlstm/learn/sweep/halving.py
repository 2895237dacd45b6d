"""Successive halving: many settings for a few epochs, the best third of them for longer.

K. Jamieson, A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization", AISTATS 2016. Each round costs about as much as one whole training, so a sweep over 9
settings costs as much as two or three, shared by the cores there are.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..checkpoint import Checkpoint
from ..dataset import Dataset
from ..settings import NetworkSettings, OptimizationSettings, Settings
from .estimate import Estimate
from .pool import Pool
from .record import Record
from .space import differences
from .worker import DATA, START

_KEPT = 3  # one in so many goes on to the next round


@dataclass
class Trial:
    """One of the settings that were tried.

    Attributes
    ----------
    number : int
        From 1; the first has the settings that were asked for.
    settings : Settings
    epochs : int
        How many it was trained for.
    first : float
        Its validation error after the first round, in which all were trained for as long.
    validation : float
        Its validation error at last, as a fraction of persistence's; infinite if it failed.
    seconds : float
        What it took on one core.
    settled : bool
        Whether it made no more progress.
    failed : str
        Why it failed; empty if it did not.
    """

    number: int
    settings: Settings
    epochs: int = 0
    first: float = math.nan
    validation: float = math.inf
    seconds: float = 0.0
    settled: bool = False
    failed: str = ""

    @property
    def checkpoint(self) -> str:
        """The name of its checkpoint in the folder of the sweep."""
        return f"trial-{self.number}.checkpoint"


@dataclass
class Sweep:
    """What a sweep found.

    Attributes
    ----------
    trials : list of Trial
        The best one first.
    rounds : list of int
        Epochs at the end of each round.
    interrupted : bool
        Whether KeyboardInterrupt ended it.
    """

    trials: list[Trial]
    rounds: list[int] = field(default_factory=list)
    interrupted: bool = False

    @property
    def best(self) -> Trial:
        """The trial with the lowest validation error."""
        return self.trials[0]

    @property
    def guess(self) -> float:
        """What a guess costs: the median error after the first round over the best, less 1."""
        errors = [trial.first for trial in self.trials if math.isfinite(trial.first)]
        if not errors or min(errors) <= 0:
            return math.nan
        return float(np.median(errors)) / min(errors) - 1

    def summary(self) -> dict[str, Any]:
        """Return what was tried as plain values, the same in every run of the same sweep."""
        tried = [trial.settings for trial in self.trials]
        return {
            "tried": [
                differences(trial.settings, tried)
                | {"epochs": trial.epochs, "validation": round(trial.validation, 6)}
                for trial in self.trials
            ],
            "guess": round(self.guess, 6),
        }


def rounds_of(n: int, epochs: int) -> list[int]:
    """Return the epochs at the end of each round; the winner alone is trained for all of them."""
    count = max(math.ceil(math.log(n) / math.log(_KEPT) - 1e-9), 0)
    return [max(epochs // _KEPT ** (count - k), 1) for k in range(count)]


def run_sweep(
    data: Dataset,
    candidates: Sequence[Settings],
    folder: Path,
    *,
    processes: int,
    start: Any = None,
    on_progress: Callable[[Estimate], None] | None = None,
) -> Sweep:
    """Try settings and return them, the best first; its checkpoint is in the folder.

    Parameters
    ----------
    data : Dataset
    candidates : sequence of Settings
        All with the same number of epochs: that of a whole training.
    folder : Path
        Empty, or of the same sweep, whose results are not made again.
    processes : int
        How many trials are trained at the same time.
    start : sequence of dict, optional
        The weights to begin with.
    on_progress : callable, optional
        Called with the `Estimate` now and then. KeyboardInterrupt ends the sweep with the best so
        far.

    Raises
    ------
    DataError
        If all settings failed.
    KeyboardInterrupt
        If it comes before any has ended its first round.
    """
    for name, content in ((DATA, data), (START, start)):
        with (folder / name).open("wb") as file:
            pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)
    trials = [Trial(n, settings) for n, settings in enumerate(candidates, start=1)]
    record = Record(folder, Checkpoint(folder, data, candidates[0], start), candidates)
    rounds = rounds_of(len(trials), candidates[0].epochs)
    estimate = Estimate(data, trials, rounds, processes, _KEPT)
    interrupted = False
    try:
        with Pool(folder, min(processes, len(trials))) as pool:
            alive = trials
            for number, epochs in enumerate(rounds):
                estimate.begin(number, [trial.number for trial in alive])
                _run_round(pool, alive, epochs, record, estimate, on_progress)
                alive = sorted(alive, key=lambda t: t.validation)[: -(-len(alive) // _KEPT)]
    except KeyboardInterrupt:
        if not any(math.isfinite(trial.validation) for trial in trials):
            raise
        interrupted = True
    ranked = sorted(trials, key=lambda t: (t.validation, t.number))
    if not math.isfinite(ranked[0].validation):
        raise DataError(f"all settings failed; the first: {trials[0].failed}")
    return Sweep(ranked, rounds, interrupted)


def _run_round(
    pool: Pool,
    trials: Sequence[Trial],
    epochs: int,
    record: Record,
    estimate: Estimate,
    on_progress: Callable[[Estimate], None] | None,
) -> None:
    """Train these trials up to so many epochs, but for those that have been before a kill."""
    by_number = {trial.number: trial for trial in trials}
    for trial in trials:
        if (said := record.result(trial.number, epochs)) is not None:
            _take(trial, said)
            estimate.hear(trial.number, dict(said))
    slowest_first = sorted(trials, key=estimate.seconds_an_epoch, reverse=True)
    jobs = {
        trial.number: _job(trial, epochs)
        for trial in slowest_first
        if not trial.failed and record.result(trial.number, epochs) is None
    }
    for number, said in pool.run(jobs):
        if "failed" in said or "done" in said:
            if "killed" not in said:
                record.add(number, epochs, said)
            _take(by_number[number], said)
        estimate.hear(number, said)
        if on_progress:
            on_progress(estimate)


def _take(trial: Trial, said: Mapping[str, Any]) -> None:
    """Take what was said of a trial at the end of a round."""
    if "failed" in said:
        trial.failed, trial.validation = said["failed"], math.inf
        return
    trial.epochs, trial.settled = said["done"], said["settled"]
    trial.validation, trial.seconds = said["validation"], said["seconds"]
    trial.first = trial.validation if math.isnan(trial.first) else trial.first


def _job(trial: Trial, epochs: int) -> dict[str, Any]:
    settings = replace(trial.settings, epochs=epochs)
    themes = (*fields(NetworkSettings), *fields(OptimizationSettings))
    return {
        "settings": {f.name: getattr(settings, f.name) for f in themes},
        "checkpoint": trial.checkpoint,
    }
