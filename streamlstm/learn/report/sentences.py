"""What an evaluation means, in plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .words import ahead, counted, number, percent, share, unit

if TYPE_CHECKING:
    from ..evaluation.evaluation import Evaluation, Score

BASELINES = {
    "persistence": "saying that nothing changes",
    "season": "saying what came a season ago",
    "autoregression": "a linear autoregression",
}


def overview(evaluation: Evaluation) -> str:
    """Return what was read and how much of it was scored."""
    table = evaluation.table
    many = len(evaluation.streams)
    of = f" of {many:,} series" if many > 1 else ""
    if evaluation.classes is not None:
        return (
            f"The model read {counted(len(table), 'row')}{of} one after the other, as if they had "
            f"come live, and told classes of column {evaluation.classes.column}."
        )
    scored = sum(score.errors.values for score in evaluation.totals)
    return (
        f"The model read {counted(len(table), 'row')}{of} one after the other, as if they had come "
        f"live, and each of {counted(scored, 'forecast')} was compared with the value that came."
    )


def about_errors(evaluation: Evaluation, score: Score) -> list[str]:
    """Return how far an output was from what came, and how baselines did."""
    errors, name = score.errors, score.target
    if not errors.values:
        return [f"No forecast of {name} could be compared with a value."]
    of = unit(name)
    of = f" {of}" if of else ""
    best = min(errors.baselines, key=lambda key: errors.baselines[key])
    said = [
        f"A forecast of {name}, {ahead(evaluation.table, score.horizon)}, was on average "
        f"{number(errors.mae)}{of} away from what came."
    ]
    if errors.best_baseline > 0:
        gain = 1 - errors.against_best
        side = "smaller" if gain >= 0 else "LARGER"
        said.append(
            f"The best simple forecast is {BASELINES[best]}: it was {number(errors.best_baseline)}"
            f"{of} away. The model's error is {percent(abs(gain))} {side}."
        )
    if abs(errors.bias) > 0.1 * errors.mae:
        side = "high" if errors.bias > 0 else "low"
        said.append(f"Its forecasts are on average {number(abs(errors.bias))}{of} too {side}.")
    return said


def about_intervals(score: Score) -> list[str]:
    """Return how many values fell inside each interval."""
    said = []
    for interval in score.intervals:
        if not interval.values:
            continue
        inside = share(interval.coverage).capitalize()
        said.append(
            f"{inside} values ({percent(interval.coverage)}) fell inside the band that should hold "
            f"{percent(interval.level)} of them. In the worst window of 500 rows it was "
            f"{percent(interval.worst)}."
        )
    return said


def about_alarms(evaluation: Evaluation) -> list[str]:
    """Return how many alarms there were, and what was missing."""
    said = []
    reports = evaluation.streams
    rows = sum(report.evaluated for report in reports)
    online = evaluation.model.online
    if online is not None and online.anomaly:
        alarms = sum(len(report.alarms) for report in reports)
        every = f", one in {rows / alarms:,.0f} rows" if alarms else ""
        said.append(f"There {'was' if alarms == 1 else 'were'} {counted(alarms, 'alarm')}{every}.")
    cells = sum(report.missing_values for report in reports)
    gaps = sum(report.missing_rows for report in reports)
    if cells:
        said.append(f"{counted(cells, 'value')} of the inputs were missing and filled.")
    if gaps:
        said.append(f"{counted(gaps, 'row')} that an even series would have are not in the table.")
    return said
