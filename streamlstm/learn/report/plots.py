"""The plots of a report, each drawn into axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...data.spacing import usual_spacing
from ...plots.axes import DAY
from ...plots.style import Palette
from ..evaluation.forecasts import Forecasts, Rows
from ..evaluation.stretches import stretch_means
from .time_axis import local_time, place_rows, zone_name

if TYPE_CHECKING:
    from ..evaluation.evaluation import Evaluation

Array = NDArray[Any]
_MEANS = 300  # points of a line over a long time
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def draw_forecast(
    axes: Any, evaluation: Evaluation, made: Forecasts, rows: Rows, palette: Palette
) -> None:
    """Draw what was forecast in some rows beside what came, with the widest interval."""
    x = place_rows(axes, evaluation.table, evaluation.model, made.aimed[rows])
    draw_lines(axes, x, made, rows, palette)
    _mark_alarms(axes, evaluation, made, rows, x, palette)
    axes.legend(loc="best", ncols=4)


def draw_lines(axes: Any, x: Array, made: Forecasts, rows: Rows, palette: Palette) -> None:
    """Draw forecasts, what came as far as it is known, and the widest interval."""
    actual, band = made.actual[rows], None
    if made.levels:
        low, high = made.low[rows, -1], made.high[rows, -1]
        # The side that an interval does not have reaches as far as values do.
        values = np.concatenate([actual, made.made[rows]])
        bottom, top = np.nanmin(values), np.nanmax(values)
        open_below, open_above = np.isnan(low) & ~np.isnan(high), np.isnan(high) & ~np.isnan(low)
        low, high = np.where(open_below, bottom, low), np.where(open_above, top, high)
        band = low, high, f"{100 * made.levels[-1]:g} % interval"
    draw_beside(axes, x, made.made[rows], actual, band, palette)
    axes.set_ylabel(made.target)


def draw_beside(
    axes: Any,
    x: Array,
    made: Array,
    actual: Array,
    band: tuple[Array, Array, str] | None,
    palette: Palette,
) -> None:
    """Draw forecasts beside what came, and a named band between two bounds if there is one."""
    if band is not None:
        low, high, name = band
        axes.fill_between(x, low, high, color=palette.made, alpha=0.2, lw=0, label=name)
    axes.plot(x, made, color=palette.made, lw=1.2, label="forecast")
    if np.isfinite(actual).any():
        axes.plot(x, actual, color=palette.ink, lw=0.8, label="what came")


def _mark_alarms(
    axes: Any, evaluation: Evaluation, made: Forecasts, rows: Rows, x: Array, palette: Palette
) -> None:
    """Mark the rows that raised an alarm."""
    raised = [alarm.row for report in evaluation.streams for alarm in report.alarms]
    hit = np.isin(made.aimed[rows], raised)
    if hit.any():
        values = made.actual[rows][hit]
        axes.plot(x[hit], values, "v", ms=6, color=palette.alarm, label="alarm")


def draw_error_over_time(
    axes: Any, evaluation: Evaluation, made: Forecasts, rows: Rows, palette: Palette
) -> None:
    """Draw the mean absolute error of consecutive stretches, and that of the baselines."""
    length = max(-(-len(rows) // _MEANS), min(20, max(len(rows) // 20, 1)))
    actual = made.actual[rows]
    starts, means = stretch_means(np.abs(made.made[rows] - actual), length)
    x = place_rows(axes, evaluation.table, evaluation.model, made.aimed[rows[starts]])
    baselines = [
        ("persistence", made.persistence, ":"),
        ("autoregression", made.autoregression, "--"),
    ]
    if made.season is not None:
        baselines.append(("a season ago", made.seasonal, "-"))
    tops = []
    for name, baseline, line in baselines:
        _, theirs = stretch_means(np.abs(baseline[rows] - actual), length)
        axes.plot(x, theirs, line, color=palette.other, lw=0.8, alpha=0.8, label=name)
        tops.append(float(np.quantile(theirs, 0.9)))
    axes.plot(x, means, color=palette.made, lw=1.4, label="model")
    # A baseline may fail for a while; the plot is of the model.
    axes.set_ylim(0, 1.25 * max(float(means.max()), *tops) or 1)
    axes.set_ylabel(f"mean error of {length} rows" if length > 1 else "error")
    axes.legend(loc="best", ncols=4)


def draw_by_hour(
    axes: Any, evaluation: Evaluation, made: Forecasts, rows: Rows, palette: Palette
) -> bool:
    """Draw the residuals of each hour of the day; return whether there are times of day."""
    time = _local_time(evaluation, made.aimed[rows])
    spacing = usual_spacing(evaluation.table)
    if time is None or spacing is None or spacing >= DAY / 2:
        return False
    hours = (time // 3600 % 24).astype(int)
    _draw_groups(axes, made, rows, hours, range(24), palette)
    axes.set_xticks(range(0, 24, 3), [f"{hour}:00" for hour in range(0, 24, 3)])
    axes.set_xlabel(f"hour of the day ({zone_name(evaluation.model)})")
    return True


def draw_by_weekday(
    axes: Any, evaluation: Evaluation, made: Forecasts, rows: Rows, palette: Palette
) -> bool:
    """Draw the residuals of each day of the week; return whether there are several."""
    time = _local_time(evaluation, made.aimed[rows])
    spacing = usual_spacing(evaluation.table)
    if time is None or np.ptp(time) < 7 * DAY or spacing is None or spacing > DAY:
        return False
    days = ((time // DAY + 3) % 7).astype(int)  # 1970 began on a Thursday
    _draw_groups(axes, made, rows, days, range(7), palette)
    axes.set_xticks(range(7), WEEKDAYS)
    axes.set_xlabel("day of the week")
    return True


def _draw_groups(
    axes: Any, made: Forecasts, rows: Rows, group: Array, groups: Sequence[int], palette: Palette
) -> None:
    """Draw the mean error and the mean absolute error of each group of rows."""
    error = -made.error[rows]
    counts = np.bincount(group, minlength=len(groups)).astype(float)
    counts[counts == 0] = np.nan
    size = np.bincount(group, np.abs(error), len(groups)) / counts
    mean = np.bincount(group, error, len(groups)) / counts
    axes.bar(
        groups, size, color=palette.made, alpha=0.35, width=0.8, label="mean size of the error"
    )
    axes.plot(
        groups, mean, "o-", ms=3, lw=0.8, color=palette.ink, label="mean of value less forecast"
    )
    axes.axhline(0, color=palette.faint, lw=0.6)
    axes.set_ylabel("error")
    axes.margins(y=0.25)
    axes.legend(loc="upper right", ncols=2)


def draw_reliability(axes: Any, evaluation: Evaluation, palette: Palette) -> None:
    """Draw the share of values inside each interval over the share that it promises."""
    axes.plot([0, 1], [0, 1], color=palette.faint, lw=0.8, label="as promised")
    markers = "osD^v<>P"
    for n, score in enumerate(evaluation.totals):
        known = [interval for interval in score.intervals if interval.values]
        if not known:
            continue
        levels = [interval.level for interval in known]
        name = (
            f"{score.output}, {score.horizon} ahead" if len(evaluation.totals) > 1 else "all rows"
        )
        axes.plot(
            levels,
            [interval.coverage for interval in known],
            markers[n % len(markers)] + "-",
            color=palette.made,
            ms=5,
            lw=1,
            label=name if n < 8 else None,
        )
        if len(evaluation.totals) == 1:
            worst = [interval.worst for interval in known]
            axes.plot(levels, worst, "x", color=palette.alarm, ms=5, label="worst 500 rows")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.set_xlabel("share promised")
    axes.set_ylabel("share inside")
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1))


def draw_learning_curve(
    axes: Any,
    history: Sequence[tuple[float, float]],
    palette: Palette,
    baseline: str = "persistence's",
) -> None:
    """Draw loss and validation error of each epoch of a training.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    history : sequence of (float, float)
        Loss, and validation error as a fraction of the baseline's.
    palette : Palette
    baseline : str
        Whose error is 1.
    """
    loss, validation = (np.array(part) for part in zip(*history, strict=True))
    epochs = np.arange(1, len(loss) + 1)
    name = f"validation error, of {baseline}"
    axes.plot(epochs, validation, color=palette.made, lw=1.4, label=name)
    best = int(np.argmin(validation))
    axes.plot([best + 1], [validation[best]], "o", ms=5, color=palette.made, label="best")
    name = "training loss, of the first epoch's"
    axes.plot(epochs, loss / max(loss[0], 1e-30), color=palette.other, lw=1, label=name)
    axes.axhline(1, color=palette.faint, lw=0.6)
    axes.set_ylim(0, max(1.2, min(float(validation.max()) * 1.05, 3)))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch")
    axes.legend(loc="best")


def draw_by_horizon(axes: Any, evaluation: Evaluation, target: str, palette: Palette) -> None:
    """Draw the error of a target over how far ahead it was forecast."""
    scores = sorted((s for s in evaluation.totals if s.target == target), key=lambda s: s.horizon)
    ahead = [score.horizon for score in scores]
    for name, line in (("persistence", ":"), ("autoregression", "--"), ("season", "-")):
        errors = [score.errors.baselines.get(name, np.nan) for score in scores]
        if np.isfinite(errors).any():
            axes.plot(ahead, errors, line, color=palette.other, lw=0.9, label=name)
    axes.plot(ahead, [s.errors.mae for s in scores], "o-", ms=3, color=palette.made, label="model")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("rows ahead")
    axes.set_ylabel("mean error")
    axes.legend(loc="best")


def _local_time(evaluation: Evaluation, rows: Rows) -> Array | None:
    time = evaluation.table.time
    return None if time is None else local_time(time[rows], evaluation.model)
