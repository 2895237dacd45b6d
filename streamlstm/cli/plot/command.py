"""``streamlstm plot``: draws a stream, of a table or as a worker serves it."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option

from streamlstm.cli.signals import sigterm_as_interrupt
from streamlstm.cli.table_options import reads_table_with_gaps
from streamlstm.cli.worker_options import Endpoints, Key, Router, Server

if TYPE_CHECKING:
    from rich.text import Text

    from streamlstm.cli.plot.live import Recent
    from streamlstm.plots.strip import Strip

FRAMES = 5.0  # drawings a second
LINES, PIPE_WIDTH = 20, 100  # of a drawing that has no terminal


@reads_table_with_gaps
def plot(
    data: Annotated[
        str | None,
        Argument(
            metavar="[DATA]",
            help="A table, such as predict and detect write; left out, a worker is listened to.",
        ),
    ] = None,
    stream: Annotated[str | None, Option(help="The stream to draw.")] = None,
    column: Annotated[
        list[str] | None,
        Option(help="The column to draw, may be repeated; of a worker the output, one."),
    ] = None,
    last: Annotated[int | None, Option(min=2, help="Only so many rows at the end.")] = None,
    out: Annotated[
        Path | None,
        Option(help="Write a picture (.png, .svg, .pdf) instead of drawing in the terminal."),
    ] = None,
    seconds: Annotated[
        float, Option(min=1.0, help="How long to listen to a worker; Ctrl-C ends it earlier.")
    ] = 60.0,
    router: Router = None,
    xpub: Annotated[
        str | None,
        Option(help="Endpoint of the worker's XPUB socket; tcp://127.0.0.1:7452 by default."),
    ] = None,
    endpoints: Endpoints = None,
    key: Key = None,
    server: Server = None,
    *,
    reading: dict[str, Any],
) -> None:
    """Draw a stream in the terminal, or as a picture: values, forecasts, intervals, alarms.

    Of a table its columns of numbers are drawn over time; of what `predict` and `detect` wrote,
    bounds as a band, scores and alarms as such. Without a table the stream is drawn as a worker or
    a fleet serves it from now on: what came where its model has an online stage, and what had been
    predicted for it.

    \b
    Example:
      streamlstm plot data.csv --column value --last 500
      streamlstm plot predictions.csv --stream pump-7 --out pump-7.png
      streamlstm plot --stream pump-7 --endpoints worker.json
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.cli.output_path import check_output
    from streamlstm.plots.files import check_picture

    if out is not None:
        check_output("--out", out, **({} if data is None else {"data": data}))
        check_picture(out)
    if data is not None:
        from streamlstm.cli.plot.table import read_strip

        strip, name = read_strip(data, column or (), stream, reading)
        title = " of ".join(
            [*([name] if name else []), "stdin" if data == "-" else Path(data).name]
        )
        _show(strip if last is None else strip.last(last), title, out)
        return
    if stream is None:
        raise BadParameter("expected a table, or --stream NAME of a running worker")
    if column is not None and len(column) > 1:
        raise BadParameter("expected one output of the worker's model", param_hint="--column")
    where = {"router": router, "endpoints": endpoints, "key": key, "server": server}
    recent = _listen(where, xpub, stream, column[0] if column else None)
    with recent.subscriber:
        shown = _draw_live(recent, seconds, last) if out is None else _collect(recent, seconds)
    if not len(recent):
        from streamlstm.errors import DataError

        raise DataError(
            f"{stream}: the worker predicted nothing for it while it was listened to; `streamlstm "
            "streams` lists those that it has"
        )
    if not shown:
        _show(_of(recent, last), stream, out)


def _of(recent: Recent, last: int | None) -> Strip:
    return recent.strip() if last is None else recent.strip().last(last)


def _listen(where: dict[str, Any], xpub: str | None, stream: str, output: str | None) -> Recent:
    """Begin to listen to a worker, which has to be there."""
    from streamlstm.cli.plot.live import Recent, subscribe
    from streamlstm.cli.worker_options import connect

    keys = {"key": where["key"], "server": where["server"]}
    with connect(**where) as client:
        model = client.info()["model"]
    return Recent(subscribe(where["endpoints"], xpub, stream, keys), stream, model, output)


def _collect(recent: Recent, seconds: float) -> bool:
    """Listen for some seconds or until Ctrl-C; tell that nothing was drawn."""
    from streamlstm.cli.console import err

    if err.is_terminal:
        err.print(f"listening to {recent.stream} for {seconds:g} s; Ctrl-C ends it earlier")
    with sigterm_as_interrupt(), suppress(KeyboardInterrupt):
        for _ in recent.follow(seconds):
            pass
    return False


def _draw_live(recent: Recent, seconds: float, last: int | None) -> bool:
    """Draw each change over the drawing before; tell whether there is a terminal for that."""
    from rich.live import Live

    from streamlstm.cli.console import console

    if not console.is_terminal:
        return _collect(recent, seconds)
    drawn = 0.0
    with sigterm_as_interrupt(), Live(console=console, auto_refresh=False) as live:
        with suppress(KeyboardInterrupt):
            for _ in recent.follow(seconds):
                if len(recent) and time.monotonic() - drawn > 1 / FRAMES:
                    live.update(_drawing(_of(recent, last), recent.stream), refresh=True)
                    drawn = time.monotonic()
        if len(recent):
            live.update(_drawing(_of(recent, last), recent.stream), refresh=True)
    return True


def _drawing(strip: Strip, title: str) -> Text:
    from streamlstm.cli.console import console
    from streamlstm.cli.plot.dots import draw_dots

    if not console.is_terminal:
        return draw_dots(strip, title, PIPE_WIDTH, LINES)
    return draw_dots(strip, title, console.width, min(console.height - 1, LINES))


def _show(strip: Strip, title: str, out: Path | None) -> None:
    """Draw in the terminal, or write a picture."""
    from streamlstm.cli.console import console, err

    if out is None:
        console.print(_drawing(strip, title))
        return
    from streamlstm.plots.strip import draw_strip

    draw_strip(strip, title).save(out)
    err.print(f"wrote {out}: {len(strip.at):,} rows", markup=False)
