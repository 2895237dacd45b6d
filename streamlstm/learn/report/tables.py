"""The tables of a report, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from .words import number, percent

if TYPE_CHECKING:
    from ..evaluation.evaluation import Evaluation, Score

MOST = 30
_LEFT = {"series", "class", "target", "from", "to", "time", "kind"}


def html_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; columns of names and times are on the left."""
    sides = [' class="left"' if name in _LEFT else "" for name in names]
    head = "".join(
        f"<th{side}>{escape(name)}</th>" for name, side in zip(names, sides, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{side}>{escape(cell)}</td>" for cell, side in zip(row, sides, strict=True))
        + "</tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def error_table(scores: Sequence[Score], named: bool = False) -> str:
    """Return the errors of scores beside those of baselines."""
    baselines = ["persistence", "season", "autoregression"]
    if all(score.errors.season is None for score in scores):
        baselines.remove("season")
    names = [*(["series"] if named else []), "target", "rows ahead", "values"]
    names += ["mae", "rmse", "bias", "mase", *baselines, "of the best"]
    rows = []
    for score in scores:
        e = score.errors
        rows.append(
            [
                *([score.stream or ""] if named else []),
                score.target,
                str(score.horizon),
                f"{e.values:,}",
                *map(number, (e.mae, e.rmse, e.bias, e.mase)),
                *(number(e.baselines.get(name)) for name in baselines),
                percent(e.against_best),
            ]
        )
    return html_table(names, rows)


def interval_table(evaluation: Evaluation) -> str:
    """Return what each interval held."""
    names = ["target", "rows ahead", "interval", "inside", "mean width", "Winkler score"]
    rows = [
        [
            score.target,
            str(score.horizon),
            percent(i.level),
            percent(i.coverage),
            number(i.width),
            number(i.winkler),
            percent(i.worst),
            evaluation.when(i.worst_row),
        ]
        for score in evaluation.totals
        for i in score.intervals
        if i.values
    ]
    return html_table([*names, "worst 500 rows", "from"], rows)


def worst_table(evaluation: Evaluation) -> str:
    """Return where the errors were largest."""
    streams = evaluation.table.streams
    rows = [
        [
            *([streams[stretch.first_row]] if streams else []),
            score.target,
            str(score.horizon),
            evaluation.when(stretch.first_row),
            evaluation.when(stretch.last_row),
            number(stretch.mae),
            f"{stretch.times:.1f}",
        ]
        for score in evaluation.totals[:12]
        for stretch in score.worst
    ]
    names = ["target", "rows ahead", "from", "to", "mae", "times the mean"]
    return html_table([*(["series"] if streams else []), *names], rows)


def stream_table(evaluation: Evaluation) -> str:
    """Return the errors of each stream; of many those where the model is worst."""
    if len(evaluation.groups) == 1:
        return ""
    scores = [score for score in evaluation.scores if score.errors.values]
    scores.sort(key=lambda s: -float(np.nan_to_num(s.errors.mase, nan=-1.0)))
    many = len(scores) > MOST
    title = f"The {MOST} worst of {len(scores):,}" if many else "Each series"
    return f"<h2>{title}, by mase</h2>{error_table(scores[:MOST], named=True)}"


def alarm_table(evaluation: Evaluation) -> str:
    """Return the alarms, those with the highest scores if they are many."""
    raised = [(alarm, report.stream) for report in evaluation.streams for alarm in report.alarms]
    if not raised:
        return ""
    shown = sorted(raised, key=lambda pair: -pair[0].score)[:MOST]
    many = len(evaluation.streams) > 1
    rows = [
        [
            *([stream] if many else []),
            evaluation.when(alarm.row),
            alarm.kind,
            f"{alarm.score:.1f}",
            f"{alarm.p_value:.1g}",
        ]
        for alarm, stream in sorted(shown, key=lambda pair: pair[0].row)
    ]
    return html_table([*(["series"] if many else []), "time", "kind", "score", "p"], rows)
