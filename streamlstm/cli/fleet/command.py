"""``streamlstm fleet``: starts and watches the workers of a fleet, and changes it while it runs."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from .gateway import gateway as gateway_process
from .gateway import gateway_options


class _ModelOrCommand(typer.core.TyperGroup):
    """Takes ``fleet MODEL`` for ``fleet serve MODEL``."""

    def parse_args(self, context: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["serve", *args]
        return super().parse_args(context, args)


DEFAULT = Path("fleet.json")  # in the current folder, so that nobody has to name it
Endpoints = Annotated[Path, Option("--endpoints", help="The file that the fleet wrote.")]
Json = Annotated[bool, Option("--json", help="Print one JSON object.")]

fleet = typer.Typer(
    cls=_ModelOrCommand,
    help="Serve one model with many workers, behind one table of who has which streams.\n\n\b\n"
    "Example:\n  streamlstm fleet model.safetensors --workers 4 --store lmdb:streams\n"
    "  streamlstm fleet scale 8",
    no_args_is_help=True,
)


@fleet.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(
    context: typer.Context,
    model: Annotated[str, Argument(metavar="MODEL")],
    workers: Annotated[int, Option(min=1, help="How many workers.")] = 2,
    store: Annotated[str, Option(help="lmdb:FOLDER or memory.")] = "memory",
    endpoints: Annotated[
        Path, Option(help="Write where the fleet is to this JSON file when ready.")
    ] = DEFAULT,
    gateway: Annotated[
        str | None,
        Option(
            metavar="ENDPOINT",
            help="Serve clients that know of a single worker only at this address, too; PULL and "
            "XPUB are at the next two ports.",
        ),
    ] = None,
) -> None:
    """Start a fleet; further options are those of streamlstm serve, for every worker.

    \b
    Example:
      streamlstm fleet model.safetensors --workers 4 --store lmdb:streams
    """  # noqa: D301 - \b keeps the lines of the example apart
    import logging

    from streamlstm.fleet.supervisor import Supervisor

    from ..console import err

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    folder = None if store == "memory" else Path(store.removeprefix("lmdb:"))
    anywhere = [f"--{name}=tcp://127.0.0.1:*" for name in ("router", "pull", "xpub")]
    supervisor = Supervisor(
        [model, *anywhere, *context.args],
        folder,
        endpoints,
        lambda line: err.print(line, markup=False),
        None if gateway is None else (gateway, gateway_options(context.args)),
    )
    try:
        supervisor.run(workers, lambda: err.print("ready; Ctrl-C stops"))
    finally:
        supervisor.close()


fleet.command(name="gateway", hidden=True)(gateway_process)


@fleet.command()
def status(endpoints: Endpoints = DEFAULT, json: Json = False) -> None:
    """Show the workers of a fleet and what they have."""
    _show(_ask(endpoints, "status"), json)


@fleet.command()
def scale(
    workers: Annotated[int, Argument(min=1)], endpoints: Endpoints = DEFAULT, json: Json = False
) -> None:
    """Have so many workers from now on."""
    _show(_ask(endpoints, "scale", workers), json)


@fleet.command()
def drain(worker: str, endpoints: Endpoints = DEFAULT, json: Json = False) -> None:
    """Let a worker hand over all it has, and end."""
    _show(_ask(endpoints, "drain", worker), json)


@fleet.command()
def move(partition: int, worker: str, endpoints: Endpoints = DEFAULT, json: Json = False) -> None:
    """Move one partition to a worker."""
    _show(_ask(endpoints, "move", partition, worker), json)


def _ask(endpoints: Path, *question: Any) -> dict[str, Any]:
    from streamlstm.fleet.question import ask

    return ask(endpoints, *question)


def _show(status: dict[str, Any], as_json: bool) -> None:
    from json import dumps

    from rich.table import Table

    from ..console import console

    if as_json:
        print(dumps(status))
        return
    table = Table("worker", "pid", "partitions", "restarts", "router", box=None)
    for worker in status["workers"]:
        said = f"{worker['partitions']}" + (" (leaves)" if worker["leaves"] else "")
        numbers = str(worker["pid"]), said, str(worker["restarts"])
        table.add_row(worker["name"], *numbers, worker["router"] or "starts")
    console.print(table)
