"""`streamlstm gates`: draws the gates of a network over a series."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlstm.cli.signals import exit_on_interrupt
from streamlstm.cli.table_options import ModelFile, TableFile, reads_table_with_gaps

if TYPE_CHECKING:
    from streamlstm.cli.gates.series import SeriesSlice
    from streamlstm.inside import Recording


@reads_table_with_gaps
def gates(
    model: ModelFile,
    data: TableFile,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The picture: .png, .svg or .pdf; gates.png by default."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", help="Write the numbers to this file; without --out no picture is drawn."
        ),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(
            "--stream",
            help="The series to show, where there are several; their column is `stream` unless "
            "--stream-column names it.",
        ),
    ] = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            "--layer",
            help="Number of a layer, from 0; by default all recurrent layers. May be repeated.",
        ),
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Units, such as 3,7,20-31; up to six are drawn as lines.")
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--from", help="First row to show: its number, from 1, or a time stamp."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Last row to show: its number, or a time stamp.")
    ] = None,
    last: Annotated[
        int | None, typer.Option(min=1, help="Show only this many rows at the end.")
    ] = None,
    *,
    reading: dict[str, Any],
) -> None:
    """Draw the gates of a network over a series: when it forgets and what it lets in.

    The picture shows the series and the prediction on top, and below them, on the same time axis,
    the gates, the candidate, the cell and the hidden state of each recurrent layer, one row a
    unit. The stream starts from a fresh state at the first row of the series, also if only a
    later part is shown.

    \b
    Example:
      streamlstm gates model.safetensors data.csv --out gates.png
      streamlstm gates model.safetensors data.csv --stream pump-7 --last 500 --out gates.svg
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.backends.warmup import compile_for
    from streamlstm.cli.gates.series import read_series
    from streamlstm.inside import draw, record
    from streamlstm.inside.record import choose_layers
    from streamlstm.network.model import Model
    from streamlstm.plots.files import check_picture

    if out is None and csv is None:
        out = Path("gates.png")
    if out is not None:
        check_picture(out)
    for option, path in (("--out", out), ("--csv", csv)):
        _check_writable(option, path, data)
    chosen_units = None if units is None else _unit_numbers(units)
    network = Model.load(model)
    choose_layers(network, layer, chosen_units)  # raises before any work if one does not exist
    series = read_series(
        data,
        network,
        reading,
        stream=stream,
        begin=begin,
        end=end,
        last=last,
    )
    with exit_on_interrupt():  # the compiler swallows some interrupts
        compile_for(network)
    with _show_progress(len(series.values)) as on_step:
        recording = record(
            network,
            series.values,
            first=series.first,
            layers=layer,
            units=chosen_units,
            on_step=on_step,
            times=None if series.time is None else series.time.tolist(),
        )
    if csv is not None:
        _write_numbers(csv, recording, series)
        _print(f"wrote {csv}: {len(recording)} rows")
    if out is not None:
        source = "standard input" if data == "-" else Path(data).name
        title = " of ".join([*([series.name] if series.name else []), source])
        time = None if series.time is None else series.time[series.first :]
        draw(recording, out, time=time, title=f"{title}, seen by {model.name}")
        _print(f"wrote {out}: {len(recording)} rows")


def _print(line: str) -> None:
    from streamlstm.cli.console import console

    console.print(line, markup=False)


def _check_writable(option: str, path: Path | None, data: str) -> None:
    """Raise before the work if an output cannot be written; devices can."""
    import os

    from streamlstm.errors import DataError

    if path is None:
        return
    if path.is_dir():
        raise DataError(f"{option} {path}: expected a file to write, this is a directory")
    if not path.parent.is_dir():
        raise DataError(f"{option} {path}: there is no directory {path.parent}; create it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise DataError(f"{option} {path}: may not be written to; choose another place")
    if data != "-" and path.exists() and Path(data).exists() and path.samefile(data):
        raise DataError(f"{option} {path}: this is the file with the data; choose another name")


def _unit_numbers(text: str) -> list[int]:
    """Parse numbers and ranges like ``3,7,20-31``."""
    import re

    from streamlstm.errors import DataError

    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        begin, end = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if begin > end:
            raise DataError(f"--units {text}: expected numbers and ranges like 3,7,20-31")
        numbers += range(begin, end + 1)
    return numbers


@contextmanager
def _show_progress(rows: int) -> Iterator[Callable[[int], None]]:
    """Show the progress after a second; yields the callback for each row."""
    from time import monotonic

    from rich.progress import Progress

    from streamlstm.cli.console import err

    started = due = 0.0
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("looking inside", total=rows, visible=False)

        def on_step(done: int) -> None:
            nonlocal started, due
            if not started:
                started, due = monotonic(), monotonic() + 1.0
            if monotonic() < due:
                return
            due = monotonic() + (0.1 if err.is_terminal else 2.0)
            progress.update(task, completed=done, visible=True)
            if not err.is_terminal:
                left = (monotonic() - started) / done * (rows - done)
                err.print(f"looking inside: row {done} of {rows}, {left:.0f} s left")

        yield on_step


def _write_numbers(path: Path, recording: "Recording", series: "SeriesSlice") -> None:
    """Write a recording as CSV, each number in the fewest digits that give the same float32."""
    import csv

    columns: dict[str, list[Any]] = {
        "row": list(range(recording.first + 1, recording.first + 1 + len(recording)))
    }
    if series.stamps:
        columns[series.time_column] = series.stamps[series.first :]
    columns |= {name: values.astype(str).tolist() for name, values in recording.columns().items()}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
