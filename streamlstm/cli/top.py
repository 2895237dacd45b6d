"""``streamlstm top``: what workers do, as it happens."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import BadParameter, Exit, Option

from .signals import interruptible

if TYPE_CHECKING:
    from .top_worker import Row, Watched

# How long after a question the table is drawn: long for a worker that has something else to do
# first, short for a person who looks at those that have answered.
GRACE = 0.5


def top(
    router: Annotated[
        list[str] | None,
        Option(help="Ask there; may be given many times. tcp://127.0.0.1:7450 if left out."),
    ] = None,
    endpoints: Annotated[
        list[Path] | None,
        Option(help="Ask where the file says that serve --endpoints wrote; many times too."),
    ] = None,
    every: Annotated[float, Option(help="Seconds between two looks.")] = 1.0,
    key: Annotated[
        Path | None, Option(help="This client's secret key, for a worker that has keys.")
    ] = None,
    server: Annotated[Path | None, Option(help="The worker's public key.")] = None,
    once: Annotated[bool, Option("--once", help="Look for one interval, then leave.")] = False,
) -> None:
    """Show what workers do, until Ctrl-C: steps and messages a second, latency, what waits.

    What is counted by the second, and the latency's p50 and p99, speak of the last interval.
    Arithmetic is the share of the time in which a worker computed; overflows are how often a
    subscriber's queue was found full since the worker's start. Into a pipe, one table is printed
    after each interval. With --once the status is 1 if a worker did not answer.

    \b
    Example:
      streamlstm top --router tcp://127.0.0.1:7450 --router tcp://127.0.0.1:7460
      streamlstm top --endpoints /run/streamlstm/worker.json --once
    """  # noqa: D301 - \b keeps the lines of the example apart
    if not 0.1 <= every <= 3600:
        raise BadParameter("expected 0.1 to 3600 seconds", param_hint="--every")
    from asyncio import run

    from streamlstm import wire

    places: list[str | Path] = [*(router or ()), *(endpoints or ())]
    with interruptible() as interruption:
        try:
            run(_look(_names(places or [wire.ROUTER]), every, once, key, server))
        except KeyboardInterrupt:
            raise Exit(interruption.status) from None


def _names(places: Sequence[str | Path]) -> dict[str, str | Path]:
    """Name workers: by endpoint, or by the file's name where that tells it from others."""
    stems = [place.stem for place in places if isinstance(place, Path)]
    return {
        place.stem if isinstance(place, Path) and stems.count(place.stem) == 1 else str(place): (
            place
        )
        for place in places
    }


async def _look(
    places: dict[str, str | Path],
    every: float,
    once: bool,
    key: Path | None,
    server: Path | None,
) -> None:
    """Look at the workers in the way that suits where it is written."""
    from contextlib import AsyncExitStack, aclosing

    from .console import console
    from .top_worker import PATIENCE, Watched

    async with AsyncExitStack() as stack:
        workers = []
        for name, place in places.items():
            workers.append(Watched(name, place, key, server))
            stack.push_async_callback(workers[-1].close)
        grace = PATIENCE if once else min(GRACE, every / 2)
        rounds = await stack.enter_async_context(aclosing(_rounds(workers, every, grace)))
        if once:
            await anext(rounds)
            _print_once(await anext(rounds))
        elif console.is_terminal:
            await _draw_live(rounds)
        else:
            await anext(rounds)  # there is no difference yet
            async for rows in rounds:
                _print(rows)


async def _draw_live(rounds: AsyncIterator[list[Row]]) -> None:
    """Draw each table over the one before."""
    from rich.live import Live
    from rich.text import Text

    from .console import console
    from .top_table import draw

    with Live(console=console, auto_refresh=False) as live:
        async for rows in rounds:
            head, *lines = draw(rows, console.width)
            styles = [*("red" if row.trouble else "" for row in rows), "bold"]
            text = Text()
            text.append(head, "bold")
            for line, style in zip(lines, styles, strict=False):
                text.append("\n" + line, style)
            live.update(text, refresh=True)


def _print(rows: Sequence[Row]) -> None:
    from .console import console
    from .top_table import draw

    print("\n".join(draw(rows, console.width if console.is_terminal else None)), flush=True)


def _print_once(rows: Sequence[Row]) -> None:
    """Print the table; a worker that did not answer is what the status tells."""
    from streamlstm.errors import WorkerTimeoutError

    _print(rows)
    silent = [row.name for row in rows if row.trouble]
    if silent:
        raise WorkerTimeoutError(
            f"{len(silent)} of {len(rows)} workers did not answer: {', '.join(silent)}; "
            "is each of them running (streamlstm serve)?"
        )


async def _rounds(
    workers: Sequence[Watched], every: float, grace: float
) -> AsyncGenerator[list[Row], None]:
    """Ask all workers at once, every so many seconds; yield their rows.

    Who has not answered within `grace` keeps its question and delays nobody.
    """
    from asyncio import create_task, gather, sleep, wait
    from time import monotonic

    questions = {worker: create_task(worker.ask()) for worker in workers}
    tick = monotonic()
    try:
        while True:
            await wait(questions.values(), timeout=grace)
            yield [worker.row() for worker in workers]
            tick = max(tick + every, monotonic())
            await sleep(tick - monotonic())
            for worker, question in questions.items():
                if question.done():
                    question.result()
                    questions[worker] = create_task(worker.ask())
    finally:
        for question in questions.values():
            question.cancel()
        await gather(*questions.values(), return_exceptions=True)
