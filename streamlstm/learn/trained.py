"""What a training returns: the model, how it came to be, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..network.model import Model
from .dataset import Dataset
from .fit import EpochMetrics
from .scores import Score
from .settings import Settings
from .sweep.halving import Sweep


@dataclass(frozen=True)
class Trained:
    """A trained model with its history and its errors on the test period.

    Attributes
    ----------
    model : Model
        With its online stage, if there is one.
    settings : Settings
        What it was trained with.
    history : list of EpochMetrics
        All finished epochs.
    ended : str
        Why training ended: "settled" (no more progress), "epochs" (all done) or "interrupted".
    best : EpochMetrics
        The epoch whose weights were kept.
    season : int or None
        Steps per season of the seasonal baseline.
    scores : list of Score
        Errors on the test period beside those of the baselines, one for each target; empty if
        nothing was held back.
    coverage : dict of float to float
        For each prediction interval the share of values of the test period inside.
    dataset : Dataset
        The series and their periods.
    results : float32[N, W]
        The result of every row of the data set, each series stepped as live.
    sweep : Sweep or None
        What was tried before.
    """

    model: Model
    settings: Settings
    history: list[EpochMetrics]
    ended: str
    best: EpochMetrics
    season: int | None
    scores: list[Score]
    coverage: dict[float, float]
    dataset: Dataset
    results: NDArray[Any]
    sweep: Sweep | None = None
