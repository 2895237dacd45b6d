"""``streamlstm top``: a live table of workers and their load."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import BadParameter, Exit, Option

from ..signals import sigterm_as_interrupt
from ..worker_options import Key, Server

if TYPE_CHECKING:
    from asyncio import Task

    from .watched import Watched
    from .worker import PolledWorker, Row

# Seconds from the requests to the table: long for a busy worker, short for a person who looks at
# the workers that have answered.
GRACE = 0.5


def top(
    router: Annotated[
        list[str] | None,
        Option(
            help="Endpoint of a worker's ROUTER socket, tcp://127.0.0.1:7450 by default. May be "
            "repeated."
        ),
    ] = None,
    endpoints: Annotated[
        list[Path] | None,
        Option(
            help="Read the endpoint from the file of serve --endpoints; with the file of a fleet "
            "all of its workers are shown. May be repeated."
        ),
    ] = None,
    every: Annotated[float, Option(help="Seconds between two requests.")] = 1.0,
    key: Key = None,
    server: Server = None,
    once: Annotated[bool, Option("--once", help="Show one interval, then exit.")] = False,
) -> None:
    """Show the load of workers until Ctrl-C: steps and messages per second, latency, queue length.

    Rates per second, and the p50 and p99 of the latency, are those of the last interval.
    Arithmetic is the fraction of the time in which a worker computed; overflows counts how often
    a subscriber's queue was full since the worker started, alarms the observations that had one,
    and coverage is the share of values that were inside the widest interval forecast for them.
    Error is that of the forecasts as a multiple of that of persistence, the forecast that nothing
    changes: below 1, the model is worth something.
    Of a fleet, one worker's endpoint is enough: all are shown, as they come and go.
    Into a pipe, one table is printed after each interval. With --once the exit status is 1 if a
    worker did not answer.

    \b
    Example:
      streamlstm top --router tcp://127.0.0.1:7450 --router tcp://127.0.0.1:7460
      streamlstm top --endpoints /run/streamlstm/worker.json --once
      streamlstm top --endpoints fleet.json
    """  # noqa: D301 - \b keeps the lines of the example apart
    if not 0.1 <= every <= 3600:
        raise BadParameter("expected 0.1 to 3600 seconds", param_hint="--every")
    from asyncio import run

    from streamlstm import wire

    addresses: list[str | Path] = [*(router or ()), *(endpoints or ())]
    with sigterm_as_interrupt() as interruption:
        try:
            run(_show(_named(addresses or [wire.ROUTER]), every, once, key, server))
        except KeyboardInterrupt:
            raise Exit(interruption.status) from None


def _named(addresses: Sequence[str | Path]) -> dict[str, str | Path]:
    """Name each worker by its endpoint, or by its file's name where that is unique."""
    stems = [address.stem for address in addresses if isinstance(address, Path)]
    names = (
        address.stem
        if isinstance(address, Path) and stems.count(address.stem) == 1
        else str(address)
        for address in addresses
    )
    return dict(zip(names, addresses, strict=True))


async def _show(
    addresses: dict[str, str | Path],
    every: float,
    once: bool,
    key: Path | None,
    server: Path | None,
) -> None:
    """Poll the workers, and draw or print their table as suits the output."""
    from contextlib import AsyncExitStack, aclosing

    from ..console import console
    from .watched import Watched
    from .worker import TIMEOUT

    async with AsyncExitStack() as stack:
        workers = Watched(addresses, key, server)
        stack.push_async_callback(workers.close)
        await workers.follow()
        grace = TIMEOUT if once else min(GRACE, every / 2)
        tables = await stack.enter_async_context(aclosing(_poll_all(workers, every, grace)))
        if once:
            await anext(tables)
            _print_once(await anext(tables))
        elif console.is_terminal:
            await _draw_live(tables)
        else:
            await anext(tables)  # the first has no rates yet
            async for rows in tables:
                _print(rows)


async def _draw_live(tables: AsyncIterator[list[Row]]) -> None:
    """Draw each table over the one before."""
    from rich.live import Live
    from rich.text import Text

    from ..console import console
    from .table import render

    with Live(console=console, auto_refresh=False) as live:
        async for rows in tables:
            header, *lines = render(rows, console.width)
            styles = [*("red" if row.failure else "" for row in rows), "bold"]
            text = Text()
            text.append(header, "bold")
            for line, style in zip(lines, styles, strict=False):
                text.append("\n" + line, style)
            live.update(text, refresh=True)


def _print(rows: Sequence[Row]) -> None:
    from ..console import console
    from .table import render

    print("\n".join(render(rows, console.width if console.is_terminal else None)), flush=True)


def _print_once(rows: Sequence[Row]) -> None:
    """Print the table, and fail if a worker did not answer."""
    from streamlstm.errors import WorkerTimeoutError

    _print(rows)
    silent = [row.name for row in rows if row.failure]
    if silent:
        raise WorkerTimeoutError(
            f"{len(silent)} of {len(rows)} workers did not answer: {', '.join(silent)}; "
            "is each of them running (streamlstm serve)?"
        )


async def _poll_all(
    watched: Watched, every: float, grace: float
) -> AsyncGenerator[list[Row], None]:
    """Ask all workers at once, every `every` seconds; yield their rows.

    A request without a reply after `grace` seconds stays pending and delays no other worker.
    """
    from asyncio import create_task, gather, sleep, wait
    from time import monotonic

    requests: dict[PolledWorker, Task[None]] = {}
    tick = monotonic()
    try:
        while True:
            for worker in watched.workers:
                request = requests.get(worker)
                if request is not None and request.done():
                    request.result()
                if request is None or request.done():
                    requests[worker] = create_task(worker.poll())
            if requests:
                await wait(requests.values(), timeout=grace)
            yield [worker.row() for worker in watched.workers]
            tick = max(tick + every, monotonic())
            await sleep(tick - monotonic())
            await watched.follow()
            for worker in [each for each in requests if each not in watched.workers]:
                requests.pop(worker).cancel()
    finally:
        for request in requests.values():
            request.cancel()
        await gather(*requests.values(), return_exceptions=True)
