"""Pictures of forecasts for files and notebooks."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from .choice import chosen_streams, last_rows
from .palette import PRINT, check_plots, plotting
from .plots import draw_error_over_time, draw_forecast

if TYPE_CHECKING:
    from ..evaluation.evaluation import Evaluation

FORMATS = (".png", ".svg", ".pdf")


def check_picture(path: str | PathLike[str]) -> None:
    """Check that a picture can be drawn, before there is anything to draw.

    Raises
    ------
    StreamLSTMError
        If matplotlib is missing.
    DataError
        If the name has another suffix than .png, .svg or .pdf.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise DataError(f"{path}: expected a picture's name that ends in {', '.join(FORMATS)}")
    check_plots()


def figure(evaluation: Evaluation, stream: str | None = None, rows: int = 240) -> Any:
    """Return a figure: for each output the last forecasts beside what came, and its error.

    Parameters
    ----------
    evaluation : Evaluation
    stream : str, optional
        The stream to draw; a typical one if left out.
    rows : int
        How many forecasts are drawn.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        If there is no such stream.
    StreamLSTMError
        If matplotlib is missing.
    """
    if stream is not None and stream not in evaluation.groups:
        raise DataError(f"expected a stream of {evaluation.table.path}, got {stream!r}")
    shown = [n for n, score in enumerate(evaluation.totals) if score.errors.values][:8]
    with plotting(PRINT):
        from matplotlib.figure import Figure

        made = Figure(figsize=(9, 1.2 + 3.2 * len(shown)), layout="constrained")
        all_axes = made.subplots(2 * len(shown), height_ratios=[2, 1] * len(shown))
        for n, output in enumerate(shown):
            forecasts = evaluation.forecasts[output]
            name = chosen_streams(evaluation, output)[0][0] if stream is None else stream
            scored = forecasts.rows(evaluation.groups[name])
            close, over_time = all_axes[2 * n], all_axes[2 * n + 1]
            close.set_title(f"{forecasts.output}{f' of {name}' if name else ''}")
            last = last_rows(evaluation, forecasts, name, rows)
            if len(scored):
                draw_forecast(close, evaluation, forecasts, last, PRINT)
                draw_error_over_time(over_time, evaluation, forecasts, scored, PRINT)
    return made


def save(drawn: Any, path: str | PathLike[str]) -> None:
    """Write a figure to a file; without a date in it the same picture is the same file."""
    suffix = Path(path).suffix.lower()
    metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with plotting(PRINT):
        drawn.savefig(path, format=suffix[1:], dpi=140, metadata=metadata.get(suffix, {}))
