"""``streamlstm bench``: a load test of one's own model against a worker."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Exit, Option

from streamlstm.cli.signals import sigterm_as_interrupt

if TYPE_CHECKING:
    from streamlstm.cli.bench.measure import Result
    from streamlstm.network.model import Model

LATE = 0.5  # of the latency: from here on it is that of the load


def bench(
    model: Annotated[Path, Option(help="The model file to serve and to make observations for.")],
    streams: Annotated[int, Option(min=1, max=1_000_000, help="Streams that take turns.")] = 10_000,
    clients: Annotated[int, Option(min=1, max=10_000, help="Connections that take turns.")] = 32,
    rate: Annotated[
        float | None,
        Option(
            min=1.0,
            max=3_000_000.0,
            help="Observations a second of all clients together; half of what the worker can "
            "answer if left out.",
        ),
    ] = None,
    seconds: Annotated[float, Option(min=0.1, max=3600.0, help="Duration.")] = 10.0,
    threads: Annotated[int, Option(min=1, max=1024, help="Threads of the worker.")] = 1,
    router: Annotated[
        str | None,
        Option(
            help="Test the worker at this endpoint instead of one of its own; streams "
            "bench-... are deleted there afterwards."
        ),
    ] = None,
    out: Annotated[
        Path | None, Option(help="Draw the latencies as a picture (.png, .svg, .pdf).")
    ] = None,
    json: Annotated[Path | None, Option(help="Write the results to this JSON file.")] = None,
) -> None:
    """Measure how a worker answers a model's observations under load: rate, latency, busy.

    Requests are sent when they are due, at random moments, whether earlier ones were answered or
    not, and a latency counts from the time at which its request was due: a stall of the worker
    counts for all that were due meanwhile (no coordinated omission). The load runs on the same
    machine, in one thread of compiled code; where it was late itself, that is told.

    \b
    Example:
      streamlstm bench --model m.safetensors --streams 10000 --clients 32 --rate 50000
      streamlstm bench --model m.safetensors --out latency.png --json latency.json
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.cli.bench.worker import own_worker
    from streamlstm.cli.output_path import check_output
    from streamlstm.errors import StreamLSTMError
    from streamlstm.loadtest.load import LoadError
    from streamlstm.network.model import Model
    from streamlstm.plots.files import check_picture

    for option, path in (("--out", out), ("--json", json)):
        if path is not None:
            check_output(option, path, model=model)
    if out is not None:
        check_picture(out)
    network = Model.load(model)
    options = ("--capacity", str(streams), "--threads", str(threads))
    with sigterm_as_interrupt() as interruption:  # what is tidied up is tidied up then, too
        try:
            with nullcontext(router) if router else own_worker(model, options) as endpoint:
                result = _run(endpoint, network, streams, clients, rate, seconds, bool(router))
        except LoadError as error:
            raise StreamLSTMError(str(error)) from None
        except KeyboardInterrupt:
            raise Exit(interruption.status) from None
    _print(result)
    if out is not None:
        _draw(out, result, f"{model.name}: {streams:,} streams, {clients} clients")
    if json is not None:
        _write(json, result, network, streams, clients)


def _run(
    endpoint: str,
    network: Model,
    streams: int,
    clients: int,
    rate: float | None,
    seconds: float,
    tidies: bool,
) -> Result:
    """Measure; delete the streams of the test afterwards where the worker lives on."""
    from streamlstm.cli.bench.measure import capacity, measure, warm_up
    from streamlstm.cli.bench.observations import one_of_each, stream_ids
    from streamlstm.cli.console import err
    from streamlstm.client.client import Client
    from streamlstm.errors import StreamLSTMError
    from streamlstm.loadtest.zmtp import Clients

    def say(text: str) -> None:
        if err.is_terminal:
            err.print(f"{text} ...", markup=False)

    ids = stream_ids(streams)
    with Client(endpoint, timeout=10) as control:
        served = control.info()["model"]["fingerprint"]
        if served != network.fingerprint:
            raise StreamLSTMError(
                f"{endpoint}: serves the model {served[:8]}, --model is {network.fingerprint[:8]}; "
                "name the file that it serves"
            )
        messages = one_of_each(ids, network)
        try:
            with Clients(endpoint, clients) as connected:
                say(f"warming up with {clients:,} clients")
                warm_up(connected, messages)
                asked = rate or max(capacity(connected, messages, say) / 2, 1.0)
                say(f"sending {asked:,.0f} observations a second for {seconds:g} s")
                return measure(control, connected, messages, asked, seconds)
        finally:
            if tidies:
                _forget(control)


def _forget(control: Any) -> None:
    from streamlstm.cli.bench.observations import PREFIX

    for stream, _ in list(control.list_streams(PREFIX)):
        control.forget(stream)


def _print(result: Result) -> None:
    """Print the result as an aligned table, and what to know of it."""
    from rich.table import Table

    from streamlstm.cli.bench.measure import QUANTILES
    from streamlstm.cli.console import console, duration

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right")
    table.add_row("asked, observations a second", f"{result.asked:,.0f}")
    table.add_row("answered a second", f"{result.answered:,.0f}")
    for q in QUANTILES:
        table.add_row(f"p{100 * q:g}", duration(result.quantile(q)))
    table.add_row("longest", duration(float(result.latency[-1])))
    table.add_row("busy", f"{result.busy:,}")
    table.add_row("other errors", f"{result.refused:,}")
    table.add_row("processors, worker", f"{result.worker:.2f}")
    table.add_row("processors, load", f"{result.load:.2f}")
    console.print(table)
    if result.late > LATE * result.quantile(0.99):
        console.print(
            f"The load itself was late: its p99 is {duration(result.late)} of that. Give it a core "
            "of its own, or ask for less.",
            markup=False,
        )
    if result.refused:
        console.print(f"The first error: {result.first!r}", markup=False)


def _draw(out: Path, result: Result, title: str) -> None:
    from streamlstm.cli.console import err
    from streamlstm.plots.latency import draw_latency

    draw_latency(result.latency, f"{title}, {result.asked:,.0f} observations a second").save(out)
    err.print(f"wrote {out}", markup=False)


def _write(path: Path, result: Result, network: Model, streams: int, clients: int) -> None:
    from json import dumps

    from streamlstm.cli.console import err
    from streamlstm.files import replace_file

    found = {
        "model": network.fingerprint,
        "streams": streams,
        "clients": clients,
        **result.to_dict(),
    }
    replace_file(path, dumps(found, indent=1).encode() + b"\n")
    err.print(f"wrote {path}", markup=False)
