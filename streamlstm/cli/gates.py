"""`streamlstm gates`: a picture of what the gates of a network do over a series."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streamlstm.cli.row_selection import Stretch
    from streamlstm.inside import Recording


def gates(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model file, as `train` writes it.")
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A CSV file (.csv, .csv.gz), or - for stdin.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The picture: .png, .svg or .pdf; by default gates.png."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Write the numbers there; alone, no picture is drawn."),
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="The series to look at, where there are several.")
    ] = None,
    stream_column: Annotated[
        str | None,
        typer.Option(help="The column that names each row's series; with --stream, `stream`."),
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(help="The time column, where it is not found by itself.")
    ] = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            "--layer",
            help="A layer by its number, from 0; by default all that remember. May be repeated.",
        ),
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Which units, such as 3,7,20-31; six or fewer become lines.")
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--from", help="The first row to show: its number, from 1, or a time stamp."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="The last row to show, likewise.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Show only the last rows.")] = None,
) -> None:
    """Draw what every gate does over a series: when the network forgets and what it lets in.

    The series and the prediction stand on top; below them, over the same time, the gates, the
    candidate, the cell and the hidden state of each recurrent layer, one row a unit. The stream
    starts from a fresh state at the first row of the series, also where a later part is shown.

    \b
    Example:
      streamlstm gates model.safetensors data.csv --out gates.png
      streamlstm gates model.safetensors data.csv --stream pump-7 --last 500 --out gates.svg
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.backends.factory import compile_for
    from streamlstm.cli.row_selection import read_stretch
    from streamlstm.inside import draw, record
    from streamlstm.inside.figure import check_drawing
    from streamlstm.inside.record import choose_layers
    from streamlstm.network.model import Model

    if out is None and csv is None:
        out = Path("gates.png")
    if out is not None:
        check_drawing(out)
    for option, path in (("--out", out), ("--csv", csv)):
        _check_place(option, path, data)
    wanted = None if units is None else _unit_numbers(units)
    network = Model.load(model)
    choose_layers(network, layer, wanted)  # what is not there is said before anything is done
    stretch = read_stretch(
        data,
        network,
        stream=stream,
        stream_column=stream_column,
        time_column=time_column,
        begin=begin,
        end=end,
        last=last,
    )
    compile_for(network)
    with _watched(len(stretch.values)) as on_step:
        recording = record(
            network,
            stretch.values,
            first=stretch.first,
            layers=layer,
            units=wanted,
            on_step=on_step,
        )
    if csv is not None:
        _write_numbers(csv, recording, stretch)
        _say(f"wrote {csv}: {len(recording)} rows")
    if out is not None:
        source = "standard input" if data == "-" else Path(data).name
        title = " of ".join([*([stretch.name] if stretch.name else []), source])
        time = None if stretch.time is None else stretch.time[stretch.first :]
        draw(recording, out, time=time, title=f"{title}, seen by {model.name}")
        _say(f"wrote {out}: {len(recording)} rows")


def _say(line: str) -> None:
    from streamlstm.cli.console import console

    console.print(line, markup=False)


def _check_place(option: str, path: Path | None, data: str) -> None:
    """Refuse now what could not be written in the end."""
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
    """Read ``3,7,20-31`` as numbers."""
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
def _watched(rows: int) -> Iterator[Callable[[int], None]]:
    """Show how far it is once that takes longer than a second; yields what to call."""
    from time import monotonic

    from rich.progress import Progress

    from streamlstm.cli.console import err

    began = due = 0.0
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("looking inside", total=rows, visible=False)

        def on_step(done: int) -> None:
            nonlocal began, due
            if not began:
                began, due = monotonic(), monotonic() + 1.0
            if monotonic() < due:
                return
            due = monotonic() + (0.1 if err.is_terminal else 2.0)
            progress.update(task, completed=done, visible=True)
            if not err.is_terminal:
                left = (monotonic() - began) / done * (rows - done)
                err.print(f"looking inside: row {done} of {rows}, {left:.0f} s left")

        yield on_step


def _write_numbers(path: Path, recording: "Recording", stretch: "Stretch") -> None:
    """Write every number of a recording, as short as it reads back to the same float32."""
    import csv

    columns: dict[str, list[Any]] = {
        "row": list(range(recording.first + 1, recording.first + 1 + len(recording)))
    }
    if stretch.stamps:
        columns[stretch.time_column] = stretch.stamps[stretch.first :]
    columns |= {name: values.astype(str).tolist() for name, values in recording.columns().items()}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
