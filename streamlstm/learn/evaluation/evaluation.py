"""Evaluation: how good a model is on a table, as `evaluate` returns it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.table import Table
from ...network.model import Model
from .alarms import StreamReport
from .classes import ClassEvaluation
from .errors import Errors
from .forecasts import Forecasts, Rows
from .intervals import IntervalScore
from .stretches import Stretch

if TYPE_CHECKING:
    from ...plots.files import Picture


@dataclass(frozen=True)
class Score:
    """How good one output of a model is in one stream, or in all of them together.

    Attributes
    ----------
    stream : str or None
        Its name; "" where the table has one stream only, None for all streams together.
    output, target : str
        Name of the output, and of the column that it forecasts.
    horizon : int
        Rows ahead.
    errors : Errors
    intervals : tuple of IntervalScore
        The lowest level first.
    worst : tuple of Stretch
        Where it was worst, the worst first.
    """

    stream: str | None
    output: str
    target: str
    horizon: int
    errors: Errors
    intervals: tuple[IntervalScore, ...]
    worst: tuple[Stretch, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a model is on a table that it read row by row, as it would have come live.

    Attributes
    ----------
    model : Model
    table : Table
        What it read.
    groups : dict of str to int[k]
        The rows of each stream.
    forecasts : tuple of Forecasts
        For each output all forecasts beside what came.
    totals : tuple of Score
        For each output over all streams.
    scores : tuple of Score
        For each stream and output.
    streams : tuple of StreamReport
        Alarms and missing rows of each stream.
    notes : tuple of str
        What should be known about these numbers, in sentences.
    history : tuple of (float, float)
        For each epoch of the training the loss and the validation error, if they are known.
    classes : ClassEvaluation or None
        Of a model of classes all that was told; then there are no forecasts and scores of them.
    """

    model: Model
    table: Table
    groups: Mapping[str, Rows]
    forecasts: tuple[Forecasts, ...]
    totals: tuple[Score, ...]
    scores: tuple[Score, ...]
    streams: tuple[StreamReport, ...]
    notes: tuple[str, ...] = ()
    history: tuple[tuple[float, float], ...] = ()
    classes: ClassEvaluation | None = None

    def when(self, row: int) -> str:
        """Return the time of a row of the table as it is written there, or its line."""
        stamps = self.table.stamps
        return stamps[row] if stamps else f"line {self.table.lines[row]}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON; what is unknown is None."""
        found: dict[str, Any] = {
            "model": {
                "inputs": list(self.model.inputs),
                "outputs": list(self.model.outputs),
                "fingerprint": self.model.fingerprint,
            },
            "data": self.table.path,
            "rows": len(self.table),
            "notes": list(self.notes),
            **self._totals(),
            "streams": [
                self._stream(report) | self._scores(report.stream) for report in self.streams
            ],
        }
        return {key: _plain(part) for key, part in found.items()}

    def report(self, path: str | PathLike[str]) -> None:
        """Write the report: one HTML file with tables, sentences and plots.

        Raises
        ------
        StreamLSTMError
            If matplotlib is missing (``pip install matplotlib``).
        DataError
            If ``path`` has another suffix than .html or .htm.
        OSError
            If the file cannot be written.
        """
        from ..report.page import write_report

        write_report(self, path)

    def plot(self, stream: str | None = None, rows: int = 240) -> Picture:
        """Draw the last forecasts of each output beside what came, and the error over time.

        Parameters
        ----------
        stream : str, optional
            The stream to draw; a typical one if left out.
        rows : int
            How many forecasts are drawn.

        Returns
        -------
        Picture
            A notebook shows it, ``save(path)`` writes it, ``figure`` is matplotlib's.

        Raises
        ------
        DataError
            If there is no such stream.
        StreamLSTMError
            If matplotlib is missing.
        """
        from ..report.figure import figure

        return figure(self, stream, rows)

    def _repr_html_(self) -> str:
        """Return sentences and tables for a notebook."""
        from ..report.summary import summary

        return summary(self)

    def _totals(self) -> dict[str, Any]:
        if self.classes is None:
            return {"total": [self._score(score) for score in self.totals]}
        return {
            "classes": self.classes.summary(),
            "worst": [self._stretch(stretch) for stretch in self.classes.worst],
        }

    def _scores(self, stream: str) -> dict[str, Any]:
        if self.classes is None:
            return {"scores": [self._score(s) for s in self.scores if s.stream == stream]}
        return {"classes": self.classes.scores[stream].summary()}

    def _stretch(self, stretch: Stretch) -> dict[str, Any]:
        return asdict(stretch) | {
            "from": self.when(stretch.first_row),
            "to": self.when(stretch.last_row),
        }

    def _score(self, score: Score) -> dict[str, Any]:
        name = {} if score.stream is None else {"stream": score.stream}
        return {
            **name,
            "output": score.output,
            "target": score.target,
            "horizon": score.horizon,
            **asdict(score.errors),
            "against_best": score.errors.against_best,
            "intervals": [
                asdict(interval) | {"worst_from": self._when(interval.worst_row)}
                for interval in score.intervals
            ],
            "worst": [self._stretch(stretch) for stretch in score.worst],
        }

    def _stream(self, report: StreamReport) -> dict[str, Any]:
        alarms = [asdict(alarm) | {"time": self.when(alarm.row)} for alarm in report.alarms]
        return asdict(report) | {"alarms": alarms, "kinds": report.kinds}

    def _when(self, row: int) -> str | None:
        return None if row < 0 else self.when(row)

    def __repr__(self) -> str:
        """Show the errors of each output, or how many classes were right."""
        words = []
        if self.classes is not None:
            total = self.classes.total
            words.append(f"{self.classes.column}: accuracy {100 * total.accuracy:.1f} %")
        for score in self.totals:
            share = score.errors.against_best
            beside = "" if math.isnan(share) else f", {100 * share:.1f} % of the best baseline's"
            words.append(f"{score.output}: mae {score.errors.mae:.5g}{beside}")
        return f"<Evaluation on {self.table.path}, {'; '.join(words)}>"


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: numbers that are not finite are None."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
