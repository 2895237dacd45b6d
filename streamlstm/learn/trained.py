"""What a training returns: the model, how it came to be, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any

from numpy.typing import NDArray

from ..network.html import as_table
from ..network.model import Model
from ..plots.files import Picture
from .dataset import Dataset
from .evaluation.class_scores import ClassScores
from .evaluation.evaluation import Evaluation, Score
from .fit import EpochMetrics
from .picture import draw
from .predict import predict
from .settings import Settings
from .sweep.halving import Sweep


@dataclass(frozen=True, repr=False)
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
        Errors on the test period beside those of the baselines, one for each forecast, as in
        ``evaluation.totals``; empty if nothing was held back.
    coverage : dict of float to float
        For each prediction interval the share of values of the test period inside.
    calibration : dict of str to float
        For each quantile that was learned, by the name of its output, the share of values of the
        test period that were not above it.
    dataset : Dataset
        The series and their periods.
    results : float32[N, W]
        The result of every row of the data set, each series stepped as live.
    classes : ClassScores or None
        Of a model of classes: how good they are on the test period.
    sweep : Sweep or None
        What was tried before.
    evaluation : Evaluation or None
        Everything that `evaluate` says of the test period; None if nothing was held back.
    """

    model: Model
    settings: Settings
    history: list[EpochMetrics]
    ended: str
    best: EpochMetrics
    season: int | None
    scores: list[Score]
    coverage: dict[float, float]
    calibration: dict[str, float]
    dataset: Dataset
    results: NDArray[Any]
    classes: ClassScores | None = None
    sweep: Sweep | None = None
    evaluation: Evaluation | None = None

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one .safetensors file, as `Model.save`."""
        self.model.save(path)

    def predict(self, data: Any, **options: Any) -> Any:
        """Predict from every row of a table: `predict`."""
        return predict(self.model, data, **options)

    def plot(self) -> Picture:
        """Draw the learning curve, and the last forecasts of the test period beside what came.

        A notebook shows it.

        Raises
        ------
        StreamLSTMError
            If matplotlib is missing.
        """
        return draw(self)

    def _summary(self) -> list[tuple[str, str]]:
        epochs = self.history[-1].number
        shown = [("epochs", f"{epochs} ({self.ended}), {self.best.number} kept")]
        baseline = "persistence" if self.classes is None else "the class frequencies"
        shown.append(("validation", f"{self.best.validation:.3f} of {baseline}"))
        if self.classes is not None:
            right, usual = self.classes.accuracy, self.classes.most_frequent
            told = f"{100 * right:.1f} %, most frequent class {100 * usual:.1f} %"
            shown.append(("accuracy", told))
            shown.append(("mean F1", f"{self.classes.macro_f1:.3f}"))
        for score in self.scores:
            errors = score.errors
            words = [f"{errors.mae:.6g}", f"persistence {errors.persistence:.6g}"]
            if errors.season is not None:
                words.append(f"season of {self.season} {errors.season:.6g}")
            shown.append((f"mean error of {score.output}", ", ".join(words)))
        for level, share in self.coverage.items():
            shown.append((f"{100 * level:g} % interval", f"{100 * share:.1f} % inside"))
        if self.sweep is not None:
            cost = f"{100 * self.sweep.guess:.1f} %"
            shown.append(("sweep", f"{len(self.sweep.trials)} settings; a guess would cost {cost}"))
        return shown

    def __repr__(self) -> str:
        """Show the model, how training ended and the errors on the test period."""
        lines = [f"{name}: {value}" for name, value in self._summary()]
        return "\n  ".join([f"<Trained {self.model!r}", *lines]) + ">"

    def _repr_html_(self) -> str:
        """Show the same in a notebook."""
        return as_table("streamlstm Trained", [("model", repr(self.model)), *self._summary()])
