"""Prints an evaluation: tables aligned for people, in a pipe too, and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from rich.table import Table

from streamlstm.cli.console import console, counted, err
from streamlstm.learn.evaluation import Evaluation, Score
from streamlstm.learn.evaluation.alarms import StreamReport
from streamlstm.learn.evaluation.stretches import Stretch

from .classes import print_classes, print_streams

MOST_STREAMS, WORST_STREAMS, MOST_ALARMS, MOST_STRETCHES = 20, 10, 20, 3


def print_source(evaluation: Evaluation) -> None:
    """Print what was read and how much of it is scored; notes on stderr."""
    for note in evaluation.notes:
        err.print(note, markup=False)
    shown = counted(sum(score.errors.values for score in evaluation.totals), "forecast")
    if evaluation.classes is not None:
        shown = f"the classes of {counted(evaluation.classes.total.rows, 'row')}"
    many = len(evaluation.streams)
    of = f" of {many:,} series" if many > 1 else ""
    _say(f"{evaluation.table.path}: {counted(len(evaluation.table), 'row')}{of}, {shown} scored")


def print_evaluation(evaluation: Evaluation) -> None:
    """Print errors, intervals, worst stretches, alarms and what was missing."""
    if evaluation.classes is not None:
        print_classes(evaluation.classes)
        print_streams(evaluation.classes)
        _print_worst_classes(evaluation, evaluation.classes.worst)
        _print_reports(evaluation)
        return
    seasons = {made.season for made in evaluation.forecasts if made.season}
    season = f"season of {seasons.pop()}" if len(seasons) == 1 else "season"
    print_errors(evaluation.totals, season)
    for score in evaluation.totals:
        _say(verdict(score))
    _print_streams(evaluation, season)
    print_intervals(evaluation.totals, evaluation)
    _print_worst(evaluation)
    _print_reports(evaluation)


def _say(sentence: str) -> None:
    console.print(sentence, markup=False)


def _grid(*columns: str, left: Sequence[str] = ()) -> Table:
    """Return a table without lines; its columns are numbers but for those named."""
    grid = Table(box=None, pad_edge=False)
    for column in columns:
        grid.add_column(column, justify="left" if column in left else "right", no_wrap=True)
    return grid


def number(value: float | None) -> str:
    """Format a number in five digits; nothing if it is unknown."""
    return "" if value is None or isnan(value) else f"{value:.5g}"


def print_errors(scores: Sequence[Score], season: str, named: bool = False) -> None:
    """Print the errors of scores beside those of the baselines."""
    left = ("series", "target")
    series = ("series",) if named else ()
    has_season = any(score.errors.season is not None for score in scores)
    names = ("persistence", *(("season",) if has_season else ()), "autoregression")
    shown = [season if name == "season" else name for name in names]
    grid = _grid(
        *series, "target", "ahead", "values", "mae", "rmse", "bias", "mase", *shown, left=left
    )
    for score in scores:
        errors = score.errors
        grid.add_row(
            *([_escape(score.stream or "")] if named else []),
            _escape(score.target),
            str(score.horizon),
            f"{errors.values:,}",
            *map(number, (errors.mae, errors.rmse, errors.bias, errors.mase)),
            *(number(errors.baselines.get(name)) for name in names),
        )
    console.print(grid)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def verdict(score: Score) -> str:
    """Return how the model compares with the best baseline, in a sentence."""
    errors = score.errors
    if not errors.values:
        return f"{score.output}: no value to compare with"
    best = min(errors.baselines, key=lambda name: errors.baselines[name])
    if not errors.best_baseline > 0:
        said = "no error either" if errors.mae == 0 else "this series needs no model"
        return f"{score.output}: {best} makes no error, {said}"
    gain = 100 * (1 - errors.against_best)
    side = "below" if gain >= 0 else "ABOVE"
    return f"{score.output}: the error is {abs(gain):.1f} % {side} the best of these, {best}"


def _print_streams(evaluation: Evaluation, season: str) -> None:
    """Print the errors of each series; of many those where the model is worst."""
    many = len(evaluation.streams)
    if many == 1:
        return
    scores = [score for score in evaluation.scores if score.errors.values]
    if many > MOST_STREAMS:
        scores = sorted(scores, key=lambda s: -_rank(s))[:WORST_STREAMS]
    console.print()
    if many > MOST_STREAMS:
        _say(f"the worst of {many:,} series, by mase (--json has all):")
    print_errors(scores, season, named=True)


def _rank(score: Score) -> float:
    mase = score.errors.mase
    return -1.0 if isnan(mase) else mase


def print_intervals(scores: Sequence[Score], evaluation: Evaluation) -> None:
    """Print how many values fell inside each interval."""
    grid = _grid(
        "target", "ahead", "interval", "inside", "width", "winkler", "worst 500 rows", "from",
        left=("target", "from"),
    )  # fmt: skip
    for score in scores:
        for interval in score.intervals:
            if not interval.values:
                continue
            grid.add_row(
                _escape(score.target),
                str(score.horizon),
                f"{100 * interval.level:g} %",
                f"{100 * interval.coverage:.1f} %",
                number(interval.width),
                number(interval.winkler),
                f"{100 * interval.worst:.1f} %",
                _escape(evaluation.when(interval.worst_row)),
            )
    if grid.row_count:
        console.print()
        console.print(grid)


def _print_worst(evaluation: Evaluation) -> None:
    """Print where the errors were largest."""
    streams = evaluation.table.streams
    grid = _grid(
        *(["series"] if streams else []),
        *("target", "ahead", "worst from", "to", "mae", "times the mean"),
        left=("series", "target", "worst from", "to"),
    )
    for score in evaluation.totals:
        for stretch in score.worst[:MOST_STRETCHES]:
            grid.add_row(
                *([_escape(streams[stretch.first_row])] if streams else []),
                _escape(score.target),
                str(score.horizon),
                _escape(evaluation.when(stretch.first_row)),
                _escape(evaluation.when(stretch.last_row)),
                number(stretch.mae),
                number(stretch.times),
            )
    if grid.row_count:
        console.print()
        console.print(grid)


def _print_worst_classes(evaluation: Evaluation, worst: Sequence[Stretch]) -> None:
    """Print where most was told wrong."""
    streams = evaluation.table.streams
    grid = _grid(
        *(["series"] if streams else []),
        *("worst from", "to", "told wrong", "times the mean"),
        left=("series", "worst from", "to"),
    )
    for stretch in worst[:MOST_STRETCHES]:
        grid.add_row(
            *([_escape(streams[stretch.first_row])] if streams else []),
            _escape(evaluation.when(stretch.first_row)),
            _escape(evaluation.when(stretch.last_row)),
            f"{100 * stretch.mae:.1f} %",
            number(stretch.times),
        )
    if grid.row_count:
        console.print()
        console.print(grid)


def _print_reports(evaluation: Evaluation) -> None:
    """Print alarms, and what was missing."""
    reports = evaluation.streams
    rows = sum(report.evaluated for report in reports)
    cells = sum(report.missing_values for report in reports)
    gaps = sum(report.missing_rows for report in reports)
    online = evaluation.model.online
    if cells or gaps or (online is not None and online.anomaly):
        console.print()
    if cells or gaps:
        _say(f"missing: {counted(cells, 'value')}, {counted(gaps, 'row')}")
    if online is not None and online.anomaly:
        _print_alarms(evaluation, reports, rows)


def _print_alarms(evaluation: Evaluation, reports: Sequence[StreamReport], rows: int) -> None:
    raised = [(alarm, report.stream) for report in reports for alarm in report.alarms]
    rate = f", {len(raised) / rows:.1g} a row" if raised and rows else ""
    _say(f"{counted(len(raised), 'alarm')} in {counted(rows, 'row')}{rate}")
    if not raised:
        return
    many = len(reports) > 1
    grid = _grid(*(["series"] if many else []), "alarm at", "kind", "score", "p",
                 left=("series", "alarm at", "kind"))  # fmt: skip
    shown = sorted(raised, key=lambda pair: -pair[0].score)[:MOST_ALARMS]
    for alarm, stream in sorted(shown, key=lambda pair: pair[0].row):
        grid.add_row(
            *([_escape(stream)] if many else []),
            _escape(evaluation.when(alarm.row)),
            alarm.kind,
            f"{alarm.score:.1f}",
            f"{alarm.p_value:.1g}",
        )
    console.print(grid)
    if len(shown) < len(raised):
        _say(f"these are the {len(shown)} with the highest scores; --json has all")
