"""The report: one HTML file that needs nothing else, light or dark as its reader likes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from ...files import replace_file
from ...plots.style import check_plots
from .captions import (
    CLASS_CURVE,
    CURVE,
    DAYS,
    GLOSSARY,
    HOURS,
    LAST,
    OVER_TIME,
    RELIABILITY,
    WORST,
)
from .choice import chosen_outputs, chosen_streams, last_rows, worst_rows
from .class_page import GLOSSARY as CLASS_GLOSSARY
from .class_page import class_sections
from .parts import paragraph, plot
from .plots import (
    draw_by_horizon,
    draw_by_hour,
    draw_by_weekday,
    draw_error_over_time,
    draw_forecast,
    draw_learning_curve,
    draw_reliability,
)
from .sentences import about_alarms, about_intervals
from .style import STYLE
from .summary import summary
from .svg import PAGE
from .tables import alarm_table, interval_table, stream_table, worst_table

if TYPE_CHECKING:
    from ..evaluation.evaluation import Evaluation


def write_report(evaluation: Evaluation, path: str | PathLike[str]) -> None:
    """Write the report of an evaluation as one HTML file.

    Raises
    ------
    StreamLSTMError
        If matplotlib is missing.
    DataError
        If ``path`` has another suffix than .html or .htm.
    OSError
        If the file cannot be written.
    """
    check_report(path)
    replace_file(Path(path), report(evaluation).encode())


def check_report(path: str | PathLike[str]) -> None:
    """Check that a report can be written, before there is anything to write; raises as that."""
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{path}: expected a report's name that ends in .html or .htm")
    check_plots()


def report(evaluation: Evaluation) -> str:
    """Return the report of an evaluation as a page of HTML.

    Raises
    ------
    StreamLSTMError
        If matplotlib is missing.
    """
    check_plots()
    title = f"How good the model is on {Path(evaluation.table.path).name}"
    body = "\n".join(_sections(evaluation))
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head>\n<body><main>\n<h1>{escape(title)}</h1>\n{body}\n"
        "</main></body></html>\n"
    )


def _sections(evaluation: Evaluation) -> Iterator[str]:
    yield summary(evaluation)
    if evaluation.classes is not None:
        yield from class_sections(evaluation, evaluation.classes)
    else:
        yield from _about_forecasts(evaluation)
    said = about_alarms(evaluation)
    if said:
        yield f"<h2>Alarms and missing values</h2>{paragraph(said)}{alarm_table(evaluation)}"
    yield from _training(evaluation)
    yield GLOSSARY if evaluation.classes is None else CLASS_GLOSSARY


def _about_forecasts(evaluation: Evaluation) -> Iterator[str]:
    """Yield what forecasts were like."""
    yield from _plots_by_horizon(evaluation)
    for output in chosen_outputs(evaluation):
        yield from _about_output(evaluation, output)
    yield from _intervals(evaluation)
    yield "<h2>Where it was worst</h2>"
    yield worst_table(evaluation)
    yield stream_table(evaluation)


def _training(evaluation: Evaluation) -> Iterator[str]:
    """Yield the learning curve."""
    if len(evaluation.history) > 1:
        baseline = "persistence's" if evaluation.classes is None else "the class frequencies'"
        yield "<h2>How it was trained</h2>"
        draw = partial(
            draw_learning_curve, history=evaluation.history, palette=PAGE, baseline=baseline
        )
        yield plot("curve", draw, CURVE if evaluation.classes is None else CLASS_CURVE)


def _about_output(evaluation: Evaluation, output: int) -> Iterator[str]:
    """Yield the plots of one output."""
    made = evaluation.forecasts[output]
    name = f"{made.output}, {made.horizon} ahead" if made.horizon != 1 else made.output
    for number, (stream, what) in enumerate(chosen_streams(evaluation, output)):
        about: dict[str, Any] = {"evaluation": evaluation, "made": made, "palette": PAGE}
        rows, key = made.rows(evaluation.groups[stream]), f"{output}-{number}"
        last, worst = (choose(evaluation, made, stream) for choose in (last_rows, worst_rows))
        of = f" of {stream} ({what})" if what else ""
        yield f"<h2>{escape(name + of)}</h2>"
        yield plot(f"last-{key}", partial(draw_forecast, rows=last, **about), LAST)
        if len(worst):
            yield plot(f"worst-{key}", partial(draw_forecast, rows=worst, **about), WORST)
        yield plot(f"time-{key}", partial(draw_error_over_time, rows=rows, **about), OVER_TIME)
        hours, days = (
            partial(draw_by_hour, rows=rows, **about),
            partial(draw_by_weekday, rows=rows, **about),
        )
        yield _pair(plot(f"hour-{key}", hours, HOURS), plot(f"day-{key}", days, DAYS))


def _plots_by_horizon(evaluation: Evaluation) -> Iterator[str]:
    """Yield a plot for each target that is forecast for three horizons or more."""
    targets = [score.target for score in evaluation.totals if score.errors.values]
    for n, target in enumerate(dict.fromkeys(targets)):
        if targets.count(target) >= 3:
            draw = partial(draw_by_horizon, evaluation=evaluation, target=target, palette=PAGE)
            yield plot(f"ahead-{n}", draw, f"The error of {target} over how far ahead it is.")


def _intervals(evaluation: Evaluation) -> Iterator[str]:
    """Yield what intervals held, if there are any."""
    if not any(i.values for score in evaluation.totals for i in score.intervals):
        return
    yield "<h2>How far the intervals can be trusted</h2>"
    for score in evaluation.totals[:3]:
        yield paragraph(about_intervals(score))
    yield interval_table(evaluation)
    draw = partial(draw_reliability, evaluation=evaluation, palette=PAGE)
    yield plot("reliability", draw, RELIABILITY, height=3.4)


def _pair(*figures: str) -> str:
    return f'<div class="pair">{"".join(figures)}</div>' if any(figures) else ""
